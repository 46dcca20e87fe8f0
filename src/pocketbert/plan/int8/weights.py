"""int8: weights once, per output channel; activations for each row as it comes. Both symmetric.

What all rows have in common would cost bits and say nothing: it is taken out first (``centre``). A column that towers
over its row would leave the others no bits. Equalisation spreads it over values and weights (``gauge``); what still
towers after that stays in float32, beside the int8 product. ``arithmetic`` has the rounding.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pocketbert.errors import InputError
from pocketbert.plan.executor import Result, run
from pocketbert.plan.int8.center import centre as centred
from pocketbert.plan.int8.equalize import equalise as equalised
from pocketbert.plan.int8.ranges import calibration_batch, peaks
from pocketbert.plan.structure import Array, Dense, Int8, Program
from pocketbert.runtime.batching import PackedBatch

__all__ = ["agreement", "compare", "int8_weight", "narrow", "quantize"]

_TOWERS = 24.0  # times the typical size of its row: four times what a normal distribution brings
_FEW = 32  # at most one column in so many stays in float32


def quantize(
    program: Program,
    batch: PackedBatch | None = None,
    *,
    centre: bool = True,
    equalise: bool = True,
    outliers: bool = True,
) -> Program:
    """Return the program with int8 weights, the word table included; see ``narrow``.

    Args:
        program: a float32 program.
        batch: typical texts, to calibrate and to measure on; pseudo-random words where None.
        centre: take out what is common to all tokens first.
        equalise: even out the channels first.
        outliers: keep columns that tower over their rows in float32.

    Returns:
        the int8 program; its ``measured`` is ``agreement`` with the float32 one.

    Raises:
        InputError: the program is not float32, or is quantised already.
    """
    if program.dtype != np.float32:
        raise InputError(f"quantize takes a float32 plan, this one is {program.dtype}")
    if program.quantised:
        raise InputError("the plan is in int8 already")
    batch = calibration_batch(program.config) if batch is None else batch
    even = centred(program, batch) if centre else program
    even = equalised(even, batch) if equalise else even
    small = narrow(even, batch, outliers=outliers)
    return replace(small, measured=agreement(program, small, batch))


def narrow(program: Program, batch: PackedBatch, *, outliers: bool = True) -> Program:
    """Return a float32 program with int8 weights, neither centred, equalised nor measured.

    A head's small products stay in float32 (see ``ranges.peaks``), and so do biases, norms and the position table. A
    decoder that shares the word table shares the int8 one.

    Args:
        program: a float32 program.
        batch: typical texts.
        outliers: keep columns that tower over their rows in float32.
    """
    table = program.embeddings.words
    assert not isinstance(table, Int8)
    none = np.zeros(0, np.int64)
    words = int8_weight(table, none)
    seen = peaks(program, batch)

    def narrowed(op: Dense) -> Dense:
        if id(op) not in seen:
            return op
        assert not isinstance(op.weight, Int8)
        if op.weight is table:
            return replace(op, weight=words)
        return replace(op, weight=int8_weight(op.weight, _towering(seen[id(op)]) if outliers else none))

    embeddings = replace(program.embeddings, words=words)
    if embeddings.projection is not None:
        embeddings = replace(embeddings, projection=narrowed(embeddings.projection))
    layers = tuple(
        replace(layer, ops=tuple(narrowed(op) if isinstance(op, Dense) else op for op in layer.ops))
        for layer in program.layers
    )
    branches = tuple(replace(branch, ops=tuple(map(narrowed, branch.ops))) for branch in program.branches)
    return replace(program, embeddings=embeddings, layers=layers, branches=branches)


def int8_weight(weight: Array, outliers: NDArray[np.int64]) -> Int8:
    """Return a weight (out, in) in 8 bits, ``scale = largest of the row / 127``, without the columns ``outliers``."""
    inside = weight.astype(np.float32, copy=True)
    inside[:, outliers] = 0
    scale = (np.abs(inside).max(axis=1) / np.float32(127)).astype(np.float32)
    divisor = np.where(scale > 0, scale, np.float32(1))
    values = np.clip(np.rint(inside / divisor[:, None]), -127, 127).astype(np.int8)
    return Int8(values, scale, outliers, np.ascontiguousarray(weight[:, outliers], np.float32))


def agreement(exact: Program, other: Program, batch: PackedBatch) -> dict[str, float]:
    """Measure how near one program's results are to another's.

    Returns:
        ``hidden_cosine`` and ``hidden_cosine_worst``: mean and least cosine, over tokens, of the last hidden states,
        each channel centred and divided by its spread first, so that a few huge ones do not decide;
        for each branch ``{name}_same``: share of rows with the same largest column, ``{name}_error``: root mean square
        difference over the spread, and ``{name}_cosine``: cosine of all its values, each less its column's mean.
    """
    return compare(run(exact, batch), run(other, batch))


def compare(a: Result, b: Result) -> dict[str, float]:
    """Measure how near the results ``b`` are to ``a``; see ``agreement``."""
    left, right = (np.concatenate(result.hidden).astype(np.float64) for result in (a, b))
    centre, spread = left.mean(axis=0), left.std(axis=0)
    spread[spread == 0] = 1
    left, right = (left - centre) / spread, (right - centre) / spread
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    cosine = (left * right).sum(axis=1) / np.where(lengths > 0, lengths, 1)
    found = {"hidden_cosine": float(cosine.mean()), "hidden_cosine_worst": float(cosine.min())}
    for name in a.branches:
        x, y = (np.concatenate([np.atleast_2d(rows) for rows in r.branches[name]]) for r in (a, b))
        x, y = x.astype(np.float64), y.astype(np.float64)
        if x.shape[1] > 1:
            found[f"{name}_same"] = float((x.argmax(axis=1) == y.argmax(axis=1)).mean())
        found[f"{name}_error"] = float(np.sqrt(np.square(x - y).mean()) / max(float(x.std()), 1e-30))
        found[f"{name}_cosine"] = _cosine(x - x.mean(axis=0), y - x.mean(axis=0))
    return found


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float((a * b).sum()) / size if size else float(np.array_equal(a, b))


def _towering(peak: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the few columns that rise highest above their rows, ascending."""
    order = np.argsort(-peak, kind="stable")[: max(1, len(peak) // _FEW)]
    return np.sort(order[peak[order] > _TOWERS])
