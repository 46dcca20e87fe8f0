"""A checkpoint's files from a stranger: damaged in any way they are refused in words, or they work; nothing else."""

from __future__ import annotations

import json
import random
import warnings
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from helpers.mutations import damaged_bytes, damaged_json, dumped
from pocketbert import AutoConfig, AutoTokenizer, MobileBertConfig, PocketBertError
from pocketbert.architecture import families
from pocketbert.checkpoint import open_checkpoint, write_arrays
from pocketbert.command.inspection import inspect_checkpoint
from pocketbert.plan import ReferenceRunner, plan_checkpoint
from pocketbert.runtime.batching import Row, pack
from pocketbert.tokenizer import BertTokenizer, BertTokenizerFast

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "sat", "é", "日", ".", "don", "'", "t"]
TEXT = "The cats sat. Café 日本 don't [MASK]"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return the content of a small checkpoint's files by name, weights whole and in shards."""
    folder = tmp_path_factory.mktemp("whole")
    config = MobileBertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_attention_heads=2, num_hidden_layers=2, intermediate_size=12,
        embedding_size=8, intra_bottleneck_size=8, max_position_embeddings=24, architectures=["MobileBertModel"],
        id2label={0: "no", 1: "yes"}, pruned_heads={1: [0]},
    )  # fmt: skip
    generator = np.random.default_rng(0)
    wanted = families.parameters(config, "none")
    write_arrays(folder, config, {p.name: generator.standard_normal(p.shape).astype(np.float32) for p in wanted})
    vocabulary = {token: index for index, token in enumerate(WORDS)}
    BertTokenizerFast(vocabulary, additional_special_tokens=["[NEW]"]).save_pretrained(folder)
    BertTokenizer(vocabulary).save_pretrained(folder)
    arrays = load_file(folder / "model.safetensors")
    halves = {f"model-{n:05d}-of-00002.safetensors": dict(list(arrays.items())[n - 1 :: 2]) for n in (1, 2)}
    for name, half in halves.items():
        save_file(half, folder / name)
    index = {"metadata": {}, "weight_map": {key: name for name, half in halves.items() for key in half}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def use_config(folder: Path) -> None:
    AutoConfig.from_pretrained(folder)


def use_tokenizer(folder: Path, fast: bool) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=fast)
    ids = tokenizer([TEXT, ("a", TEXT)], padding=True, truncation=True, max_length=12)["input_ids"]
    tokenizer.decode(ids[0])


def use_fast_tokenizer(folder: Path) -> None:
    use_tokenizer(folder, True)


def use_python_tokenizer(folder: Path) -> None:
    use_tokenizer(folder, False)


def use_weights(folder: Path) -> None:
    open_checkpoint(folder).arrays()


def use_everything(folder: Path) -> None:
    inspect_checkpoint(folder)
    ReferenceRunner(plan_checkpoint(folder))(pack([Row([2, 5, 3]), Row([1])]))


USES = (use_config, use_fast_tokenizer, use_python_tokenizer, use_weights, use_everything)
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
