"""Lists to arrays of numpy, PyTorch or TensorFlow, and back."""

from __future__ import annotations

from enum import Enum
from itertools import chain
from typing import Any

import numpy as np

from pocketbert.errors import InputError
from pocketbert.extras import require

__all__ = ["TensorType", "as_lists", "kind_of", "tensor"]


class TensorType(str, Enum):  # noqa: UP042 - as in transformers: str() gives the name
    """The kinds of array, as ``return_tensors`` takes them; the strings do as well."""

    PYTORCH = "pt"
    TENSORFLOW = "tf"
    NUMPY = "np"


_KINDS = tuple(kind.value for kind in TensorType)


def tensor(value: Any, kind: str, *, name: str) -> Any:
    """Return ``value`` (numbers, or lists nested to any depth) as an array.

    Args:
        value: what to convert. Python's integers and floats become int64 and float64 in numpy, int64 and float32 in
            PyTorch, int32 and float32 in TensorFlow: each framework's usual dtypes, as transformers' tokenizers give.
        kind: ``"np"`` for numpy, ``"pt"`` for PyTorch, ``"tf"`` for TensorFlow.
        name: what the value is, for the error message.

    Raises:
        InputError: rows differ in length, or ``kind`` is unknown.
        MissingExtra: the framework is not installed.
    """
    if kind not in _KINDS:
        raise InputError(f"return_tensors={kind!r} is unknown; pass one of {', '.join(map(repr, _KINDS))}")
    if kind_of(value, depth=0) == kind:
        return value
    array = _array(value, name)
    if kind == "np":
        return array
    if array.dtype == np.float64 and not isinstance(value, np.ndarray):
        array = array.astype(np.float32)
    if kind == "pt":
        return require("torch").from_numpy(array)
    return require("tensorflow").constant(array.astype(np.int32) if array.dtype == np.int64 else array)


def as_lists(value: Any) -> Any:
    """Return an array of any framework as nested lists; arrays within lists and tuples are converted too."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "numpy"):
        return value.numpy().tolist()
    if isinstance(value, (list, tuple)) and value and not isinstance(value[0], (int, float)):
        return [as_lists(item) for item in value]
    return list(value) if isinstance(value, tuple) else value


def kind_of(value: Any, depth: int = 1) -> str | None:
    """Return which kind of array ``value`` is, or the first item of a list, ``depth`` lists deep; None for neither."""
    while depth and isinstance(value, (list, tuple)) and value:
        value, depth = value[0], depth - 1
    if isinstance(value, np.ndarray):
        return "np"
    library = type(value).__module__.partition(".")[0]
    if not hasattr(value, "numpy"):
        return None
    return {"torch": "pt", "tensorflow": "tf"}.get(library)


def _array(value: Any, name: str) -> np.ndarray[Any, Any]:
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "numpy"):
        return np.asarray(value.numpy())
    if not value:  # no rows: a batch of none
        return np.zeros((0, 0), dtype=np.int64)
    if isinstance(value[0], list):
        width = len(value[0])
        if any(len(row) != width for row in value):
            lengths = sorted({len(row) for row in value})
            raise InputError(
                f"rows of {name} have {lengths[0]} to {lengths[-1]} entries and cannot be one tensor; "
                "pass padding=True, and truncation=True for texts over the model's limit"
            )
        if width and type(value[0][0]) is int:  # faster than np.array
            flat = np.fromiter(chain.from_iterable(value), dtype=np.int64, count=len(value) * width)
            return flat.reshape(len(value), width)
        if not width:
            return np.zeros((len(value), 0), dtype=np.int64)
    try:
        return np.array(value)
    except ValueError as error:
        raise InputError(f"{name} cannot be one tensor: {error}") from error
