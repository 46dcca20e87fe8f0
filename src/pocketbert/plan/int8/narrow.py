"""int8: weights quantized once, per output channel; activations quantized per row when they are computed.

Both are symmetric. What all tokens have in common is subtracted first (``center``). A column far above the others of
its row would leave them few of the 8 bits: equalization spreads it over values and weights (``equalize``), and what is
an outlier even after that stays in float32, beside the int8 product. ``arithmetic`` defines the rounding.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pocketbert.errors import InputError
from pocketbert.plan.batch import PackedBatch
from pocketbert.plan.int8.agreement import agreement
from pocketbert.plan.int8.center import center as centered
from pocketbert.plan.int8.channels import Double
from pocketbert.plan.int8.equalize import equalize as equalized
from pocketbert.plan.int8.ranges import calibration_batch, peaks
from pocketbert.plan.structure import Array, Dense, Int8, Plan

__all__ = ["int8_weight", "narrow", "quantize"]

OUTLIER_RATIO = 24.0  # a column above 24x its row's typical magnitude stays float32 (a Gaussian reaches about 6x)
MAX_OUTLIER_SHARE = 1 / 32  # of a product's columns


def quantize(
    plan: Plan,
    batch: PackedBatch | None = None,
    *,
    center: bool = True,
    equalize: bool = True,
    outliers: bool = True,
) -> Plan:
    """Return the plan with int8 weights, the word table included; see ``narrow``.

    Args:
        plan: a float32 plan.
        batch: typical texts, to calibrate and to measure on; pseudo-random words where None.
        center: subtract what is common to all tokens first.
        equalize: even out the ranges of the channels first.
        outliers: keep outlier columns in float32.

    Returns:
        the int8 plan; its ``measured`` is its ``agreement`` with the float32 one.

    Raises:
        InputError: the plan is not float32, or is quantized already.
    """
    if plan.dtype != np.float32:
        raise InputError(f"quantize takes a float32 plan, this one is {plan.dtype}")
    if plan.quantized:
        raise InputError("the plan is in int8 already")
    batch = calibration_batch(plan.config) if batch is None else batch
    even = centered(plan, batch) if center else plan
    even = equalized(even, batch) if equalize else even
    small = narrow(even, batch, outliers=outliers)
    return replace(small, measured=agreement(plan, small, batch))


def narrow(plan: Plan, batch: PackedBatch, *, outliers: bool = True) -> Plan:
    """Return a float32 plan with int8 weights, without centering, equalizing or measuring.

    A head's small products stay in float32 (see ``ranges.peaks``), and so do biases, norms and the position table, and
    with ``outliers`` the outlier columns on the texts of ``batch``. A decoder that shares the word table shares the
    int8 one.
    """
    table = plan.embeddings.words
    assert not isinstance(table, Int8)
    none = np.zeros(0, np.int64)
    words = int8_weight(table, none)
    peak = peaks(plan, batch)

    def narrowed(op: Dense) -> Dense:
        if op not in peak:
            return op
        assert not isinstance(op.weight, Int8)
        if op.weight is table:
            return replace(op, weight=words)
        return replace(op, weight=int8_weight(op.weight, _outliers(peak[op]) if outliers else none))

    plan = plan.map_dense(narrowed)
    return replace(plan, embeddings=replace(plan.embeddings, words=words))


def int8_weight(weight: Array, outliers: NDArray[np.int64]) -> Int8:
    """Quantize a weight (out, in) with ``scale = largest magnitude of the row / 127``, outlier columns left out."""
    inside = weight.astype(np.float32, copy=True)
    inside[:, outliers] = 0
    scale = (np.abs(inside).max(axis=1) / np.float32(127)).astype(np.float32)
    divisor = np.where(scale > 0, scale, np.float32(1))
    values = np.clip(np.rint(inside / divisor[:, None]), -127, 127).astype(np.int8)
    return Int8(values, scale, outliers, np.ascontiguousarray(weight[:, outliers], np.float32))


def _outliers(peak: Double) -> NDArray[np.int64]:
    """Return the columns that stay in float32, ascending: those that rise highest above their rows."""
    order = np.argsort(-peak, kind="stable")[: max(1, int(len(peak) * MAX_OUTLIER_SHARE))]
    return np.sort(order[peak[order] > OUTLIER_RATIO])
