"""Equalization: rescale channels of the streams and of ReLU's middle layers so that no channel dwarfs the others.

Storing a channel divided by any positive t changes no result if every operation that reads it multiplies its weights by
t. Where a residual is added to channels with another t, it is multiplied first (``Dense.residual_scale``). Every t is a
power of two, so the multiplications are exact and no float32 result changes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pocketbert.errors import InputError
from pocketbert.plan.batch import PackedBatch
from pocketbert.plan.int8.channels import Channels, Double
from pocketbert.plan.int8.ranges import peaks
from pocketbert.plan.structure import Affine, Array, Dense, Int8, Norm, Plan

__all__ = ["equalize", "rescale"]

_MAX_EXPONENT = 30  # t is within 2 ** -30 .. 2 ** 30
_HALVED = 4.0  # scale exponents up to +-4 are halved: activations rarely reach their peak, weights always do
_TOLERANCE = 4.0  # a stream keeps its t while the exponent that its next reader prefers is within this


def equalize(plan: Plan, batch: PackedBatch) -> Plan:
    """Even out the ranges of the channels before quantizing.

    A channel's t approaches the square root of its range among the values over its range among the weights that read
    it, which splits the spread between the rounding of values and that of weights. A channel of a residual stream keeps
    its t over several layers where that is near enough. The result is a plan with the same results; ``batch`` has
    typical texts.

    Raises:
        InputError: the plan is quantized already.
    """
    if plan.quantized:
        raise InputError("the plan is in int8 already; equalize the float plan, then quantize")
    channels = Channels(plan)
    total, readers = np.zeros(len(channels.free)), np.zeros(len(channels.free))
    for op, values in peaks(plan, batch).items():  # other products stay in float32
        weights = np.abs(np.asarray(op.weight, np.float64)).max(axis=0)
        known = (values > 0) & (weights > 0)
        if not known.any():
            continue
        preferred = 0.5 * np.log2(values[known] / weights[known])
        preferred -= np.median(preferred)
        np.add.at(total, channels.read[op][known], preferred - 0.5 * np.clip(preferred, -_HALVED, _HALVED))
        np.add.at(readers, channels.read[op][known], 1)
    exponents = np.clip(np.rint(_agreed(channels, total, readers)), -_MAX_EXPONENT, _MAX_EXPONENT)
    return rescale(plan, channels, np.where(channels.free, 2.0**exponents, 1.0))


def _agreed(channels: Channels, total: Double, readers: Double) -> Double:
    """Return one exponent per channel, the mean of what its readers prefer.

    A channel that continues an earlier one through a residual addition shares its exponent, unless their preferences
    differ by more than ``_TOLERANCE``: then the residual is multiplied.
    """
    group = np.arange(len(total))
    for channel in range(len(total)):
        first = int(group[channels.before[channel]])
        if first == channel or not (channels.free[channel] and channels.free[first]):
            continue
        if readers[channel] and readers[first]:
            apart = total[channel] / readers[channel] - total[first] / readers[first]
            if abs(apart) > _TOLERANCE:
                continue
        group[channel] = first
        total[first] += total[channel]
        readers[first] += readers[channel]
    return np.asarray((total / np.maximum(readers, 1))[group])


def rescale(plan: Plan, channels: Channels, factors: Double) -> Plan:
    """Return a float plan with its channels divided by positive factors (count,), 1 where they are not free."""
    if not ((factors > 0).all() and (factors[~channels.free] == 1).all()):
        raise ValueError("channels are divided by positive factors only, and by 1 where they are not free")

    def rescaled(op: Dense) -> Dense:
        into, out = factors[channels.read[op]], factors[channels.written[op]]
        inside = np.ones_like(out) if op.norm is not None else out  # what a norm reads stays as it is
        assert not isinstance(op.weight, Int8)
        residual_scale, weight = op.residual_scale, op.weight
        if op.residual is not None:
            change = factors[channels.added[op]] / inside
            if (change != 1).any():
                before = np.ones(out.shape, op.bias.dtype) if residual_scale is None else residual_scale
                residual_scale = _times(before, change)
        if (into != 1).any() or (inside != 1).any():  # an unchanged weight, such as the word table, stays shared
            weight = _times(_times(weight, into), 1 / inside[:, None])
        bias, norm = _times(op.bias, 1 / inside), _rescaled_norm(op.norm, out)
        return replace(op, weight=weight, bias=bias, residual_scale=residual_scale, norm=norm)

    def to_hidden(affine: Affine | None, layers: int) -> Affine | None:
        factor = factors[channels.streams[layers]]
        if affine is not None:
            return Affine(_times(affine.scale, factor), affine.shift)
        return None if (factor == 1).all() else Affine(factor.astype(plan.dtype), np.zeros(factor.shape, plan.dtype))

    plan = plan.map_dense(rescaled).map_to_hidden(to_hidden)
    e, embedded = plan.embeddings, 1 / factors[channels.embedded]
    e = replace(
        e,
        positions=_times(e.positions, embedded),
        types=None if e.types is None else _times(e.types, embedded),
        norm=_rescaled_norm(e.norm, factors[channels.streams[0]]),
    )
    return replace(plan, embeddings=e)


def _rescaled_norm(norm: Norm | None, factor: Double) -> Norm | None:
    return None if norm is None else Norm(_times(norm.scale, 1 / factor), _times(norm.bias, 1 / factor), norm.eps)


def _times(array: Array, factor: Double) -> Array:
    return np.asarray(array * factor.astype(array.dtype))
