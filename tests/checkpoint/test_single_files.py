"""What lies where a checkpoint is expected: configurations without a family's name, single files, git-lfs pointers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers

import pocketbert
from helpers.small import TEXTS
from pocketbert import AutoConfig, AutoModel, AutoTokenizer, CheckpointError, ConfigError, pipeline
from pocketbert.architecture.config.recognition import family_by_path
from pocketbert.checkpoint.opened import open_model
from pocketbert.errors import UnsafeFileError

FAMILIES = ["DistilBert", "MobileBert", "Bert"]
HEAD = "ForSequenceClassification"


def copy_of(folder, path, *without):
    shutil.copytree(folder, path)
    fields = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({k: v for k, v in fields.items() if k not in without}))
    return path


# -- which family ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("told_by", ["class", "tensors", "path"])
def test_a_config_without_model_type(made, tmp_path, family, told_by, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the whole path counts, and pytest's may hold a name
    path = tmp_path.relative_to(tmp_path) / (f"my-{family.lower()}-x" if told_by == "path" else "x")
    without = ["model_type", "transformers_version"] + ["architectures"] * (told_by != "class")
    copy_of(made(family, HEAD), path, *without)
    (path / "tokenizer_config.json").unlink()
    config = open_model(path).config if told_by == "tensors" else AutoConfig.from_pretrained(path)
    assert config.model_type == family.lower()
    answer = pipeline("text-classification", model=path, runtime="onnx")("the cat")
    expected = pipeline("text-classification", model=made(family, HEAD), runtime="onnx")("the cat")
    assert str(answer) == str(expected)
    assert type(AutoModel.from_pretrained(path)).__name__ == f"{family}Model"
    if told_by == "path":
        theirs = transformers.AutoConfig.from_pretrained(path)
        assert theirs.model_type == config.model_type
        assert type(AutoTokenizer.from_pretrained(path)).__name__ == f"{family}TokenizerFast"


def test_where_nothing_tells_the_error_stays(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = copy_of(made("Bert", "Model"), tmp_path / "x", "model_type", "architectures").relative_to(tmp_path)
    with pytest.raises(ConfigError, match="has no model_type; load it with the class that it belongs to"):
        open_model(path)


def test_names_are_matched_as_transformers_does():
    names = [name for name in transformers.CONFIG_MAPPING if "bert" in name]
    for name in [*names, "sbert", "bert-base", "distilbert-sst2", "org/mobilebert", "roberta-and-bert", "none"]:
        longest = next((n for n in sorted(names, key=len, reverse=True) if n in name), None)
        assert family_by_path(f"x/{name}") == (longest if longest in ("bert", "distilbert", "mobilebert") else None)


# -- single files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["BertTokenizer", "DistilBertTokenizer", "MobileBertTokenizer"])
def test_a_vocabulary_alone_loads_a_tokenizer(made, tmp_path, kind):
    path = tmp_path / "my-bert-words.txt"
    shutil.copyfile(made("Bert", "Model") / "vocab.txt", path)
    for name in (kind, f"{kind}Fast"):
        with pytest.warns(FutureWarning, match=rf"{name}\.from_pretrained with the path of a single file"):
            ours = getattr(pocketbert, name).from_pretrained(path, do_lower_case=False)
        assert (ours.name_or_path, ours.do_lower_case) == (str(path), False)
    with pytest.warns(FutureWarning, match="single file"):
        theirs = getattr(transformers, kind).from_pretrained(str(path), do_lower_case=False)
    assert [ours(text)["input_ids"] for text in TEXTS] == [theirs(text)["input_ids"] for text in TEXTS]
    assert ours.model_max_length == theirs.model_max_length
    with pytest.warns(FutureWarning):
        assert type(AutoTokenizer.from_pretrained(path)).__name__ == "BertTokenizerFast"
    with pytest.warns(FutureWarning):
        fast = getattr(pocketbert, f"{kind}Fast").from_pretrained(made("Bert", "Model") / "tokenizer.json")
    assert fast.vocab_size == ours.vocab_size
    with pytest.warns(FutureWarning), pytest.raises(CheckpointError, match=r"tokenizer\.json is for a Fast tokenizer"):
        getattr(pocketbert, kind).from_pretrained(made("Bert", "Model") / "tokenizer.json")


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "weights.pt"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_weights_file_loads_with_a_configuration(made, tmp_path, family, name):
    folder, path = made(family, HEAD), tmp_path / name
    whole = getattr(pocketbert, family + HEAD).from_pretrained(folder)
    if name.endswith(".safetensors"):
        shutil.copyfile(folder / name, path)
    else:
        torch.save(whole.state_dict(), path)
    cls = getattr(pocketbert, family + HEAD)
    for config in (folder, folder / "config.json", whole.config):
        model = cls.from_pretrained(path, config=config)
        assert all(torch.equal(value, whole.state_dict()[key]) for key, value in model.state_dict().items())
    with pytest.raises(CheckpointError, match=r"is a file of weights alone; pass config= too"):
        cls.from_pretrained(path)
    assert AutoConfig.from_pretrained(folder / "config.json") == whole.config


# -- git-lfs pointers ------------------------------------------------------------------------------------------

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "4d7a" * 16 + "\nsize 133466304\n"
NAMED = r"is a git-lfs pointer, not the file of 133466304 bytes .*`git lfs pull` in "


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json"])
def test_a_pointer_in_place_of_a_text_file(made, tmp_path, name):
    path = copy_of(made("Bert", "Model"), tmp_path / "x")
    (path / name).write_text(POINTER)
    with pytest.raises(CheckpointError, match=rf"{name} {NAMED}"):
        AutoTokenizer.from_pretrained(path, use_fast=name != "vocab.txt")


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors", "pytorch_model.bin", "tf_model.h5", "model.safetensors.index.json", "model.ckpt.index",
        "model-00001-of-00002.safetensors", "model-00001-of-00002.bin",
    ],
)  # fmt: skip
def test_a_pointer_in_place_of_weights(made, tmp_path, name):
    if name.endswith("h5"):
        pytest.importorskip("h5py")
    path = copy_of(made("Bert", "Model"), tmp_path / "x")
    (path / "model.safetensors").unlink()
    (path / name).write_text(POINTER)
    if "-of-" in name:
        kind = "model.safetensors" if name.endswith("s") else "pytorch_model.bin"
        (path / f"{kind}.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    (path / "model.ckpt.data-00000-of-00001").write_text("x")
    for look in (AutoModel.from_pretrained, lambda folder: pipeline("feature-extraction", model=folder)):
        with pytest.raises(CheckpointError, match=rf"{name} {NAMED}") as caught:
            look(path)
        assert not isinstance(caught.value, UnsafeFileError)


def test_a_pointer_in_place_of_int8_weights_or_records(made, tmp_path):
    from pocketbert.tasks.records import Fields, read_file

    pocketbert.quantize(made("Bert", "Model"), tmp_path / "int8", max_loss=1)
    (tmp_path / "int8" / "model.safetensors").write_text(POINTER)
    with pytest.raises(CheckpointError, match=NAMED):
        pipeline("feature-extraction", model=tmp_path / "int8", runtime="onnx")
    for name in ("data.jsonl", "data.txt", "data.csv"):
        (tmp_path / name).write_text(POINTER)
        with pytest.raises(CheckpointError, match=NAMED):
            list(read_file(tmp_path / name, Fields(("text",), ())))


# -- without torch ---------------------------------------------------------------------------------------------

_SCRIPT = """
import sys

