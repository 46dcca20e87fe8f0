"""A plan's operations as ONNX nodes; for buffers and shapes see ``graph``."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketbert.plan.structure import Array, Attention, Dense, Int8, Norm, Span
from pocketbert.runtime.onnx.writer import Buffers, Writer

__all__ = ["Operations"]

_OFFSET, _RANGE, _TINY = np.uint8(128), np.float32(127), np.float32(1e-30)  # see plan.arithmetic.quantize_rows
_MASKED = np.finfo(np.float32).min  # finite, so that softmax over padding alone gives no NaN
_ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "gelu": ("Gelu", {"approximate": "none"}),
    "gelu_new": ("Gelu", {"approximate": "tanh"}),
    "tanh": ("Tanh", {}),
}


class Operations(Writer):
    """Writes a plan's operations."""

    def __init__(self) -> None:
        super().__init__()
        self.quantized: dict[Any, tuple[str, str]] = {}

    def start(self) -> None:
        """Write what several operations read: the shape of the inputs and the mask."""
        self.shape = self.node("Shape", ["input_ids"])  # (2,): B, T
        self.seen = self.node("Cast", ["attention_mask"], to=self.onnx.TensorProto.BOOL)  # (B, T)
        bias = self.node("Where", [self.seen, self.scalar(np.float32(0)), self.scalar(_MASKED)])
        self.bias = self.node("Unsqueeze", [bias, self.ints(1, 2)])  # (B, 1, 1, T)

    def words(self, table: Array | Int8) -> str:
        """Gather word vectors, (B, T, E)."""
        if not isinstance(table, Int8):
            return self.node("Gather", [self.array(table), "input_ids"])
        values = self.node("Gather", [self.array(table.values), "input_ids"])
        scale = self.node("Gather", [self.array(np.expand_dims(table.scale, 1)), "input_ids"])  # (B, T, 1)
        return self.node("Mul", [self.node("Cast", [values], to=self.onnx.TensorProto.FLOAT), scale])

    def attention(self, op: Attention, buffers: Buffers) -> None:
        """Write attention within each text."""
        split = self.shaped(op.heads, op.head_size)

        def heads(span: Span, perm: list[int]) -> str:
            return self.node("Transpose", [self.node("Reshape", [buffers.read(span), split])], perm=perm)

        query, value = heads(op.query, [0, 2, 1, 3]), heads(op.value, [0, 2, 1, 3])  # (B, H, T, D)
        key = heads(op.key, [0, 2, 3, 1])  # (B, H, D, T)
        scores = self.node("Add", [self.node("MatMul", [query, key]), self.bias])
        context = self.node("MatMul", [self.node("Softmax", [scores], axis=-1), value])
        context = self.node("Transpose", [context], perm=[0, 2, 1, 3])  # (B, T, H, D)
        buffers.write(op.target, self.rows(context, op.target.width))

    def dense(self, op: Dense, buffers: Buffers) -> None:
        """Write a dense product with its activation, residual and norm."""
        x = self._product(op, buffers.read(op.source))
        if op.activation == "relu6":
            x = self.node("Clip", [x, self.scalar(np.float32(0)), self.scalar(np.float32(6))])
        elif op.activation == "silu":
            x = self.node("Mul", [x, self.node("Sigmoid", [x])])
        elif op.activation != "linear":
            kind, attributes = _ACTIVATIONS[op.activation]
            x = self.node(kind, [x], **attributes)
        if op.residual is not None:
            residual = buffers.read(op.residual)
            if op.residual_scale is not None:
                residual = self.node("Mul", [residual, self.array(op.residual_scale)])
            x = self.node("Add", [x, residual])
        buffers.write(op.target, x if op.norm is None else self.norm(x, op.norm))

    def _product(self, op: Dense, x: str) -> str:
        """(N, in) -> (N, out), with bias.

        The int8 product is exact where the CPU has VNNI, AMX or NEON; on x86 without VNNI, ONNX Runtime adds pairs of
        products in 16 bits with saturation, which a pair rarely reaches.
        """
        weight = op.weight
        if not isinstance(weight, Int8):
            return self.node("Gemm", [x, self.array(weight), self.array(op.bias)], transB=1)
        rest = ""
        if weight.outliers.size:
            columns = self.node("Gather", [x, self.array(weight.outliers)], axis=1)
            rest = self.node("Gemm", [columns, self.array(weight.outlier_weight)], transB=1)
        values, scale = self._quantized(x, op.source.width, weight.outliers)
        if id(weight.values) in self.known:  # a decoder that shares the word table
            table = self.node("Transpose", [self.array(weight.values)], perm=[1, 0])
        else:
            table = self.array(np.ascontiguousarray(weight.values.T))
        sums = self.node("MatMulInteger", [values, table, self.scalar(_OFFSET)])
        x = self.node("Mul", [self.node("Cast", [sums], to=self.onnx.TensorProto.FLOAT), scale])
        x = self.node("Mul", [x, self.array(weight.scale)])
        if rest:
            x = self.node("Add", [x, rest])
        return self.node("Add", [x, self.array(op.bias)])

    def _quantized(self, x: str, width: int, outliers: Array) -> tuple[str, str]:
        """(N, in) -> (N, in) uint8 around 128, (N, 1) scale; see ``plan.arithmetic.quantize_rows``."""
        key = (x, *outliers.tolist())
        if key not in self.quantized:
            if outliers.size:
                inside = np.ones(width, np.float32)
                inside[outliers] = 0
                x = self.node("Mul", [x, self.array(inside)])
            largest = self.node("ReduceMax", [self.node("Abs", [x]), self.ints(1)], keepdims=1)
            inverse = self.node("Div", [self.scalar(_RANGE), self.node("Max", [largest, self.scalar(_TINY)])])
            spread = self.node("Mul", [x, inverse])
            values = self.node("QuantizeLinear", [spread, self.scalar(np.float32(1)), self.scalar(_OFFSET)])
            self.quantized[key] = values, self.node("Div", [largest, self.scalar(_RANGE)])
        return self.quantized[key]

    def norm(self, x: str, norm: Norm) -> str:
        """(N, C) -> (N, C)."""
        inputs = [x, self.array(norm.scale), self.array(norm.bias)]
        return self.node("LayerNormalization", inputs, axis=-1, epsilon=norm.eps)

    def rows(self, x: str, width: int) -> str:
        """(B, T, ...) -> (N, width)."""
        return self.node("Reshape", [x, self.ints(-1, width)])

    def by_text(self, x: str, width: int) -> str:
        """(N, width) -> (B, T, width)."""
        return self.node("Reshape", [x, self.shaped(width)])

    def shaped(self, *columns: int) -> str:
        """Return the shape (B, T, *columns)."""
        key = ("shape", *columns)
        if key not in self.known:
            self.known[key] = self.node("Concat", [self.shape, self.ints(*columns)], axis=0)
        return self.known[key]

    def first(self, x: str) -> str:
        """(B, T, width) -> (B, width)."""
        return self.node("Gather", [x, self.scalar(np.int64(0))], axis=1)
