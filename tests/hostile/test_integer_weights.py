"""Integers where a float belongs: every consumer of a checkpoint refuses them, in the same words."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import pocketbert
from pocketbert import BertConfig
from pocketbert.architecture import families
from pocketbert.checkpoint import write_arrays
from pocketbert.checkpoint.convert import convert_bert_to_distilbert
from pocketbert.command.inspection import inspect_checkpoint
from pocketbert.errors import CheckpointError
from pocketbert.export.onnx import export_onnx
from pocketbert.plan import plan_checkpoint
from pocketbert.runtime.registry import load_runner

CONFIG = BertConfig(
    vocab_size=9, hidden_size=8, num_attention_heads=2, num_hidden_layers=1, intermediate_size=12,
    max_position_embeddings=16, type_vocab_size=1, architectures=["BertModel"],
)  # fmt: skip
NAME = "encoder.layer.0.output.dense.weight"
WORDS = rf"1 not stored as float64, float32, float16, bfloat16 \(.*{NAME} is "
CONSUMERS = {
    "plan": plan_checkpoint,
    "native": lambda folder: load_runner(folder, "none", "native"),
    "native int8": lambda folder: load_runner(folder, "none", "native", dtype="int8"),
    "onnx": lambda folder: load_runner(folder, "none", "onnx"),
    "torch": pocketbert.BertModel.from_pretrained,
    "quantize": lambda folder: pocketbert.quantize(folder, folder / "out"),
    "convert": lambda folder: convert_bert_to_distilbert(folder, folder / "out"),
    "export": lambda folder: export_onnx(folder, folder / "out.onnx"),
    "pipeline": lambda folder: pocketbert.pipeline("feature-extraction", model=folder),
}


@pytest.fixture
def folder(tmp_path):
    generator = np.random.default_rng(0)
    wanted = families.parameters(CONFIG, "none", pooler=True)
    write_arrays(tmp_path, CONFIG, {p.name: generator.standard_normal(p.shape).astype(np.float32) for p in wanted})
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n", "utf-8")
    return tmp_path


def narrow(folder, dtype) -> None:
    arrays = load_file(folder / "model.safetensors")
    arrays[NAME] = arrays[NAME].astype(dtype)
    save_file(arrays, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, bool])
@pytest.mark.parametrize("consumer", CONSUMERS)
def test_integers_are_refused_by_every_consumer(folder, consumer, dtype):
    narrow(folder, dtype)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(CheckpointError, match=WORDS + np.dtype(dtype).name):
        CONSUMERS[consumer](folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.slow  # imports TensorFlow
def test_keras_refuses_them_too(folder):
    distilbert = convert_bert_to_distilbert(folder, folder / "distilbert")
    arrays = load_file(distilbert / "model.safetensors")
    name = "transformer.layer.0.ffn.lin1.weight"
    save_file(arrays | {name: arrays[name].astype(np.int8)}, distilbert / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=rf"1 not stored as float64, .*{name} is int8"):
        pocketbert.TFDistilBertModel.from_pretrained(distilbert)


def test_half_precision_is_read(folder):
    narrow(folder, np.float16)
    assert plan_checkpoint(folder).width == 8


def test_inspection_names_them(folder):
    narrow(folder, np.int8)
    found = inspect_checkpoint(folder)
    assert found.not_floats == [(NAME, "int8")]
    assert not found.complete


def test_a_model_of_integers_is_no_plan(folder):
    model = pocketbert.BertModel.from_pretrained(folder)
    module = model.encoder.layer[0].output.dense
    weight = module.weight.detach().char()
    del module.weight
    module.register_buffer("weight", weight)
    with pytest.raises(CheckpointError, match=WORDS + "int8"):
        pocketbert.pipeline("feature-extraction", model=model, runtime="native", tokenizer=folder)
