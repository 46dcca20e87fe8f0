"""Forms of a call, its errors, training with the head's own loss and with others, dtypes, graphs.

Most training here runs eagerly, since a graph takes long to trace; test_keras_backends trains with graphs.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras.ops", exc_type=ImportError)
import keras

import pocketbert
from helpers.pairs import (
    FAMILIES,
    arrays,
    assert_close,
    batch,
    call_both,
    inputs_for,
    keras_twin,
    labels_for,
    pair,
    torch_model,
)
from pocketbert import InputError

pytestmark = pytest.mark.slow  # TensorFlow takes long to start
on_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tests TensorFlow's own")

IDS = np.array([[5, 6, 7, 0], [8, 9, 0, 0]])
MASK = np.array([[1, 1, 1, 0], [1, 1, 0, 0]])


def values(tensor) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


@pytest.fixture(scope="module")
def encoder():
    return keras_twin(torch_model("DistilBert"))


@pytest.fixture
def classifier():
    return keras_twin(torch_model("DistilBert", "ForSequenceClassification", {"num_labels": 3}))


# -- forms of a call -------------------------------------------------------------------------------------------


def test_every_form_gives_the_same(encoder):
    expected = values(encoder(input_ids=IDS, attention_mask=MASK).last_hidden_state)
    tensors = [keras.ops.convert_to_tensor(x) for x in (IDS, MASK)]
    encoding = pocketbert.BatchEncoding({"input_ids": IDS, "attention_mask": MASK})
    for output in (
        encoder(IDS, MASK),
        encoder(*tensors),
        encoder(IDS, attention_mask=MASK),
        encoder([IDS, MASK]),
        encoder((IDS, MASK)),
        encoder(tensors),
        encoder([IDS, MASK, None, None]),
        encoder({"input_ids": IDS, "attention_mask": MASK}),
        encoder({"input_ids": IDS}, attention_mask=MASK),
        encoder(encoding),
        encoder(**encoding),
        encoder(IDS.tolist(), MASK.tolist()),
        encoder([IDS.tolist(), MASK.tolist()]),
        encoder({"input_ids": IDS.tolist(), "attention_mask": MASK.astype(bool)}),
        encoder(IDS.astype(np.int32), MASK.astype(np.float32)),
    ):
        np.testing.assert_array_equal(values(output.last_hidden_state), expected)
    alone = values(encoder(input_ids=IDS).last_hidden_state)
    for output in (encoder(IDS), encoder([IDS]), encoder(IDS.tolist()), encoder({"input_ids": IDS})):
        np.testing.assert_array_equal(values(output[0]), alone)
    assert np.abs(alone - expected).max() > 1e-3


def test_a_list_follows_the_documented_order_of_its_family():
    model = keras_twin(torch_model("MobileBert"))
    types = np.array([[0, 1, 1, 0], [0, 1, 0, 0]])
    expected = values(model(input_ids=IDS, attention_mask=MASK, token_type_ids=types).last_hidden_state)
    np.testing.assert_array_equal(values(model([IDS, MASK, types]).last_hidden_state), expected)
    distil = keras_twin(torch_model("DistilBert"))
    heads = np.array([1.0, 0.0, 1.0, 0.5])
    expected = values(distil(input_ids=IDS, attention_mask=MASK, head_mask=heads)[0])
    np.testing.assert_array_equal(values(distil([IDS, MASK, heads])[0]), expected)


def test_choices_as_a_plain_list():
    model = keras_twin(torch_model("MobileBert", "ForMultipleChoice"))
    ids = np.stack([IDS, IDS[::-1]])
    np.testing.assert_array_equal(values(model(ids.tolist()).logits), values(model(ids).logits))
    assert model(ids).logits.shape == (2, 2)


def test_token_types_mean_nothing_to_distilbert(encoder):
    given = values(encoder({"input_ids": IDS, "token_type_ids": MASK})[0])
    np.testing.assert_array_equal(given, values(encoder(IDS)[0]))


def test_a_configuration_decides_what_a_call_does_not_say():
    changes = {"output_hidden_states": True, "output_attentions": True, "return_dict": False}
    model = keras_twin(torch_model("DistilBert", changes=changes))
    _, hidden_states, attentions = model(IDS)
    assert len(hidden_states) == 4
    assert attentions[0].shape == (2, 4, 4, 4)
    assert list(model(IDS, return_dict=True, output_attentions=False)) == ["last_hidden_state", "hidden_states"]


def test_old_names_of_labels():
    model = keras_twin(torch_model("DistilBert", "ForMaskedLM"))
    expected = values(model(IDS, labels=IDS).loss)
    for old in ("masked_lm_labels", "lm_labels"):
        with pytest.warns(FutureWarning, match=f"{old} is now labels"):
            assert values(model(IDS, **{old: IDS}).loss) == expected


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((IDS,), {"input_ids": IDS}, "got input_ids twice"),
        (([IDS, MASK],), {"attention_mask": MASK}, "got attention_mask twice"),
        ((IDS,), {"attention_masks": MASK}, "unexpected keyword argument 'attention_masks'"),
        (({"ids": IDS},), {}, "unexpected keyword argument 'ids'"),
        (([IDS] * 11,), {}, "takes 10 inputs, got a list of 11"),
    ],
)
def test_names_that_do_not_fit(encoder, args, kwargs, message):
    with pytest.raises(TypeError, match=message):
        encoder(*args, **kwargs)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give either input_ids or inputs_embeds; neither was given"),
        ({"input_ids": IDS, "inputs_embeds": np.zeros((2, 4, 24))}, "both was given"),
        ({"input_ids": IDS[0]}, r"input_ids of shape \(4,\) must be \(batch, tokens\); one text needs ids\[None\]"),
        ({"input_ids": IDS * 1.0}, "input_ids must be int64 or int32, got float"),
        ({"input_ids": IDS + 90}, r"input_ids holds 99, outside 0 \.\. 96 \(vocab_size is 97\)"),
        ({"input_ids": IDS - 1}, "input_ids holds -1"),
        ({"input_ids": np.ones((1, 41), int)}, "41 tokens exceed the model's 40 positions"),
        ({"input_ids": np.ones((2, 0), int)}, "the input has no tokens"),
        ({"input_ids": [[1, 2], [3]]}, "input_ids has rows of different lengths; pass padding=True"),
        ({"inputs_embeds": np.zeros((2, 4, 3))}, r"inputs_embeds of shape \(2, 4, 3\) must be \(batch, tokens, 24\)"),
        ({"input_ids": IDS, "attention_mask": MASK[:1]}, r"attention_mask of shape \(1, 4\) must be"),
        ({"input_ids": IDS, "head_mask": np.ones(3)}, r"head_mask of shape \(3,\) must be \(heads,\) = \(4,\)"),
        ({"input_ids": IDS, "position_ids": IDS[:, :3]}, r"position_ids of shape \(2, 3\) must match"),
        ({"input_ids": IDS, "position_ids": IDS + 40}, r"position_ids holds 49, outside 0 \.\. 39"),
    ],
)
def test_inputs_that_do_not_fit(encoder, given, message):
    with pytest.raises(InputError, match=message):
        encoder(**given)


@pytest.mark.parametrize(
    ("head", "given", "message"),
    [
        ("ForMaskedLM", {"labels": IDS[:, :3]}, r"labels of shape \(2, 3\) must be \(batch, tokens\) = \(2, 4\)"),
        ("ForMaskedLM", {"labels": IDS - 9}, r"labels holds -4, outside 0 \.\. 96 \(or -100, which is ignored\)"),
        ("ForSequenceClassification", {"labels": np.array([0, 2])}, r"labels holds 2, outside 0 \.\. 1"),
        ("ForSequenceClassification", {"labels": np.array([0])}, r"labels of shape \(1,\) must be \(batch,\) = \(2,\)"),
        ("ForSequenceClassification", {"labels": np.ones(2)}, "must be .* for multi_label_classification"),
        ("ForTokenClassification", {"labels": IDS * 0.0}, "labels must be integers, got float"),
        (
            "ForQuestionAnswering",
            {"start_positions": np.array([0.5, 1]), "end_positions": np.array([1, 2])},
            "positions must be integers, got float",
        ),
        ("ForMultipleChoice", {}, r"inputs of shape \(2, 4\) must be \(batch, choices, tokens\)"),
    ],
)
def test_labels_that_do_not_fit(head, given, message):
    model = keras_twin(torch_model("DistilBert", head))
    with pytest.raises(InputError, match=message):
        model(IDS, **given)


# -- training --------------------------------------------------------------------------------------------------


def losses(model, x, y=None, **options):
    return model.fit(x, y, verbose=0, epochs=3, shuffle=False, **options).history["loss"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", ["ForMaskedLM", "ForMultipleChoice", "ForQuestionAnswering", "ForTokenClassification"])
def test_fit_without_a_loss_uses_the_heads_own(family, head):
    inputs = inputs_for(head)
    labels = arrays(labels_for(head, inputs))
    x = arrays(inputs)
    ours, twin = pair(family, head, {"num_labels": 3} if head == "ForTokenClassification" else {})
    expected = call_both(ours, twin, inputs, labels_for(head, inputs))[1].loss.item()
    twin.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    several = tuple(labels.values())
    for y in (labels, several if len(several) > 1 else several[0]):
        assert twin.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-5)
    assert twin.evaluate({**x, **labels}, verbose=0) == pytest.approx(expected, rel=1e-5)
    twin.compile(keras.optimizers.Adam(1e-4), run_eagerly=True)
    falling = losses(twin, x, labels)
    assert falling[2] < falling[0]


@on_tensorflow
def test_fit_on_a_dataset_with_xla(classifier):
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices(({"input_ids": IDS, "attention_mask": MASK}, np.array([0, 2]))).batch(2)
    classifier.compile(keras.optimizers.Adam(1e-2), metrics=["accuracy"], jit_compile=True)
    history = classifier.fit(data, epochs=4, shuffle=False, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert set(history) == {"loss", "accuracy"}
    _, accuracy = classifier.evaluate(data, verbose=0)
    predicted = classifier.predict(data, verbose=0)
    assert type(predicted).__name__ == "SequenceClassifierOutput"
    assert accuracy == (predicted.logits.argmax(-1) == [0, 2]).mean()


def test_a_loss_of_the_users(classifier):
    x, y = {"input_ids": IDS, "attention_mask": MASK}, np.array([0, 2])
    classifier.compile("sgd", run_eagerly=True)
    own = classifier.evaluate(x, y, verbose=0)
    classifier.compile(
        "sgd",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum"),
        metrics=["accuracy"],
        run_eagerly=True,
    )
    assert classifier.evaluate(x, y, verbose=0)[0] == pytest.approx(2 * own, rel=1e-5)
    classifier.compile("sgd", run_eagerly=True)
    assert classifier.evaluate(x, y, verbose=0, return_dict=True)["loss"] == pytest.approx(own, rel=1e-6)


def test_a_loss_of_the_users_for_two_answers():
    model = keras_twin(torch_model("DistilBert", "ForQuestionAnswering"))
    x, y = {"input_ids": IDS}, {"end_positions": np.array([3, 2]), "start_positions": np.array([1, 0])}
    model.compile("sgd", run_eagerly=True)
    own = model.evaluate(x, y, verbose=0)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True)
    assert model.evaluate(x, y, verbose=0, return_dict=True)["loss"] == pytest.approx(2 * own, rel=1e-5)


def test_weights_of_rows_and_classes(classifier):
    x, y = {"input_ids": IDS, "attention_mask": MASK}, np.array([0, 2])
    classifier.compile("sgd", run_eagerly=True)
    each = [
        classifier.evaluate({n: v[row : row + 1] for n, v in x.items()}, y[row : row + 1], verbose=0) for row in (0, 1)
    ]
    weighted = classifier.evaluate(x, y, sample_weight=np.array([1.0, 3.0]), verbose=0)
    assert weighted == pytest.approx((each[0] + 3 * each[1]) / 2, rel=1e-5)
    classifier.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    history = classifier.fit(x, y, class_weight={0: 1.0, 1: 1.0, 2: 3.0}, verbose=0).history
    assert history["loss"][0] == pytest.approx(weighted, rel=0.2)  # dropout is off in these configurations


def test_labels_that_training_lacks(classifier, encoder):
    classifier.compile("sgd", run_eagerly=True)
    with pytest.raises(InputError, match="cannot train or be evaluated without labels"):
        classifier.fit({"input_ids": IDS}, verbose=0)
    with pytest.raises(InputError, match=r"labels of .* are named labels, got label"):
        classifier.fit({"input_ids": IDS}, {"label": np.array([0, 1])}, verbose=0)
    encoder.compile("sgd", run_eagerly=True)
    with pytest.raises(InputError, match="TFDistilBertModel has no loss of its own"):
        encoder.fit({"input_ids": IDS}, np.array([0, 1]), verbose=0)


def test_an_encoder_trains_on_a_loss_of_the_users():
    model = keras_twin(torch_model("DistilBert"))
    model.compile(keras.optimizers.Adam(1e-3), "mse", run_eagerly=True)
    falling = losses(model, {"input_ids": IDS}, np.zeros((2, 4, 24), np.float32))
    assert falling[2] < falling[0]


def test_predict_joins_batches_of_every_output():
    model = keras_twin(torch_model("MobileBert", "ForPreTraining", {"output_hidden_states": True}))
    x = arrays(batch())
    whole = model(x)
    model.compile(run_eagerly=True)
    parts = model.predict(x, batch_size=2, verbose=0)
    assert type(parts) is pocketbert.TFMobileBertForPreTrainingOutput
    assert list(parts) == list(whole)
    assert len(parts.hidden_states) == 4
    np.testing.assert_allclose(parts.prediction_logits, values(whole.prediction_logits), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(parts.hidden_states[2], values(whole.hidden_states[2]), rtol=1e-4, atol=1e-4)


DROPOUTS = {
    "DistilBert": ("dropout", "attention_dropout", "seq_classif_dropout"),
    "MobileBert": ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"),
}


@pytest.mark.parametrize(("family", "field"), [(family, field) for family in FAMILIES for field in DROPOUTS[family]])
def test_dropout_is_where_the_configuration_says_and_only_in_training(family, field):
    others = dict.fromkeys(DROPOUTS[family], 0.0)
    model = keras_twin(torch_model(family, "ForSequenceClassification", {**others, field: 0.5}))
    keras.utils.set_random_seed(3)
    plain, training = model(IDS), model(IDS, training=True)
    np.testing.assert_array_equal(values(plain.logits), values(model(IDS, training=False).logits))
    assert np.abs(values(plain.logits) - values(training.logits)).max() > 1e-3
    still = keras_twin(torch_model(family, "ForSequenceClassification", others))
    np.testing.assert_array_equal(values(still(IDS, training=True).logits), values(still(IDS).logits))


# -- dtypes, graphs, and Keras's own -----------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_mixed_bfloat16(family):
    ours = torch_model(family, "ForSequenceClassification", {"num_labels": 3})
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        twin = keras_twin(ours)
    finally:
        keras.config.set_dtype_policy("float32")
    assert {weight.dtype for weight in twin.trainable_weights} == {"float32"}
    got, expected = call_both(
        ours, twin, batch(), {"labels": labels_for("ForTokenClassification", batch())["labels"][:, 0]}
    )
    assert keras.backend.standardize_dtype(got.logits.dtype) == "bfloat16"
    assert keras.backend.standardize_dtype(got.loss.dtype) == "float32"
    assert np.abs(values(keras.ops.cast(got.logits, "float32")) - expected.logits.numpy()).max() < 0.1
    twin.compile(keras.optimizers.Adam(1e-4), run_eagerly=True)
    falling = losses(twin, {"input_ids": IDS, "attention_mask": MASK}, np.array([0, 2]))
    assert falling[2] < falling[0]


@on_tensorflow
@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_graphs_of_any_batch_and_length(family, xla):
    import tensorflow as tf

    ours, twin = pair(family, "ForQuestionAnswering")
    spec = tf.TensorSpec((None, None), tf.int32)

    @tf.function(input_signature=[spec, spec], jit_compile=xla)
    def run(ids, mask):
        return dict(twin(ids, attention_mask=mask))

    for rows, tokens in ((3, 11), (1, 40)):
        inputs = batch(rows=rows, tokens=tokens)
        expected = call_both(ours, twin, inputs)[1]
        got = run(*(tf.constant(inputs[name].numpy(), tf.int32) for name in ("input_ids", "attention_mask")))
        assert_close({name: got[name] for name in expected}, expected)


def test_part_of_a_functional_model(classifier):
    ids = keras.Input((None,), dtype="int32", name="input_ids")
    mask = keras.Input((None,), dtype="int32", name="attention_mask")
    first = classifier.distilbert(ids, attention_mask=mask).last_hidden_state[:, 0]
    model = keras.Model([ids, mask], keras.layers.Dense(2)(first))
    assert model.predict([IDS, MASK], verbose=0).shape == (2, 2)
    first = classifier.distilbert({"input_ids": ids, "attention_mask": mask})[0][:, 0]
    assert keras.Model([ids, mask], first)([IDS, MASK]).shape == (2, 24)


def test_counting_and_naming_parts(classifier):
    ours = torch_model("DistilBert", "ForSequenceClassification", {"num_labels": 3})
    assert classifier.num_parameters() == ours.num_parameters()
    assert classifier.get_base_model() is classifier.distilbert
    assert classifier.get_input_embeddings().embeddings.shape == (97, 24)
    assert len(classifier.trainable_weights) == len(list(ours.parameters()))
