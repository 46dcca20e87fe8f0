"""Saving: what is written, and what stays when it fails."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os

import pytest
import safetensors.torch
import torch
from safetensors.torch import load_file

from helpers.torch_models import build, first
from pocketbert import CheckpointError, InputError


def test_saving_and_loading_again_changes_nothing(tmp_path):
    model = build("MobileBert", "ForPreTraining", num_labels=3)
    model.save_pretrained(tmp_path / "one")
    type(model).from_pretrained(tmp_path / "one").save_pretrained(tmp_path / "two")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert json.loads((tmp_path / "one" / "config.json").read_text())["architectures"] == ["MobileBertForPreTraining"]
    assert model.config.architectures == ["MobileBertForPreTraining"]


def test_a_given_state_is_saved(tmp_path):
    model = build("DistilBert", "ForMaskedLM")
    state = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    model.save_pretrained(tmp_path, state_dict=state)
    assert not any(value.any() for value in load_file(tmp_path / "model.safetensors").values())
    del state["vocab_transform.bias"]
    with pytest.warns(UserWarning, match=r"not what its configuration says: 1 missing \(vocab_transform\.bias\)"):
        model.save_pretrained(tmp_path, state_dict=state)
    with pytest.raises(CheckpointError, match=r"1 missing \(vocab_transform\.bias\)"):
        type(model).from_pretrained(tmp_path)


def test_what_cannot_be_saved_leaves_the_folder_alone(tmp_path):
    model = build("DistilBert", "ForMaskedLM")
    with pytest.raises(InputError, match="safe_serialization=False would write a pickle"):
        model.save_pretrained(tmp_path / "new", safe_serialization=False)
    with pytest.raises(InputError, match="max_shard_size 'big' is no size"):
        model.save_pretrained(tmp_path / "new", max_shard_size="big")
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("kept")
    with pytest.raises(CheckpointError, match="is a file or lies in one"):
        build("DistilBert").save_pretrained(tmp_path / "file")


def test_a_public_class_with_another_head_is_saved_with_a_warning(tmp_path):
    model = build("DistilBert", "ForSequenceClassification")
    model.extra = torch.nn.Linear(2, 3)
    model.save_pretrained(tmp_path)  # what is more is only named when it is loaded
    with pytest.warns(UserWarning, match=r"extra\.bias, extra\.weight of the checkpoint are not used"):
        torch.testing.assert_close(first(type(model).from_pretrained(tmp_path)), first(model))
    model.classifier = torch.nn.Linear(24, 25)
    with pytest.warns(
        UserWarning, match=r"2 misshaped \(classifier\.weight is \(25, 24\).*saved as it is.*will refuse"
    ):
        model.save_pretrained(tmp_path)
    assert load_file(tmp_path / "model.safetensors")["classifier.weight"].shape == (25, 24)
    with pytest.raises(CheckpointError, match="2 misshaped"):
        type(model).from_pretrained(tmp_path)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["first shard", "third shard", "sync", "first rename", "third rename"])
def test_a_save_that_fails_leaves_the_old_checkpoint(where, error, tmp_path, monkeypatch):
    old, new = build("DistilBert", "ForMaskedLM"), build("DistilBert", "ForMaskedLM", n_layers=2)
    old.save_pretrained(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    room, name = {
        "first shard": (safetensors.torch, "save_file"),
        "third shard": (safetensors.torch, "save_file"),
        "sync": (os, "fsync"),
        "first rename": (os, "replace"),
        "third rename": (os, "replace"),
    }[where]
    original, countdown = getattr(room, name), [2 if where.startswith("third") else 0]

    def failing(*args, **options):
        countdown[0] -= 1
        if countdown[0] == -1:
            raise error
        return original(*args, **options)

    monkeypatch.setattr(room, name, failing)
    with pytest.raises(type(error)):
        new.save_pretrained(tmp_path, max_shard_size="8KB")
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    torch.testing.assert_close(first(type(old).from_pretrained(tmp_path)), first(old))
    new.save_pretrained(tmp_path, max_shard_size="8KB")
    torch.testing.assert_close(first(type(old).from_pretrained(tmp_path)), first(new))


def _answer(model, ids):
    with torch.no_grad():
        return first(model, {"input_ids": ids}).numpy()  # a tensor would come back through shared memory


@pytest.mark.slow  # a new process imports torch
def test_a_spawned_worker_gets_a_model_and_answers():
    models = [build(family, "ForSequenceClassification", num_labels=3) for family in ("DistilBert", "MobileBert")]
    ids = torch.tensor([[5, 6, 7]])
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for model in models:
            found = pool.apply_async(_answer, (model, ids)).get(timeout=120)
            assert found.tolist() == _answer(model, ids).tolist()
