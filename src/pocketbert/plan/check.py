"""Does a program hold together? Every shape, span and name checked, so that an engine need not."""

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
    Program,
    Span,
)

__all__ = ["check_program", "used_buffers"]

_MOST_COLUMNS = 2**24  # of a buffer; the widest real one is the vocabulary


def used_buffers(program: Program) -> dict[str, int]:
    """Return every buffer that operations use, with the most columns that one needs."""
    widths = {STREAM: program.embeddings.positions.shape[-1]}
    ops: list[Op] = [op for layer in program.layers for op in layer.ops]
    for op in (*ops, *program.denses()):
        for span in _spans(op):
            widths[span.buffer] = max(widths.get(span.buffer, 0), span.stop)
    return widths


def _spans(op: Op) -> list[Span]:
    return [*_reads(op), op.target]


def _reads(op: Op) -> list[Span]:
    if isinstance(op, Attention):
        return [op.query, op.key, op.value]
    return [op.source] if op.residual is None else [op.source, op.residual]


def check_program(program: Program) -> None:
    """Check that operations, buffers and arrays fit together.

    Raises:
        CheckpointError: they do not; the message names the operation.
    """
    for name, columns in program.buffers.items():
        _require(type(columns) is int and 0 < columns <= _MOST_COLUMNS, f"buffer {name!r} has {columns!r} columns")
    _require(program.buffers.get(STREAM) == program.config.hidden_size, f"buffer {STREAM!r} is not hidden_size wide")
    _require(len(program.layers) == program.config.num_hidden_layers, f"{len(program.layers)} layers")
    dtype = program.dtype
    _require(dtype in (np.float32, np.float64), f"arrays of {dtype}")
    _check_embeddings(program, program.embeddings)
    _check_state(program, "embeddings", program.embeddings_state)
    for index, layer in enumerate(program.layers):
        where = f"layer {index}"
        for number, op in enumerate(layer.ops):
            _check_op(program, f"{where}, operation {number}", op)
        _check_flow(where, layer.ops, program)
        attentions = [number for number, op in enumerate(layer.ops) if isinstance(op, Attention)]
        _require(len(attentions) == 1, f"{where} needs exactly one attention")
        _check_keys(where, layer.ops[attentions[0] :])
        _check_state(program, where, layer.state)
    for branch in program.branches:
        where = f"branch {branch.name!r}"
        _require(branch.name == "pooled" or branch.name in HEADS, f"{where} is no head")
        _require(branch.rows in ("first", "tokens"), f"{where} has rows {branch.rows!r}")
        _require(len(branch.ops) > 0, f"{where} is empty")
        for number, op in enumerate(branch.ops):
            _require(isinstance(op, Dense), f"{where} has an attention")
            _check_op(program, f"{where}, operation {number}", op)
        _check_flow(where, branch.ops, program)
    _require(program.buffers == used_buffers(program), "buffers are declared otherwise than operations use them")


def _require(holds: bool, complaint: str) -> None:
    if not holds:
        raise CheckpointError(f"the plan does not hold together: {complaint}")


def _check_embeddings(program: Program, e: Embeddings) -> None:
    width, config = program.width, program.config
    size = e.words.shape[1] if len(e.words.shape) == 2 else 0
    if isinstance(e.words, Int8):
        _check_int8("words", e.words, config.vocab_size, size)
        _require(e.words.outliers.size == 0, "the word table has outlier columns")
    else:
        _check_array(program, "words", e.words, (config.vocab_size, size))
    _check_array(program, "positions", e.positions, (config.max_position_embeddings, width))
    if e.types is not None:
        _check_array(program, "types", e.types, (getattr(config, "type_vocab_size", 0), width))
    if e.projection is None:
        _require(size == width and not e.trigram, f"words of {size} columns need a projection to {width}")
        _check_norm(program, "embeddings", e.norm, width)
        return
    _require(e.norm is None, "the projection has the norm")
    op = e.projection
    _check_op(program, "projection", op)
    _require(op.source.width == size * (3 if e.trigram else 1), "the projection reads another width than is gathered")
    _require(op.source.start == 0 and op.source.buffer != STREAM, "the projection's source is misplaced")
    stream = Span(STREAM, 0, width)
    _require(op.target == stream and op.residual == stream, "the projection does not update the stream")


def _check_op(program: Program, where: str, op: Op) -> None:
    for span in _spans(op):
        columns = program.buffers.get(span.buffer, 0)
        _require(
            type(span.start) is int and type(span.stop) is int and 0 <= span.start < span.stop <= columns,
            f"{where} uses columns {span.start} .. {span.stop} of {span.buffer!r}, which has {columns}",
        )
    if isinstance(op, Attention):
        widths = {span.width for span in _spans(op)}
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
        _check_array(program, f"{where}: weight", op.weight, (out, into))
    _check_array(program, f"{where}: bias", op.bias, (out,))
    if op.residual is None:
        _require(op.carry is None, f"{where} carries no residual")
    else:
        _require(op.residual.width == out, f"{where}: the residual has {op.residual.width} columns, not {out}")
        apart = op.residual == op.target or not op.residual.overlaps(op.target)
        _require(apart, f"{where}: residual and target overlap in part")
    if op.carry is not None:
        _check_array(program, f"{where}: carry", op.carry, (out,))
    _check_norm(program, where, op.norm, out)


def _check_flow(where: str, ops: Sequence[Op], program: Program) -> None:
    """Check that nothing is read before it is written; only the stream is there at the start."""
    written = {name: np.zeros(columns, bool) for name, columns in program.buffers.items()}
    written[STREAM][:] = True
    for number, op in enumerate(ops):
        for span in _reads(op):
            ready = written[span.buffer][span.start : span.stop].all()
            _require(bool(ready), f"{where}, operation {number} reads {span.buffer!r} before it is written")
        written[op.target.buffer][op.target.start : op.target.stop] = True


def _check_keys(where: str, ops: Sequence[Op]) -> None:
    """Check that nothing overwrites the keys and values that other tokens still attend to."""
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


def _check_norm(program: Program, where: str, norm: Norm | None, width: int) -> None:
    if norm is not None:
        _check_array(program, f"{where}: norm scale", norm.scale, (width,))
        _check_array(program, f"{where}: norm bias", norm.bias, (width,))
        fits = type(norm.eps) in (int, float) and 0 <= norm.eps < 1
        _require(fits, f"{where}: eps is {norm.eps!r}")


def _check_state(program: Program, where: str, state: Affine | None) -> None:
    if state is not None:
        _check_array(program, f"{where}: state scale", state.scale, (program.width,))
        _check_array(program, f"{where}: state shift", state.shift, (program.width,))


def _check_array(program: Program, name: str, array: Array, shape: tuple[int, ...]) -> None:
    _check_kind(name, array, shape, program.dtype)
    _require(bool(np.isfinite(array).all()), f"{name} holds NaN or infinity")


def _check_kind(name: str, array: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if array.shape != shape or array.dtype != dtype:  # a plan has thousands of arrays: no message is made beforehand
        _require(False, f"{name} is {array.dtype} {array.shape}, not {dtype} {shape}")
