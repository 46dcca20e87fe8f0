"""A checkpoint's files from a stranger: damaged in any way they are refused in words, or they work; nothing else."""

from __future__ import annotations

import json
import random
import warnings
from pathlib import Path

import numpy as np
import pytest

from helpers.mutations import damaged_bytes, damaged_json, dumped
from helpers.stranger_files import USES, checkpoint_files, write
from pocketbert import PocketBertError


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return checkpoint_files(tmp_path_factory.mktemp("whole"))


SHARDED = ("model.safetensors.index.json", "model-00001-of-00002.safetensors")
OLD = ("special_tokens_map.json", "added_tokens.json")  # read where no file is there that says it better
BETTER = {**dict.fromkeys(SHARDED, ("model.safetensors",)), **dict.fromkeys(OLD, ("tokenizer_config.json",))}
FILES = (
    "config.json", "model.safetensors", *SHARDED, "tokenizer.json", "tokenizer_config.json", *OLD, "vocab.txt",
)  # fmt: skip


def refusals(folder: Path) -> int:
    """Use a folder in every way; return how often it was refused."""
    refused = 0
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for use in USES:
            try:
                use(folder)
            except PocketBertError:
                refused += 1
    return refused


def test_whole_files_are_used(files, tmp_path):
    assert refusals(write(tmp_path, files)) == 0
    (tmp_path / "model.safetensors").unlink()
    assert refusals(tmp_path) == 0


@pytest.mark.parametrize("rounds", [40, pytest.param(400, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FILES)
def test_damaged_files(files, tmp_path, name, rounds):
    write(tmp_path, {key: content for key, content in files.items() if key not in BETTER.get(name, ())})
    chance = random.Random(f"{name} {rounds}")
    refused = 0
    for _ in range(rounds):
        if name.endswith(".json") and chance.random() < 0.7:
            content = dumped(damaged_json(json.loads(files[name]), chance))
        else:
            content = damaged_bytes(files[name], chance)
        (tmp_path / name).write_bytes(content)
        refused += refusals(tmp_path) > 0
    assert refused > 0
