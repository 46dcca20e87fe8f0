"""XLA on the TensorFlow backend: the same results, training in bfloat16, and predict where Keras chooses."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras.ops")  # this folder is called keras too
tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.slow  # TensorFlow takes long to start, and XLA to compile

from helpers.pairs import FAMILIES, arrays, inputs_for, keras_twin, torch_model

HEAD = "ForSequenceClassification"


def model_of(family: str, **options):
    return keras_twin(torch_model(family, HEAD, {"num_labels": 3}), **options)


def given() -> dict[str, np.ndarray]:
    return {name: value.astype(np.int32) for name, value in arrays(inputs_for(HEAD)).items()}


def relative(found, expected) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("family", FAMILIES)
def test_forward(family):
    model, inputs = model_of(family), given()
    compiled = tf.function(lambda inputs: model(inputs).logits, jit_compile=True, autograph=False)
    assert relative(compiled(inputs).numpy(), model(inputs).logits.numpy()) < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("xla", [False, True])
def test_bfloat16_learns(family, xla):
    model, inputs = model_of(family, dtype="mixed_bfloat16"), given()
    exact = model_of(family)(inputs).logits.numpy()
    assert model(inputs).logits.dtype == "bfloat16"
    assert relative(model(inputs).logits.numpy().astype(np.float32), exact) < 0.1
    model.compile("sgd", jit_compile=xla)
    before = [weight.numpy() for weight in model.trainable_weights]
    history = model.fit(inputs, np.array([0, 1, 2]), epochs=1, batch_size=3, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert {weight.dtype for weight in model.weights} == {"float32"}
    pairs = zip(model.trainable_weights, before, strict=True)
    moved = [not np.array_equal(weight.numpy(), old) for weight, old in pairs]
    assert np.mean(moved) > 0.5


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("xla", ["auto", True, False])
def test_predict(family, xla):
    model, inputs = model_of(family), given()
    model.compile(jit_compile=xla)
    found = model.predict(inputs, batch_size=2, verbose=0)  # 3 rows: the last batch is smaller
    assert relative(found.logits, model(inputs).logits.numpy()) < 1e-5
