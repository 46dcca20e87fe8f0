"""Which examples a step sees: a function of the seed and the step alone, so that a run can go on anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["Order", "Share", "random_of"]

_SORTED_TOGETHER = 50  # batches among which texts are sorted by length


def random_of(seed: int, *place: int) -> np.random.Generator:
    """Return a generator whose numbers depend on a seed and a place (an epoch, a step) and on nothing else."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *place])))


@dataclass(frozen=True)
class Share:
    """What one process does in one pass of a step.

    Attributes:
        step: the step, from 0.
        examples: the indices of its examples.
        real: False for a stand-in, whose loss counts nothing: every process makes as many passes as the others.
    """

    step: int
    examples: tuple[int, ...]
    real: bool


@dataclass(frozen=True, eq=False)
class Order:
    """The batches of all steps.

    Attributes:
        sizes: the length of every example.
        batch_size: examples of a step, over all processes; the last step of an epoch may have fewer.
        seed: of the shuffling.
        grouped: whether a batch holds examples of similar length.
    """

    sizes: NDArray[np.int64]
    batch_size: int
    seed: int
    grouped: bool = True

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every example is seen once."""
        return -(-len(self.sizes) // self.batch_size)

    def batch(self, step: int) -> NDArray[np.int64]:
        """Return the examples of a step."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return _epoch(self, epoch)[place]

    def shares(self, step: int, rank: int, processes: int, most: int | None) -> list[Share]:
        """Return what process ``rank`` of ``processes`` does in a step, at most ``most`` examples at a time."""
        batch = self.batch(step)
        largest = -(-len(batch) // processes)
        most = min(most or largest, largest)
        mine = batch[rank::processes].tolist()
        shares = []
        for start in range(0, largest, most):
            part = tuple(mine[start : start + most])
            shares.append(Share(step, part or (int(batch[0]),), bool(part)))
        return shares


@lru_cache(maxsize=2)
def _epoch(order: Order, epoch: int) -> Sequence[NDArray[np.int64]]:
    return list(_batches(order, epoch))


def _batches(order: Order, epoch: int) -> Iterator[NDArray[np.int64]]:
    random = random_of(order.seed, epoch)
    shuffled = random.permutation(len(order.sizes))
    if not order.grouped:
        yield from (shuffled[start : start + order.batch_size] for start in range(0, len(shuffled), order.batch_size))
        return
    batches = []
    for start in range(0, len(shuffled), _SORTED_TOGETHER * order.batch_size):
        part = shuffled[start : start + _SORTED_TOGETHER * order.batch_size]
        part = part[np.argsort(-order.sizes[part], kind="stable")]
        batches += [part[first : first + order.batch_size] for first in range(0, len(part), order.batch_size)]
    yield from (batches[place] for place in random.permutation(len(batches)))
