"""Timing of calls that take turns, because a machine's speed drifts while it does other work."""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

__all__ = ["interleaved", "medians"]

K = TypeVar("K", bound=Hashable)


def interleaved(
    calls: Mapping[K, Callable[[], object]],
    rounds: int,
    *,
    pause: float = 0.02,
    seed: int = 0,
    warmups: int = 0,
    repeats: int = 1,
    fewest: int = 1,
    seconds: float = math.inf,
) -> dict[K, list[float]]:
    """Time calls in rounds: in each, every call has one turn, so that a slow moment of the machine affects all of them.

    Args:
        calls: what to time, by name.
        rounds: rounds to time.
        pause: seconds to sleep before each turn: an engine's threads may spin for a while after their work.
        seed: of the order of the turns, which is drawn anew for every round.
        warmups: rounds that are run first and not timed.
        repeats: how often a call is timed in its turn. If more than once, an untimed call precedes them, because the
            other calls have evicted its data from the caches.
        fewest: rounds that are run however long they take.
        seconds: after these, no further round starts.

    Returns:
        Name -> seconds of each timed call.
    """
    times: dict[K, list[float]] = {name: [] for name in calls}
    names, order = list(calls), random.Random(seed)
    begin = time.perf_counter()
    for number in range(-warmups, rounds):
        if number >= fewest and time.perf_counter() - begin > seconds:
            break
        for name in order.sample(names, len(names)):
            time.sleep(pause)
            if repeats > 1 or number < 0:
                calls[name]()
            for _ in range(repeats if number >= 0 else 0):
                start = time.perf_counter()
                calls[name]()
                times[name].append(time.perf_counter() - start)
    return times


def medians(times: Mapping[K, list[float]]) -> dict[K, float]:
    """Return the median of each name's times."""
    return {name: statistics.median(values) for name, values in times.items()}
