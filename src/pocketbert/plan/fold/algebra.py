"""Affine maps folded into the operations next to them, in float64.

MobileBERT's NoNorm is affine (arXiv 2004.02984, section 3.4). The hidden state of a residual stream is represented as
``scale * x + shift``. A NoNorm after an addition, ``g * (W y + b + scale * x + shift) + beta``, then needs no operation
of its own: the new x is ``x + (W y + b) / scale``, the new scale ``g * scale``, the new shift ``g * shift + beta``, and
both go into the weights of whatever reads the stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketbert.architecture.config import ACTIVATIONS
from pocketbert.errors import CheckpointError, ConfigError
from pocketbert.plan.structure import Affine, Array, Attention, Dense, Norm, Span

__all__ = ["Linear", "Reader", "Stream", "affine_or_none", "attention_over", "dense", "identity", "stack"]

Double = NDArray[np.float64]

# A channel whose scale leaves this range gets scale 1 again, and the residual is multiplied by the scale instead.
_SMALLEST, _LARGEST = 2.0**-24, 2.0**24


@dataclass(frozen=True, eq=False)
class Linear:
    """``weight @ y + bias`` in float64, with a weight (out, in) and a bias (out,)."""

    weight: Double
    bias: Double

    def of(self, inner: Linear | Affine) -> Linear:
        """Return the composition ``self(inner(y))`` as one map."""
        if isinstance(inner, Affine):
            if _is_identity(inner):
                return self
            return Linear(self.weight * inner.scale, self.bias + self.weight @ inner.shift)
        return Linear(self.weight @ inner.weight, self.bias + self.weight @ inner.bias)

    def then(self, affine: Affine) -> Linear:
        """Return the composition ``affine(self(y))`` as one map."""
        return Linear(self.weight * affine.scale[:, None], self.bias * affine.scale + affine.shift)

    def times(self, factor: float | Double) -> Linear:
        """Return this map with its outputs multiplied."""
        return self.then(Affine(np.broadcast_to(np.asarray(factor, np.float64), self.bias.shape), np.zeros(1)))


def stack(*linears: Linear) -> Linear:
    """Return one map with the outputs of all, in order."""
    return Linear(np.concatenate([m.weight for m in linears]), np.concatenate([m.bias for m in linears]))


def identity(width: int) -> Affine:
    """Return the identity map."""
    return Affine(np.ones(width), np.zeros(width))


@dataclass(frozen=True, eq=False)
class Reader:
    """A model's parameters by their names on disk, each checked to be finite when it is read.

    The encoder's names begin with ``prefix``; ``dtype`` is that of the arrays in the plan.
    """

    arrays: Mapping[str, NDArray[Any]]
    prefix: str
    dtype: np.dtype[Any]

    def array(self, name: str) -> Double:
        """Return a parameter in float64."""
        return self.checked(name).astype(np.float64)

    def table(self, name: str) -> Array:
        """Return a copy of a parameter in the plan's dtype."""
        return _cast(name, self.checked(name), self.dtype)

    def linear(self, name: str) -> Linear:
        """Return the linear layer of this name."""
        return Linear(self.array(f"{name}.weight"), self.array(f"{name}.bias"))

    def norm(self, name: str, eps: float) -> Norm:
        """Return the layer normalization of this name, in the plan's dtype."""
        return Norm(self.table(f"{name}.weight"), self.table(f"{name}.bias"), eps)

    def no_norm(self, name: str) -> Affine:
        """Return MobileBERT's NoNorm of this name."""
        return Affine(self.array(f"{name}.weight"), self.array(f"{name}.bias"))

    def checked(self, name: str) -> NDArray[Any]:
        """Return a parameter as it is on disk.

        Raises:
            CheckpointError: a value is NaN or infinite.
        """
        array = self.arrays[name]
        if not np.isfinite(array).all():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise CheckpointError(f"{name} holds {array[index]} at {index}; the checkpoint is damaged: fetch it again")
        return array


