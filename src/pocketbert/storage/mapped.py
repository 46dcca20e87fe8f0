"""The tensors of a safetensors file as views into the mapped file: nothing is read before it is used."""

from __future__ import annotations

import json
import math
import mmap
from pathlib import Path
from typing import Any

import numpy as np

from pocketbert.errors import CheckpointError
from pocketbert.plan.structure import Array

__all__ = ["map_tensors", "release"]

_HEADER_LIMIT = 2**26  # bytes; the header of a real plan has far below a million
_DTYPES = {"F64": np.float64, "F32": np.float32, "I64": np.int64, "I8": np.int8}


def map_tensors(path: Path) -> tuple[dict[str, str], dict[str, Array]]:
    """Map a safetensors file.

    Returns:
        its metadata, and its tensors by name, read-only; they keep the file mapped.

    Raises:
        CheckpointError, ValueError: it is truncated, no safetensors file, or has tensors that no plan holds.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _HEADER_LIMIT):
            raise _damaged(f"a header of {length} bytes in a file of {size}")
        try:
            header = json.loads(file.read(length).decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise _damaged(f"its header is not JSON: {error}") from error
        if not isinstance(header, dict):
            raise _damaged("its header is no object")
        metadata = header.pop("__metadata__", {})
        strings = isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
        if not strings:
            raise _damaged("its metadata is no mapping of strings")
        begin, left = 8 + length, size - 8 - length
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    tensors, used = {}, 0
    for name, facts in header.items():
        tensors[name] = _view(content, begin, left, name, facts)
        used += tensors[name].nbytes
    if used != left:
        raise _damaged(f"its tensors have {used} bytes, {left} follow the header")
    return metadata, tensors


def release(array: Array) -> None:
    """Let go of the memory that a mapped file takes, of which ``array`` is a part; what is used later is read again.

    Does nothing for an array that is not mapped, or where the system has no such call.
    """
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    owner = owner.obj if isinstance(owner, memoryview) else owner
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


def _view(content: mmap.mmap, begin: int, left: int, name: str, facts: Any) -> Array:
    """Return a tensor; ``left`` bytes of tensors stand from byte ``begin`` on."""
    if not isinstance(facts, dict) or set(facts) != {"dtype", "shape", "data_offsets"}:
        raise _damaged(f"tensor {name[:60]!r} is described as {str(facts)[:60]}")
    dtype, shape, offsets = facts["dtype"], facts["shape"], facts["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise _damaged(f"tensor {name[:60]!r} has dtype {str(dtype)[:20]!r}; a plan holds {', '.join(_DTYPES)}")
    if not _counts(shape) or not _counts(offsets) or len(offsets) != 2:
        raise _damaged(f"tensor {name[:60]!r} has shape {str(shape)[:60]} at {str(offsets)[:60]}")
    start, stop = offsets
    count, kind = math.prod(shape), np.dtype(_DTYPES[dtype])
    if not start <= stop <= left or stop - start != count * kind.itemsize:
        raise _damaged(f"tensor {name[:60]!r} of shape {str(shape)[:60]} lies at {start} .. {stop} of {left} bytes")
    if not count:
        return np.zeros(shape, kind)
    array: Array = np.frombuffer(content, kind, count, begin + start).reshape(shape)
    return array if array.flags.aligned else array.copy()


def _counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _damaged(what: str) -> CheckpointError:
    return CheckpointError(f"it is damaged or no plan: {what}")