sys.modules["torch"] = None
import json, pathlib, numpy
from pocketbert import pipeline, quantize
from pocketbert.checkpoint.convert import convert_bert_to_distilbert
from pocketbert.command.inspection import inspect_checkpoint
from pocketbert.export.onnx import export_onnx

mobile, bert, out = map(pathlib.Path, sys.argv[1:])
answers = [pipeline("feature-extraction", model=mobile, runtime=r)("the cat").tolist() for r in RUNTIMES]
assert inspect_checkpoint(mobile).complete
quantize(mobile, out / "int8", max_loss=1)
answers.append(pipeline("feature-extraction", model=out / "int8", runtime=RUNTIMES[0])("the cat").tolist())
export_onnx(mobile, out / "model.onnx")
convert_bert_to_distilbert(bert, out / "distilled")
pipeline("feature-extraction", model=out / "distilled", runtime=RUNTIMES[0])("the cat")
print(json.dumps(answers))
"""


def test_a_pickle_runs_everywhere_without_torch(made, tmp_path):
    pytest.importorskip("onnxruntime")
    folders = []
    for family in ("MobileBert", "Bert"):
        path = copy_of(made(family, "Model"), tmp_path / family)
        model = transformers.AutoModel.from_pretrained(path)
        (path / "model.safetensors").unlink()
        torch.save(model.state_dict(), path / "pytorch_model.bin", _use_new_zipfile_serialization=family == "Bert")
        folders.append(str(path))
    runtimes = ["native", "onnx"] if _has_engine() else ["onnx"]
    script = _SCRIPT.replace("RUNTIMES", repr(runtimes))
    done = subprocess.run(
        [sys.executable, "-c", script, *folders, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    *exact, small = (np.asarray(answer) for answer in json.loads(done.stdout.splitlines()[-1]))
    expected = np.asarray(pipeline("feature-extraction", model=made("MobileBert", "Model"), runtime="torch")("the cat"))
    for found in exact:
        np.testing.assert_allclose(found, expected, atol=1e-5 * abs(expected).max())
    assert np.corrcoef(small.ravel(), expected.ravel())[0, 1] > 0.9


def _has_engine() -> bool:
    try:
        import pocketbert._native  # noqa: F401
    except ImportError:
        return False
    return True