class Stream:
    """A residual stream while a model is folded.

    ``to_hidden`` leads from its present value to the hidden state that the original model has there.
    """

    def __init__(self, span: Span, dtype: np.dtype[Any]) -> None:
        self.span, self.dtype, self.to_hidden = span, dtype, identity(span.width)

    def read(self, linear: Linear) -> Linear:
        """Return ``linear``, which reads the hidden state, as a map that reads the stream."""
        return linear.of(self.to_hidden)

    def set(self, source: Span, linear: Linear, norm: Affine | Norm) -> Dense:
        """Start the stream with ``norm(linear(source))``."""
        self.to_hidden = identity(self.span.width)
        if isinstance(norm, Norm):
            return dense(source, self.span, linear, self.dtype, norm=norm)
        return dense(source, self.span, linear.then(norm), self.dtype)

    def add(self, source: Span, linear: Linear, norm: Affine | Norm, residual: Span | None = None) -> Dense:
        """Update the stream to ``norm(linear(source) + residual)``; the residual is the stream itself by default."""
        before = self.to_hidden
        if isinstance(norm, Norm):
            residual_scale, self.to_hidden = before.scale, identity(self.span.width)
            linear = Linear(linear.weight, linear.bias + before.shift)
        else:
            scale = norm.scale * before.scale
            kept = (np.abs(scale) >= _SMALLEST) & (np.abs(scale) <= _LARGEST)
            self.to_hidden = Affine(np.where(kept, scale, 1.0), norm.scale * before.shift + norm.shift)
            residual_scale = np.where(kept, 1.0, scale)
            linear = linear.times(np.where(kept, 1 / np.where(kept, before.scale, 1.0), norm.scale))
        factors = None if (residual_scale == 1).all() else residual_scale
        kept_norm = norm if isinstance(norm, Norm) else None
        return dense(source, self.span, linear, self.dtype, "linear", residual or self.span, factors, kept_norm)


def dense(
    source: Span,
    target: Span,
    linear: Linear,
    dtype: np.dtype[Any],
    activation: Any = "linear",
    residual: Span | None = None,
    residual_scale: Double | None = None,
    norm: Norm | None = None,
) -> Dense:
    """Return an operation with arrays of the plan's dtype, in which ``norm`` is already.

    Raises:
        CheckpointError: a value is too large for the dtype.
        ConfigError: ``activation``, as a configuration names it, is a function.
    """
    what = f"a folded weight ({source.buffer} -> {target.buffer})"
    weight, bias = _cast(what, linear.weight, dtype), _cast(what, linear.bias, dtype)
    factors = None if residual_scale is None else _cast(what, residual_scale, dtype)
    return Dense(source, target, weight, bias, _activation_name(activation), residual, factors, norm)


def attention_over(buffer: str, width: int, heads: int) -> Attention:
    """Return attention whose queries, keys and values, each ``width`` wide, are the first columns of a buffer."""
    query, key, value = (Span(buffer, part * width, (part + 1) * width) for part in range(3))
    return Attention(query, key, value, Span("context", 0, width), heads)


def _cast(what: str, array: NDArray[Any], dtype: np.dtype[Any]) -> Array:
    """Return a contiguous copy in ``dtype``; ``what`` names the array where a value is too large for it."""
    with np.errstate(over="ignore"):
        copy = np.array(array, dtype, order="C")
    if not np.isfinite(copy).all():
        raise CheckpointError(f"{what} reaches {np.abs(array).max():.3g}, more than {dtype} holds")
    return copy


def affine_or_none(affine: Affine, dtype: np.dtype[Any]) -> Affine | None:
    """Return a map in ``dtype``, or None for the identity."""
    if _is_identity(affine):
        return None
    return Affine(_cast("a stream's scale", affine.scale, dtype), _cast("a stream's shift", affine.shift, dtype))


def _is_identity(affine: Affine) -> bool:
    return bool((affine.scale == 1).all() and (affine.shift == 0).all())


def _activation_name(value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"the activation is a function, {value!r}; a plan needs one of {', '.join(ACTIVATIONS)}")
    return "gelu_new" if value == "gelu_pytorch_tanh" else value
