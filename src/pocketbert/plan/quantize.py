"""int8: weights once, per output channel; activations for each row as it comes. Both symmetric.

A column that towers over its row would leave the others no bits. Equalisation spreads it over values and weights
(``gauge``); what still towers after that stays in float32, beside the int8 product. ``arithmetic`` has the rounding.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pocketbert.batching import PackedBatch
from pocketbert.errors import InputError
from pocketbert.plan.executor import run
from pocketbert.plan.gauge import equalise as equalised
from pocketbert.plan.program import Array, Dense, Int8, Program
from pocketbert.plan.ranges import calibration_batch, peaks

__all__ = ["agreement", "int8_weight", "quantize"]

_TOWERS = 24.0  # times the typical size of its row: four times what a normal distribution brings
_FEW = 32  # at most one column in so many stays in float32


def quantize(
    program: Program, batch: PackedBatch | None = None, *, equalise: bool = True, outliers: bool = True
) -> Program:
    """Return the program with int8 weights in embeddings and layers; heads and tables stay in float32.

    Args:
        program: a float32 program.
        batch: typical texts, to calibrate and to measure on; pseudo-random words where None.
        equalise: even out the channels first.
        outliers: keep columns that tower over their rows in float32.

    Returns:
        the int8 program; its ``measured`` is ``agreement`` with the float32 one.

    Raises:
        InputError: the program is not float32, or is quantised already.
    """
    if program.dtype != np.float32:
        raise InputError(f"quantize takes a float32 plan, this one is {program.dtype}")
    if any(isinstance(op.weight, Int8) for op in program.denses()):
        raise InputError("the plan is in int8 already")
    batch = calibration_batch(program.config) if batch is None else batch
    even = equalised(program, batch) if equalise else program
    seen = peaks(even, batch)

    def narrow(op: Dense) -> Dense:
        assert not isinstance(op.weight, Int8)
        columns = _towering(seen[id(op)]) if outliers else np.zeros(0, np.int64)
        return replace(op, weight=int8_weight(op.weight, columns))

    layers = tuple(
        replace(layer, ops=tuple(narrow(op) if isinstance(op, Dense) else op for op in layer.ops))
        for layer in even.layers
    )
    embeddings = even.embeddings
    if embeddings.projection is not None:
        embeddings = replace(embeddings, projection=narrow(embeddings.projection))
    small = replace(even, embeddings=embeddings, layers=layers)
    return replace(small, measured=agreement(program, small, batch))


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
        for each branch ``{name}_same``: share of rows with the same largest column, and ``{name}_error``: root mean
        square difference over the spread.
    """
    a, b = run(exact, batch), run(other, batch)
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
    return found


def _towering(peak: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the few columns that rise highest above their rows, ascending."""
    order = np.argsort(-peak, kind="stable")[: max(1, len(peak) // _FEW)]
    return np.sort(order[peak[order] > _TOWERS])
