"""The reference executor: runs a program in numpy, slowly and readably; every engine is measured against it.

Shapes: N tokens of all texts, R texts, T tokens of a text, W width, H heads, D head size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.parameters import Head
from pocketbert.errors import InputError
from pocketbert.plan.int8.arithmetic import ACTIVATE, gather, layer_norm, product, softmax
from pocketbert.plan.structure import STREAM, Affine, Array, Dense, Embeddings, Op, Program
from pocketbert.runtime.batching import PackedBatch

__all__ = ["Observer", "ReferenceRunner", "Result", "run"]

Ints = NDArray[np.int64]
Observer = Callable[[Dense, Array], None]


@dataclass(frozen=True)
class Result:
    """What a program gives for a batch; every list has one array a text.

    Attributes:
        hidden: (T, W) the last hidden state.
        states: every hidden state from the embeddings on, where asked for: a list of such lists, else empty.
        branches: name of a branch -> its results, (columns,) for one that reads the first token, else (T, columns) or,
            where the batch names positions, (positions, columns).
        pooled: (W,) what the pooler or DistilBERT's ``pre_classifier`` gives; without one, the first hidden state.
    """

    hidden: list[Array]
    states: list[list[Array]]
    branches: dict[str, list[Array]]
    pooled: list[Array]


def run(program: Program, batch: PackedBatch, *, states: bool = False, observe: Observer | None = None) -> Result:
    """Run a program; every text gives what it gives alone.

    Args:
        program: float or int8.
        batch: texts laid end to end; ``positions`` chooses the rows of branches that answer by token.
        states: keep every hidden state.
        observe: called with each dense product, before it runs, and the rows that it reads.

    Raises:
        InputError: an id or a type is out of range, or a text is empty or longer than the model's positions.
    """
    _check(program, batch)
    ends = batch.cu_seqlens
    buffers = {name: np.zeros((int(ends[-1]), width), program.dtype) for name, width in program.buffers.items()}
    _embed(program.embeddings, batch, buffers, observe)
    kept = [_true(buffers[STREAM], program.embeddings_state)] if states else []
    for layer in program.layers:
        for op in layer.ops:
            if observe is not None and isinstance(op, Dense):
                observe(op, buffers[op.source.buffer][:, op.source.start : op.source.stop])
            _run_op(op, buffers, ends)
        if states:
            kept.append(_true(buffers[STREAM], layer.state))
    hidden = _split(_true(buffers[STREAM], program.state), ends)
    pooled = [rows[0] for rows in hidden]
    branches: dict[str, list[Array]] = {}
    for branch in program.branches:
        rows, cuts = _rows(batch, branch.rows)
        taken = {name: values[rows] for name, values in buffers.items()}
        for dense in branch.ops:
            if observe is not None:
                observe(dense, taken[dense.source.buffer][:, dense.source.start : dense.source.stop])
            _run_op(dense, taken, cuts)
        found = taken[branch.target.buffer][:, branch.target.start : branch.target.stop]
        branches[branch.name] = list(found) if branch.rows == "first" else _split(found, cuts)
        if any(dense.target.buffer == "pooled" for dense in branch.ops):
            pooled = list(taken["pooled"])
    return Result(hidden, [_split(state, ends) for state in kept], branches, pooled)


class ReferenceRunner:
    """A program behind the interface that tasks use; see ``pocketbert.runtime.batching.Runner``.

    Args:
        program: float or int8.
        head: which answer, where the program has several; ``"none"`` gives hidden states.

    Raises:
        InputError: the program has no such branch.
    """

    def __init__(self, program: Program, head: Head | None = None) -> None:
        self.program = program
        self.head: Head = program.head if head is None else head
        if self.head != "none" and program.branch(self.head) is None:
            have = ", ".join(branch.name for branch in program.branches) or "none"
            raise InputError(f"the plan has no {self.head} answer; it has: {have}")

    @property
    def config(self) -> PretrainedConfig:
        """The model's configuration."""
        return self.program.config

    def __call__(self, batch: PackedBatch) -> list[NDArray[np.float32]]:
        """Return one array a text."""
        result = run(self.program, batch)
        found = result.hidden if self.head == "none" else result.branches[self.head]
        return [array.astype(np.float32) for array in found]


