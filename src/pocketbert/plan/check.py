"""The check of a plan: every shape, span, name and value, so that engines need not check them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from pocketbert.architecture.heads import HEADS
from pocketbert.errors import CheckpointError
from pocketbert.plan.structure import ACTIVATIONS, STREAM, Affine, Array, Attention, Dense, Int8, Norm, Op, Plan, Span

__all__ = ["check_plan", "check_structure", "used_buffers"]

# The native engine has the same two limits. A thread keeps some hundred rows of every buffer.
_MAX_COLUMNS = 2**20  # of all buffers; the widest real one holds logits of the vocabulary
_MAX_BUFFERS = 256
_MAX_REPEATS = 2  # how often the numbers of weights may be used; a decoder shares the word table
_INT8_DTYPES = {"values": np.int8, "scale": np.float32, "outliers": np.int64, "outlier_weight": np.float32}


def used_buffers(plan: Plan) -> dict[str, int]:
    """Return every buffer that operations use, with the columns that they need."""
    widths = {STREAM: plan.embeddings.positions.shape[-1]}
    ops: list[Op] = [op for layer in plan.layers for op in layer.ops]
    for span in (span for op in (*ops, *plan.dense_ops()) for span in (*_reads(op), op.target)):
        widths[span.buffer] = max(widths.get(span.buffer, 0), span.stop)
    return widths


def check_plan(plan: Plan) -> None:
    """Check that operations, buffers and arrays fit together, and that arrays hold what they may.

    Raises:
        CheckpointError: they don't; the message names the operation.
    """
    _check(plan, values=True)


def check_structure(plan: Plan) -> None:
    """Check all but the arrays' values, which the native engine checks itself as it packs them.

    Raises:
        CheckpointError: see ``check_plan``.
    """
    _check(plan, values=False)


def _check(plan: Plan, values: bool) -> None:
    _require(len(plan.buffers) <= _MAX_BUFFERS, f"{len(plan.buffers)} buffers, at most {_MAX_BUFFERS} are allowed")
    for name, columns in plan.buffers.items():
        _require(type(columns) is int and 0 < columns <= _MAX_COLUMNS, f"buffer {name!r} has {columns!r} columns")
    total = sum(plan.buffers.values())
    _require(total <= _MAX_COLUMNS, f"the buffers have {total} columns, at most {_MAX_COLUMNS} are allowed")
    _require(plan.buffers.get(STREAM) == plan.config.hidden_size, f"buffer {STREAM!r} is not hidden_size wide")
    _require(len(plan.layers) == plan.config.num_hidden_layers, f"{len(plan.layers)} layers")
    _require(plan.head in HEADS, f"plan.head is {plan.head!r}")
    _require(plan.dtype in (np.float32, np.float64), f"arrays of {plan.dtype}")
    _Checker(plan, values).check()
    _check_repeats(plan)
    _require(plan.buffers == used_buffers(plan), "buffers are declared otherwise than operations use them")


def _check_repeats(plan: Plan) -> None:
    """Refuse operations that use one weight again and again: an engine packs it for each of them."""
    weights = [plan.embeddings.words, *(op.weight for op in plan.dense_ops())]
    numbers = [weight.values if isinstance(weight, Int8) else weight for weight in weights]
    used = sum(array.size for array in numbers)
    stored = sum({id(array): array.size for array in numbers}.values())
    _require(used <= _MAX_REPEATS * stored, f"operations use {used} numbers, and the weights have {stored}")


def _reads(op: Op) -> list[Span]:
    if isinstance(op, Attention):
        return [op.query, op.key, op.value]
    return [op.source] if op.residual is None else [op.source, op.residual]


def _require(holds: bool, complaint: str) -> None:
    if not holds:
        raise CheckpointError(f"the plan does not hold together: {complaint}")


@dataclass(frozen=True)
class _Checker:
    """Checks the parts of a plan; ``where`` names a part in messages."""

    plan: Plan
    values: bool  # check those of arrays, too

    def check(self) -> None:
        self.embeddings()
        self.affine("embeddings", self.plan.embeddings_to_hidden)
        for index, layer in enumerate(self.plan.layers):
            where = f"layer {index}"
            self.ops(where, layer.ops)
            attentions = [number for number, op in enumerate(layer.ops) if isinstance(op, Attention)]
            _require(len(attentions) == 1, f"{where} needs exactly one attention")
            attention, *later = layer.ops[attentions[0] :]
            kept = _reads(attention)[1:]  # keys and values, which other tokens may attend to later
            overwritten = any(op.target.overlaps(span) for op in later for span in kept)
            _require(not overwritten, f"{where} overwrites its keys or values")
            self.affine(where, layer.to_hidden)
        for branch in self.plan.branches:
            where = f"branch {branch.name!r}"
            _require(branch.name == "pooled" or branch.name in HEADS, f"{where} is not an answer of any head")
            _require(branch.rows in ("first", "tokens"), f"{where} has rows {branch.rows!r}")
            _require(len(branch.ops) > 0, f"{where} is empty")
            _require(all(isinstance(op, Dense) for op in branch.ops), f"{where} has an attention")
            self.ops(where, branch.ops)

    def embeddings(self) -> None:
        e, config, stream = self.plan.embeddings, self.plan.config, self.plan.stream
        size = e.words.shape[1] if len(e.words.shape) == 2 else 0
        self.weight("words", e.words, config.vocab_size, size)
        _require(not isinstance(e.words, Int8) or e.words.outliers.size == 0, "the word table has outlier columns")
        self.array("positions", e.positions, (config.max_position_embeddings, stream.width))
        if e.types is not None:
            self.array("types", e.types, (getattr(config, "type_vocab_size", 0), stream.width))
        op = e.projection
        if op is None:
            fits = size == stream.width and not e.trigram
            _require(fits, f"words of {size} columns need a projection to {stream.width}")
            self.norm("embeddings", e.norm, stream.width)
            return
        _require(e.norm is None, "the projection has the norm")
        self.op("projection", op)
        width = size * (3 if e.trigram else 1)
        _require(op.source.width == width, "the projection reads another width than is gathered")
        _require(op.source.start == 0 and op.source.buffer != STREAM, "the projection's source is misplaced")
        _require(op.target == stream and op.residual == stream, "the projection does not update the stream")

    def ops(self, where: str, ops: Sequence[Op]) -> None:
        """Check each operation, and that nothing is read before it is written; at first only the stream is."""
        written = {name: np.zeros(columns, bool) for name, columns in self.plan.buffers.items()}
        written[STREAM][:] = True
        for number, op in enumerate(ops):
            self.op(f"{where}, operation {number}", op)
            for span in _reads(op):
                ready = bool(written[span.buffer][span.start : span.stop].all())
                _require(ready, f"{where}, operation {number} reads {span.buffer!r} before it is written")
            written[op.target.buffer][op.target.start : op.target.stop] = True

    def op(self, where: str, op: Op) -> None:
        for span in (*_reads(op), op.target):
            columns = self.plan.buffers.get(span.buffer, 0)
            _require(
                type(span.start) is int and type(span.stop) is int and 0 <= span.start < span.stop <= columns,
                f"{where} uses columns {span.start} .. {span.stop} of {span.buffer!r}, which has {columns}",
            )
        sources = _reads(op) if isinstance(op, Attention) else [op.source]
        _require(not any(op.target.overlaps(span) for span in sources), f"{where} overwrites what it reads")
        if isinstance(op, Attention):
            widths = {span.width for span in (*sources, op.target)}
            fits = type(op.heads) is int and op.heads > 0 and len(widths) == 1 and op.query.width % op.heads == 0
            _require(fits, f"{where}: {op.heads} heads over spans of {sorted(widths)} columns")
            return
        out = op.target.width
        _require(op.activation in ACTIVATIONS, f"{where}: activation {op.activation!r} is unknown")
        self.weight(f"{where}: weight", op.weight, out, op.source.width)
        self.array(f"{where}: bias", op.bias, (out,))
        if op.residual is not None:
            _require(op.residual.width == out, f"{where}: the residual has {op.residual.width} columns, not {out}")
            apart = op.residual == op.target or not op.residual.overlaps(op.target)
            _require(apart, f"{where}: residual and target overlap in part")
        if op.residual_scale is not None:
            _require(op.residual is not None, f"{where} scales a residual that it doesn't have")
            self.array(f"{where}: residual scale", op.residual_scale, (out,))
        self.norm(where, op.norm, out)

    def weight(self, where: str, weight: Array | Int8, out: int, into: int) -> None:
        if not isinstance(weight, Int8):
            self.array(where, weight, (out, into))
            return
        columns = weight.outliers
        shapes = {"values": (out, into), "scale": (out,), "outliers": (columns.size,)}
        shapes["outlier_weight"] = (out, columns.size)
        for name, dtype in _INT8_DTYPES.items():
            self.array(f"{where}: {name}", getattr(weight, name), shapes[name], dtype)
        if not self.values:
            return
        inside = columns.size == 0 or (columns[0] >= 0 and columns[-1] < into and (np.diff(columns) > 0).all())
        _require(bool(inside), f"{where}: outliers are no ascending columns")
        _require(weight.values.size == 0 or int(weight.values.min()) > -128, f"{where}: values reach -128")
        _require(bool((weight.scale >= 0).all()), f"{where}: a scale is negative")
        _require(not weight.values[:, columns].any(), f"{where}: values of outlier columns are not 0")

    def norm(self, where: str, norm: Norm | None, width: int) -> None:
        if norm is not None:
            self.affine(f"{where}: norm", Affine(norm.scale, norm.bias), width)
            _require(type(norm.eps) in (int, float) and 0 <= norm.eps < 1, f"{where}: eps is {norm.eps!r}")

    def affine(self, where: str, affine: Affine | None, width: int | None = None) -> None:
        if affine is not None:
            width = self.plan.width if width is None else width
            self.array(f"{where}: scale", affine.scale, (width,))
            self.array(f"{where}: shift", affine.shift, (width,))
            self.finite(f"{where}: scale", affine.scale)  # the engine is not given those of hidden states but the last
            self.finite(f"{where}: shift", affine.shift)

    def array(self, where: str, array: Array, shape: tuple[Any, ...], dtype: DTypeLike | None = None) -> None:
        dtype = self.plan.dtype if dtype is None else dtype
        fits = array.shape == shape and array.dtype == dtype
        _require(fits, f"{where} is {array.dtype} {array.shape}, not {np.dtype(dtype)} {shape}")
        if self.values and array.dtype.kind == "f":
            self.finite(where, array)

    def finite(self, where: str, array: Array) -> None:
        _require(bool(np.isfinite(array).all()), f"{where} holds NaN or infinity")
