"""The arithmetic of int8 in numpy, down to the last rounding; engines are compared with it.

Shapes: N rows, K columns in, C columns out.
"""

from __future__ import annotations

import numpy as np

from pocketbert.plan.structure import Array, Int8

__all__ = ["gather", "product", "quantize_rows"]

_TINY = np.float32(1e-30)  # 127 over a smaller number may overflow
_EXACT = 2**24 // 127**2  # sums of up to this many products of two int8 numbers are exact in float32


def gather(table: Array | Int8, ids: Array) -> Array:
    """(V, E), (N,) -> (N, E): the rows of these ids; in an int8 table, ``float32(value) * scale``."""
    if isinstance(table, Int8):
        return np.asarray(table.values[ids].astype(np.float32) * table.scale[ids, None])
    return np.asarray(table[ids])


def product(x: Array, weight: Array | Int8) -> Array:
    """(N, K), (C, K) -> (N, C), without bias.

    With int8 weights, ``quantize_rows`` gives int8 values and a scale per row; their integer product is exact in an
    int32; then ``float32(sum) * row_scale * weight_scale``, in this order, each rounded to float32; then the float32
    product of the outlier columns is added. An engine may round differently after the integer sum.
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
    """(N, K), (C, K) int8 -> (N, C), exact. It multiplies in float32, since numpy's integer product is slow."""
    total = np.zeros((len(x), len(weight)), np.int64)
    for start in range(0, x.shape[1], _EXACT):
        part = slice(start, start + _EXACT)
        total += (x[:, part].astype(np.float32) @ weight[:, part].T.astype(np.float32)).astype(np.int64)
    return total


def quantize_rows(x: Array, outliers: Array) -> tuple[Array, Array]:
    """Quantize each row to 8 bits, symmetric: (N, K) float32 -> (N, K) int8 in -127 .. 127 and (N,) float32 scales.

    ``largest`` is the row's largest magnitude outside the outlier columns. In float32, ``scale = largest / 127`` and
    ``values = round_half_even(x * (127 / largest))``, 0 in outlier columns. A row whose ``largest`` is below 1e-30 has
    values and scale 0. An engine that needs unsigned bytes adds 128.
    """
    inside = x.astype(np.float32, copy=True)
    inside[:, outliers] = 0
    largest = np.abs(inside).max(axis=1)
    tiny = largest < _TINY
    inverse = np.where(tiny, np.float32(0), np.float32(127) / np.maximum(largest, _TINY))
    values = np.clip(np.rint(inside * inverse[:, None]), -127, 127).astype(np.int8)
    return values, np.where(tiny, np.float32(0), largest / np.float32(127))
