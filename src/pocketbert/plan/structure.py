"""What a runtime runs: embeddings, then dense products on named buffers, with attention between them.

A plan is plain data. Each buffer has one row per token; every operation reads and writes columns of buffers, and all
but attention are *row-local*: a row of the target depends on the same row of the sources alone. So an engine may take a
block of rows through all operations between two attentions. Only the residual stream, the buffer ``x``, lives on from
one layer to the next and to the branches; within a layer, no operation after the attention overwrites its keys and
values.

Shapes: N tokens of all texts, laid end to end, W width of the residual stream, V vocabulary, E width of the word table,
P positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from pocketbert.architecture.config import PretrainedConfig

__all__ = [
    "ACTIVATIONS",
    "STREAM",
    "Affine",
    "Array",
    "Attention",
    "Branch",
    "Dense",
    "Embeddings",
    "Int8",
    "Layer",
    "Norm",
    "Op",
    "Plan",
    "Span",
]

Array: TypeAlias = NDArray[Any]

# "gelu" is the erf form, "gelu_new" the tanh form
ACTIVATIONS = ("linear", "relu", "relu6", "gelu", "gelu_new", "silu", "tanh")
STREAM = "x"  # the buffer of the residual stream, W wide


@dataclass(frozen=True)
class Span:
    """Columns ``start`` to ``stop`` of a buffer."""

    buffer: str
    start: int
    stop: int

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.stop - self.start

    def overlaps(self, other: Span) -> bool:
        """Whether both have a column in common."""
        return self.buffer == other.buffer and self.start < other.stop and other.start < self.stop


@dataclass(frozen=True, eq=False)
class Norm:
    """Layer normalization over the columns: ``(y - mean) / sqrt(variance + eps) * scale + bias``, population variance.

    Scale and bias are (out,).
    """

    scale: Array
    bias: Array
    eps: float


@dataclass(frozen=True, eq=False)
class Int8:
    """A weight in 8 bits, symmetric per output channel; some input columns may stay in float32 beside it.

    A word table is stored in the same way: a word is an output channel, with its own scale, and has no outlier columns.

    Attributes:
        values: (out, in) int8 in -127 .. 127; 0 in the columns of ``outliers``.
        scale: (out,) float32; ``values * scale`` approximates the weight.
        outliers: (n,) int64, ascending input columns that stay in float32; they don't count for any scale.
        outlier_weight: (out, n) float32, the weight's columns at ``outliers``.
    """

    values: Array
    scale: Array
    outliers: Array
    outlier_weight: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """(out, in)."""
        return self.values.shape


@dataclass(frozen=True, eq=False)
class Dense:
    """``target = norm(activation(source @ weight.T + bias) + residual_scale * residual)``.

    ``target`` may be the same span as ``residual`` (an update in place) and never overlaps ``source``.

    Attributes:
        source: what is multiplied, ``in`` columns.
        target: what is written, ``out`` columns.
        weight: (out, in) float, or ``Int8``.
        bias: (out,).
        activation: one of ``ACTIVATIONS``.
        residual: what is added after the activation, ``out`` columns, or None.
        residual_scale: (out,) factors of the residual; None means 1, as in nearly every operation.
        norm: a layer normalization after the addition, or None.
    """

    source: Span
    target: Span
    weight: Array | Int8
    bias: Array
    activation: str = "linear"
    residual: Span | None = None
    residual_scale: Array | None = None
    norm: Norm | None = None


@dataclass(frozen=True)
class Attention:
    """Attention of every token of a text to every token of the same text, the only operation that mixes rows.

    ``target = softmax(query @ key.T) @ value`` for each head; ``1 / sqrt(head_size)`` is already in the queries. Head h
    has columns ``h * head_size`` to ``(h + 1) * head_size`` of all four spans. ``target`` overlaps none of the others.
    Pruned heads do not count.
    """

    query: Span
    key: Span
    value: Span
    target: Span
    heads: int

    @property
    def head_size(self) -> int:
        """Columns of a head."""
        return self.query.width // self.heads


Op: TypeAlias = Dense | Attention
_T = TypeVar("_T", Dense, Op)


@dataclass(frozen=True, eq=False)
class Embeddings:
    """What the residual stream ``x`` is before the first layer.

    Without ``projection``: ``x = norm(words[id] + positions[t] + types[type])``; E equals W. With it,
    ``x = positions[t] + types[type]`` is written first, and then ``projection`` runs: its source is the gathered word
    vectors, its residual and target are ``x``, and it has the norm.

    Positions count from 0 in each text. With ``trigram`` a token's gathered vector is that of the next token, its own,
    and that of the previous one, 3 E wide, with zeros beyond the text's two ends.

    Attributes:
        words: (V, E) float, or ``Int8`` without outliers.
        positions: (P, W), with the first token type's row and the projection's bias folded in.
        types: (token types, W) differences to the first type, whose row is 0; None where the model has no types.
        trigram: gather neighbors too; only with a projection.
        projection: dense product from the gathered vectors to ``x``, its bias 0, or None.
        norm: a layer normalization; only without a projection.
    """

    words: Array | Int8
    positions: Array
    types: Array | None
    trigram: bool = False
    projection: Dense | None = None
    norm: Norm | None = None


@dataclass(frozen=True, eq=False)
class Affine:
    """``scale * x + shift`` per channel: the original model's hidden state, from a stream whose norms are folded away.

    Scale and shift are (W,).
    """

    scale: Array
    shift: Array


@dataclass(frozen=True, eq=False)
class Layer:
    """One transformer layer: it reads ``x`` and leaves the next ``x``.

    Attributes:
        ops: in order; exactly one is an ``Attention``.
        to_hidden: from ``x`` after this layer to its hidden state; None where they are equal.
    """

    ops: tuple[Op, ...]
    to_hidden: Affine | None = None


@dataclass(frozen=True, eq=False)
class Branch:
    """The operations that compute one answer of a head from the last ``x``.

    Attributes:
        name: the answer's name, or ``"pooled"`` for the pooler of a bare encoder.
        rows: ``"first"``: only the first token of each text counts; ``"tokens"``: every token, or those asked for.
        ops: in order; the target of the last one is the result. They read ``x`` itself, without ``Layer.to_hidden``.
    """

    name: str
    rows: Literal["first", "tokens"]
    ops: tuple[Dense, ...]

    @property
    def target(self) -> Span:
        """Where the result is."""
        return self.ops[-1].target


@dataclass(frozen=True, eq=False)
class Plan:
    """A model as a runtime runs it.

    Attributes:
        config: the architecture and the labels.
        head: the head that the model has.
        buffers: name -> columns. ``x`` is the residual stream.
        embeddings: what ``x`` is before the first layer.
        embeddings_to_hidden: from that ``x`` to the first hidden state; None where they are equal.
        layers: in order.
        branches: one for each answer; a pre-training model has two.
        measured: agreement of an int8 plan with its float32 one (see ``int8.agreement``); empty for a float plan.
    """

    config: PretrainedConfig
    head: str
    buffers: dict[str, int]
    embeddings: Embeddings
    embeddings_to_hidden: Affine | None
    layers: tuple[Layer, ...]
    branches: tuple[Branch, ...]
    measured: dict[str, float] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """W, the columns of the residual stream."""
        return self.buffers[STREAM]

    @property
    def stream(self) -> Span:
        """All columns of the residual stream."""
        return Span(STREAM, 0, self.width)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of every floating-point array."""
        return self.embeddings.positions.dtype

    @property
    def quantized(self) -> bool:
        """Whether any weight or table is in int8."""
        weights = [op.weight for op in self.dense_ops()]
        return any(isinstance(weight, Int8) for weight in (self.embeddings.words, *weights))

    @property
    def to_hidden(self) -> Affine | None:
        """From the last ``x`` to the last hidden state; None where they are equal."""
        return self.layers[-1].to_hidden

    def branch(self, name: str) -> Branch | None:
        """Return the branch of this name, or None."""
        return next((branch for branch in self.branches if branch.name == name), None)

    def dense_ops(self) -> Iterator[Dense]:
        """Yield every dense product in order: the projection, those of the layers, those of the branches."""
        if self.embeddings.projection is not None:
            yield self.embeddings.projection
        for layer in self.layers:
            yield from (op for op in layer.ops if isinstance(op, Dense))
        for branch in self.branches:
            yield from branch.ops

    def map_dense(self, change: Callable[[Dense], Dense]) -> Plan:
        """Return the plan with every dense product replaced by ``change`` of it."""
        projection = self.embeddings.projection

        def changed(ops: tuple[_T, ...]) -> tuple[_T, ...]:
            return tuple(change(op) if isinstance(op, Dense) else op for op in ops)

        return replace(
            self,
            embeddings=replace(self.embeddings, projection=None if projection is None else change(projection)),
            layers=tuple(replace(layer, ops=changed(layer.ops)) for layer in self.layers),
            branches=tuple(replace(branch, ops=changed(branch.ops)) for branch in self.branches),
        )

    def map_to_hidden(self, change: Callable[[Affine | None, int], Affine | None]) -> Plan:
        """Return the plan with ``change(to_hidden, n)`` for every ``to_hidden``; n counts the layers before it."""
        layers = (replace(layer, to_hidden=change(layer.to_hidden, n)) for n, layer in enumerate(self.layers, 1))
        return replace(self, embeddings_to_hidden=change(self.embeddings_to_hidden, 0), layers=tuple(layers))
