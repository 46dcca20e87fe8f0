"""The demo's program and the README's code, run as they are."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import pocketbert

# where the native engine was not built
pytestmark = pytest.mark.filterwarnings("ignore:running on ONNX Runtime:UserWarning")
ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "examples" / "nearest_sentences.py"


def program():
    spec = importlib.util.spec_from_file_location("nearest_sentences", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    text = (ROOT / "examples" / "sentences.txt").read_text("utf-8").lower()
    words = sorted(set(re.findall(r"\w+|[^\w\s]", text)) | {"hello", "my", "dog", "is", "cute"})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", "utf-8")
    torch.manual_seed(0)
    config = pocketbert.DistilBertConfig(
        vocab_size=len(vocabulary), dim=16, n_heads=2, n_layers=2, hidden_dim=20, max_position_embeddings=24
    )
    pocketbert.DistilBertModel(config).save_pretrained(folder)
    return folder


def test_neighbors_are_those_of_vectors_computed_one_by_one(checkpoint, capsys, monkeypatch):
    module = program()
    monkeypatch.setattr(sys, "argv", ["nearest_sentences.py", str(checkpoint)])
    module.main()
    lines = capsys.readouterr().out.splitlines()
    sentences, answers = lines[::2], lines[1::2]
    assert sentences == (ROOT / "examples" / "sentences.txt").read_text("utf-8").splitlines()
    tokenizer = pocketbert.AutoTokenizer.from_pretrained(checkpoint)
    model = pocketbert.DistilBertModel.from_pretrained(checkpoint)
    with torch.no_grad():
        means = [model(**tokenizer(s, return_tensors="pt")).last_hidden_state[0].mean(0).numpy() for s in sentences]
    units = np.stack(means) / np.linalg.norm(means, axis=1, keepdims=True)
    similar = units @ units.T - 3 * np.eye(len(units))
    for row, answer in zip(similar, answers, strict=True):
        assert answer.split(maxsplit=1) == [f"{row.max():.3f}", sentences[int(row.argmax())]]


def test_blocks_of_neighbors_agree_with_one_block():
    vectors = np.random.default_rng(0).standard_normal((37, 5)).astype(np.float32)
    module = program()
    for ours, whole in zip(module.nearest(vectors, block=8), module.nearest(vectors), strict=True):
        np.testing.assert_allclose(ours, whole, rtol=1e-6)


def test_text_is_split_into_distinct_sentences():
    text = "One. Two!  Is it three?\n\nOne.\nv1.2 is out"
    assert program().sentences_of(text) == ["One.", "Two!", "Is it three?", "v1.2 is out"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds 0 sentences; a neighbor needs at least 2"),
        (b"Only one.", "holds 1 sentences"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (None, "cannot read"),
    ],
)
def test_files_without_sentences(checkpoint, tmp_path, content, message):
    file = tmp_path / "text.txt"
    if content is not None:
        file.write_bytes(content)
    run = subprocess.run(
        [sys.executable, str(PROGRAM), str(checkpoint), str(file)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert run.stderr.startswith("error: ")
    assert message in run.stderr


def test_long_and_odd_sentences(checkpoint, tmp_path, capsys, monkeypatch):
    file = tmp_path / "text.txt"
    file.write_text("the kettle " * 5000 + ".\n😀😀 \u200b\nthe kettle.\n\x00\n", "utf-8")
    monkeypatch.setattr(sys, "argv", ["nearest_sentences.py", str(checkpoint), str(file)])
    program().main()
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 8
    assert "nan" not in printed.out


def test_the_demo_imports_no_torch(checkpoint):
    pytest.importorskip("pocketbert._native")
    code = (
        "import runpy, sys\n"
        "sys.modules['torch'] = None\n"
        f"sys.argv = ['nearest_sentences.py', {str(checkpoint)!r}]\n"
        f"runpy.run_path({str(PROGRAM)!r}, run_name='__main__')\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stderr == ""
    sentences = (ROOT / "examples" / "sentences.txt").read_text("utf-8").splitlines()
    assert run.stdout.splitlines()[::2] == sentences


def readme_blocks(checkpoint):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    return [block.replace(".cache/minilm-distilbert", str(checkpoint)) for block in blocks]


def test_readme_code(checkpoint, tmp_path, capsys):
    config = pocketbert.DistilBertConfig.from_pretrained(checkpoint)
    pocketbert.DistilBertForQuestionAnswering(config).save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_bytes((checkpoint / "vocab.txt").read_bytes())
    for block in readme_blocks(checkpoint):
        if "TFDistilBert" not in block:
            exec(block.replace("path/to/checkpoint", tmp_path.as_posix()), {})
    printed = capsys.readouterr().out
    assert "(2, 16)" in printed
    assert "torch.Size([1, 8, 16])" in printed
    assert "'answer': " in printed


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # TensorFlow's, under NumPy 2
def test_readme_keras_code(checkpoint, capsys):
    pytest.importorskip("keras.ops")
    (block,) = (block for block in readme_blocks(checkpoint) if "TFDistilBert" in block)
    with pytest.warns(UserWarning, match="started with random values"):
        exec(block, {})
    assert "loss" in capsys.readouterr().out
