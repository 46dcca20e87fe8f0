"""Equalisation: channels of the streams and of ReLU's middle layers rescaled so that no channel dwarfs the others.

A channel may be held divided by any positive t if whoever reads it multiplies its weights by t: the program computes
the same. Where a residual is added to channels of another t, it is multiplied on the way (``Dense.carry``). Every t is
a power of two, so not even a float32 changes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pocketbert.errors import InputError
from pocketbert.plan.int8.ranges import calibration_batch, peaks
from pocketbert.plan.structure import STREAM, Affine, Array, Attention, Dense, Embeddings, Int8, Norm, Program, Span
from pocketbert.runtime.batching import PackedBatch

__all__ = ["Channels", "equalise", "rescale", "trace"]

Double = NDArray[np.float64]
Ints = NDArray[np.int64]

_HOMOGENEOUS = ("linear", "relu")  # f(x / t) = f(x) / t
_LARGEST = 30  # t lies within 2 ** -30 .. 2 ** 30
_MILD = 4.0  # powers of two up to which half a wish is granted: a column is seldom at its peak, a weight always
_PATIENCE = 4.0  # powers of two by which a stream's t may miss what a reader wishes


@dataclass(frozen=True, eq=False)
class Channels:
    """Every channel that a program writes, numbered in the order of writing.

    Attributes:
        before: (count,) the channel that was added to a channel when it was written, an earlier one; itself if none.
        free: (count,) whether a channel may have a t other than 1.
        embedded: (W,) what is written to the stream before the projection.
        first: (W,) the stream after the embeddings.
        ends: (W,) the stream after each layer.
        read: ``id`` of a dense product -> (in,) its source.
        written: ``id`` of a dense product -> (out,) its target.
        added: ``id`` of a dense product with a residual -> (out,) that.
    """

    before: Ints
    free: NDArray[np.bool_]
    embedded: Ints
    first: Ints
    ends: list[Ints]
    read: dict[int, Ints]
    written: dict[int, Ints]
    added: dict[int, Ints]


def trace(program: Program) -> Channels:
    """Follow every channel through a program."""
    return _Tracer(program).channels()


def rescale(program: Program, channels: Channels, factors: Double) -> Program:
    """Return the program with every channel held divided by its factor.

    Args:
        program: a float program.
        channels: from ``trace`` of this program.
        factors: (count,) positive, 1 where a channel is not free.
    """
    assert (factors > 0).all() and (factors[~channels.free] == 1).all()

    def scaled(op: Dense) -> Dense:
        return _scaled_dense(op, channels, factors)

    e = program.embeddings
    before, after = factors[channels.embedded], factors[channels.first]
    e = replace(
        e,
        positions=_times(e.positions, 1 / before),
        types=None if e.types is None else _times(e.types, 1 / before),
        projection=None if e.projection is None else scaled(e.projection),
        norm=_scaled_norm(e.norm, after),
    )
    layers = tuple(
        replace(
            layer,
            ops=tuple(scaled(op) if isinstance(op, Dense) else op for op in layer.ops),
            state=_scaled_state(layer.state, factors[end], program.dtype),
        )
        for layer, end in zip(program.layers, channels.ends, strict=True)
    )
    branches = tuple(replace(branch, ops=tuple(map(scaled, branch.ops))) for branch in program.branches)
    state = _scaled_state(program.embeddings_state, after, program.dtype)
    return replace(program, embeddings=e, embeddings_state=state, layers=layers, branches=branches)


def equalise(program: Program, batch: PackedBatch | None = None) -> Program:
    """Even out the ranges of the channels, before quantisation; the program computes the same.

    A channel's t goes towards the square root of its range among the values over its range among the weights that read
    it, so that neither rounding gets all of the spread. A channel of a residual stream keeps its t for as long as that
    serves.

    Args:
        program: a float program.
        batch: typical texts; pseudo-random words where None.

    Raises:
        InputError: the program is quantised already.
    """
    if program.quantised:
        raise InputError("the plan is in int8 already; equalise the float plan, then quantise")
    channels = trace(program)
    seen = peaks(program, calibration_batch(program.config) if batch is None else batch)
    total, readers = np.zeros(len(channels.free)), np.zeros(len(channels.free))
    for op in program.denses():
        if id(op) not in seen:
            continue  # it stays in float32
        values, weights = seen[id(op)], np.abs(np.asarray(op.weight, np.float64)).max(axis=0)
        known = (values > 0) & (weights > 0)
        if not known.any():
            continue
        wish = 0.5 * np.log2(values[known] / weights[known])
        wish -= np.median(wish)
        np.add.at(total, channels.read[id(op)][known], wish - 0.5 * np.clip(wish, -_MILD, _MILD))
        np.add.at(readers, channels.read[id(op)][known], 1)
    exponents = np.clip(np.rint(_agreed(channels, total, readers)), -_LARGEST, _LARGEST)
    return rescale(program, channels, np.where(channels.free, 2.0**exponents, 1.0))


def _agreed(channels: Channels, total: Double, readers: Double) -> Double:
    """Return one exponent a channel, the mean of its readers' wishes.

    A channel takes the exponent of the one before it, unless their wishes are far apart: then the residual is
    multiplied on the way.
    """
    run = np.arange(len(total))
    for channel in range(len(total)):
        first = int(run[channels.before[channel]])
        if first == channel or not (channels.free[channel] and channels.free[first]):
            continue
        if readers[channel] and readers[first]:
            apart = total[channel] / readers[channel] - total[first] / readers[first]
            if abs(apart) > _PATIENCE:
                continue
        run[channel] = first
        total[first] += total[channel]
        readers[first] += readers[channel]
    return np.asarray((total / np.maximum(readers, 1))[run])


class _Tracer:
    """Numbers channels as they are written."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.now: dict[str, Ints] = {name: np.zeros(width, np.int64) for name, width in program.buffers.items()}
        self.before: list[Ints] = [np.zeros(1, np.int64)]  # channel 0: what nobody wrote
        self.count = 1
        self.held: list[Ints] = [np.zeros(1, np.int64)]
        self.read: dict[int, Ints] = {}
        self.written: dict[int, Ints] = {}
        self.added: dict[int, Ints] = {}

    def channels(self) -> Channels:
        embedded = self._embed(self.program.embeddings)
        first = self._get(self._stream)
        ends = []
        for layer in self.program.layers:
            for op in layer.ops:
                if isinstance(op, Attention):
                    self.held += [self._get(op.query), self._get(op.key)]
                    self.now[op.target.buffer][op.target.start : op.target.stop] = self._get(op.value)
                else:
                    self._dense(op)
            ends.append(self._get(self._stream))
        last = {name: channels.copy() for name, channels in self.now.items()}
        for branch in self.program.branches:
            self.now = {name: channels.copy() for name, channels in last.items()}
            for op in branch.ops:
                self._dense(op, held=True)
        free = np.ones(self.count, bool)
        free[np.concatenate(self.held)] = False
        before = np.concatenate(self.before)
        return Channels(before, free, embedded, first, ends, self.read, self.written, self.added)

    @property
    def _stream(self) -> Span:
        return Span(STREAM, 0, self.program.width)

    def _embed(self, e: Embeddings) -> Ints:
        if e.projection is None:
            # The word table goes in as it is, so only a norm behind it can be rescaled.
            embedded = self._new(self._stream, held=True)
            self._new(self._stream, held=e.norm is None)
            return embedded
        self._new(e.projection.source, held=True)
        embedded = self._new(self._stream)
        self._dense(e.projection)
        return embedded

    def _dense(self, op: Dense, *, held: bool = False) -> None:
        self.read[id(op)] = self._get(op.source)
        added = None
        if op.residual is not None:
            added = self.added[id(op)] = self._get(op.residual)
        held = held or (op.norm is None and op.activation not in _HOMOGENEOUS)
        self.written[id(op)] = self._new(op.target, None if op.norm is not None else added, held=held)

    def _get(self, span: Span) -> Ints:
        return np.array(self.now[span.buffer][span.start : span.stop])

    def _new(self, span: Span, before: Ints | None = None, *, held: bool = False) -> Ints:
        channels = np.arange(self.count, self.count + span.width)
        self.count += span.width
        self.before.append(channels if before is None else before)
        self.now[span.buffer][span.start : span.stop] = channels
        if held:
            self.held.append(channels)
        return channels


