"""Writing a checkpoint: safetensors and ``config.json``, as a whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.errors import InputError
from pocketbert.storage.hub import TOKENIZER_FILES, with_variant
from pocketbert.storage.replacing import replacing

__all__ = ["SAVEDMODEL", "WRITTEN", "copy_tokenizer", "parse_size", "write_arrays", "write_checkpoint"]

# patterns of the files of a checkpoint that is written here, and of those of a SavedModel
WRITTEN = ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors")
SAVEDMODEL = ("saved_model.pb", "fingerprint.pb", "keras_metadata.pb", "variables/variables.*")


def write_checkpoint(
    folder: str | os.PathLike[str],
    config: PretrainedConfig,
    sizes: Mapping[str, int],
    save: Callable[[Iterable[str], Path], None],
    max_shard_size: int | str = "5GB",
    variant: str | None = None,
) -> None:
    """Write ``config.json`` and safetensors files; the folder's old checkpoint stays if anything fails.

    Args:
        folder: made if absent; its other files (a tokenizer's) are left alone.
        config: what to write as ``config.json``.
        sizes: name -> bytes of every tensor, in order.
        save: ``save(names, path)`` writes these tensors as one safetensors file.
        max_shard_size: largest file, in bytes or as ``"200MB"``.
        variant: goes into the files' names, as in ``model.fp16.safetensors``; files of other variants stay.
    """
    limit, shards = parse_size(max_shard_size), [[]]  # type: tuple[int, list[list[str]]]
    filled = 0
    for name, size in sizes.items():
        if shards[-1] and filled + size > limit:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    text = config.to_json_string()
    with replacing(folder, stale=[with_variant(name, variant) for name in WRITTEN]) as stage:
        (stage / "config.json").write_text(text, "utf-8")
        if len(shards) == 1:
            save(shards[0], stage / with_variant("model.safetensors", variant))
            return
        weight_map = {}
        for number, names in enumerate(shards, 1):
            file = with_variant(f"model-{number:05d}-of-{len(shards):05d}.safetensors", variant)
            save(names, stage / file)
            weight_map.update(dict.fromkeys(names, file))
        index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": weight_map}
        name = with_variant("model.safetensors.index.json", variant)
        (stage / name).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", "utf-8")


def write_arrays(folder: str | os.PathLike[str], config: PretrainedConfig, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a checkpoint from numpy arrays; see ``write_checkpoint``."""
    from safetensors.numpy import save_file

    def save(names: Iterable[str], path: Path) -> None:
        save_file({name: np.ascontiguousarray(arrays[name]) for name in names}, path, metadata={"format": "pt"})

    write_checkpoint(folder, config, {name: array.nbytes for name, array in arrays.items()}, save)


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy the files of a tokenizer, in place of all those of the old one; does nothing where ``source`` has none."""
    files = [source / name for name in TOKENIZER_FILES if (source / name).is_file()]
    with replacing(target, TOKENIZER_FILES if files else ()) as stage:
        for file in files:
            shutil.copyfile(file, stage / file.name)


def parse_size(size: int | str) -> int:
    """Return bytes: ``"5GB"`` is 5e9, ``"5GiB"`` is 5 * 2**30.

    Raises:
        InputError: it is no positive size.
    """
    units = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(size))
    if not match or match[2].upper() not in units or float(match[1]) <= 0:
        raise InputError(f"max_shard_size {size!r} is no size; write bytes, or a number with KB, MB or GB")
    return int(float(match[1]) * units[match[2].upper()])
