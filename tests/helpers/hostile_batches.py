"""Batches of every kind, of which few can be run."""

from __future__ import annotations

import random

import numpy as np

from pocketbert.runtime.batching import PackedBatch


def random_array(chance: random.Random):
    """An array, or something like one, that may or may not be what a batch holds."""
    length = chance.choice((0, 1, 2, 5, 33, 41, 300))
    values = np.array([chance.choice((0, 1, 5, 30, 31, 40, -1, 2**31, -(2**63))) for _ in range(length)], np.int64)
    if chance.random() < 0.5:
        values = np.arange(length, dtype=np.int64) % 31
    kind = chance.randrange(8)
    if kind == 0:
        return values.astype(chance.choice((np.int32, np.uint8, np.float32, np.float64, bool, object)))
    if kind == 1:
        return values[:: chance.choice((-1, 2))]
    if kind == 2:
        return values.reshape(chance.choice(((1, -1), (-1, 1), (1, -1, 1))))
    if kind == 3:
        return chance.choice((None, [], [0, 1], 5, "ids", values.tolist(), np.int64(3)))
    if kind == 4:
        return values.astype(">i8")
    if kind == 5:
        return np.broadcast_to(np.int64(1), (length,))
    return values


def random_batch(chance: random.Random) -> PackedBatch:
    """Return a batch whose parts may or may not be what they should, and fit each other."""
    ids = random_array(chance)
    count = len(ids) if isinstance(ids, np.ndarray) and ids.ndim else 3
    ends = chance.choice((random_array(chance), np.array([0, count], np.int64), np.array([0, 1, count], np.int64)))
    types = chance.choice((None, random_array(chance), np.ones(count, np.int64)))
    return PackedBatch(ids, types, ends, chance.choice((None, None, (random_array(chance),))))
