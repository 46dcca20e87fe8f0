"""Folders that TensorFlow wrote, loaded here: equal to what transformers makes of them, every parameter random."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import pocketbert
from helpers import HELPERS, tf_oracle
from pocketbert.architecture import families
from pocketbert.architecture.config import AutoConfig
from pocketbert.checkpoint import open_checkpoint
from pocketbert.checkpoint.convert import convert_bert_to_distilbert
from pocketbert.command.inspection import inspect_checkpoint
from pocketbert.plan import plan_checkpoint

pytestmark = pytest.mark.slow  # TensorFlow takes long to start
FOLDERS = [
    *tf_oracle.CLASSES,
    *(f"{name}-{variant}" for name in tf_oracle.IN_VARIANTS for variant in tf_oracle.VARIANTS),
]
LEGACY_KERAS = Path(sys.prefix, "legacy-keras")  # where scripts/setup puts it
TOLERANCE = 1e-5  # float32 in another order of summation


def written_by(script: str, out: Path, **variables: str) -> Path:
    """Run an oracle in a process of its own: the environment chooses Keras 2, once for a process."""
    pytest.importorskip("tensorflow")
    environment = {
        **os.environ,
        "TF_USE_LEGACY_KERAS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(LEGACY_KERAS), os.environ.get("PYTHONPATH")])),
        **variables,
    }
    command = [sys.executable, str(HELPERS / script), str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


@pytest.fixture(scope="module")
def keras_folders(tmp_path_factory):
    pytest.importorskip("h5py")
    if not LEGACY_KERAS.is_dir():
        pytest.importorskip("tf_keras")
    return written_by("tf_oracle.py", tmp_path_factory.mktemp("keras"), USE_TF="1")


@pytest.fixture(scope="module")
def tf1_folders(tmp_path_factory):
    return written_by("tf1_oracle.py", tmp_path_factory.mktemp("tf1"))


def answers(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, np.ndarray]]:
    stored = np.load(folder.with_name(folder.name.partition("-")[0]) / "answers.npz")
    inputs = {name[3:]: torch.from_numpy(stored[name]) for name in stored if name.startswith("in.")}
    return inputs, {name[4:]: stored[name] for name in stored if name.startswith("out.")}


@pytest.mark.parametrize("name", FOLDERS)
def test_torch_answers_as_tensorflow(keras_folders, name):
    folder = keras_folders / name
    model = getattr(pocketbert, name.partition("-")[0]).from_pretrained(folder)
    inputs, expected = answers(folder)
    with torch.no_grad():
        output = model(**inputs)
    assert expected
    for key, value in expected.items():
        np.testing.assert_allclose(output[key].numpy(), value, rtol=0, atol=TOLERANCE * np.abs(value).max())


@pytest.mark.parametrize("name", [name for name in FOLDERS if not name.startswith("Bert")])
def test_keras_answers_as_tensorflow(keras_folders, name):
    pytest.importorskip("keras.ops")  # a folder of tests is called keras too
    folder = keras_folders / name
    model = getattr(pocketbert, f"TF{name.partition('-')[0]}").from_pretrained(folder)
    inputs, expected = answers(folder)
    output = model({key: value.numpy() for key, value in inputs.items()})
    for key, value in expected.items():
        np.testing.assert_allclose(np.asarray(output[key]), value, rtol=0, atol=TOLERANCE * np.abs(value).max())


@pytest.mark.parametrize("name", [name for name in tf_oracle.CLASSES if "For" in name and not name.startswith("Bert")])
def test_keras_losses_are_those_of_tensorflow(keras_folders, name):
    pytest.importorskip("keras.ops")
    model = getattr(pocketbert, f"TF{name}").from_pretrained(keras_folders / name)
    inputs, _ = answers(keras_folders / name)
    stored = np.load(keras_folders / name / "answers.npz")
    labels = {key.partition(".")[2]: stored[key] for key in stored if key.startswith("label.")}
    loss = np.asarray(model({key: value.numpy() for key, value in inputs.items()}, **labels).loss)
    assert labels
    assert loss.shape == stored["loss"].shape
    np.testing.assert_allclose(loss, stored["loss"], rtol=TOLERANCE)


@pytest.mark.parametrize("name", FOLDERS)
def test_every_name_is_understood(keras_folders, name):
    folder = keras_folders / name
    found = inspect_checkpoint(folder)
    assert (found.architecture, found.guessed) == (name.partition("-")[0], False)
    assert found.complete
    assert not found.unused
    config = AutoConfig.from_pretrained(folder)
    bare = found.head == "none"
    prefix = families.family_of(config).prefix if bare else ""
    wanted = {prefix + p.name: p.shape for p in families.parameters(config, found.head) if p.tied_to is None}
    stored = {key: tensor.shape for key, tensor in open_checkpoint(folder).tensors.items()}
    stored.pop("cls.predictions.decoder.weight", None)  # MobileBERT's, a copy of the word table
    assert stored == wanted


@pytest.mark.parametrize("name", ["MobileBertForTokenClassification", "DistilBertForSequenceClassification"])
def test_the_plan_of_a_tensorflow_folder(keras_folders, name):
    expected = plan_checkpoint(keras_folders / name)
    model = getattr(pocketbert, name).from_pretrained(keras_folders / name)
    model.save_pretrained(keras_folders / f"{name}-ours")
    ours = plan_checkpoint(keras_folders / f"{name}-ours")
    assert expected.buffers.keys() == ours.buffers.keys()
    for key, value in expected.buffers.items():
        np.testing.assert_array_equal(value, ours.buffers[key])


def test_bert_from_tensorflow_becomes_distilbert(keras_folders, tmp_path):
    convert_bert_to_distilbert(keras_folders / "BertModel", tmp_path)
    inputs, expected = answers(keras_folders / "BertModel")
    inputs.pop("token_type_ids")
    bert = pocketbert.BertModel.from_pretrained(keras_folders / "BertModel")
    with torch.no_grad():
        ours = pocketbert.DistilBertModel.from_pretrained(tmp_path)(**inputs).last_hidden_state
        torch.testing.assert_close(ours, bert(**inputs).last_hidden_state, rtol=1e-4, atol=1e-5)
    assert ours.shape == expected["last_hidden_state"].shape


@pytest.mark.parametrize("family", ["mobilebert", "bert"])
def test_tensorflow_1_checkpoints_are_read_as_transformers_reads_them(tf1_folders, family):
    folder = tf1_folders / family
    expected = np.load(folder / "expected.npz")
    name = {"mobilebert": "MobileBertForPreTraining", "bert": "BertForPreTraining"}[family]
    assert inspect_checkpoint(folder).architecture == name
    state = getattr(pocketbert, name).from_pretrained(folder).state_dict()
    assert state.keys() == set(expected)
    for key, value in state.items():
        np.testing.assert_array_equal(value.numpy(), expected[key])
