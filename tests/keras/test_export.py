"""SavedModel and LiteRT files: every head runs as its model, at any batch and length, and what is off is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras.ops")  # this folder is called keras too
tf = pytest.importorskip("tensorflow")
pytestmark = [
    pytest.mark.slow,  # TensorFlow takes long to start, and to convert
    pytest.mark.filterwarnings(r"ignore:\s*Warning. (tf.lite.Interp|Please use the LiteRT interp):UserWarning"),
]

import keras
from typer.testing import CliRunner

import pocketbert.export.tensorflow as exporting
from helpers.pairs import CLASSES, keras_twin, three_labels, torch_model
from pocketbert.command.cli import app
from pocketbert.errors import CheckpointError, ConfigError, InputError, PrecisionError
from pocketbert.export.tensorflow import export_litert, export_savedmodel
from pocketbert.keras.equalize import equalize
from pocketbert.runtime.batching import Row, pack

ONE_LAYER = {"DistilBert": {"n_layers": 1}, "MobileBert": {"num_hidden_layers": 1}}
# LiteRT quantizes no weight of fewer than 1024 numbers
WIDE = {"hidden_size": 128, "intra_bottleneck_size": 64, "intermediate_size": 96, "embedding_size": 32}
VARIANTS = {
    "layer_norm, nothing shared": {"normalization_type": "layer_norm", "key_query_shared_bottleneck": False},
    "no bottleneck, no trigram": {"use_bottleneck": False, "trigram_input": False},
    "gelu, bottleneck attention": {"hidden_act": "gelu", "use_bottleneck_attention": True},
    "gelu_new": {"hidden_act": "gelu_new"},
    "silu": {"hidden_act": "silu"},
}


def model_of(family: str, head: str, changes: dict | None = None):
    return keras_twin(torch_model(family, head, {**ONE_LAYER[family], **three_labels(head), **(changes or {})}))


def batches(model):
    """Yield one short text, and three of mixed lengths; pairs of each for multiple choice."""
    generator = np.random.default_rng(0)
    for lengths in ((7,), (40, 23, 9)):
        shape = (len(lengths), 2, max(lengths)) if model.input_rank == 3 else (len(lengths), max(lengths))
        inputs = {name: generator.integers(0, 2, shape, np.int32) for name in model.token_inputs}
        inputs["input_ids"] = generator.integers(0, model.config.vocab_size, shape, np.int32)
        for row, length in enumerate(lengths):
            inputs["attention_mask"][row] = np.arange(shape[-1]) < length
        yield inputs


def runner_of(path: Path):
    if path.is_dir():
        loaded = tf.saved_model.load(str(path))
        return lambda inputs, loaded=loaded: loaded.serve(inputs)
    runner = tf.lite.Interpreter(str(path)).get_signature_runner()
    return lambda inputs: runner(**inputs)


def errors(model, path: Path) -> list[float]:
    """Return each output's largest difference, relative to its largest value, for each batch."""
    run, found = runner_of(path), []
    for inputs in batches(model):
        wanted, got = model(inputs), run(inputs)
        assert sorted(got) == sorted(wanted)
        for name, value in wanted.items():
            assert got[name].shape == value.shape
            found.append(float(np.abs(got[name] - value).max() / np.abs(value).max()))
    return found


@pytest.mark.parametrize(("family", "head"), CLASSES)
def test_every_head(tmp_path, family, head):
    model = model_of(family, head)
    saved, file = tmp_path / "saved", tmp_path / "model.tflite"
    model.export(saved, verbose=False)
    model.export(file, format="litert", verbose=False)
    assert max(errors(model, saved)) < 1e-5
    assert max(errors(model, file)) < 1e-5
    assert b"Flex" not in file.read_bytes()  # an operation that LiteRT alone does not have


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_variants(tmp_path, changes):
    model = model_of("MobileBert", "Model", changes)
    file = tmp_path / "model.tflite"
    model.export(file, format="litert", verbose=False)
    assert max(errors(model, file)) < 1e-5
    assert b"Flex" not in file.read_bytes()


@pytest.mark.parametrize("family", ["DistilBert", "MobileBert"])
def test_int8(tmp_path, family):
    sizes = {"dim": 64, "hidden_dim": 128} if family == "DistilBert" else WIDE
    model = model_of(family, "ForTokenClassification", sizes)
    large, small = tmp_path / "large.tflite", tmp_path / "small.tflite"
    model.export(large, format="litert", verbose=False)
    model.export(small, format="litert", verbose=False, optimizations=[tf.lite.Optimize.DEFAULT])
    assert small.stat().st_size < 0.7 * large.stat().st_size
    assert 1e-5 < max(errors(model, small)) < 0.1


