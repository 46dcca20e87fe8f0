"""The reference documentation's TensorFlow examples run as they are printed, but for the package's name.

The names of hub checkpoints in them are folders here, small and with random weights, in the current directory.
"""

from __future__ import annotations

import re
import warnings

import pytest

pytest.importorskip("keras.ops", exc_type=ImportError)
tf = pytest.importorskip("tensorflow", exc_type=ImportError)
import keras

import pocketbert
from helpers.reference_examples import make_checkpoints, sources

pytestmark = [
    pytest.mark.slow,  # TensorFlow takes long to start
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the examples use TensorFlow"),
]
EXAMPLES = {
    "google/mobilebert-uncased": "google/mobilebert-uncased",
    "vumichien/emo-mobilebert": "lordtt13/emo-mobilebert",
    "vumichien/mobilebert-finetuned-ner": "mrm8488/mobilebert-finetuned-ner",
    "vumichien/mobilebert-uncased-squad-v2": "csarron/mobilebert-uncased-squad-v2",
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return make_checkpoints(tmp_path_factory.mktemp("hub"))


@pytest.fixture
def run(checkpoints, monkeypatch):
    """Return a function that runs an example beside the checkpoints and gives back its variables."""
    monkeypatch.chdir(checkpoints)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(source):
        assert "transformers" in source
        for printed, folder in EXAMPLES.items():
            source = source.replace(printed, folder)
        # a loss over tokens has the original's shape (1,), which newer NumPy does not convert to a number
        source = re.sub(r"float\(((outputs\.)?loss)\)", r"float(tf.reduce_mean(\1))", source)
        variables = {}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            exec(compile(source.replace("transformers", "pocketbert"), "example", "exec"), variables)
        fresh = re.search(r"(ForMultipleChoice|DistilBertFor(Sequence|Question)\w+)\.from_pretrained", source)
        named = [str(warning.message) for warning in caught if warning.category is UserWarning]
        assert len(named) == bool(fresh)
        return variables

    return run


def finite(variables):
    outputs = [value for value in variables.values() if isinstance(value, pocketbert.ModelOutput)]
    tensors = [tensor for output in outputs for tensor in output.values()]
    tensors += [variables[name] for name in ("loss", "logits") if name in variables]
    assert tensors
    assert all(bool(tf.reduce_all(tf.math.is_finite(tensor))) for tensor in tensors)
    if "loss" in variables:
        assert variables["loss"].shape in {(), (1,)}


def test_every_mobilebert_example_of_the_document(shared, run):
    text = (shared / "reference-mobilebert-api.txt").read_text("utf-8")
    text = text[text.index("\nclass transformers.TFMobileBertModel\n") :]
    blocks = [
        code for part in re.split(r"\nExamples?:\n", text)[1:] if (code := sources(part.split("\n\nTFMobileBert")[0]))
    ]
    classes = {name for block in blocks for name in re.findall(r"TFMobileBert\w+", block)}
    assert len(blocks) == 8
    assert classes == {f"TF{name}" for name in ("MobileBertModel", *(f"MobileBert{h}" for h in pocketbert._BERT_HEADS))}
    for block in blocks:
        finite(run(block))


def test_every_distilbert_example_of_the_document(shared, run):
    text = (shared / "reference-distilbert-api.txt").read_text("utf-8")
    lines = [line for line in text.splitlines() if line.startswith("import tensorflow as tf from transformers")]
    assert len(lines) == 4
    for line in lines:
        statements = re.sub(r" (?=from transformers|tokenizer =|model =|input_ids =|outputs =|#)", "\n", line)
        statements = re.sub(r"(# Batch size 1) (?=\w)", r"\1\n", statements)
        statements = re.sub(
            r" (?=(last_hidden_states|prediction_scores|logits|start_scores, end_scores) =)", "\n", statements
        )
        variables = run(statements)
        finite(variables)
        assert variables["input_ids"].shape == (1, 8)
