"""``pocketbert quantize``: an int8 checkpoint is measured first, runs by itself, and is refused where it loses much."""

from __future__ import annotations

import doctest
import importlib.util
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from typer.testing import CliRunner

import pocketbert
from helpers.quantize_models import LOOSE, SENTENCES, checkpoint_of
from pocketbert import checkpoint, pipeline
from pocketbert.checkpoint.convert import convert_bert_to_distilbert
from pocketbert.command.cli import app
from pocketbert.command.inspection import inspect_checkpoint
from pocketbert.errors import CheckpointError, InputError, PrecisionError
from pocketbert.plan import ReferenceRunner, plan_checkpoint
from pocketbert.plan.int8.folder import load_quantized
from pocketbert.plan.int8.narrow import narrow
from pocketbert.plan.int8.ranges import calibration_batch
from pocketbert.plan.structure import Dense, Int8
from pocketbert.quantization import checkpoint as room
from pocketbert.quantization import quantize
from pocketbert.quantization.parts import part_losses, part_names

HEADS = [
    ("DistilBert", "ForMaskedLM"),
    ("DistilBert", "ForSequenceClassification"),
    ("DistilBert", "ForTokenClassification"),
    ("DistilBert", "Model"),
    ("MobileBert", "ForPreTraining"),
    ("MobileBert", "ForNextSentencePrediction"),
    ("MobileBert", "ForQuestionAnswering"),
    ("Bert", "ForMultipleChoice"),
    ("Bert", "Model"),
]
BUILT = importlib.util.find_spec("pocketbert._native") is not None


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return checkpoint_of(tmp_path_factory.mktemp("source"), id2label={0: "bad", 1: "good", 2: "fair"})


@pytest.fixture(scope="module")
def small(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "int8"
    quantize(source, folder, **LOOSE)
    return folder


# -- the folder ------------------------------------------------------------------------------------------------


def test_what_is_written(source, tmp_path):
    steps = []
    report = quantize(source, tmp_path / "int8", **LOOSE, progress=lambda *step: steps.append(step))
    out = tmp_path / "int8"
    assert {path.name for path in out.iterdir()} == {"config.json", "model.safetensors", "report.json", "vocab.txt"}
    config = json.loads((out / "config.json").read_text())
    assert config["quantization_config"]["bits"] == 8
    assert config["architectures"] == ["DistilBertForSequenceClassification"]
    stored = json.loads((out / "report.json").read_text())
    assert stored["agreement"] == report.agreement
    assert stored["loss"] == report.loss == 1 - report.agreement["sequence_classification_cosine"]
    assert "folder" not in stored
    assert report.size_after == (out / "model.safetensors").stat().st_size
    assert report.size_before == (source / "model.safetensors").stat().st_size
    assert report.texts == "given texts"
    assert {part.name for part in report.parts} == {"embeddings", "layer 0", "layer 1", "layer 2", "head"}
    assert report.worst.loss == max(part.loss for part in report.parts)
    assert ("each part alone", 5, 5) in steps


def test_a_quarter_of_the_size(tmp_path):
    folder = tmp_path / "wide"
    folder.mkdir()
    torch.manual_seed(0)
    config = pocketbert.DistilBertConfig(dim=128, n_heads=4, n_layers=2, hidden_dim=512, max_position_embeddings=16)
    pocketbert.DistilBertForMaskedLM(config).save_pretrained(folder)
    report = quantize(folder, tmp_path / "int8", max_loss=0.5)
    assert report.texts == "pseudo-random words"
    assert 0.25 < report.size_after / report.size_before < 0.29
    weights = load_file(tmp_path / "int8" / "model.safetensors")
    tables = [array for array in weights.values() if array.shape == (config.vocab_size, 128)]
    assert [table.dtype for table in tables] == [np.int8]  # the decoder shares it


def test_weights_are_views_into_what_was_read(small):
    plan = load_quantized(small)
    assert isinstance(plan.embeddings.words, Int8)
    for array in (
        plan.embeddings.words.values,
        plan.layers[0].ops[0].weight.values,
        plan.embeddings.positions,
    ):
        assert not array.flags.owndata


@pytest.mark.parametrize(("family", "kind"), HEADS)
def test_every_head(tmp_path, family, kind):
    source = checkpoint_of(tmp_path, family, kind)
    report = quantize(source, tmp_path / "int8", **LOOSE)
    exact, plan = plan_checkpoint(source), load_quantized(tmp_path / "int8")
    assert plan.measured == report.agreement
    assert [branch.name for branch in plan.branches] == [branch.name for branch in exact.branches]
    assert {f"{branch.name}_cosine" for branch in exact.branches} <= report.agreement.keys()
    assert report.agreement["hidden_cosine"] > 0.99
    found = inspect_checkpoint(tmp_path / "int8")
    assert found.architecture == family + kind
    assert found.parameters == inspect_checkpoint(source).parameters
    assert found.complete
    assert found.dtypes["int8"] > 10


def test_pretraining_serves_both_heads_and_hidden_states(tmp_path):
    source = checkpoint_of(tmp_path, "MobileBert", "ForPreTraining")
    quantize(source, tmp_path / "int8", **LOOSE)
    whole = load_quantized(tmp_path / "int8")
    for head, branches in (("masked_lm", ["masked_lm"]), ("next_sentence", ["next_sentence"]), ("none", [])):
        part = load_quantized(tmp_path / "int8", head)
        assert [branch.name for branch in part.branches] == branches
        assert part.head == head
    assert len(whole.branches) == 2
    with pytest.raises(CheckpointError, match="int8 has the head pretraining, not question_answering; quantize"):
        load_quantized(tmp_path / "int8", "question_answering")


def test_quantizing_again_replaces_an_int8_checkpoint_only(source, tmp_path):
    out = tmp_path / "int8"
    quantize(source, out, **LOOSE)
    quantize(source, out, **LOOSE)
    other = checkpoint_of(tmp_path, kind="Model")
    with pytest.raises(InputError, match="holds another checkpoint, which is not in int8; choose another folder"):
        quantize(source, other, **LOOSE)
    with pytest.raises(InputError, match="is the checkpoint itself"):
        quantize(source, source, **LOOSE)
    with pytest.raises(InputError, match="is a file; pass a folder"):
        quantize(source, other / "vocab.txt", **LOOSE)


# -- running ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "runtime", ["onnx", pytest.param(None, marks=pytest.mark.skipif(not BUILT, reason="no engine"))]
)
def test_the_pipeline_runs_it_in_int8(small, runtime):
    pytest.importorskip("onnxruntime")
    found = pipeline(model=small, runtime=runtime, top_k=None)
    truth = pipeline("text-classification", model=ReferenceRunner(load_quantized(small)), tokenizer=small, top_k=None)
    for mine, other in zip(found(SENTENCES[:6]), truth(SENTENCES[:6]), strict=True):
        assert [label["label"] for label in mine] == [label["label"] for label in other]
        # roundings (bfloat16's, where the CPU has AMX) move some values to the next of 127 steps
        np.testing.assert_allclose([a["score"] for a in mine], [a["score"] for a in other], atol=1e-2)
    states = pipeline("feature-extraction", model=small, runtime=runtime)(SENTENCES[0])
    assert states.shape == (1, 11, 32)


