"""What users of TensorFlow's classes do beside calling and training: vocabularies, frozen parts, served graphs."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras.ops", exc_type=ImportError)
import keras

import pocketbert
from helpers.pairs import FAMILIES, keras_twin, torch_model
from helpers.small import VOCAB
from pocketbert import ConfigError, DistilBertTokenizerFast, InputError

pytestmark = pytest.mark.slow  # TensorFlow takes long to start
on_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tests TensorFlow's own")

IDS = np.array([[5, 6, 7, 0], [8, 9, 0, 0], [4, 4, 1, 2]])
MASK = (IDS != 0).astype(int)


def values(tensor) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


def classifier(family: str = "DistilBert", **changes):
    return keras_twin(torch_model(family, "ForSequenceClassification", {"num_labels": 3, **changes}))


# -- classes by name -------------------------------------------------------------------------------------------


def test_auto_classes(tmp_path):
    torch_model("DistilBert", "ForMaskedLM").save_pretrained(tmp_path)
    for name, wanted in (
        ("TFAutoModel", "TFDistilBertModel"),
        ("TFAutoModelForPreTraining", "TFDistilBertForMaskedLM"),
    ):
        assert type(getattr(pocketbert, name).from_pretrained(tmp_path)).__name__ == wanted
    with pytest.raises(ConfigError, match="TFAutoModelForNextSentencePrediction: distilbert has no next_sentence"):
        pocketbert.TFAutoModelForNextSentencePrediction.from_pretrained(tmp_path)
    with pytest.raises(TypeError, match="TFAutoModel is not built but loaded"):
        pocketbert.TFAutoModel()


# -- vocabularies ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_resizing_keeps_old_words_and_loads_again(family, tied, tmp_path):
    model = keras_twin(torch_model(family, "ForMaskedLM", {"tie_word_embeddings": tied}))
    before, count = values(model(IDS).logits), len(model.weights)
    assert model.resize_token_embeddings(103) is model.get_input_embeddings()
    after = values(model(IDS).logits)
    np.testing.assert_allclose(after[..., :97], before, atol=1e-5)
    assert after.shape[-1] == model.config.vocab_size == model.get_input_embeddings().input_dim == 103
    assert len(model.weights) == count
    assert model.get_output_embeddings().weight.shape == model.get_input_embeddings().weight.shape
    assert model.get_bias()["bias"].shape == (103,)
    model.save_pretrained(tmp_path)
    model.save(tmp_path / "model.keras")
    for again in (type(model).from_pretrained(tmp_path), keras.models.load_model(tmp_path / "model.keras")):
        np.testing.assert_allclose(values(again(IDS).logits), after, atol=1e-5)
    model.resize_token_embeddings(90)
    np.testing.assert_allclose(values(model(IDS).logits), before[..., :90], atol=1e-5)


def test_words_that_are_set():
    model = keras_twin(torch_model("DistilBert", "ForMaskedLM"))
    table = np.random.default_rng(0).normal(size=(99, 24)).astype("float32")
    model.set_input_embeddings(table)
    np.testing.assert_array_equal(values(model.get_input_embeddings().weight), table)
    assert model(IDS).logits.shape[-1] == 99
    model.set_output_embeddings(-table)
    np.testing.assert_array_equal(values(model.get_input_embeddings().weight), -table)
    model.set_bias({"bias": np.arange(99.0)})
    np.testing.assert_array_equal(values(model.get_lm_head().bias), np.arange(99.0))
    assert classifier().get_output_embeddings() is None
    for size, message in ((0, "positive integer"), (True, "positive integer")):
        with pytest.raises(InputError, match=message):
            model.resize_token_embeddings(size)
    with pytest.raises(InputError, match=r"word table of shape \(99, 3\) must be \(words, 24\)"):
        model.set_input_embeddings(table[:, :3])
    with pytest.raises(InputError, match="has no bias"):
        classifier().set_bias({"bias": 0})


# -- frozen parts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("frozen", ["all", "encoder", "one matrix", "all but a layer's norm"])
def test_frozen_parts_survive(family, frozen, tmp_path):
    model = classifier(family)
    base = model.get_base_model()
    if frozen == "one matrix":
        model.classifier.kernel.trainable = False
    else:
        (model if frozen == "all" else base).trainable = False
    if frozen.endswith("norm"):
        base.embeddings.LayerNorm.trainable = True
    model.save(tmp_path / "model.keras")
    for again in (keras.models.load_model(tmp_path / "model.keras"), keras.models.clone_model(model)):
        assert [weight.trainable for weight in again.weights] == [weight.trainable for weight in model.weights]
        assert len(again.trainable_weights) == len(model.trainable_weights)
        assert again.trainable == model.trainable
    assert not type(model)(model.config, trainable=False).trainable_weights


# -- training --------------------------------------------------------------------------------------------------


def test_named_labels_with_weights_of_rows():
    model, labels, weights = classifier(), np.array([0, 1, 2]), np.array([1.0, 2.0, 0.5])
    expected = (values(model(IDS, labels=labels).loss) * weights).mean()
    for loss in (None, keras.losses.SparseCategoricalCrossentropy(from_logits=True)):
        model.compile(keras.optimizers.SGD(0.0), loss, metrics=["accuracy"], run_eagerly=True)
        for y in ({"labels": labels}, labels):
            history = model.fit({"input_ids": IDS}, y, sample_weight=weights, verbose=0).history
            assert history["loss"][0] == pytest.approx(expected, rel=1e-5)


def test_metrics_of_two_answers():
    model = keras_twin(torch_model("DistilBert", "ForQuestionAnswering"))
    y = {"start_positions": np.array([0, 1, 2]), "end_positions": np.array([1, 1, 3])}
    output = model({"input_ids": IDS}, **y)
    own = keras.metrics.SparseCategoricalAccuracy(name="own")
    for metrics, name in ((["accuracy"], "accuracy"), ([own], "own"), ([["accuracy"], ["accuracy"]], "accuracy")):
        model.compile(keras.optimizers.SGD(0.0), metrics=metrics, run_eagerly=True)
        found = model.evaluate({"input_ids": IDS}, y, verbose=0, return_dict=True)
        assert found["loss"] == pytest.approx(values(output.loss).mean(), rel=1e-5)
        for part in ("start", "end"):
            right = values(output[f"{part}_logits"]).argmax(-1) == y[f"{part}_positions"]
            assert found[f"{part}_logits_{name}"] == pytest.approx(right.mean())


@pytest.mark.parametrize(
    ("head", "labels", "shape"),
    [
        ("ForMaskedLM", {"labels": IDS}, (1,)),
        ("ForTokenClassification", {"labels": MASK}, (1,)),
        ("ForSequenceClassification", {"labels": np.array([0, 1, -100])}, (3,)),
        ("ForQuestionAnswering", {"start_positions": np.array([0, 1, 2]), "end_positions": np.array([1, 1, 3])}, (3,)),
        ("ForNextSentencePrediction", {"next_sentence_label": np.array([0, 1, 1])}, (3,)),
        ("ForPreTraining", {"labels": IDS, "next_sentence_label": np.array([0, 1, 1])}, (1,)),
    ],
)
def test_shape_of_the_loss(head, labels, shape):
    output = keras_twin(torch_model("MobileBert", head))(IDS, **labels)
    assert output.loss.shape == shape
    assert np.isfinite(values(output.loss)).all()
    if head == "ForSequenceClassification":
        assert values(output.loss)[2] == 0


# -- graphs ----------------------------------------------------------------------------------------------------


def test_dummy_inputs():
    assert not classifier().can_generate()
    for head, shape in (("Model", (1, 2)), ("ForMultipleChoice", (1, 2, 2))):
        model = keras_twin(torch_model("MobileBert", head))
        assert list(model.dummy_inputs) == list(model.input_signature) == list(model.token_inputs)
        assert model.dummy_inputs["input_ids"].shape == shape
        model(model.dummy_inputs)


@on_tensorflow
def test_saved_models_and_litert(tmp_path):
    import tensorflow as tf

    model = classifier("MobileBert", num_hidden_layers=1)
    inputs = {"input_ids": IDS, "attention_mask": MASK, "token_type_ids": MASK}
    wanted = values(model(inputs).logits)
    small = {name: tf.constant(value, tf.int32) for name, value in inputs.items()}
    np.testing.assert_allclose(model.serving(small)["logits"], wanted, atol=1e-5)
    model.save_pretrained(tmp_path, saved_model=True)
    loaded = tf.saved_model.load(str(tmp_path / "saved_model" / "1"))
    for signature, dtype in (("serving_default", tf.int32), ("int64_serving", tf.int64)):
        given = {name: tf.constant(value, dtype) for name, value in inputs.items()}
        np.testing.assert_allclose(loaded.signatures[signature](**given)["logits"], wanted, atol=1e-5)
    file = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    with pytest.warns(UserWarning, match="LiteRT"):
        run = tf.lite.Interpreter(model_content=file).get_signature_runner()
    np.testing.assert_allclose(run(**small)["logits"], wanted, atol=1e-5)


@on_tensorflow
def test_a_model_around_an_encoder_exports(tmp_path):
    import tensorflow as tf

    encoder = keras_twin(torch_model("DistilBert"))
    ids, mask = keras.Input((None,), name="input_ids"), keras.Input((None,), name="attention_mask")  # floats
    model = keras.Model([ids, mask], encoder(ids, attention_mask=mask).last_hidden_state[:, 0])
    model.export(tmp_path / "saved", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    got = loaded.serve([tf.constant(IDS, tf.float32), tf.constant(MASK, tf.float32)])
    np.testing.assert_allclose(got, encoder(IDS, MASK)[0][:, 0], atol=1e-5)
    with pytest.raises(InputError, match="input_ids of float16 holds no ids above a few hundred"):
        encoder(keras.Input((None,), dtype="float16"))


def test_a_dataset_of_another_kind():
    with pytest.raises(TypeError, match=r"dataset must be a datasets.Dataset, not a list"):
        classifier().prepare_tf_dataset([])


class Rows:
    """What ``prepare_tf_dataset`` uses of a ``datasets.Dataset``."""

    def __init__(self, columns):
        self.columns = columns
        self.column_names = list(columns)

    def __getitem__(self, index):
        return {name: values[index] for name, values in self.columns.items()}

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def remove_columns(self, names):
        return Rows({name: values for name, values in self.columns.items() if name not in names})

    def to_tf_dataset(self, *, columns, label_cols, batch_size, collate_fn, collate_fn_args, **_):
        made = collate_fn([self[index] for index in range(len(self))], **collate_fn_args)
        features = {name: made[name] for name in columns} if isinstance(columns, list) else made[columns]
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices((features, made[label_cols])).batch(batch_size)


@on_tensorflow
def test_a_prepared_dataset_trains():
    model = classifier(vocab_size=len(VOCAB))
    tokenizer = DistilBertTokenizerFast({token: index for index, token in enumerate(VOCAB)})
    texts = ["a cat", "a dog sat on a mat", "a"]
    rows = Rows({"text": texts, "label": [0, 1, 0], **tokenizer(texts)})
    made = model.prepare_tf_dataset(rows, batch_size=2, shuffle=False, tokenizer=tokenizer)
    features, labels = next(iter(made))
    assert sorted(features) == ["attention_mask", "input_ids"]
    assert labels.numpy().tolist() == [0, 1]
    width = max(map(len, rows.columns["input_ids"]))
    assert features["input_ids"].shape == (2, width)
    model.compile(keras.optimizers.SGD(0.01))
    history = model.fit(made, verbose=0, shuffle=False).history
    assert np.isfinite(history["loss"]).all()
    bare = model.prepare_tf_dataset(Rows({"input_ids": [[1, 2], [3, 4]], "label": [0, 1]}), shuffle=False)
    features, _ = next(iter(bare))
    assert features.shape == (2, 2)
    with pytest.raises(InputError, match="input_ids has rows of different lengths; pass tokenizer= to pad them"):
        model.prepare_tf_dataset(Rows({"input_ids": [[1, 2], [3]], "label": [0, 1]}))
    with pytest.raises(InputError, match=r"dataset has none of .*; its columns are words"):
        model.prepare_tf_dataset(Rows({"words": ["a"]}))
