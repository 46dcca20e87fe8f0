"""A plan as an ONNX graph, with one node for nearly every operation, so that what is folded stays folded.

Buffers are (N, columns) as in the plan, with N = B x T; only attention and the trigram look at other tokens. They never
see padding: the trigram reads zeros there, and attention masks it.

Shapes: B texts, T tokens, N = B * T, W width, E width of the word table, H heads, D head size.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from pocketbert.architecture.families import family_of
from pocketbert.architecture.heads import BARE, head_named
from pocketbert.errors import InputError
from pocketbert.plan.structure import Branch, Dense, Embeddings, Int8, Plan
from pocketbert.runtime.onnx.operations import Operations
from pocketbert.runtime.onnx.writer import Buffers

__all__ = ["METADATA", "ROWS", "VERSION", "build_model", "outputs_of"]

METADATA = "pocketbert"  # the metadata entry that describes the model
VERSION = 1  # of that description
ROWS = "rows"  # the optional input that chooses rows: indices of the tokens, among the N, whose logits are computed
_SIZE_LIMIT = 2**31 - 2**20  # bytes; a protobuf message has at most 2 GiB

_TOKENS: list[Any] = ["batch", "length"]


def outputs_of(plan: Plan) -> list[str]:
    """Return the names of the graph's outputs, in order; they are those of the torch models' outputs.

    A bare MobileBERT may pool without a pooler, by taking the first hidden state.
    """
    pools = plan.head == BARE and (plan.branches or family_of(plan.config).pooled_layer(plan.config) is None)
    return [*head_named(plan.head).fields, *(["pooler_output"] if pools else [])]


def build_model(plan: Plan, *, choose: bool = False) -> bytes:
    """Return a plan as the content of an ONNX file.

    Inputs are ``input_ids``, ``attention_mask`` and, where the model has types, ``token_type_ids``, each (B, T) int64.
    Texts begin at the first column; the mask is 0 at padding.

    Args:
        plan: float32, or int8 as ``plan.quantize`` makes it.
        choose: add an input ``rows``, (n,) int64 indices into the B * T tokens; branches that answer per token compute
            only these, as (n, columns).

    Raises:
        MissingExtra: onnx is not installed.
        InputError: the plan is not float32, or the file would exceed protobuf's 2 GiB.
    """
    if plan.dtype != np.float32:
        raise InputError(f"ONNX graphs are made of float32 and int8 plans, this one is {plan.dtype}")
    tables = [plan.embeddings.words, plan.embeddings.positions, *(op.weight for op in plan.dense_ops())]
    arrays = [table.values if isinstance(table, Int8) else table for table in tables]
    size = sum({id(array): array.nbytes for array in arrays}.values())  # a shared array is stored once
    if size > _SIZE_LIMIT:
        raise InputError(f"the weights have {size} bytes; an ONNX file in one piece holds at most {_SIZE_LIMIT}")
    return _Builder(plan, choose).content()


class _Builder(Operations):
    """Writes the graph of a plan."""

    def __init__(self, plan: Plan, choose: bool) -> None:
        super().__init__()
        self.plan = plan
        self.choose = choose

    def content(self) -> bytes:
        """Return the file's content."""
        names = ["input_ids", "attention_mask"] + ["token_type_ids"] * (self.plan.embeddings.types is not None)
        inputs = [(name, _TOKENS) for name in names]
        model = self.model([*inputs, (ROWS, ["chosen"])] if self.choose else inputs, self._run())
        config = json.loads(self.plan.config.to_json_string())
        facts = {"version": VERSION, "head": self.plan.head, "int8": self.plan.quantized, "config": config}
        self.onnx.helper.set_model_props(model, {METADATA: json.dumps(facts)})
        content: bytes = model.SerializeToString()
        return content

    def _run(self) -> list[tuple[str, list[Any]]]:
        """Write every node and return the outputs with their shapes."""
        self.start()
        stream = self._embed(self.plan.embeddings)
        for layer in self.plan.layers:
            buffers = Buffers(self, stream, self.plan.width)
            for op in layer.ops:
                self.dense(op, buffers) if isinstance(op, Dense) else self.attention(op, buffers)
            stream = buffers.read(self.plan.stream)
        outputs: list[tuple[str, list[Any]]] = []
        names = iter(outputs_of(self.plan))
        if self.plan.head == BARE:
            width = self.plan.width
            hidden, affine = stream, self.plan.to_hidden
            if affine is not None:
                scaled = self.node("Mul", [stream, self.array(affine.scale)])
                hidden = self.node("Add", [scaled, self.array(affine.shift)])
            hidden = self.rename(self.by_text(hidden, width), next(names))
            outputs.append((hidden, [*_TOKENS, width]))
            if not self.plan.branches:  # the pooled text, if the model has one, is the first hidden state
                outputs += [(self.rename(self.first(hidden), name), ["batch", width]) for name in names]
        for branch in self.plan.branches:
            outputs += self._branch(branch, stream, names)
        return outputs

    def _embed(self, e: Embeddings) -> str:
        """Write the stream as it is before the first layer, (N, W)."""
        length = self.slice(self.shape, 1, 2, axis=0)
        x = self.slice(self.array(e.positions), 0, length, axis=0)  # (T, W)
        if e.types is not None:
            x = self.node("Add", [self.node("Gather", [self.array(e.types), "token_type_ids"]), x])  # (B, T, W)
        words = self.words(e.words)
        width = self.plan.width
        if e.projection is None:
            x = self.rows(self.node("Add", [words, x]), width)
            return x if e.norm is None else self.norm(x, e.norm)
        size = e.words.shape[1]
        if e.trigram:
            kept = self.node("Cast", [self.seen], to=self.onnx.TensorProto.FLOAT)
            words = self.node("Mul", [words, self.node("Unsqueeze", [kept, self.ints(2)])])
            words = self._trigram(words, length)
            size *= 3
        assert e.types is not None  # MobileBERT has both, so x is (B, T, W)
        buffers = Buffers(self, self.rows(x, width), width)
        buffers.write(e.projection.source, self.rows(words, size))
        self.dense(e.projection, buffers)
        return buffers.read(self.plan.stream)

    def _trigram(self, words: str, length: str) -> str:
        """(B, T, E) -> (B, T, 3 E): vectors of the next token, of its own, of the previous one; 0 beyond both ends."""
        padded = self.node("Pad", [words, self.ints(0, 1, 0, 0, 1, 0)])
        following = self.slice(padded, 2, np.iinfo(np.int64).max, axis=1)
        previous = self.slice(padded, 0, length, axis=1)
        return self.node("Concat", [following, words, previous], axis=2)

    def _branch(self, branch: Branch, stream: str, names: Iterator[str]) -> list[tuple[str, list[Any]]]:
        """Write a branch and return its outputs with their shapes."""
        tokens = _TOKENS
        if branch.rows == "first":
            stream, tokens = self.first(self.by_text(stream, self.plan.width)), ["batch"]
        elif self.choose:
            stream, tokens = self.node("Gather", [stream, ROWS], axis=0), ["chosen"]
        buffers = Buffers(self, stream, self.plan.width)
        for op in branch.ops:
            self.dense(op, buffers)
        result, width = buffers.read(branch.target), branch.target.width
        if len(tokens) == 2:
            result = self.by_text(result, width)
        answer = head_named(self.plan.head).answer(branch.name)
        if answer is None or len(answer.fields) == 1:
            return [(self.rename(result, next(names)), [*tokens, width])]
        columns = [self.node("Gather", [result, self.scalar(np.int64(column))], axis=-1) for column in range(width)]
        return [(self.rename(column, next(names)), tokens) for column in columns]
