"""The arithmetic of a program, in numpy: what each operation means, to the last rounding where it is int8.

Shapes: N rows, K columns in, C columns out.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pocketbert.plan.structure import Array, Int8, Norm

__all__ = ["ACTIVATE", "gather", "layer_norm", "product", "quantize_rows", "softmax"]

_DEAD = np.float32(1e-30)  # 127 over a smaller number may overflow
_EXACT = 2**24 // 127**2  # so many products of two bytes add up without rounding in float32
_ERF = np.frompyfunc(math.erf, 1, 1)  # numpy has none


def _gelu(x: Array) -> Array:
    erf = np.asarray(_ERF(x.astype(np.float64) * math.sqrt(0.5)), np.float64)
    return np.asarray(0.5 * x * (1 + erf), x.dtype)


def _gelu_new(x: Array) -> Array:
    # The constants go in as Python floats, which keep float32 what it is.
    return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))))


def _silu(x: Array) -> Array:
    return np.asarray(x * 0.5 * (1 + np.tanh(0.5 * x)))  # x * sigmoid(x), without overflow


ACTIVATE: dict[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "gelu": _gelu,
    "gelu_new": _gelu_new,
    "silu": _silu,
    "tanh": np.tanh,
}


def gather(table: Array | Int8, ids: Array) -> Array:
    """(V, E), (N,) -> (N, E): the rows of these ids; of an int8 table, ``float32(value) * scale``."""
    if isinstance(table, Int8):
        return np.asarray(table.values[ids].astype(np.float32) * table.scale[ids, None])
    return np.asarray(table[ids])


def layer_norm(x: Array, norm: Norm) -> Array:
    """(N, C) -> (N, C); see ``Norm``."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + x.dtype.type(norm.eps)) * norm.scale + norm.bias)


def softmax(scores: Array) -> Array:
    """Softmax over the last axis."""
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def product(x: Array, weight: Array | Int8) -> Array:
    """(N, K), (C, K) -> (N, C), without bias.

    With int8 weights, ``quantize_rows`` gives bytes and a scale a row; the integer product is exact in an int32; then
    ``float32(sum) * row_scale * weight_scale``, in this order, each rounded to float32; then the outlier columns'
    float32 product is added. An engine may differ in the roundings after the integer sum.
    """
    if not isinstance(weight, Int8):
        return np.asarray(x @ weight.T)
    x = x.astype(np.float32)
    outliers = weight.outliers
    values, scale = quantize_rows(x, outliers)
    result = _integer_product(values, weight.values).astype(np.float32) * scale[:, None] * weight.scale
    if outliers.size:
        result = result + x[:, outliers] @ weight.outlier_weight.T
    return np.asarray(result)


def _integer_product(x: Array, weight: Array) -> Array:
    """(N, K), (C, K) int8 -> (N, C), exact. numpy has a fast product for floats only."""
    total = np.zeros((len(x), len(weight)), np.int64)
    for start in range(0, x.shape[1], _EXACT):
        part = slice(start, start + _EXACT)
        total += (x[:, part].astype(np.float32) @ weight[:, part].T.astype(np.float32)).astype(np.int64)
    return total


def quantize_rows(x: Array, outliers: Array) -> tuple[Array, Array]:
    """Quantise each row to 8 bits, symmetric: (N, K) float32 -> (N, K) int8 in -127 .. 127 and (N,) float32 scales.

    ``largest`` is the row's largest absolute value outside the outlier columns. In float32, ``scale = largest / 127``,
    ``values = round_half_even(x * (127 / largest))``, and 0 in outlier columns. A row whose largest is below 1e-30 has
    values and scale 0. An engine that needs unsigned bytes adds 128.
    """
    inside = x.astype(np.float32, copy=True)
    inside[:, outliers] = 0
    largest = np.abs(inside).max(axis=1)
    dead = largest < _DEAD
    inverse = np.where(dead, np.float32(0), np.float32(127) / np.maximum(largest, _DEAD))
    values = np.clip(np.rint(inside * inverse[:, None]), -127, 127).astype(np.int8)
    return values, np.where(dead, np.float32(0), largest / np.float32(127))
