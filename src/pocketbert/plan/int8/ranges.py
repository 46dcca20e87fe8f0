"""The ranges of the values that flow through a plan, measured on calibration texts."""

from __future__ import annotations

import numpy as np

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.plan.batch import PackedBatch, Row, pack
from pocketbert.plan.executor import run
from pocketbert.plan.int8.channels import Double
from pocketbert.plan.structure import Array, Dense, Plan

__all__ = ["calibration_batch", "peaks", "typical"]

_ROWS, _TOKENS = 8, 48
_TRIMMED = 50  # the largest 1 / 50 of a row's columns are left out of its typical magnitude
_CLS, _SEP = 101, 102  # in BERT's English vocabularies


def calibration_batch(config: PretrainedConfig) -> PackedBatch:
    """Return pseudo-random words to calibrate on where no texts are given, the same on every call."""
    generator = np.random.default_rng(0)
    tokens = min(_TOKENS, config.max_position_embeddings)
    rows = []
    for _ in range(_ROWS):
        ids = generator.integers(0, config.vocab_size, tokens)
        if config.vocab_size > 1000 and tokens > 2:
            ids[0], ids[-1] = _CLS, _SEP
        rows.append(Row(ids.tolist()))
    return pack(rows)


def peaks(plan: Plan, batch: PackedBatch) -> dict[Dense, Double]:
    """Run a plan and return how far each column rises above a typical one.

    Returns:
        for each dense product that goes to int8, (in,): the largest ratio, over all rows, of a value's magnitude to the
        typical magnitude in its row. These are the products of embeddings and layers, and those products of heads that
        read the word table or have at least W * W weights.
    """
    found: dict[Dense, Double] = {}
    heads = (op for branch in plan.branches for op in branch.ops if op.weight is not plan.embeddings.words)
    small = {op for op in heads if op.weight.shape[0] * op.weight.shape[1] < plan.width**2}

    def observe(op: Dense, rows: Array) -> None:
        if op not in small:
            sizes = np.abs(rows.astype(np.float64))
            peak = (sizes / typical(sizes)).max(axis=0)
            found[op] = np.maximum(found.get(op, peak), peak)

    run(plan, batch, observe=observe)
    return found


def typical(sizes: Double) -> Double:
    """(N, K) -> (N, 1): root mean square of each row without its largest columns; 1 for a row of zeros."""
    count = sizes.shape[1] - -(-sizes.shape[1] // _TRIMMED)
    kept = np.partition(sizes, count - 1, axis=1)[:, :count] if count else sizes
    trimmed = np.sqrt(np.square(kept).mean(axis=1, keepdims=True))
    whole = np.sqrt(np.square(sizes).mean(axis=1, keepdims=True))
    typical = np.where(trimmed > 0, trimmed, whole)
    return np.asarray(np.where(typical > 0, typical, 1.0))