def test_a_signature_of_ones_own(tmp_path):
    model = model_of("DistilBert", "Model")
    model.export(
        tmp_path, verbose=False, input_signature=[keras.InputSpec(shape=(None, 5), dtype="int32", name="input_ids")]
    )
    ids = np.arange(10, dtype=np.int32).reshape(2, 5)
    loaded = tf.saved_model.load(str(tmp_path))
    np.testing.assert_allclose(loaded.serve(ids)["last_hidden_state"], model(ids)[0], atol=1e-5)
    with pytest.raises(TypeError):
        loaded.serve(ids[:, :4])


def test_weights_are_stored_once(tmp_path):
    model = model_of("MobileBert", "ForSequenceClassification")
    model.export(tmp_path, verbose=False)
    names = [name for name, shape in tf.train.list_variables(str(tmp_path / "variables" / "variables")) if shape]
    assert len(names) == len(model.weights)


# -- outliers ----------------------------------------------------------------------------------------------------


def outlier_model(head: str):
    """Return a MobileBERT in whose hidden states word 1 reaches 1e7 in a channel that is read through tiny weights."""
    model = torch_model("MobileBert", head, {**WIDE, **three_labels(head)})
    state = model.state_dict()
    for name, weight in state.items():
        if name.endswith("word_embeddings.weight"):
            weight[1], weight[:, 0] = 0, 0
            weight[1, 0] = 1
        elif name.endswith("embedding_transformation.weight"):
            weight[3] = 0
            weight[3, 32] = 1e7
        elif name.endswith(READERS) or (name == "classifier.weight" and head == "ForTokenClassification"):
            weight[:, 3] *= 1e-7
        elif name.endswith(("embeddings.LayerNorm.weight", "output.bottleneck.LayerNorm.weight")):
            weight[3] = 1
    model.load_state_dict(state)
    return model


READERS = (
    "bottleneck.input.dense.weight", "bottleneck.attention.dense.weight", "self.value.weight", "pooler.dense.weight",
    "transform.dense.weight", "qa_outputs.weight",
)  # fmt: skip


def texts_of(model) -> dict[str, np.ndarray]:
    """Return texts that begin with word 1."""
    ids = np.random.default_rng(0).integers(2, model.config.vocab_size, (4, 12), np.int32)
    ids[:, 0] = 1
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


@pytest.mark.parametrize("head", [head for family, head in CLASSES if family == "MobileBert"])
def test_equalized_models_compute_the_same(head):
    model = keras_twin(outlier_model(head))
    inputs = texts_of(model)
    if model.input_rank == 3:
        inputs = {name: value[:, None] for name, value in inputs.items()}
    base = model.get_base_model()
    flat = {name: value.reshape(-1, 12) for name, value in inputs.items()}
    states = base(flat, output_hidden_states=True).hidden_states
    assert np.abs(states[1]).max() > 1e6
    before = model(inputs)
    equalize(model, np.concatenate([np.asarray(state).reshape(-1, 128) for state in states]))
    after, inside = model(inputs), base(flat, output_hidden_states=True).hidden_states
    assert np.abs(inside[1]).max() < 1e5
    for name, value in before.items():
        assert np.abs(after[name] - value).max() < 1e-6 * np.abs(value).max()


def test_int8_with_outliers(tmp_path, monkeypatch):
    model = outlier_model("ForSequenceClassification")
    model.save_pretrained(tmp_path / "checkpoint")
    rows = [Row(ids.tolist()) for ids in texts_of(model)["input_ids"]]
    monkeypatch.setattr(exporting, "batch_of_texts", lambda *_: (pack(rows), "texts"))
    monkeypatch.setattr(exporting, "_LENGTHS", ())
    limit = 0.999 if tuple(map(int, tf.__version__.split(".")[:2])) >= (2, 21) else 0.99  # older ones round more
    export_litert(tmp_path / "checkpoint", tmp_path / "model.tflite", int8=True, limit=limit)
    monkeypatch.setattr(exporting, "_equalize", lambda *_: None)
    with pytest.raises(PrecisionError, match=r"agreement of logits with float32 is .*use `pocketbert quantize`"):
        export_litert(tmp_path / "checkpoint", tmp_path / "other.tflite", int8=True, limit=0.97)
    assert not (tmp_path / "other.tflite").exists()


# -- from a folder -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint")
    torch_model("DistilBert", "ForQuestionAnswering", {"dim": 64, "hidden_dim": 128, "n_layers": 1}).save_pretrained(
        path
    )
    return path


