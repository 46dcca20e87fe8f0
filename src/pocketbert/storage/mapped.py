"""Safetensors files: the header, checked, and the tensors as views into the mapped file."""

from __future__ import annotations

import json
import math
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketbert.errors import CheckpointError

__all__ = ["Header", "StoredTensor", "map_tensors", "read_header", "release"]

_HEADER_LIMIT = 2**26  # bytes; real headers have far below a million
_DTYPES = {"F64": np.float64, "F32": np.float32, "I64": np.int64, "I8": np.int8}


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor is: bytes ``start`` to ``stop`` after the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class Header:
    """What a safetensors file begins with.

    Attributes:
        metadata: what its writer says of it.
        tensors: by name.
        begin: the first byte after the header.
        size: bytes after the header.
    """

    metadata: dict[str, str]
    tensors: dict[str, StoredTensor]
    begin: int
    size: int


def read_header(path: Path) -> Header:
    """Read the header of a safetensors file; every tensor is within the file.

    Raises:
        CheckpointError: the file is truncated, or the header is damaged or larger than 64 MiB.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _HEADER_LIMIT):
            raise _damaged(f"a header of {length} bytes in a file of {size}")
        try:
            content = json.loads(file.read(length).decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise _damaged(f"its header is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise _damaged("its header is no object")
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _damaged("its metadata is no mapping of strings")
    size -= 8 + length
    return Header(metadata, {name: _tensor(name, facts, size) for name, facts in content.items()}, 8 + length, size)


def _tensor(name: str, facts: Any, size: int) -> StoredTensor:
    if not isinstance(facts, dict) or set(facts) != {"dtype", "shape", "data_offsets"}:
        raise _damaged(f"tensor {name[:60]!r} is described as {str(facts)[:60]}")
    dtype, shape, offsets = facts["dtype"], facts["shape"], facts["data_offsets"]
    if not isinstance(dtype, str):
        raise _damaged(f"tensor {name[:60]!r} has dtype {str(dtype)[:20]!r}")
    if not _counts(shape) or not _counts(offsets) or len(offsets) != 2:
        raise _damaged(f"tensor {name[:60]!r} has shape {str(shape)[:60]} at {str(offsets)[:60]}")
    tensor = StoredTensor(dtype, tuple(shape), *offsets)
    if not tensor.start <= tensor.stop <= size:
        raise _misplaced(name, tensor, size)
    return tensor


def map_tensors(path: Path) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Map a safetensors file.

    Returns:
        its metadata, and its tensors by name, read-only; they keep the file mapped.

    Raises:
        CheckpointError: see ``read_header``; or a tensor's size is not that of its shape, its dtype is none of F64,
            F32, I64 and I8, or the file has bytes that belong to no tensor.
        OSError, ValueError: the file cannot be read or mapped.
    """
    header = read_header(path)
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    tensors = {name: _view(content, header, name, tensor) for name, tensor in header.tensors.items()}
    used = sum(array.nbytes for array in tensors.values())
    if used != header.size:
        raise _damaged(f"its tensors have {used} bytes, {header.size} follow the header")
    return header.metadata, tensors


def _view(content: mmap.mmap, header: Header, name: str, tensor: StoredTensor) -> NDArray[Any]:
    if tensor.dtype not in _DTYPES:
        raise _damaged(f"tensor {name[:60]!r} has dtype {tensor.dtype[:20]!r}, which is none of {', '.join(_DTYPES)}")
    count, dtype = math.prod(tensor.shape), np.dtype(_DTYPES[tensor.dtype])
    if tensor.stop - tensor.start != count * dtype.itemsize:
        raise _misplaced(name, tensor, header.size)
    if not count:
        return np.zeros(tensor.shape, dtype)
    array: NDArray[Any] = np.frombuffer(content, dtype, count, header.begin + tensor.start).reshape(tensor.shape)
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


def _misplaced(name: str, tensor: StoredTensor, size: int) -> CheckpointError:
    shape = str(list(tensor.shape))[:60]
    return _damaged(f"tensor {name[:60]!r} of shape {shape} lies at {tensor.start} .. {tensor.stop} of {size} bytes")


def _damaged(what: str) -> CheckpointError:
    return CheckpointError(f"it is damaged or no safetensors file: {what}")
