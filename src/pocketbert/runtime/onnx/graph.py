"""A program as an ONNX graph: one node for nearly every operation, so that what is folded stays folded.

Buffers hold (N, columns) as in the program, with N = B x T; only attention looks at texts. Padding is taken out where
it could be seen: the trigram gets zeros there, and no token attends to it.

Shapes: B texts, T tokens, N = B * T, W width, E width of the word table, H heads, D head size.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from pocketbert.errors import InputError
from pocketbert.plan.structure import (
    STREAM,
    Affine,
    Array,
    Branch,
    Embeddings,
    Int8,
    Program,
    Span,
)
from pocketbert.runtime.onnx.operations import Operations
from pocketbert.runtime.onnx.writer import Buffers

__all__ = ["METADATA", "ROWS", "VERSION", "build_model", "outputs_of"]

METADATA = "pocketbert"  # under this name a file says what it is
VERSION = 1  # of what stands under it
ROWS = "rows"  # the extra input of a graph that chooses its rows: which of the N tokens are answered
_SIZE_LIMIT = 2**31 - 2**20  # bytes; a protobuf message ends at 2 GiB

_TOKENS: list[Any] = ["batch", "length"]


def outputs_of(program: Program) -> list[str]:
    """Return the names of the graph's outputs, in order; they are those of the torch models' outputs."""
    if program.head == "none":
        return ["last_hidden_state", *(["pooler_output"] if _pools(program) else [])]
    if program.head == "pretraining":
        return ["prediction_logits", "seq_relationship_logits"]
    return ["start_logits", "end_logits"] if program.head == "question_answering" else ["logits"]


def _pools(program: Program) -> bool:
    """Whether a bare encoder pools; MobileBERT may do it without a pooler, by taking the first hidden state."""
    raw = getattr(program.config, "classifier_activation", True) is False
    return raw or program.branch("pooled") is not None


def build_model(program: Program, *, choose: bool = False) -> bytes:
    """Return a program as the content of an ONNX file.

    Inputs are ``input_ids``, ``attention_mask`` and, where the model has types, ``token_type_ids``, each (B, T) int64.
    Texts begin at the first column; where the mask is 0 there is no text.

    Args:
        program: float32, or int8 as ``plan.quantize`` makes it.
        choose: add an input ``rows``, (n,) int64 indices into the B * T tokens; branches that answer by token answer
            only these, as (n, columns).

    Raises:
        MissingExtra: onnx is not installed.
        InputError: the program is not float32, or the file would exceed protobuf's 2 GiB.
    """
    if program.dtype != np.float32:
        raise InputError(f"ONNX graphs are made of float32 and int8 plans, this one is {program.dtype}")
    size = sum(array.nbytes for array in _arrays(program).values())
    if size > _SIZE_LIMIT:
        raise InputError(f"the weights have {size} bytes; an ONNX file in one piece holds at most {_SIZE_LIMIT}")
    return _Builder(program, choose).content()


def _arrays(program: Program) -> dict[int, Array]:
    """Return the large arrays, each once."""
    weights = [program.embeddings.words, *(op.weight for op in program.denses())]
    arrays = [weight.values if isinstance(weight, Int8) else weight for weight in weights]
    return {id(array): array for array in (program.embeddings.positions, *arrays)}


class _Builder(Operations):
    """Writes the graph of a program."""

    def __init__(self, program: Program, choose: bool) -> None:
        super().__init__()
        self.program = program
        self.choose = choose

    def content(self) -> bytes:
        """Return the file's content."""
        names = ["input_ids", "attention_mask"] + ["token_type_ids"] * (self.program.embeddings.types is not None)
        inputs = [(name, _TOKENS) for name in names]
        model = self.model([*inputs, (ROWS, ["chosen"])] if self.choose else inputs, self._run())
        self.onnx.helper.set_model_props(model, {METADATA: json.dumps(self._facts())})
        content: bytes = model.SerializeToString()
        return content

    def _facts(self) -> dict[str, Any]:
        config = json.loads(self.program.config.to_json_string())
        return {"version": VERSION, "head": self.program.head, "int8": self.program.quantised, "config": config}

    def _run(self) -> list[tuple[str, list[Any]]]:
        """Write every node; return the outputs with their shapes."""
        self.start()
        stream = self._embed(self.program.embeddings)
        for layer in self.program.layers:
            buffers = Buffers(self, stream, self.program.width)
            for op in layer.ops:
                self.op(op, buffers)
            stream = buffers.read(Span(STREAM, 0, self.program.width))
        outputs: list[tuple[str, list[Any]]] = []
        names = iter(outputs_of(self.program))
        if self.program.head == "none":
            width = self.program.width
            hidden = self.rename(self.by_text(self._true(stream, self.program.state), width), next(names))
            outputs.append((hidden, [*_TOKENS, width]))
            if _pools(self.program) and not self.program.branches:
                outputs.append((self.rename(self.first(hidden), next(names)), ["batch", width]))
        for branch in self.program.branches:
            outputs += self._branch(branch, stream, names)
        return outputs

    def _embed(self, e: Embeddings) -> str:
        """Write the first value of the stream, (N, W)."""
        length = self.slice(self.shape, 1, 2, axis=0)
        x = self.slice(self.array(e.positions), 0, length, axis=0)  # (T, W)
        if e.types is not None:
            x = self.node("Add", [self.node("Gather", [self.array(e.types), "token_type_ids"]), x])  # (B, T, W)
        words = self.words(e.words)
        width = self.program.width
        if e.projection is None:
            x = self.node("Add", [words, x])
            x = self.rows(x, width)
            return x if e.norm is None else self.norm(x, e.norm)
        size = e.words.shape[1]
        if e.trigram:
            kept = self.node("Cast", [self.seen], to=self.onnx.TensorProto.FLOAT)
            words = self.node("Mul", [words, self.node("Unsqueeze", [kept, self.ints(2)])])
            words = self._trigram(words, length)
            size *= 3
        assert e.types is not None  # x is (B, T, W): what has a projection has types
        buffers = Buffers(self, self.rows(x, width), width)
        buffers.write(e.projection.source, self.rows(words, size))
        self.dense(e.projection, buffers)
        return buffers.read(Span(STREAM, 0, width))

    def _trigram(self, words: str, length: str) -> str:
        """(B, T, E) -> (B, T, 3 E): next, own, previous; zeros beyond the ends."""
        ended = self.node("Pad", [words, self.ints(0, 1, 0, 0, 1, 0)])
        following = self.slice(ended, 2, np.iinfo(np.int64).max, axis=1)
        previous = self.slice(ended, 0, length, axis=1)
        return self.node("Concat", [following, words, previous], axis=2)

    def _branch(self, branch: Branch, stream: str, names: Iterator[str]) -> list[tuple[str, list[Any]]]:
        """Write a branch; return its outputs with their shapes."""
        tokens = _TOKENS
        if branch.rows == "first":
            stream, tokens = self.first(self.by_text(stream, self.program.width)), ["batch"]
        elif self.choose:
            stream, tokens = self.node("Gather", [stream, ROWS], axis=0), ["chosen"]
        buffers = Buffers(self, stream, self.program.width)
        for op in branch.ops:
            self.dense(op, buffers)
        found, width = buffers.read(branch.target), branch.target.width
        if len(tokens) == 2:
            found = self.by_text(found, width)
        if branch.name != "question_answering":
            return [(self.rename(found, next(names)), [*tokens, width])]
        ends = [self.node("Gather", [found, self.scalar(np.int64(column))], axis=-1) for column in (0, 1)]
        return [(self.rename(end, next(names)), tokens) for end in ends]

    def _true(self, x: str, state: Affine | None) -> str:
        if state is None:
            return x
        return self.node("Add", [self.node("Mul", [x, self.array(state.scale)]), self.array(state.shift)])