def test_savedmodel_report(folder, tmp_path):
    out = tmp_path / "new" / "saved"
    for _ in range(2):  # the second replaces the first
        report = export_savedmodel(folder, out)
    assert (report.path, report.head, report.int8) == (out, "question_answering", False)
    assert report.size == sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    assert report.inputs == ("input_ids", "attention_mask")
    assert list(report.errors) == ["start_logits", "end_logits"]
    assert max(report.errors.values()) < 1e-5
    assert min(report.agreement.values()) > 1 - 1e-9
    assert [path.name for path in out.parent.iterdir()] == ["saved"]


def test_litert_report(folder, tmp_path):
    large, small = (export_litert(folder, tmp_path / f"{int8}.tflite", int8=int8) for int8 in (False, True))
    assert (large.size, small.size) == (large.path.stat().st_size, small.path.stat().st_size)
    assert small.size < 0.7 * large.size
    assert max(large.errors.values()) < 1e-5
    assert 0.98 < min(small.agreement.values()) < 1 - 1e-7


def test_a_bare_encoder_with_and_without_a_pooler(tmp_path):
    for head, outputs in (("ForSequenceClassification", ["last_hidden_state", "pooler_output"]),
                          ("ForTokenClassification", ["last_hidden_state"])):  # fmt: skip
        torch_model("MobileBert", head, ONE_LAYER["MobileBert"]).save_pretrained(tmp_path / head)
        report = export_savedmodel(tmp_path / head, tmp_path / "saved", "none")
        assert list(report.errors) == outputs
        assert max(report.errors.values()) < 1e-5


def test_what_is_off_is_not_written(folder, tmp_path):
    file, saved = tmp_path / "model.tflite", tmp_path / "saved"
    file.write_bytes(b"old")
    saved.mkdir()
    (saved / "saved_model.pb").write_bytes(b"old")
    with pytest.raises(PrecisionError, match=r"below the limit of 1.0; .*use `pocketbert quantize` or `pocketbert exp"):
        export_litert(folder, file, int8=True, limit=1.0)
    with pytest.raises(PrecisionError, match=r"_logits differs from the reference by .*more than the limit of 1.0e-12"):
        export_litert(folder, file, limit=1e-12)
    with pytest.raises(PrecisionError, match=r"more than the limit of 1.0e-12"):
        export_savedmodel(folder, saved, limit=1e-12)
    assert file.read_bytes() == (saved / "saved_model.pb").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.tflite", "saved"]


def test_wrong_arguments(folder, tmp_path, monkeypatch):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "one.txt").write_text("dear")
    with pytest.raises(InputError, match="holds something else than a SavedModel; pass the name of a new folder"):
        export_savedmodel(folder, tmp_path / "letters")
    with pytest.raises(InputError, match=r"is no name of a LiteRT file; pass one that ends in .tflite"):
        export_litert(folder, tmp_path / "model.onnx")
    for export in (export_savedmodel, export_litert):
        with pytest.raises(InputError, match="limit=True must be a number"):
            export(folder, tmp_path / "model.tflite", limit=True)
        with pytest.raises(CheckpointError, match=r"has no masked_lm head: .*vocab_transform.weight.* are missing"):
            export(folder, tmp_path / "model.tflite", "masked_lm")
    torch_model("Bert").save_pretrained(tmp_path / "bert")
    with pytest.raises(ConfigError, match=r"is a BERT.*; export it to ONNX"):
        export_litert(tmp_path / "bert", tmp_path / "model.tflite")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(InputError, match=r"Keras runs on jax, .*set KERAS_BACKEND=tensorflow"):
        export_savedmodel(folder, tmp_path / "saved")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bert", "letters"]


def test_an_interrupt_leaves_the_old_folder(folder, tmp_path, monkeypatch):
    out = tmp_path / "saved"
    export_savedmodel(folder, out)
    before = (out / "saved_model.pb").read_bytes()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, "_compare", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_savedmodel(folder, out)
    assert (out / "saved_model.pb").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_commands(folder, tmp_path):
    for arguments, kind in ((["savedmodel"], "float32"), (["litert"], "float32"), (["litert", "--int8"], "int8")):
        out = tmp_path / f"{len(arguments)}-{arguments[0]}.tflite"
        result = CliRunner().invoke(app, ["export", *arguments, str(folder), str(out)])
        assert result.exit_code == 0, result.output
        assert f"question_answering, {kind}" in result.output
        assert "end_logits: largest error" in result.output
        assert runner_of(out)(dict.fromkeys(("input_ids", "attention_mask"), np.ones((2, 3), np.int32)))