def test_what_cannot_run_it(small, source, tmp_path):
    with pytest.raises(CheckpointError, match="is in int8, written by pocketbert quantize; it runs with runtime='nat"):
        pipeline(model=small, runtime="torch")
    with pytest.raises(CheckpointError, match="use the checkpoint that it was made from"):
        pocketbert.AutoModelForSequenceClassification.from_pretrained(small)
    with pytest.raises(CheckpointError, match="is in int8"):
        checkpoint.open_checkpoint(small)
    with pytest.raises(CheckpointError, match="is in int8"):
        quantize(small, tmp_path / "again")
    with pytest.raises(InputError, match=r"dtype='float32', but .* is in int8; leave it out, or pass the original"):
        pipeline(model=small, runtime="onnx", dtype="float32")
    with pytest.raises(CheckpointError, match="has the head sequence_classification, not question_answering"):
        pipeline("question-answering", model=small, runtime="onnx")
    bert = checkpoint_of(tmp_path, "Bert", "Model", layer_norm_eps=1e-12)
    quantize(bert, tmp_path / "int8", **LOOSE)
    with pytest.raises(CheckpointError, match="is in int8"):
        convert_bert_to_distilbert(tmp_path / "int8", tmp_path / "converted")


def test_labels_may_be_renamed_but_nothing_else(small, tmp_path):
    folder = shutil.copytree(small, tmp_path / "int8")
    config = json.loads((folder / "config.json").read_text())

    def store(**fields):
        (folder / "config.json").write_text(json.dumps(config | fields))

    store(id2label={0: "x", 1: "y", 2: "z"}, label2id={"x": 0, "y": 1, "z": 2})
    assert load_quantized(folder).config.id2label[2] == "z"
    store(id2label={0: "x"}, label2id={"x": 0})
    with pytest.raises(CheckpointError, match="contradict each other: num_labels"):
        load_quantized(folder)
    store(n_layers=2)
    with pytest.raises(CheckpointError, match=r"config.json and model.safetensors contradict each other: n_layers"):
        load_quantized(folder)


