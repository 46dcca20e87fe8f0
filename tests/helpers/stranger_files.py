"""A small checkpoint as a stranger sends it, and every way to use its folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from pocketbert import AutoConfig, AutoTokenizer, MobileBertConfig
from pocketbert.architecture import families
from pocketbert.checkpoint import open_checkpoint, write_arrays
from pocketbert.command.inspection import inspect_checkpoint
from pocketbert.plan import ReferenceRunner, plan_checkpoint
from pocketbert.runtime.batching import Row, pack
from pocketbert.tokenizer import BertTokenizerFast

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "sat", "é", "日", ".", "don", "'", "t"]
TEXT = "The cats sat. Café 日本 don't [MASK]"


def checkpoint_files(folder: Path) -> dict[str, bytes]:
    """Write a small checkpoint and return its files' content by name, weights whole and in shards."""
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
