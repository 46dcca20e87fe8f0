"""The parts of an ONNX graph: nodes, constants, and the tensors that stand for the columns of a plan's buffers."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketbert.extras import require
from pocketbert.plan.structure import STREAM, Array, Span

__all__ = ["OPERATIONS", "OPSET", "Buffers", "Writer"]

OPSET = 20  # the first with Gelu; nothing here needs a later one
_IR_VERSION = 10  # the one released with that opset

# every operation that an export may have; files with others are refused
OPERATIONS = frozenset(
    {
        *("Abs", "Add", "Cast", "Clip", "Concat", "Div", "Gather", "Gelu", "Gemm", "LayerNormalization", "MatMul"),
        *("MatMulInteger", "Max", "Mul", "Pad", "QuantizeLinear", "ReduceMax", "Relu", "Reshape", "Shape", "Sigmoid"),
        *("Slice", "Softmax", "Tanh", "Transpose", "Unsqueeze", "Where"),
    }
)


class Writer:
    """Writes one graph; its methods return names of tensors in it."""

    def __init__(self) -> None:
        self.onnx = require("onnx")
        self.nodes: list[Any] = []
        self.tensors: dict[str, Any] = {}
        self.known: dict[Any, str] = {}
        self.kept: list[Array] = []  # keeps the arrays alive, so that their ids stay unique

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        """Append a node and return the name of its output."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def array(self, array: Array) -> str:
        """Return the name of an initializer; the same array is stored once."""
        if id(array) not in self.known:
            name = f"weight_{len(self.tensors)}"
            self.tensors[name] = self.onnx.numpy_helper.from_array(np.asarray(array, order="C"), name)
            self.known[id(array)] = name
            self.kept.append(array)
        return self.known[id(array)]

    def ints(self, *values: int) -> str:
        """Return the name of a small (n,) int64 constant."""
        if values not in self.known:
            self.known[values] = self.array(np.array(values, np.int64))
        return self.known[values]

    def scalar(self, value: np.generic) -> str:
        """Return the name of a 0-dimensional constant."""
        key = (value.dtype.name, value.item())
        if key not in self.known:
            self.known[key] = self.array(np.array(value))
        return self.known[key]

    def slice(self, name: str, start: int, stop: int | str, axis: int) -> str:
        """Return ``name[start:stop]`` along an axis."""
        end = stop if isinstance(stop, str) else self.ints(stop)
        return self.node("Slice", [name, self.ints(start), end, self.ints(axis)])

    def rename(self, old: str, new: str) -> str:
        """Rename a tensor that is an output of the graph and that no node has read yet."""
        node = next(node for node in reversed(self.nodes) if old in node.output)
        node.output[list(node.output).index(old)] = new
        return new

    def model(self, inputs: list[tuple[str, list[Any]]], outputs: list[tuple[str, list[Any]]]) -> Any:
        """Return the ModelProto with int64 inputs and float32 outputs, each (name, shape)."""
        helper, kinds = self.onnx.helper, self.onnx.TensorProto
        given = [helper.make_tensor_value_info(name, kinds.INT64, shape) for name, shape in inputs]
        results = [helper.make_tensor_value_info(name, kinds.FLOAT, shape) for name, shape in outputs]
        graph = helper.make_graph(self.nodes, "pocketbert", given, results, list(self.tensors.values()))
        opset = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opset, ir_version=_IR_VERSION, producer_name="pocketbert")


class Buffers:
    """Which tensor holds which columns of the buffers while the graph is written.

    At first it is ``stream`` alone, which holds the ``width`` columns of the residual stream.
    """

    def __init__(self, writer: Writer, stream: str, width: int) -> None:
        self.writer = writer
        self.pieces = {Span(STREAM, 0, width): stream}

    def write(self, span: Span, name: str) -> None:
        """Let a tensor be these columns; a tensor that it covers in part is sliced."""
        for old, tensor in [item for item in self.pieces.items() if item[0].overlaps(span)]:
            del self.pieces[old]
            for start, stop in ((old.start, min(old.stop, span.start)), (max(old.start, span.stop), old.stop)):
                if start < stop:
                    self.pieces[Span(old.buffer, start, stop)] = self._cut(tensor, start - old.start, stop - old.start)
        self.pieces[span] = name

    def read(self, span: Span) -> str:
        """Return a tensor of exactly these columns, sliced and concatenated if need be."""
        if span in self.pieces:
            return self.pieces[span]
        parts = []
        for piece in sorted((piece for piece in self.pieces if piece.overlaps(span)), key=lambda piece: piece.start):
            start, stop = max(piece.start, span.start), min(piece.stop, span.stop)
            whole = (start, stop) == (piece.start, piece.stop)
            name = self.pieces[piece]
            parts.append(name if whole else self._cut(name, start - piece.start, stop - piece.start))
        return parts[0] if len(parts) == 1 else self.writer.node("Concat", parts, axis=1)

    def _cut(self, name: str, start: int, stop: int) -> str:
        return self.writer.slice(name, start, stop, axis=1)
