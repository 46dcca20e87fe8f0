"""Engines of a checkpoint, loaded and timed in turn."""

from __future__ import annotations

import copy
import os
import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar, cast

import numpy as np

from pocketbert.checkpoint.opened import Opened
from pocketbert.runtime.batching import Row, Runner
from pocketbert.runtime.registry import load_runner

__all__ = ["ENGINES", "Engine", "interleaved", "load", "mixed_lengths", "rows", "with_threads"]

Engine = tuple[str, str]  # runtime, dtype
ENGINES: tuple[Engine, ...] = (
    ("native", "float32"),
    ("native", "int8"),
    ("onnx", "float32"),
    ("onnx", "int8"),
    ("torch", "float32"),
)

_PAUSE = 0.02  # seconds before a turn: an engine's threads may spin for a while after its work

K = TypeVar("K", bound=Hashable)


def load(source: str | os.PathLike[str] | Opened, head: str, engine: Engine, threads: int) -> Runner:
    """Load one engine.

    Raises:
        MissingExtra: what the engine needs is not installed.
        InputError, CheckpointError: it cannot run this checkpoint in this dtype.
    """
    runtime, dtype = engine
    return load_runner(source, head, runtime, dtype=dtype, threads=threads)


def with_threads(runner: Runner, source: str | os.PathLike[str] | Opened, engine: Engine, threads: int) -> Runner:
    """Return an engine with another number of threads; only ONNX Runtime has to load it again for that."""
    if engine[0] == "onnx":
        return load(source, runner.head, engine, threads)
    other: Any = copy.copy(runner)
    other.threads = threads
    return cast(Runner, other)


def rows(lengths: Sequence[int], vocabulary: int, head: str) -> list[Row]:
    """Return texts of pseudo-random words, the same on every call; of each, one word is asked of a language model."""
    generator = np.random.default_rng(0)
    positions = [0] if head == "masked_lm" else None
    return [Row(generator.integers(0, vocabulary, length).tolist(), positions=positions) for length in lengths]


def mixed_lengths(count: int, most: int) -> list[int]:
    """Return lengths as short texts have them: log-normal, median 24, within 4 .. 128 and within ``most``."""
    drawn = np.random.default_rng(0).lognormal(np.log(24), 0.7, count)
    return [int(length) for length in np.minimum(np.clip(drawn.round(), 4, 128), most)]


def interleaved(
    calls: Mapping[K, Callable[[], object]], seconds: float, *, fewest: int, most: int, repeats: int = 1
) -> dict[K, float]:
    """Return each call's median seconds. Calls take turns, so that a slow moment of the machine hits all of them.

    Args:
        calls: what to time.
        seconds: no round is begun later than this.
        fewest: rounds that are run whatever they take.
        most: rounds that are enough.
        repeats: how often a call is timed in its turn. Where it is more than once, one untimed call goes before: others
            have emptied the caches meanwhile.
    """
    times: dict[K, list[float]] = {name: [] for name in calls}
    names = list(calls)
    begin = time.perf_counter()
    for number in range(most):
        if number >= fewest and time.perf_counter() - begin > seconds:
            break
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            time.sleep(_PAUSE)
            if repeats > 1:
                calls[name]()
            for _ in range(repeats):
                start = time.perf_counter()
                calls[name]()
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in times.items()}
