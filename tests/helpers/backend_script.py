"""Run by test_keras_backends under another backend of Keras: parity with PyTorch, training, prediction, files."""

from __future__ import annotations

import tempfile

import keras
import numpy as np

from helpers.pairs import EVERYTHING, arrays, assert_close, call_both, inputs_for, labels_for, pair

for family, head in (
    ("DistilBert", "ForSequenceClassification"),
    ("DistilBert", "ForMaskedLM"),
    ("DistilBert", "ForMultipleChoice"),
    ("MobileBert", "ForPreTraining"),
    ("MobileBert", "ForQuestionAnswering"),
):
    inputs = inputs_for(head)
    labels = labels_for(head, inputs, num_labels=2)
    ours, twin = pair(family, head)
    got, expected = call_both(ours, twin, inputs, labels, **EVERYTHING)
    assert_close(got, expected)

    x, y = arrays(inputs), arrays(labels)
    twin.compile(keras.optimizers.Adam(1e-4))
    assert abs(twin.evaluate(x, y, verbose=0) - expected.loss.item()) <= 1e-5 * expected.loss.item()
    predicted = twin.predict(x, batch_size=2, verbose=0)
    assert type(predicted) is type(got)
    assert "loss" not in predicted
    np.testing.assert_allclose(predicted[0], keras.ops.convert_to_numpy(got[1]), rtol=1e-4, atol=1e-5)
    losses = twin.fit(x, y, epochs=3, verbose=0).history["loss"]
    assert losses[2] < losses[0]
    with tempfile.TemporaryDirectory() as folder:
        twin.save(f"{folder}/model.keras")
        again = keras.models.load_model(f"{folder}/model.keras")
    expected = twin.predict(x, verbose=0)[0]
    np.testing.assert_allclose(again.predict(x, verbose=0)[0], expected, rtol=1e-4, atol=1e-5)
    print(keras.backend.backend(), family, head)
