"""Safetensors files: the header, checked, and the tensors."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pocketbert.errors import CheckpointError
from pocketbert.storage.pointers import refuse_pointer
from pocketbert.storage.watched import WatchedFile

__all__ = ["MOST_DIMENSIONS", "StoredTensor", "read_header", "read_tensors"]

_HEADER_LIMIT = 2**26  # bytes; real headers have far below a million
MOST_DIMENSIONS = 16  # of a tensor; the product of thousands of sizes would take forever
# bytes of a number; who reads a tensor of another dtype refuses it by name
_WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_DTYPES = {"F64": np.float64, "F32": np.float32, "I64": np.int64, "I8": np.int8}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file: ``size`` bytes from byte ``offset`` on; ``dtype`` is safetensors' name, such as ``"F32"``."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int


def read_header(file: BinaryIO) -> tuple[dict[str, str], dict[str, StoredTensor]]:
    """Return the metadata of a safetensors file, and its tensors by name, which are checked to fill the file.

    Raises:
        CheckpointError: the file is truncated, or its header is damaged or larger than 64 MiB. The message begins
            where the file's name ends.
        OSError: the file cannot be read.
    """
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, _HEADER_LIMIT):
        raise _damaged(f"a header of {length} bytes in a file of {size}")
    try:
        header = json.loads(file.read(length).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _damaged(f"its header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise _damaged("its header is no object")
    metadata = {} if header.get("__metadata__") is None else header["__metadata__"]
    header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _damaged("its metadata is no mapping of strings")
    begin, left = 8 + length, size - 8 - length
    tensors = {name: _stored(name, facts, begin, left) for name, facts in header.items()}
    at = begin
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.offset, tensor.size)):
        if tensor.offset != at:
            raise _damaged(f"its tensors overlap or leave a gap at byte {min(at, tensor.offset)}")
        at += tensor.size
    if at != size:
        raise _damaged(f"its tensors have {at - begin} bytes, {left} follow the header")
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
    if dtype in _WIDTHS and stop - start != math.prod(shape) * _WIDTHS[dtype]:
        raise _damaged(f"tensor {name[:60]!r} of shape {str(tuple(shape))[:60]} has {stop - start} bytes")
    return StoredTensor(dtype, tuple(shape), begin + start, stop - start)


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Read a safetensors file.

    Returns:
        its metadata, and its tensors by name, views of one array.

    Raises:
        CheckpointError: it is damaged (see ``read_header``), no regular file, or cannot be read; a tensor's dtype is
            none of F64, F32, I64 and I8.
    """
    try:
        watched = WatchedFile(path)
        metadata, tensors = read_header(watched.file)
    except CheckpointError as error:
        refuse_pointer(path)
        raise CheckpointError(f"{path} {error}") from error
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    begin = min((tensor.offset for tensor in tensors.values()), default=0)
    content = watched.numbers(np.uint8, sum(tensor.size for tensor in tensors.values()), begin)
    return metadata, {name: _view(path, content, begin, name, tensor) for name, tensor in tensors.items()}


def _view(path: Path, content: NDArray[Any], begin: int, name: str, tensor: StoredTensor) -> NDArray[Any]:
    if tensor.dtype not in _DTYPES:
        known = ", ".join(_DTYPES)
        raise CheckpointError(f"{path}: tensor {name[:60]!r} has dtype {tensor.dtype[:20]!r}, none of {known}")
    start = tensor.offset - begin
    array = content[start : start + tensor.size].view(_DTYPES[tensor.dtype]).reshape(tensor.shape)
    return array if array.flags.aligned else array.copy()


def _counts(values: Any) -> bool:
    if not isinstance(values, list) or len(values) > MOST_DIMENSIONS:
        return False
    return all(type(value) is int and 0 <= value < 2**63 for value in values)


def _damaged(what: str) -> CheckpointError:
    return CheckpointError(f"is damaged or no safetensors file: {what}")
