"""Whether two results, ours and the oracle's, are alike in types, nesting, order and values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def differences(ours: Any, theirs: Any, tolerance: float = 1e-5, where: str = "result") -> list[str]:
    """Return what differs, one line each; none if the results are the same to a user.

    Classes of the two libraries count as the same if they have one name; arrays and tensors need one dtype and shape.
    """
    mine, other = type(ours), type(theirs)
    if mine is not other and not (_of_library(mine, other) and mine.__name__ == other.__name__):
        return [f"{where}: {mine.__name__} {_short(ours)}, theirs is {other.__name__} {_short(theirs)}"]
    if isinstance(theirs, Mapping):
        if list(ours) != list(theirs):
            return [f"{where}: keys {list(ours)}, theirs are {list(theirs)}"]
        pairs = [(f"{where}[{key!r}]", ours[key], theirs[key]) for key in theirs]
    elif isinstance(theirs, (list, tuple)):
        if len(ours) != len(theirs):
            return [f"{where}: {len(ours)} items, theirs has {len(theirs)}"]
        pairs = [(f"{where}[{index}]", ours[index], theirs[index]) for index in range(len(theirs))]
    elif hasattr(theirs, "shape") and hasattr(theirs, "dtype"):
        return _arrays(ours, theirs, tolerance, where)
    elif isinstance(theirs, float):
        return [] if _near(ours, theirs, tolerance) else [f"{where}: {ours}, theirs is {theirs}"]
    elif _of_library(mine, other) and not isinstance(theirs, BaseException) and hasattr(theirs, "__dict__"):
        return []  # of one name: what a user sees of them is what the script asks of them
    else:
        return [] if _equal(ours, theirs) else [f"{where}: {_short(ours)}, theirs is {_short(theirs)}"]
    return [line for name, one, two in pairs for line in differences(one, two, tolerance, name)]


def _arrays(ours: Any, theirs: Any, tolerance: float, where: str) -> list[str]:
    if (ours.dtype, tuple(ours.shape)) != (theirs.dtype, tuple(theirs.shape)):
        return [f"{where}: {ours.dtype} {tuple(ours.shape)}, theirs is {theirs.dtype} {tuple(theirs.shape)}"]
    one, two = (np.asarray(value.detach() if hasattr(value, "detach") else value) for value in (ours, theirs))
    if one.dtype.kind not in "fc":
        return [] if np.array_equal(one, two) else [f"{where}: other values, {_short(one)} and theirs {_short(two)}"]
    if np.allclose(one, two, rtol=tolerance, atol=tolerance, equal_nan=True):
        return []
    return [f"{where}: values differ by up to {np.abs(one - two).max()}"]


def _of_library(mine: type, other: type) -> bool:
    return mine.__module__.startswith("pocketbert") and other.__module__.startswith("transformers")


def _equal(ours: Any, theirs: Any) -> bool:
    return str(ours) == str(theirs) if isinstance(theirs, BaseException) else bool(ours == theirs)


def _near(ours: float, theirs: float, tolerance: float) -> bool:
    return math.isclose(ours, theirs, rel_tol=tolerance, abs_tol=tolerance) or (math.isnan(ours) and math.isnan(theirs))


def _short(value: Any) -> str:
    return repr(value)[:80]
