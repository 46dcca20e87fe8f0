"""Safetensors files: the header, checked, and the tensors as views into the mapped file."""

from __future__ import annotations

import json
import math
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pocketbert.errors import CheckpointError
from pocketbert.storage.pointers import refuse_pointer

__all__ = ["StoredTensor", "map_tensors", "read_header", "release"]

_HEADER_LIMIT = 2**26  # bytes; real headers have far below a million
_DTYPES = {"F64": np.float64, "F32": np.float32, "I64": np.int64, "I8": np.int8}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file: ``size`` bytes from byte ``offset`` on; ``dtype`` is safetensors' name, such as ``"F32"``."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int


def read_header(path: Path) -> tuple[dict[str, str], dict[str, StoredTensor]]:
    """Return the metadata of a safetensors file, and its tensors by name, which are checked to fill the file.

    Raises:
        CheckpointError: the file is truncated, or its header is damaged or larger than 64 MiB.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return _read_header(file)


def _read_header(file: BinaryIO) -> tuple[dict[str, str], dict[str, StoredTensor]]:
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, _HEADER_LIMIT):
        refuse_pointer(file.name)
        raise _damaged(f"a header of {length} bytes in a file of {size}")
    try:
        header = json.loads(file.read(length).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _damaged(f"its header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise _damaged("its header is no object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _damaged("its metadata is no mapping of strings")
    begin, left = 8 + length, size - 8 - length
    tensors = {name: _stored(name, facts, begin, left) for name, facts in header.items()}
    if (used := sum(tensor.size for tensor in tensors.values())) != left:
        raise _damaged(f"its tensors have {used} bytes, {left} follow the header")
    return metadata, tensors


def _stored(name: str, facts: Any, begin: int, left: int) -> StoredTensor:
    """Return a tensor; the file has ``left`` bytes of tensors from byte ``begin`` on."""
    if not isinstance(facts, dict) or set(facts) != {"dtype", "shape", "data_offsets"}:
        raise _damaged(f"tensor {name[:60]!r} is described as {str(facts)[:60]}")
    dtype, shape, offsets = facts["dtype"], facts["shape"], facts["data_offsets"]
    if not isinstance(dtype, str):
        raise _damaged(f"tensor {name[:60]!r} has dtype {str(dtype)[:20]!r}")
    if not _counts(shape) or not _counts(offsets) or len(offsets) != 2:
        raise _damaged(f"tensor {name[:60]!r} has shape {str(shape)[:60]} at {str(offsets)[:60]}")
    start, stop = offsets
    if not start <= stop <= left:
        raise _damaged(f"tensor {name[:60]!r} lies at {start} .. {stop} of {left} bytes")
    return StoredTensor(dtype, tuple(shape), begin + start, stop - start)


def map_tensors(path: Path) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Map a safetensors file.

    Returns:
        its metadata, and its tensors by name, read-only; they keep the file mapped.

    Raises:
        CheckpointError: see ``read_header``; or a tensor's size is not that of its shape, or its dtype is none of F64,
            F32, I64 and I8.
        OSError, ValueError: the file cannot be read or mapped.
    """
    with path.open("rb") as file:
        metadata, tensors = _read_header(file)
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return metadata, {name: _view(content, name, tensor) for name, tensor in tensors.items()}


def _view(content: mmap.mmap, name: str, tensor: StoredTensor) -> NDArray[Any]:
    if tensor.dtype not in _DTYPES:
        raise _damaged(f"tensor {name[:60]!r} has dtype {tensor.dtype[:20]!r}, which is none of {', '.join(_DTYPES)}")
    count, dtype = math.prod(tensor.shape), np.dtype(_DTYPES[tensor.dtype])
    if tensor.size != count * dtype.itemsize:
        raise _damaged(f"tensor {name[:60]!r} of shape {str(tensor.shape)[:60]} has {tensor.size} bytes")
    if not count:
        return np.zeros(tensor.shape, dtype)
    array: NDArray[Any] = np.frombuffer(content, dtype, count, tensor.offset).reshape(tensor.shape)
    return array if array.flags.aligned else array.copy()


def release(array: NDArray[Any]) -> None:
    """Free the memory of the mapped file that ``array`` is a view of; pages that are used later are read again.

    Does nothing for an array that is not mapped, or where the system has no such call.
    """
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    owner = owner.obj if isinstance(owner, memoryview) else owner
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


def _counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _damaged(what: str) -> CheckpointError:
    return CheckpointError(f"it is damaged or no safetensors file: {what}")
