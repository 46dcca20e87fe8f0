"""The check of a plan: every shape, span and name, so that engines need not check them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pocketbert.architecture.parameters import HEADS
from pocketbert.errors import CheckpointError
from pocketbert.plan.structure import (
    ACTIVATIONS,
    STREAM,
    Affine,
    Array,
    Attention,
    Dense,
    Embeddings,
    Int8,
    Norm,
    Op,
    Plan,
    Span,
)

__all__ = ["check_plan", "used_buffers"]

_MAX_COLUMNS = 2**24  # of a buffer; the widest real one holds logits of the vocabulary


def used_buffers(plan: Plan) -> dict[str, int]:
    """Return every buffer that operations use, with the columns that they need."""
    widths = {STREAM: plan.embeddings.positions.shape[-1]}
    ops: list[Op] = [op for layer in plan.layers for op in layer.ops]
    for span in (span for op in (*ops, *plan.dense_ops()) for span in (*_reads(op), op.target)):
        widths[span.buffer] = max(widths.get(span.buffer, 0), span.stop)
    return widths


def _reads(op: Op) -> list[Span]:
    if isinstance(op, Attention):
        return [op.query, op.key, op.value]
    return [op.source] if op.residual is None else [op.source, op.residual]


def check_plan(plan: Plan) -> None:
    """Check that operations, buffers and arrays fit together.

    Raises:
        CheckpointError: they don't; the message names the operation.
    """
    for name, columns in plan.buffers.items():
        _require(type(columns) is int and 0 < columns <= _MAX_COLUMNS, f"buffer {name!r} has {columns!r} columns")
    _require(plan.buffers.get(STREAM) == plan.config.hidden_size, f"buffer {STREAM!r} is not hidden_size wide")
    _require(len(plan.layers) == plan.config.num_hidden_layers, f"{len(plan.layers)} layers")
    dtype = plan.dtype
    _require(dtype in (np.float32, np.float64), f"arrays of {dtype}")
    _check_embeddings(plan, plan.embeddings)
    _check_affine(plan, "embeddings", plan.embeddings_to_hidden)
    for index, layer in enumerate(plan.layers):
        where = f"layer {index}"
        for number, op in enumerate(layer.ops):
            _check_op(plan, f"{where}, operation {number}", op)
        _check_flow(where, layer.ops, plan)
        attentions = [number for number, op in enumerate(layer.ops) if isinstance(op, Attention)]
        _require(len(attentions) == 1, f"{where} needs exactly one attention")
        _check_keys(where, layer.ops[attentions[0] :])
        _check_affine(plan, where, layer.to_hidden)
    for branch in plan.branches:
        where = f"branch {branch.name!r}"
        _require(branch.name == "pooled" or branch.name in HEADS, f"{where} is not an answer of any head")
        _require(branch.rows in ("first", "tokens"), f"{where} has rows {branch.rows!r}")
        _require(len(branch.ops) > 0, f"{where} is empty")
        for number, op in enumerate(branch.ops):
            _require(isinstance(op, Dense), f"{where} has an attention")
            _check_op(plan, f"{where}, operation {number}", op)
        _check_flow(where, branch.ops, plan)
    _require(plan.buffers == used_buffers(plan), "buffers are declared otherwise than operations use them")


def _require(holds: bool, complaint: str) -> None:
    if not holds:
        raise CheckpointError(f"the plan does not hold together: {complaint}")


def _check_embeddings(plan: Plan, e: Embeddings) -> None:
    width, config = plan.width, plan.config
    size = e.words.shape[1] if len(e.words.shape) == 2 else 0
    if isinstance(e.words, Int8):
        _check_int8("words", e.words, config.vocab_size, size)
        _require(e.words.outliers.size == 0, "the word table has outlier columns")
    else:
        _check_array(plan, "words", e.words, (config.vocab_size, size))
    _check_array(plan, "positions", e.positions, (config.max_position_embeddings, width))
    if e.types is not None:
        _check_array(plan, "types", e.types, (getattr(config, "type_vocab_size", 0), width))
    if e.projection is None:
        _require(size == width and not e.trigram, f"words of {size} columns need a projection to {width}")
        _check_norm(plan, "embeddings", e.norm, width)
        return
    _require(e.norm is None, "the projection has the norm")
    op = e.projection
    _check_op(plan, "projection", op)
    _require(op.source.width == size * (3 if e.trigram else 1), "the projection reads another width than is gathered")
    _require(op.source.start == 0 and op.source.buffer != STREAM, "the projection's source is misplaced")
    _require(op.target == plan.stream and op.residual == plan.stream, "the projection does not update the stream")


def _check_op(plan: Plan, where: str, op: Op) -> None:
    for span in (*_reads(op), op.target):
        columns = plan.buffers.get(span.buffer, 0)
        _require(
            type(span.start) is int and type(span.stop) is int and 0 <= span.start < span.stop <= columns,
            f"{where} uses columns {span.start} .. {span.stop} of {span.buffer!r}, which has {columns}",
        )
    if isinstance(op, Attention):
        widths = {span.width for span in (*_reads(op), op.target)}
        fits = type(op.heads) is int and op.heads > 0 and len(widths) == 1 and op.query.width % op.heads == 0
        _require(fits, f"{where}: {op.heads} heads over spans of {sorted(widths)} columns")
        _require(not any(op.target.overlaps(span) for span in _reads(op)), f"{where} overwrites what it reads")
        return
    out, into = op.target.width, op.source.width
    _require(op.activation in ACTIVATIONS, f"{where}: activation {op.activation!r} is unknown")
    _require(not op.target.overlaps(op.source), f"{where} overwrites what it reads")
    if isinstance(op.weight, Int8):
        _check_int8(where, op.weight, out, into)
    else:
        _check_array(plan, f"{where}: weight", op.weight, (out, into))
    _check_array(plan, f"{where}: bias", op.bias, (out,))
    if op.residual is None:
        _require(op.residual_scale is None, f"{where} scales a residual that it doesn't have")
    else:
        _require(op.residual.width == out, f"{where}: the residual has {op.residual.width} columns, not {out}")
        apart = op.residual == op.target or not op.residual.overlaps(op.target)
        _require(apart, f"{where}: residual and target overlap in part")
    if op.residual_scale is not None:
        _check_array(plan, f"{where}: residual scale", op.residual_scale, (out,))
    _check_norm(plan, where, op.norm, out)


def _check_flow(where: str, ops: Sequence[Op], plan: Plan) -> None:
    """Check that nothing is read before it is written; at first only the stream is."""
    written = {name: np.zeros(columns, bool) for name, columns in plan.buffers.items()}
    written[STREAM][:] = True
    for number, op in enumerate(ops):
        for span in _reads(op):
            ready = written[span.buffer][span.start : span.stop].all()
            _require(bool(ready), f"{where}, operation {number} reads {span.buffer!r} before it is written")
        written[op.target.buffer][op.target.start : op.target.stop] = True


def _check_keys(where: str, ops: Sequence[Op]) -> None:
    """Check that nothing overwrites keys and values, which other tokens may attend to later."""
    attention, *rest = ops
    assert isinstance(attention, Attention)
    for op in rest:
        _require(
            not any(op.target.overlaps(span) for span in (attention.key, attention.value)),
            f"{where} overwrites its keys or values",
        )


def _check_int8(where: str, weight: Int8, out: int, into: int) -> None:
    columns = weight.outliers
    kinds = {"values": np.int8, "scale": np.float32, "outliers": np.int64, "outlier_weight": np.float32}
    shapes: dict[str, Any] = {"values": (out, into), "scale": (out,), "outliers": (columns.size,)}
    shapes["outlier_weight"] = (out, columns.size)
    for name, kind in kinds.items():
        _check_kind(f"{where}: {name}", getattr(weight, name), shapes[name], np.dtype(kind))
    inside = columns.size == 0 or (columns[0] >= 0 and columns[-1] < into and (np.diff(columns) > 0).all())
    _require(bool(inside), f"{where}: outliers are no ascending columns")
    _require(weight.values.size == 0 or int(weight.values.min()) > -128, f"{where}: values reach -128")
    _require(bool(np.isfinite(weight.scale).all() and np.isfinite(weight.outlier_weight).all()), f"{where}: not finite")
    _require(bool((weight.scale >= 0).all()), f"{where}: a scale is negative")
    _require(not weight.values[:, columns].any(), f"{where}: values of outlier columns are not 0")


def _check_norm(plan: Plan, where: str, norm: Norm | None, width: int) -> None:
    if norm is not None:
        _check_array(plan, f"{where}: norm scale", norm.scale, (width,))
        _check_array(plan, f"{where}: norm bias", norm.bias, (width,))
        fits = type(norm.eps) in (int, float) and 0 <= norm.eps < 1
        _require(fits, f"{where}: eps is {norm.eps!r}")


def _check_affine(plan: Plan, where: str, affine: Affine | None) -> None:
    if affine is not None:
        _check_array(plan, f"{where}: scale to hidden", affine.scale, (plan.width,))
        _check_array(plan, f"{where}: shift to hidden", affine.shift, (plan.width,))


def _check_array(plan: Plan, name: str, array: Array, shape: tuple[int, ...]) -> None:
    _check_kind(name, array, shape, plan.dtype)
    _require(bool(np.isfinite(array).all()), f"{name} holds NaN or infinity")


def _check_kind(name: str, array: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if (
        array.shape != shape or array.dtype != dtype
    ):  # not by _require: formatting a message for each of thousands of arrays is slow
        _require(False, f"{name} is {array.dtype} {array.shape}, not {dtype} {shape}")
