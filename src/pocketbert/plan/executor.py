"""The reference executor: runs a plan in numpy, slowly and readably; every engine is compared with it.

Shapes: N tokens of all texts, T tokens of a text, W width of the residual stream, H heads, D head size, C columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pocketbert.architecture.heads import BARE
from pocketbert.errors import InputError
from pocketbert.plan.arithmetic import gather, product
from pocketbert.plan.batch import PackedBatch, check_batch
from pocketbert.plan.structure import STREAM, Affine, Array, Dense, Embeddings, Norm, Op, Plan, Span

__all__ = ["Observer", "ReferenceRunner", "Result", "run"]

Ints = NDArray[np.int64]
Observer = Callable[[Dense, Array], None]
Buffers = dict[str, Array]  # name -> (N, columns)


@dataclass(frozen=True)
class Result:
    """What a plan gives for a batch; every list has one array per text.

    Attributes:
        hidden: (T, W) the last hidden state.
        hidden_states: every hidden state from the embeddings on, a list of such lists; empty where not asked for.
        branches: name of a branch -> its results, (C,) for one that reads the first token, else (T, C) or, where the
            batch names positions, (positions, C).
        pooled: (W,) the result of the pooler or of DistilBERT's ``pre_classifier``; without one, the first token's
            hidden state.
    """

    hidden: list[Array]
    hidden_states: list[list[Array]]
    branches: dict[str, list[Array]]
    pooled: list[Array]


def run(plan: Plan, batch: PackedBatch, *, hidden_states: bool = False, observe: Observer | None = None) -> Result:
    """Run a plan; the result for a text does not depend on the others in the batch.

    Args:
        plan: float or int8.
        batch: texts laid end to end; ``positions`` chooses the rows of branches that answer per token.
        hidden_states: keep every hidden state.
        observe: called before each dense product, with the operation and the rows that it reads.

    Raises:
        InputError: an id or a type is out of range, or a text is empty or longer than the model's positions.
    """
    check_batch(plan.config, batch, typed=plan.embeddings.types is not None)
    ends = batch.cu_seqlens
    buffers = {name: np.zeros((int(ends[-1]), width), plan.dtype) for name, width in plan.buffers.items()}
    _embed(plan.embeddings, batch, buffers, observe)
    states = [_hidden(buffers[STREAM], plan.embeddings_to_hidden)] if hidden_states else []
    for layer in plan.layers:
        for op in layer.ops:
            _run_op(op, buffers, ends, observe)
        if hidden_states:
            states.append(_hidden(buffers[STREAM], layer.to_hidden))
    hidden = _split(_hidden(buffers[STREAM], plan.to_hidden), ends)
    pooled = [rows[0] for rows in hidden]
    branches: dict[str, list[Array]] = {}
    for branch in plan.branches:
        rows, row_ends = _rows(batch, branch.rows)
        chosen = {name: values[rows] for name, values in buffers.items()}
        for dense in branch.ops:
            _run_op(dense, chosen, row_ends, observe)
        result = _view(chosen, branch.target)
        branches[branch.name] = list(result) if branch.rows == "first" else _split(result, row_ends)
        if any(dense.target.buffer == "pooled" for dense in branch.ops):
            pooled = list(chosen["pooled"])
    return Result(hidden, [_split(state, ends) for state in states], branches, pooled)


class ReferenceRunner:
    """A plan behind the interface that tasks use; see ``pocketbert.runtime.batching.Runner``.

    Args:
        plan: float or int8.
        head: which answer, where the plan has several; ``"none"`` gives hidden states.

    Raises:
        InputError: the plan has no such branch.
    """

    def __init__(self, plan: Plan, head: str | None = None) -> None:
        self.plan, self.config, self.head = plan, plan.config, plan.head if head is None else head
        names = [branch.name for branch in plan.branches]
        if self.head not in (BARE, *names):
            raise InputError(f"the plan has no {self.head} answer; it has: {', '.join(names) or 'none'}")

    def __call__(self, batch: PackedBatch) -> list[NDArray[np.float32]]:
        """Return one array per text."""
        result = run(self.plan, batch)
        arrays = result.hidden if self.head == BARE else result.branches[self.head]
        return [array.astype(np.float32) for array in arrays]


def _embed(e: Embeddings, batch: PackedBatch, buffers: Buffers, observe: Observer | None) -> None:
    """Write the stream as it is before the first layer."""
    within = np.concatenate([np.arange(length) for length in batch.lengths])
    x = e.positions[within]
    if e.types is not None and batch.token_type_ids is not None:
        x = x + e.types[batch.token_type_ids]
    words = gather(e.words, batch.input_ids)
    if e.projection is None:
        x = x + words
        buffers[STREAM][:] = x if e.norm is None else _layer_norm(x, e.norm)
        return
    if e.trigram:
        words = np.concatenate([_trigram(text) for text in _split(words, batch.cu_seqlens)])
    buffers[STREAM][:] = x
    buffers[e.projection.source.buffer][:] = words
    _run_op(e.projection, buffers, batch.cu_seqlens, observe)


def _trigram(words: Array) -> Array:
    """(T, E) -> (T, 3 E): the next token's vector, the token's own, the previous one's; zeros beyond both ends."""
    padded = np.pad(words, ((1, 1), (0, 0)))
    return np.concatenate([padded[2:], words, padded[:-2]], axis=1)


