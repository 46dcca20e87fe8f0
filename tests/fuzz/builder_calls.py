"""The engine's own entry, ``pocketbert._native``, called without the checks that Python makes before."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from fuzz.target import Calls, Difference
from pocketbert.runtime import native

__all__ = ["BuilderCalls"]

_WIDTH = 8
_REFUSALS = (ValueError, TypeError)


def _values(chance: random.Random, *shape: int, dtype: Any = np.float32) -> Any:
    """Return an array of that shape and type; sometimes another, or none."""
    if chance.random() < 0.04:
        shape = tuple(chance.choice((0, 1, size, size + 1, 2 * size)) for size in shape)
    if chance.random() < 0.02:
        shape = chance.choice(((), (1, *shape), shape[:-1]))
    if dtype is np.float32:
        array: Any = np.random.default_rng(chance.randrange(9)).standard_normal(shape).astype(np.float32)
        if array.size and chance.random() < 0.02:
            array.flat[chance.randrange(array.size)] = chance.choice((np.nan, np.inf, 3e38, -0.0))
    else:
        array = np.random.default_rng(chance.randrange(9)).integers(-9, 9, shape).astype(dtype)
        if array.size and chance.random() < 0.02:
            array.flat[chance.randrange(array.size)] = chance.choice((-128, 127))
    kind = chance.randrange(60)
    if kind == 0:
        return array.astype(chance.choice((np.float64, np.int32, np.float16, ">f4", bool, object)))
    if kind == 1:
        return np.asfortranarray(array)
    if kind == 2 and array.ndim:
        return array[::-1]
    if kind == 3:
        return chance.choice((None, array.tolist(), "x", 5))
    return array


def _number(chance: random.Random, usual: int) -> Any:
    if chance.random() < 0.95:
        return usual
    return chance.choice((-1, 0, 1, usual + 1, 2 * usual, 2**31, 2**62, 2**63, -(2**63), None, 1.5, "1"))


def _columns(chance: random.Random, buffers: int) -> Any:
    start, width = (0, _WIDTH) if chance.random() < 0.8 else chance.choice(((0, 4), (4, 4), (2, 4)))
    buffer = chance.randrange(max(buffers, 1))
    return _number(chance, buffer), _number(chance, start), _number(chance, start + width)


def _width(columns: Any) -> int:
    """Return the width of a span, as far as it has one that memory can hold."""
    try:
        return min(max(int(columns[2]) - int(columns[1]), 0), 32)
    except (TypeError, ValueError):
        return _WIDTH


class BuilderCalls(Calls):
    """Each number chooses a call of a builder and its arguments; what ``finish`` gives is run."""

    refusals = _REFUSALS
    calls = 1500
    memory_gib = 4

    def begin(self, folder: Path) -> list[bytes]:
        """See ``Target``."""
        chance = random.Random(0)
        return [json.dumps([chance.randrange(2**32) for _ in range(size)]).encode() for size in range(1, 20)]

    def run(self, data: bytes) -> str:
        """See ``Target``."""
        extension = native._extension()
        numbers = json.loads(data) or [0]
        chance = random.Random(numbers[0])
        builder = extension.Builder(chance.choice(extension.paths()))
        buffers = [builder.buffer(_WIDTH) for _ in range(2)]
        positions, branches, refused = chance.choice((4, 40)), 0, 0
        typed = chance.random() < 0.5
        for kind, number in enumerate([0, *numbers[1:]]):
            chance = random.Random(number)
            try:
                if not kind:
                    self._embeddings(extension, builder, chance, positions, typed)
                    self._whole(extension, builder, 1)
                else:
                    branches += self._call(extension, builder, chance, buffers)
            except _REFUSALS:
                refused += 1
        engine = builder.finish()
        self._run(engine, random.Random(numbers[-1]), positions, branches)
        return f"{engine.path} {min(len(numbers), 6)} calls, {refused > 0} refused, {branches} branches"

    def _weight(self, extension: Any, chance: random.Random, rows: int, columns: int, outliers: bool = True) -> Any:
        if chance.random() < 0.5:
            return extension.Weight.floats(_values(chance, rows, columns))
        values = _values(chance, rows, columns, dtype=np.int8)
        apart = sorted(chance.sample(range(columns), min(columns, chance.randrange(3)))) if outliers else []
        if isinstance(values, np.ndarray) and values.ndim == 2 and chance.random() < 0.95:
            values = values.copy()
            values[:, [place for place in apart if place < values.shape[1]]] = 0
        scale = _values(chance, rows)
        if isinstance(scale, np.ndarray) and scale.dtype != object and chance.random() < 0.95:
            scale = abs(scale)
        return extension.Weight.int8(values, scale, np.array(apart, np.int64), _values(chance, rows, len(apart)))

    def _embeddings(self, extension: Any, builder: Any, chance: random.Random, positions: int, typed: bool) -> None:
        words, types = extension.Weight.floats(_values(chance, 31, _WIDTH)), None
        if typed:
            types = _values(chance, 2, _WIDTH)
        norm = self._norm(chance, _WIDTH)
        builder.embeddings(words, _values(chance, positions, _WIDTH), types, False, None, norm)

    def _whole(self, extension: Any, builder: Any, target: int) -> None:
        """Write a buffer from the stream, as it should be."""
        weight = extension.Weight.floats(np.eye(_WIDTH, dtype=np.float32))
        bias = np.ones(_WIDTH, np.float32)
        builder.dense((0, 0, _WIDTH), (target, 0, _WIDTH), weight, bias, "gelu", None, None, None)

    def _norm(self, chance: random.Random, width: int) -> Any:
        if chance.random() < 0.6:
            return None
        return _values(chance, width), _values(chance, width), chance.choice((1e-12, 1e-5, 0.0, -1.0, float("nan")))

    def _call(self, extension: Any, builder: Any, chance: random.Random, buffers: list[int]) -> int:
        """Call a method; return how many branches that began."""
        kind = chance.randrange(12)
        if kind == 0:
            buffers.append(builder.buffer(_number(chance, _WIDTH)))
            self._whole(extension, builder, buffers[-1])
        elif kind == 1:
            builder.branch()
            if chance.random() < 0.95:
                self._whole(extension, builder, 1)
            return 1
        elif kind == 2:
            builder.state(_values(chance, _WIDTH), _values(chance, _WIDTH))
        elif kind == 3:
            gathered = _number(chance, chance.randrange(len(buffers)))
            words = self._weight(extension, chance, 31, chance.choice((4, _WIDTH)), outliers=chance.random() < 0.1)
            trigram = chance.random() < 0.5
            builder.embeddings(words, _values(chance, 40, _WIDTH), None, trigram, gathered, self._norm(chance, _WIDTH))
        elif kind in (4, 5):
            spans = [_columns(chance, len(buffers)) for _ in range(4)]
            builder.attention(*spans, _number(chance, chance.choice((1, 2, 4))))
        elif kind == 6 and chance.random() < 0.1:
            builder.finish()
        else:
            source, target = _columns(chance, len(buffers)), _columns(chance, len(buffers))
            width = _width(target)
            residual = _columns(chance, len(buffers)) if chance.random() < 0.3 else None
            carry = _values(chance, width) if residual is not None and chance.random() < 0.5 else None
            weight = self._weight(extension, chance, width, _width(source))
            activation = chance.choice(("linear", "relu", "gelu", "gelu_new", "tanh", "silu", "x"))
            norm = self._norm(chance, width)
            builder.dense(source, target, weight, _values(chance, width), activation, residual, carry, norm)
        return 0

    def _run(self, engine: Any, chance: random.Random, positions: int, branches: int) -> None:
        """Run batches of every kind; what is taken twice gives the same bits."""
        for hostile in (False, True, True, True):
            lengths = [chance.randrange(1, positions + 1) for _ in range(3)]
            total = sum(lengths)
            ids = np.array([chance.randrange(31) for _ in range(total)], np.int64)
            ends = np.cumsum([0, *lengths])
            types = chance.choice((None, np.zeros(total, np.int64)))
            branch = chance.choice((None, *range(branches)))
            rows = chance.choice((None, np.array([0, total - 1])))
            threads: Any = 2
            width = engine.result_width(branch)
            if hostile:
                ids, ends = _hostile(ids, chance), _hostile(ends, chance)
                types = None if types is None else _hostile(types, chance)
                rows = None if rows is None else _hostile(rows, chance)
                branch, threads = _number(chance, branch or 0), _number(chance, 2)
            found = []
            for _ in range(2):
                height = len(ids) if rows is None else len(rows)
                out = np.full((height, width), np.nan, np.float32)
                if hostile and chance.random() < 0.05:
                    out = chance.choice((out[:, ::2], out[:-1], out.astype(np.float64), out.T))
                try:
                    engine.run(ids, types, ends, branch, rows, threads, out)
                except _REFUSALS:
                    found.append(b"")
                    continue
                found.append(out.tobytes())
            if found[0] and found[1] and found[0] != found[1]:
                raise Difference("an engine gave two answers for the same batch")


def _hostile(array: Any, chance: random.Random) -> Any:
    if chance.random() < 0.6:
        return array
    array = array.copy()
    kind = chance.randrange(6)
    if kind == 0:
        return array[:-1]
    if kind == 1:
        return array[::-1]
    if kind == 2:
        return array.astype(chance.choice((np.int32, np.float64, ">i8")))
    if kind == 3:
        return array[None]
    array[chance.randrange(len(array))] = chance.choice((-1, 0, 31, 2**31, 2**62, -(2**63), 2**63 - 1, len(array)))
    return array
