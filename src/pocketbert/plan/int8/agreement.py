"""Agreement of an int8 plan's results with those of the float32 plan."""

from __future__ import annotations

import numpy as np

from pocketbert.plan.batch import PackedBatch
from pocketbert.plan.executor import Result, run
from pocketbert.plan.int8.channels import Double
from pocketbert.plan.structure import Plan

__all__ = ["agreement", "compare"]


def agreement(exact: Plan, other: Plan, batch: PackedBatch) -> dict[str, float]:
    """Run two plans on the same texts and compare their results.

    Returns:
        ``hidden_cosine`` and ``hidden_cosine_worst``: mean and least cosine, over tokens, between the last hidden
        states; each channel is first standardized by the mean and standard deviation of ``exact``, so that a few huge
        channels don't decide. For each branch ``{name}_same``: share of rows with the same largest column,
        ``{name}_error``: root mean square difference divided by the standard deviation, and ``{name}_cosine``: cosine
        between all its values, each minus its column's mean.
    """
    return compare(run(exact, batch), run(other, batch))


def compare(exact: Result, other: Result) -> dict[str, float]:
    """Compare the results of two plans for the same texts; see ``agreement``."""
    a, b = (np.concatenate(result.hidden).astype(np.float64) for result in (exact, other))
    mean, deviation = a.mean(axis=0), a.std(axis=0)
    deviation[deviation == 0] = 1
    a, b = (a - mean) / deviation, (b - mean) / deviation
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine = (a * b).sum(axis=1) / np.where(lengths > 0, lengths, 1)
    measured = {"hidden_cosine": float(cosine.mean()), "hidden_cosine_worst": float(cosine.min())}
    for name in exact.branches:
        x, y = (np.concatenate([np.atleast_2d(rows) for rows in r.branches[name]]) for r in (exact, other))
        x, y = x.astype(np.float64), y.astype(np.float64)
        if x.shape[1] > 1:
            measured[f"{name}_same"] = float((x.argmax(axis=1) == y.argmax(axis=1)).mean())
        measured[f"{name}_error"] = float(np.sqrt(np.square(x - y).mean()) / max(float(x.std()), 1e-30))
        measured[f"{name}_cosine"] = _cosine(x - x.mean(axis=0), y - x.mean(axis=0))
    return measured


def _cosine(a: Double, b: Double) -> float:
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float((a * b).sum()) / length if length else float(np.array_equal(a, b))