def _run_op(op: Op, buffers: Buffers, ends: Ints, observe: Observer | None) -> None:
    target = _view(buffers, op.target)
    if isinstance(op, Dense):
        source = _view(buffers, op.source)
        if observe is not None:
            observe(op, source)
        target[:] = _dense(op, source, None if op.residual is None else _view(buffers, op.residual))
        return
    query, key, value = (_view(buffers, span) for span in (op.query, op.key, op.value))
    for start, stop in pairwise(ends):
        text = slice(int(start), int(stop))
        q, k, v = (m[text].reshape(-1, op.heads, op.head_size).swapaxes(0, 1) for m in (query, key, value))
        context = _softmax(q @ k.swapaxes(1, 2)) @ v  # (H, T, D)
        target[text] = context.swapaxes(0, 1).reshape(-1, target.shape[1])


def _dense(op: Dense, source: Array, residual: Array | None) -> Array:
    result = _ACTIVATIONS[op.activation](product(source, op.weight) + op.bias)
    if residual is not None:
        result = result + (residual if op.residual_scale is None else residual * op.residual_scale)
    return result if op.norm is None else _layer_norm(result, op.norm)


def _layer_norm(x: Array, norm: Norm) -> Array:
    """(N, C) -> (N, C); see ``Norm``."""
    centered = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centered).mean(axis=-1, keepdims=True)
    return np.asarray(centered / np.sqrt(variance + x.dtype.type(norm.eps)) * norm.scale + norm.bias)


def _softmax(scores: Array) -> Array:
    """Softmax over the last axis."""
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


_ERF = np.frompyfunc(math.erf, 1, 1)  # numpy has none


def _gelu(x: Array) -> Array:
    erf = np.asarray(_ERF(x.astype(np.float64) * math.sqrt(0.5)), np.float64)
    return np.asarray(0.5 * x * (1 + erf), x.dtype)


def _gelu_new(x: Array) -> Array:  # the constants are Python floats, so float32 stays float32
    return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))))


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "gelu": _gelu,
    "gelu_new": _gelu_new,
    "silu": lambda x: np.asarray(x * 0.5 * (1 + np.tanh(0.5 * x))),  # x * sigmoid(x), without overflow
    "tanh": np.tanh,
}


def _view(buffers: Buffers, span: Span) -> Array:
    return buffers[span.buffer][:, span.start : span.stop]


def _hidden(x: Array, to_hidden: Affine | None) -> Array:
    return x.copy() if to_hidden is None else x * to_hidden.scale + to_hidden.shift


def _split(rows: Array, ends: Ints) -> list[Array]:
    return [rows[int(start) : int(stop)] for start, stop in pairwise(ends)]


def _rows(batch: PackedBatch, kind: str) -> tuple[Ints, Ints]:
    """Return the rows that a branch reads, and where those of each text begin and end among them."""
    starts = batch.cu_seqlens[:-1]
    if kind == "first":
        chosen = [np.zeros(1, np.int64)] * len(batch)
    else:
        chosen = list(batch.positions or map(np.arange, batch.lengths))
    rows = np.concatenate([start + where for start, where in zip(starts, chosen, strict=True)])
    return rows.astype(np.int64), np.cumsum([0, *map(len, chosen)], dtype=np.int64)
