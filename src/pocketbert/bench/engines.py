"""The engines that run a checkpoint, and the rows that they are timed on."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from pocketbert.checkpoint.opened import Opened
from pocketbert.runtime.batching import Row, Runner
from pocketbert.runtime.registry import load_runner

__all__ = ["ENGINES", "Engine", "load", "mixed_lengths", "rows", "with_threads"]

Engine = tuple[str, str]  # runtime, dtype
ENGINES: tuple[Engine, ...] = (
    ("native", "float32"),
    ("native", "int8"),
    ("onnx", "float32"),
    ("onnx", "int8"),
    ("torch", "float32"),
)


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