def _check(program: Program, batch: PackedBatch) -> None:
    limit, words = program.embeddings.positions.shape[0], program.embeddings.words.shape[0]
    if len(batch) == 0 or batch.lengths.min() < 1:
        raise InputError("a batch needs at least one text, and every text at least one token")
    if batch.lengths.max() > limit:
        raise InputError(f"{batch.lengths.max()} tokens exceed the model's {limit} positions; cut or window the text")
    if batch.input_ids.min() < 0 or batch.input_ids.max() >= words:
        bad = batch.input_ids[(batch.input_ids < 0) | (batch.input_ids >= words)][0]
        raise InputError(f"input_ids holds {bad}; the model knows 0 .. {words - 1}")
    types, kinds = batch.token_type_ids, program.embeddings.types
    if types is not None and kinds is not None and (types.min() < 0 or types.max() >= len(kinds)):
        bad = types[(types < 0) | (types >= len(kinds))][0]
        raise InputError(f"token_type_ids holds {bad}; the model knows 0 .. {len(kinds) - 1}")


def _embed(e: Embeddings, batch: PackedBatch, buffers: dict[str, Array], observe: Observer | None) -> None:
    """Write the first value of the stream."""
    within = np.concatenate([np.arange(length) for length in batch.lengths])
    x = e.positions[within]
    if e.types is not None and batch.token_type_ids is not None:
        x = x + e.types[batch.token_type_ids]
    words = gather(e.words, batch.input_ids)
    if e.projection is None:
        x = x + words
        buffers[STREAM][:] = x if e.norm is None else layer_norm(x, e.norm)
        return
    if e.trigram:
        words = np.concatenate([trigram(text) for text in _split(words, batch.cu_seqlens)])
    buffers[STREAM][:] = x
    buffers[e.projection.source.buffer][:] = words
    if observe is not None:
        observe(e.projection, words)
    _run_op(e.projection, buffers, batch.cu_seqlens)


def trigram(words: Array) -> Array:
    """(T, E) -> (T, 3 E): the next token's vector, the token's own, the previous one's; zeros beyond both ends."""
    ended = np.pad(words, ((1, 1), (0, 0)))
    return np.concatenate([ended[2:], words, ended[:-2]], axis=1)


def _run_op(op: Op, buffers: dict[str, Array], ends: Ints) -> None:
    if isinstance(op, Dense):
        _dense(op, buffers)
        return
    q, k, v, target = (buffers[s.buffer][:, s.start : s.stop] for s in (op.query, op.key, op.value, op.target))
    for start, stop in pairwise(ends):
        text = slice(int(start), int(stop))
        queries, keys, values = (m[text].reshape(-1, op.heads, op.head_size).swapaxes(0, 1) for m in (q, k, v))
        context = softmax(queries @ keys.swapaxes(1, 2)) @ values  # (H, T, D)
        target[text] = context.swapaxes(0, 1).reshape(-1, target.shape[1])


def _dense(op: Dense, buffers: dict[str, Array]) -> None:
    source = buffers[op.source.buffer][:, op.source.start : op.source.stop]
    result = ACTIVATE[op.activation](product(source, op.weight) + op.bias)
    if op.residual is not None:
        residual = buffers[op.residual.buffer][:, op.residual.start : op.residual.stop]
        result = result + (residual if op.carry is None else residual * op.carry)
    if op.norm is not None:
        result = layer_norm(result, op.norm)
    buffers[op.target.buffer][:, op.target.start : op.target.stop] = result


def _true(x: Array, state: Affine | None) -> Array:
    return x.copy() if state is None else x * state.scale + state.shift


def _split(rows: Array, ends: Ints) -> list[Array]:
    return [rows[int(start) : int(stop)] for start, stop in pairwise(ends)]


def _rows(batch: PackedBatch, kind: str) -> tuple[Ints, Ints]:
    """Return the rows that a branch works on, and where each text's begin and end among them."""
    starts = batch.cu_seqlens[:-1]
    if kind == "first":
        chosen = [np.zeros(1, np.int64)] * len(batch)
    elif batch.positions is None:
        chosen = [np.arange(length) for length in batch.lengths]
    else:
        chosen = list(batch.positions)
    rows = np.concatenate([start + where for start, where in zip(starts, chosen, strict=True)])
    return rows.astype(np.int64), np.cumsum([0, *map(len, chosen)], dtype=np.int64)