def test_damaged_and_foreign_files(small, source, tmp_path):
    folder = shutil.copytree(small, tmp_path / "int8")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    for length in (0, 5, 300, len(whole) // 2, len(whole) - 1):
        weights.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="damaged"):
            pipeline(model=folder, runtime="onnx")
    shutil.copyfile(source / "model.safetensors", weights)
    with pytest.raises(CheckpointError, match="it is a safetensors file, but no plan"):
        pipeline(model=folder, runtime="onnx")
    weights.unlink()
    with pytest.raises(CheckpointError, match="no plan at"):
        pipeline(model=folder, runtime="onnx")


def test_the_examples_of_docstrings():
    for module in (room, importlib.import_module("pocketbert.quantization.quantization_report")):
        failed, attempted = doctest.testmod(module)
        assert not failed
        assert attempted >= 5


# -- refused ---------------------------------------------------------------------------------------------------


def test_refused_above_the_limit(source, tmp_path):
    with pytest.raises(
        PrecisionError, match=r"more than max_loss=0; nothing was written. .+ loses most \(0\.\d+ by it"
    ):
        quantize(source, tmp_path / "int8", max_loss=0)
    assert not (tmp_path / "int8").exists()


@pytest.mark.parametrize("limit", [-1, "0.1", None, float("nan"), True])
def test_limits_that_are_none(source, tmp_path, limit):
    with pytest.raises(InputError, match=r"must be a number of at least 0, such as 0\.01"):
        quantize(source, tmp_path / "int8", max_loss=limit)


def test_the_worst_part_is_found(source):
    exact = plan_checkpoint(source)
    batch = calibration_batch(exact.config)
    good = narrow(exact, batch)

    def coarse(op):
        if not isinstance(op, Dense):
            return op
        return replace(op, weight=replace(op.weight, values=op.weight.values // 32 * 32))

    layer = replace(good.layers[1], ops=tuple(map(coarse, good.layers[1].ops)))
    bad = replace(good, layers=(good.layers[0], layer, good.layers[2]))
    parts = {part.name: part.loss for part in part_losses(exact, bad, batch)}
    assert list(parts) == part_names(exact) == ["embeddings", "layer 0", "layer 1", "layer 2", "head"]
    assert max(parts, key=parts.get) == "layer 1"
    same = {part.name: part.loss for part in part_losses(exact, good, batch)}
    assert all(parts[name] == same[name] for name in parts if name != "layer 1")


def test_an_interrupt_leaves_nothing(source, tmp_path, monkeypatch):
    def interrupted(plan, folder):
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "save_quantized", interrupted)
    with pytest.raises(KeyboardInterrupt):
        quantize(source, tmp_path / "int8", **LOOSE)
    assert not (tmp_path / "int8").exists()
    result = CliRunner().invoke(app, ["quantize", str(source), str(tmp_path / "int8"), "--max-loss", "0.5"])
    assert result.exit_code == 130
    assert "stopped; nothing was written" in result.stderr
    assert not (tmp_path / "int8").exists()


def test_texts_that_are_none(source, tmp_path):
    with pytest.raises(InputError, match="1 texts are too few to compare on; pass at least 2"):
        quantize(source, tmp_path / "int8", texts=["the cat"])
    with pytest.raises(InputError, match="texts must be a list of strings"):
        quantize(source, tmp_path / "int8", texts="the cat sat")
    bare = shutil.copytree(source, tmp_path / "bare")
    (bare / "vocab.txt").unlink()
    with pytest.raises(InputError, match="has no tokenizer files; put them beside it"):
        quantize(bare, tmp_path / "int8", texts=SENTENCES)
    with pytest.raises(InputError, match="needs the tokenizer's files beside the checkpoint"):
        quantize(bare, tmp_path / "int8", data=tmp_path / "some.jsonl")


# -- the command -----------------------------------------------------------------------------------------------


def run(*arguments):
    return CliRunner().invoke(app, ["quantize", *map(str, arguments)])


def test_the_command(source, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("\n\n".join(SENTENCES))
    result = run(source, tmp_path / "int8", "--texts", texts, "--max-loss", "0.5")
    assert result.exit_code == 0
    for part in ("before", "after", "sequence classification", "hidden states", "limit 0.5", "layer 0"):
        assert part in result.stdout
    assert "each part alone" in result.stderr
    result = run(source, tmp_path / "int8", "--max-loss", "0.5", "--json")
    assert json.loads(result.stdout)["head"] == "sequence_classification"
    assert "int8" in CliRunner().invoke(app, ["inspect", str(tmp_path / "int8")]).stdout


def test_the_command_refuses(source, tmp_path):
    result = run(source, tmp_path / "int8", "--max-loss", "0")
    assert result.exit_code != 0
    assert isinstance(result.exception, PrecisionError)
    assert not (tmp_path / "int8").exists()
    for option, value in (("--head", "poet"), ("--texts", tmp_path / "none.txt"), ("--data", tmp_path / "none.jsonl")):
        assert isinstance(run(source, tmp_path / "int8", option, value).exception, InputError)
