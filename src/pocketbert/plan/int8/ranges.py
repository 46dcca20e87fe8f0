"""What values flow through a program: the ranges that equalisation and quantisation look at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.plan.executor import run
from pocketbert.plan.structure import Array, Dense, Int8, Program
from pocketbert.runtime.batching import PackedBatch, Row, pack

__all__ = ["calibration_batch", "peaks"]

_ROWS, _TOKENS = 8, 48
_TRIMMED = 50  # one column in so many is left out of a row's typical size
_BOUNDARIES = (101, 102)  # [CLS] and [SEP] of BERT's English vocabularies


def calibration_batch(config: PretrainedConfig) -> PackedBatch:
    """Return a batch for a model whose texts are not at hand: pseudo-random words, the same on every call."""
    generator = np.random.default_rng(0)
    tokens = min(_TOKENS, config.max_position_embeddings)
    rows = []
    for _ in range(_ROWS):
        ids = generator.integers(0, config.vocab_size, tokens)
        if config.vocab_size > 1000 and tokens > 2:
            ids[0], ids[-1] = _BOUNDARIES
        rows.append(Row(ids.tolist()))
    return pack(rows)


def peaks(program: Program, batch: PackedBatch) -> dict[int, NDArray[np.float64]]:
    """Run a program and return how far each column rises above a typical one.

    Returns:
        ``id`` of a dense product whose weight is worth 8 bits -> (in,): over all rows, the largest ratio of a value's
        size to the typical size in its row. These are the products of embeddings and layers, and of the heads those
        with as many weights as a square of the stream, or with the word table.
    """
    found: dict[int, NDArray[np.float64]] = {}
    shared = program.embeddings.words
    heads = {id(op) for branch in program.branches for op in branch.ops}
    large = {id(op) for op in program.denses() if op.weight is shared or _count(op.weight) >= program.width**2}

    def observe(op: Dense, rows: Array) -> None:
        if id(op) in heads and id(op) not in large:
            return
        sizes = np.abs(rows.astype(np.float64))
        peak = (sizes / _typical(sizes)).max(axis=0)
        found[id(op)] = np.maximum(found.get(id(op), peak), peak)

    run(program, batch, observe=observe)
    return found


def _count(weight: Array | Int8) -> int:
    out, into = weight.shape
    return out * into


def _typical(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, K) -> (N, 1): root mean square of each row without its largest columns."""
    left = sizes.shape[1] - -(-sizes.shape[1] // _TRIMMED)
    kept = np.partition(sizes, left - 1, axis=1)[:, :left] if left else sizes
    trimmed = np.sqrt(np.square(kept).mean(axis=1, keepdims=True))
    every = np.sqrt(np.square(sizes).mean(axis=1, keepdims=True))
    typical = np.where(trimmed > 0, trimmed, every)
    return np.asarray(np.where(typical > 0, typical, 1.0))