def _scaled_dense(op: Dense, channels: Channels, factors: Double) -> Dense:
    into, out = factors[channels.read[id(op)]], factors[channels.written[id(op)]]
    inside = np.ones_like(out) if op.norm is not None else out  # a norm needs its input as it is
    assert not isinstance(op.weight, Int8)
    carry = op.carry
    if op.residual is not None:
        change = factors[channels.added[id(op)]] / inside
        if (change != 1).any():
            carry = _times(np.ones(out.shape, op.bias.dtype) if carry is None else carry, change)
    weight = op.weight
    if (into != 1).any() or (inside != 1).any():  # an untouched weight, such as the word table, stays shared
        weight = _times(_times(weight, into), 1 / inside[:, None])
    return replace(op, weight=weight, bias=_times(op.bias, 1 / inside), carry=carry, norm=_scaled_norm(op.norm, out))


def _scaled_norm(norm: Norm | None, factor: Double) -> Norm | None:
    return None if norm is None else Norm(_times(norm.scale, 1 / factor), _times(norm.bias, 1 / factor), norm.eps)


def _scaled_state(state: Affine | None, factor: Double, dtype: np.dtype[np.generic]) -> Affine | None:
    if state is not None:
        return Affine(_times(state.scale, factor), state.shift)
    return None if (factor == 1).all() else Affine(factor.astype(dtype), np.zeros(factor.shape, dtype))


def _times(array: Array, factor: Double) -> Array:
    return np.asarray(array * factor.astype(array.dtype))
