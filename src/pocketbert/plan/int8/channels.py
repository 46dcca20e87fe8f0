"""Which column of a buffer holds which channel, and where each is read: what centering and equalization change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pocketbert.plan.structure import Attention, Dense, Plan, Span

__all__ = ["Channels", "Double"]

Double = NDArray[np.float64]
Ints = NDArray[np.int64]

_HOMOGENEOUS = ("linear", "relu")  # f(x / t) = f(x) / t


class Channels:
    """Every channel that a plan writes, numbered in the order of writing.

    Attributes:
        before: (count,) the earlier channel that was added to a channel as its residual; itself if none.
        free: (count,) whether a channel may be rescaled.
        embedded: (W,) the stream as written before the projection.
        streams: (W,) the stream after the embeddings, then after each layer.
        read: dense product -> (in,) its source.
        written: dense product -> (out,) its target.
        added: dense product with a residual -> (out,) its residual.
    """

    def __init__(self, plan: Plan) -> None:
        self.read: dict[Dense, Ints] = {}
        self.written: dict[Dense, Ints] = {}
        self.added: dict[Dense, Ints] = {}
        self._now: dict[str, Ints] = {name: np.zeros(width, np.int64) for name, width in plan.buffers.items()}
        self._count = 1  # channel 0: columns that were never written
        self._before: list[Ints] = [np.zeros(1, np.int64)]
        self._fixed: list[Ints] = [np.zeros(1, np.int64)]

        e = plan.embeddings
        if e.projection is None:
            # The word table is not rescaled, so only a norm after it makes its channels free.
            self.embedded = self._new(plan.stream, fixed=True)
            self._new(plan.stream, fixed=e.norm is None)
        else:
            self._new(e.projection.source, fixed=True)
            self.embedded = self._new(plan.stream)
            self._dense(e.projection)
        self.streams = [self._get(plan.stream)]
        for layer in plan.layers:
            for op in layer.ops:
                if isinstance(op, Attention):
                    self._fixed += [self._get(op.query), self._get(op.key)]
                    self._now[op.target.buffer][op.target.start : op.target.stop] = self._get(op.value)
                else:
                    self._dense(op)
            self.streams.append(self._get(plan.stream))
        last = self._now
        for branch in plan.branches:
            self._now = {name: channels.copy() for name, channels in last.items()}
            for op in branch.ops:
                self._dense(op, fixed=True)
        self.before = np.concatenate(self._before)
        self.free = np.ones(self._count, bool)
        self.free[np.concatenate(self._fixed)] = False

    def _dense(self, op: Dense, *, fixed: bool = False) -> None:
        self.read[op] = self._get(op.source)
        added = None
        if op.residual is not None:
            added = self.added[op] = self._get(op.residual)
        fixed = fixed or (op.norm is None and op.activation not in _HOMOGENEOUS)
        self.written[op] = self._new(op.target, None if op.norm is not None else added, fixed=fixed)

    def _get(self, span: Span) -> Ints:
        return np.array(self._now[span.buffer][span.start : span.stop])

    def _new(self, span: Span, before: Ints | None = None, *, fixed: bool = False) -> Ints:
        channels = np.arange(self._count, self._count + span.width)
        self._count += span.width
        self._before.append(channels if before is None else before)
        self._now[span.buffer][span.start : span.stop] = channels
        if fixed:
            self._fixed.append(channels)
        return channels
