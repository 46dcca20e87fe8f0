"""Whatever happens to a save, at any of its steps, its folder is the old one or the new one."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.numpy
import torch

import pocketbert.export.tensorflow as tensorflow_export
import pocketbert.quantization.checkpoint as quantizing
from helpers.faults import check_every_fault, put, tree
from helpers.quantize_models import SENTENCES, SPECIAL, WORDS
from pocketbert import (
    AutoTokenizer,
    BertConfig,
    BertModel,
    BertTokenizer,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    DistilBertTokenizerFast,
    pipeline,
    quantize,
)
from pocketbert.checkpoint.convert import convert_bert_to_distilbert
from pocketbert.checkpoint.opened import open_model
from pocketbert.export.onnx import export_onnx
from pocketbert.plan.int8.folder import load_quantized
from pocketbert.storage.commits import finish_save
from pocketbert.storage.replacing import replacing

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process with threads may not fork")

MEMORY = Path("/dev/shm")  # a quicker disk, where there is one
VOCAB = {token: id_ for id_, token in enumerate(SPECIAL + WORDS)}
TINY = {"vocab_size": len(VOCAB), "max_position_embeddings": 16, "dim": 8, "n_heads": 2, "hidden_dim": 8}
USERS = {"notes.txt": (b"mine", 0o644), "photos/": (b"", 0), "photos/cat.jpg": (b"\xff\xd8", 0o600)}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Threads do not survive a fork."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def target(tmp_path):
    """A folder that holds files of the user only."""
    parent = Path(tempfile.mkdtemp(dir=MEMORY if os.access(MEMORY, os.W_OK) else tmp_path))
    put(USERS, parent / "model")
    yield parent / "model"
    shutil.rmtree(parent)


def model(layers: int = 1):
    torch.manual_seed(layers)
    return DistilBertForSequenceClassification(DistilBertConfig(**TINY, n_layers=layers))


def tokenizer(**settings):
    return DistilBertTokenizerFast(VOCAB, **settings)


def old_checkpoint(folder):
    """A model in shards and a tokenizer with a token of its own."""
    model(2).save_pretrained(folder, max_shard_size=4000)
    old = DistilBertTokenizerFast({**VOCAB, "extra": len(VOCAB)}, do_lower_case=False)
    old.add_tokens(["own"])
    old.save_pretrained(folder)
    assert (folder / "model.safetensors.index.json").exists() and (folder / "added_tokens.json").exists()


def add_a_file(folder):
    """Save something else, quickly."""
    with replacing(folder) as stage:
        (stage / "added.txt").write_text("added")


def load(folder):
    open_model(folder).weights.arrays()
    if (folder / "vocab.txt").exists():
        AutoTokenizer.from_pretrained(folder)


def test_a_model_over_one_in_shards(target):
    old_checkpoint(target)
    assert check_every_fault(lambda: model().save_pretrained(target), target, lambda: load(target)) > 30
    assert not list(target.glob("model-*"))
    assert {**tree(target), **USERS} == tree(target)


@pytest.mark.slow
def test_a_model_in_shards_into_a_new_folder(target):
    shutil.rmtree(target)
    check_every_fault(
        lambda: model().save_pretrained(target, max_shard_size=4000),
        target,
        lambda: load(target),
    )


@pytest.mark.slow
def test_a_tokenizer_over_another(target):
    old_checkpoint(target)
    check_every_fault(lambda: tokenizer().save_pretrained(target), target, lambda: load(target))
    assert not (target / "added_tokens.json").exists()


def test_a_configuration(target):
    old_checkpoint(target)
    (target / "config.json").chmod(0o640)
    changed = DistilBertConfig(**TINY, n_layers=2, num_labels=3, id2label={0: "a", 1: "b", 2: "c"})
    check_every_fault(lambda: changed.save_pretrained(target), target, lambda: None)
    assert (target / "config.json").stat().st_mode & 0o777 == 0o640


@pytest.mark.slow
def test_a_pipeline(target):
    old_checkpoint(target)
    saved = pipeline("text-classification", model=model(), tokenizer=tokenizer())
    check_every_fault(lambda: saved.save_pretrained(target), target, lambda: load(target), lambda: add_a_file(target))


def bert(folder):
    fields = {"vocab_size": len(VOCAB), "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(**fields, intermediate_size=8, max_position_embeddings=16)).save_pretrained(folder)
    BertTokenizer(VOCAB).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_convert_with_modules_of_sentences(target, tmp_path):
    source = bert(tmp_path / "bert")
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"))
    listed = [
        f'{{"idx": {i}, "name": "{i}", "path": "{path}", "type": "sentence_transformers.models.{kind}"}}'
        for i, (path, kind) in enumerate(kinds)
    ]
    (source / "modules.json").write_text(f"[{', '.join(listed)}]")
    (source / "1_Pooling").mkdir()
    (source / "1_Pooling" / "config.json").write_text('{"pooling_mode": "mean"}')
    old_checkpoint(target)
    check_every_fault(
        lambda: convert_bert_to_distilbert(source, target), target, lambda: load(target), lambda: add_a_file(target)
    )
    assert (target / "1_Pooling" / "config.json").exists() and not (target / "tokenizer.json").exists()


def in_order(tensors, path, metadata):
    """Write a safetensors file, whose metadata the library itself puts into another order every time."""
    content = safetensors.numpy.save(tensors, metadata)
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True).encode()
    Path(path).write_bytes(len(header).to_bytes(8, "little") + header + content[end:])


@pytest.mark.slow
def test_quantize_over_another_int8_checkpoint(target, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(quantizing, "_write", lambda *args: written.append(args))  # threads may round otherwise
    for layers in (1, 2):
        model(layers).save_pretrained(tmp_path / str(layers))
        tokenizer().save_pretrained(tmp_path / str(layers))
        quantize(tmp_path / str(layers), target, texts=SENTENCES, max_loss=2)
    monkeypatch.undo()
    monkeypatch.setattr(safetensors.numpy, "save_file", in_order)
    quantizing._write(*written[1])
    check_every_fault(
        lambda: quantizing._write(*written[0]),
        target,
        lambda: load_quantized(target),
        lambda: add_a_file(target),
    )


def test_export_onnx(target, tmp_path):
    pytest.importorskip("onnxruntime")
    old_checkpoint(tmp_path)
    (target / "model.onnx").write_bytes(b"old")
    check_every_fault(
        lambda: export_onnx(tmp_path, target / "model.onnx"),
        target,
        lambda: None,
        lambda: add_a_file(target),
    )


FILES = {"saved_model.pb": b"new", "fingerprint.pb": b"new", "variables/variables.index": b"new",
         "variables/variables.data-00000-of-00001": b"new"}  # fmt: skip


@pytest.fixture
def written_by_tensorflow(monkeypatch):
    """TensorFlow's part, which would need its threads, done by hand: it is the placing of the files that is tested."""

    def export(path, format="tf_saved_model", **options):
        if format == "litert":
            Path(path).write_bytes(b"new")
            return
        for name, content in FILES.items():
            (path / name).parent.mkdir(exist_ok=True)
            (path / name).write_bytes(content)

    exported = SimpleNamespace(export=export, head="none", token_inputs=("input_ids",))
    library = SimpleNamespace(saved_model=SimpleNamespace(load=lambda path: SimpleNamespace(serve=None)))
    monkeypatch.setattr(tensorflow_export, "_load", lambda *args: (exported, []))
    monkeypatch.setattr(tensorflow_export, "_compare", lambda *args: ({"out": 0.0}, {"out": 1.0}))
    monkeypatch.setattr(tensorflow_export, "_interpreter", lambda file: None)
    monkeypatch.setattr(tensorflow_export, "require", lambda name: library)


@pytest.mark.slow
def test_export_savedmodel(target, written_by_tensorflow):
    old = {"saved_model.pb": b"old", "variables/variables.index": b"old", "variables/mine.txt": b"the user's"}
    old |= {f"variables/variables.data-0000{number}-of-00002": b"old" for number in range(2)}
    put(USERS | {"variables/": (b"", 0)} | {name: (content, 0o644) for name, content in old.items()}, target)
    check_every_fault(lambda: tensorflow_export.export_savedmodel("any", target), target, lambda: finish_save(target))
    content = {name: facts[0] for name, facts in tree(target).items() if not name.endswith("/")}
    users = {"notes.txt": b"mine", "photos/cat.jpg": b"\xff\xd8", "variables/mine.txt": b"the user's"}
    assert content == FILES | users


def test_export_litert(target, written_by_tensorflow):
    put({**USERS, "model.tflite": (b"old", 0o644)}, target)
    check_every_fault(lambda: tensorflow_export.export_litert("any", target / "model.tflite"), target, lambda: None)
