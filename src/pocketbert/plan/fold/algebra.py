"""Affine maps folded into their neighbours, in float64 (MobileBERT, arXiv 2004.02984, section 3.4: NoNorm is affine).

A residual stream is kept as ``scale * x + shift``. A NoNorm behind an addition, ``g * (W y + b + scale * x + shift) +
beta``, then needs no operation of its own: ``x + (W y + b) / scale`` is the new x, ``g * scale`` the new scale, ``g *
shift + beta`` the new shift, and whatever reads the stream takes both into its own weights.
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

__all__ = [
    "Linear",
    "Reader",
    "Stream",
    "activation_name",
    "attention_over",
    "dense",
    "identity",
    "stack",
    "state_or_none",
]

Double = NDArray[np.float64]

# A scale beyond these is not carried on: the channel starts again at 1, and the residual takes the factor.
_SMALLEST, _LARGEST = 2.0**-24, 2.0**24


@dataclass(frozen=True, eq=False)
class Linear:
    """``weight @ y + bias`` in float64.

    Attributes:
        weight: (out, in).
        bias: (out,).
    """

    weight: Double
    bias: Double

    def of(self, inner: Linear | Affine) -> Linear:
        """Return this map applied to what ``inner`` gives, as one map."""
        if isinstance(inner, Affine):
            if _changes_nothing(inner):
                return self
            return Linear(self.weight * inner.scale, self.bias + self.weight @ inner.shift)
        return Linear(self.weight @ inner.weight, self.bias + self.weight @ inner.bias)

    def then(self, affine: Affine) -> Linear:
        """Return this map followed by a diagonal one."""
        return Linear(self.weight * affine.scale[:, None], self.bias * affine.scale + affine.shift)

    def times(self, factor: float | Double) -> Linear:
        """Return this map with its outputs multiplied."""
        return self.then(Affine(np.broadcast_to(np.asarray(factor, np.float64), self.bias.shape), np.zeros(1)))


def stack(*linears: Linear) -> Linear:
    """Return one map whose outputs are those of all, in order."""
    return Linear(np.concatenate([m.weight for m in linears]), np.concatenate([m.bias for m in linears]))


def identity(width: int) -> Affine:
    """Return the map that changes nothing."""
    return Affine(np.ones(width), np.zeros(width))


class Reader:
    """A model's parameters by their names on disk, each checked to be finite when it is read.

    Args:
        arrays: name -> array.
        prefix: stands before the encoder's names.
        dtype: of the arrays that a program holds.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], prefix: str, dtype: np.dtype[Any]) -> None:
        self.arrays = arrays
        self.prefix = prefix
        self.dtype = dtype

    def array(self, name: str) -> Double:
        """Return a parameter in float64."""
        return self.checked(name).astype(np.float64)

    def table(self, name: str) -> Array:
        """Return a copy of a parameter in the program's dtype."""
        return narrowed(name, self.checked(name), self.dtype)

    def linear(self, name: str) -> Linear:
        """Return the linear layer of this name."""
        return Linear(self.array(f"{name}.weight"), self.array(f"{name}.bias"))

    def norm(self, name: str, eps: float | None) -> Affine | Norm:
        """Return the norm of this name: a layer normalisation, or MobileBERT's NoNorm where ``eps`` is None."""
        scale, bias = self.array(f"{name}.weight"), self.array(f"{name}.bias")
        return Affine(scale, bias) if eps is None else Norm(scale, bias, eps)

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

    Args:
        span: where it stands.
        state: from its value to the true one; the identity by default.
    """

    def __init__(self, span: Span, dtype: np.dtype[Any], state: Affine | None = None) -> None:
        self.span = span
        self.dtype = dtype
        self.state = state or identity(span.width)

    def read(self, linear: Linear) -> Linear:
        """Return ``linear``, which reads the true stream, as a map that reads the kept one."""
        return linear.of(self.state)

    def set(self, source: Span, linear: Linear, norm: Affine | Norm) -> Dense:
        """Start the stream: ``norm(linear(source))``."""
        self.state = identity(self.span.width)
        if isinstance(norm, Norm):
            return dense(source, self.span, linear, self.dtype, norm=norm)
        return dense(source, self.span, linear.then(norm), self.dtype)

    def add(self, source: Span, linear: Linear, norm: Affine | Norm, residual: Span | None = None) -> Dense:
        """Go on: ``norm(linear(source) + residual)``; the residual stands where the stream does unless told."""
        before = self.state
        if isinstance(norm, Norm):
            carry, self.state = before.scale, identity(self.span.width)
            linear = Linear(linear.weight, linear.bias + before.shift)
        else:
            scale = norm.scale * before.scale
            kept = (np.abs(scale) >= _SMALLEST) & (np.abs(scale) <= _LARGEST)
            self.state = Affine(np.where(kept, scale, 1.0), norm.scale * before.shift + norm.shift)
            carry = np.where(kept, 1.0, scale)
            linear = linear.times(np.where(kept, 1 / np.where(kept, before.scale, 1.0), norm.scale))
        return dense(
            source,
            self.span,
            linear,
            self.dtype,
            residual=residual or self.span,
            carry=None if (carry == 1).all() else carry,
            norm=norm if isinstance(norm, Norm) else None,
        )


def dense(
    source: Span,
    target: Span,
    linear: Linear,
    dtype: np.dtype[Any],
    activation: str = "linear",
    residual: Span | None = None,
    carry: Double | None = None,
    norm: Norm | None = None,
) -> Dense:
    """Return an operation whose arrays have the program's dtype."""
    what = f"a folded weight ({source.buffer} -> {target.buffer})"
    return Dense(
        source,
        target,
        narrowed(what, linear.weight, dtype),
        narrowed(what, linear.bias, dtype),
        activation,
        residual,
        None if carry is None else narrowed(what, carry, dtype),
        None if norm is None else Norm(narrowed(what, norm.scale, dtype), narrowed(what, norm.bias, dtype), norm.eps),
    )


def attention_over(buffer: str, width: int, heads: int) -> Attention:
    """Return attention whose queries, keys and values, each ``width`` wide, begin a buffer in this order."""
    query, key, value = (Span(buffer, part * width, (part + 1) * width) for part in range(3))
    return Attention(query, key, value, Span("context", 0, width), heads)


def narrowed(what: str, array: NDArray[Any], dtype: np.dtype[Any]) -> Array:
    """Return a contiguous copy in ``dtype``.

    Raises:
        CheckpointError: a value does not fit.
    """
    with np.errstate(over="ignore"):
        cast = np.array(array, dtype, order="C")
    if not np.isfinite(cast).all():
        raise CheckpointError(f"{what} reaches {np.abs(array).max():.3g}, more than {dtype} holds")
    return cast


def state_or_none(state: Affine, dtype: np.dtype[Any]) -> Affine | None:
    """Return ``state`` in ``dtype``, or None where it changes nothing."""
    if _changes_nothing(state):
        return None
    return Affine(narrowed("a state's scale", state.scale, dtype), narrowed("a state's shift", state.shift, dtype))


def _changes_nothing(affine: Affine) -> bool:
    return bool((affine.scale == 1).all() and (affine.shift == 0).all())


def activation_name(value: Any) -> str:
    """Return the program's name of a configuration's activation.

    Raises:
        ConfigError: it is a function.
    """
    if not isinstance(value, str):
        raise ConfigError(f"the activation is a function, {value!r}; a plan needs one of {', '.join(ACTIVATIONS)}")
    return "gelu_new" if value == "gelu_pytorch_tanh" else value
