"""Which column of a buffer holds which channel, and where each is read: what centering and equalization change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketbert.plan.structure import Attention, Dense, Embeddings, Plan, Span

__all__ = ["Channels", "Double", "trace"]

Double = NDArray[np.float64]
Ints = NDArray[np.int64]

_HOMOGENEOUS = ("linear", "relu")  # f(x / t) = f(x) / t


@dataclass(frozen=True, eq=False)
class Channels:
    """Every channel that a plan writes, numbered in the order of writing.

    Attributes:
        before: (count,) the earlier channel that was added to a channel as its residual; itself if none.
        free: (count,) whether a channel may be rescaled.
        embedded: (W,) the stream as written before the projection.
        first: (W,) the stream after the embeddings.
        ends: (W,) the stream after each layer.
        read: dense product -> (in,) its source.
        written: dense product -> (out,) its target.
        added: dense product with a residual -> (out,) its residual.
    """

    before: Ints
    free: NDArray[np.bool_]
    embedded: Ints
    first: Ints
    ends: list[Ints]
    read: dict[Dense, Ints]
    written: dict[Dense, Ints]
    added: dict[Dense, Ints]

    def end(self, layer: int) -> Ints:
        """(W,): the stream after a layer, or for -1 after the embeddings."""
        return self.first if layer < 0 else self.ends[layer]


def trace(plan: Plan) -> Channels:
    """Follow every channel through a plan."""
    return _Tracer(plan).channels()


class _Tracer:
    """Numbers channels as they are written."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.now: dict[str, Ints] = {name: np.zeros(width, np.int64) for name, width in plan.buffers.items()}
        self.before: list[Ints] = [np.zeros(1, np.int64)]  # channel 0: columns that were never written
        self.fixed: list[Ints] = [np.zeros(1, np.int64)]
        self.count = 1
        self.read: dict[Dense, Ints] = {}
        self.written: dict[Dense, Ints] = {}
        self.added: dict[Dense, Ints] = {}

    def channels(self) -> Channels:
        embedded = self._embed(self.plan.embeddings)
        first = self._get(self.plan.stream)
        ends = []
        for layer in self.plan.layers:
            for op in layer.ops:
                if isinstance(op, Attention):
                    self.fixed += [self._get(op.query), self._get(op.key)]
                    self.now[op.target.buffer][op.target.start : op.target.stop] = self._get(op.value)
                else:
                    self._dense(op)
            ends.append(self._get(self.plan.stream))
        last = self.now
        for branch in self.plan.branches:
            self.now = {name: channels.copy() for name, channels in last.items()}
            for op in branch.ops:
                self._dense(op, fixed=True)
        free = np.ones(self.count, bool)
        free[np.concatenate(self.fixed)] = False
        before = np.concatenate(self.before)
        return Channels(before, free, embedded, first, ends, self.read, self.written, self.added)

    def _embed(self, e: Embeddings) -> Ints:
        if e.projection is None:
            # The word table is not rescaled, so only a norm after it makes its channels free.
            embedded = self._new(self.plan.stream, fixed=True)
            self._new(self.plan.stream, fixed=e.norm is None)
            return embedded
        self._new(e.projection.source, fixed=True)
        embedded = self._new(self.plan.stream)
        self._dense(e.projection)
        return embedded

    def _dense(self, op: Dense, *, fixed: bool = False) -> None:
        self.read[op] = self._get(op.source)
        added = None
        if op.residual is not None:
            added = self.added[op] = self._get(op.residual)
        fixed = fixed or (op.norm is None and op.activation not in _HOMOGENEOUS)
        self.written[op] = self._new(op.target, None if op.norm is not None else added, fixed=fixed)

    def _get(self, span: Span) -> Ints:
        return np.array(self.now[span.buffer][span.start : span.stop])

    def _new(self, span: Span, before: Ints | None = None, *, fixed: bool = False) -> Ints:
        channels = np.arange(self.count, self.count + span.width)
        self.count += span.width
        self.before.append(channels if before is None else before)
        self.now[span.buffer][span.start : span.stop] = channels
        if fixed:
            self.fixed.append(channels)
        return channels
