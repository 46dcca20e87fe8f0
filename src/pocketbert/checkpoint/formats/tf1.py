"""The reader of TensorFlow 1 checkpoints of google-research's ``mobilebert`` and ``bert``."""

from __future__ import annotations

import glob
import math
from pathlib import Path

import numpy as np

from pocketbert.checkpoint.formats.names import tf1_name
from pocketbert.checkpoint.formats.stored import Plain, PlainTensor
from pocketbert.checkpoint.formats.tf1_bundle import Variable, read_index
from pocketbert.errors import CheckpointError
from pocketbert.storage.safetensors_header import MOST_DIMENSIONS
from pocketbert.storage.watched import WatchedFile

__all__ = ["find_index", "read_tf1"]

_FLOATS = ("float32", "float64", "float16")
_MOST_SHARDS = 256


def find_index(folder: Path) -> Path | None:
    """Return the one ``*.index`` file of a folder that has its data beside it, or None.

    Raises:
        CheckpointError: there are several.
    """
    found = [path for path in sorted(folder.glob("*.index")) if _data_files(path)]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise CheckpointError(f"{folder} holds {len(found)} TensorFlow checkpoints ({names}); keep the one to read")
    return found[0] if found else None


def read_tf1(index: Path) -> Plain:
    """List the tensors of a checkpoint; optimizer state is skipped.

    Args:
        index: its ``.index`` file.

    Raises:
        CheckpointError: a file is missing, damaged or truncated, or the checkpoint is TensorFlow 2's.
    """
    shards, variables = read_index(index)
    if "_CHECKPOINTABLE_OBJECT_GRAPH" in variables:
        raise CheckpointError(
            f"{index} was written by TensorFlow 2's tf.train.Checkpoint; only the named variables of TensorFlow 1 are "
            "read: save the model as tf_model.h5 or safetensors"
        )
    if not 0 < shards <= _MOST_SHARDS:
        raise CheckpointError(f"{index} names {shards} data files; 1 to {_MOST_SHARDS} can be")
    files = [index.with_suffix(f".data-{shard:05d}-of-{shards:05d}") for shard in range(shards)]
    absent = [file.name for file in files if not file.is_file()]
    if absent:
        raise CheckpointError(f"{index} needs {', '.join(absent)} beside it: fetch the whole checkpoint")
    # only MobileBERT widens its word vectors
    is_mobilebert = any(name.startswith("bert/embeddings/embedding_transformation/") for name in variables)
    tensors = []
    for stored_name, variable in variables.items():
        translated = tf1_name(stored_name, "mobilebert" if is_mobilebert else "bert")
        if translated is not None:
            name, transposed = translated
            _check(index, stored_name, variable, files)
            shape = variable.shape[::-1] if transposed else variable.shape
            file = files[variable.shard]
            tensors.append(PlainTensor(file, stored_name, name, shape, variable.dtype, variable.offset, transposed))
    return Plain([index, *files], tensors, [WatchedFile(file) for file in files])


def _data_files(index: Path) -> list[Path]:
    return list(index.parent.glob(f"{glob.escape(index.stem)}.data-*-of-*"))


def _check(index: Path, name: str, variable: Variable, files: list[Path]) -> None:
    """Refuse a variable that is not floats in one piece within its data file."""
    if variable.dtype not in _FLOATS or variable.sliced:
        how = "in parts" if variable.sliced else f"as {variable.dtype}"
        raise CheckpointError(f"{name} in {index} is stored {how}; {', '.join(_FLOATS)} in one piece can be read")
    if len(variable.shape) > MOST_DIMENSIONS:
        raise CheckpointError(
            f"{name} in {index} has {len(variable.shape)} dimensions; at most {MOST_DIMENSIONS} are read"
        )
    if variable.shard >= len(files):
        raise CheckpointError(f"{name} in {index} lies in data file {variable.shard} of {len(files)}: damaged")
    length, size = math.prod(variable.shape) * np.dtype(variable.dtype).itemsize, files[variable.shard].stat().st_size
    if variable.size != length or variable.offset + length > size:
        raise CheckpointError(
            f"{name} in {index} needs {length} bytes for the shape {variable.shape}, and they are not in "
            f"{files[variable.shard].name}, which has {size}: fetch it again"
        )
