"""Centering: subtract each channel's median before quantizing, so the 8 bits cover only what differs between tokens.

Storing a channel minus a constant s changes no result, up to rounding, if every operation that reads it adds its
weights times s to its bias. The subtraction itself goes into the bias of the product that writes the channel, or of its
norm. Attention weights add up to 1, so a constant subtracted from the values is also subtracted from the context.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pocketbert.plan.batch import PackedBatch
from pocketbert.plan.executor import run
from pocketbert.plan.int8.channels import Channels, Double
from pocketbert.plan.structure import Affine, Array, Dense, Int8, Norm, Plan

__all__ = ["center", "movable", "shift"]


def center(plan: Plan, batch: PackedBatch) -> Plan:
    """Subtract each channel's median over all tokens; done before equalizing and quantizing.

    The median and not the mean, since a few rows of a released MobileBERT reach 1e7. The result is a plan with the same
    results, up to rounding; ``batch`` has typical texts.
    """
    channels = Channels(plan)
    medians = np.zeros(len(channels.free))
    heads = {op for branch in plan.branches for op in branch.ops}

    def observe(op: Dense, rows: Array) -> None:
        if op not in heads:  # a head may read the first tokens only
            medians[channels.read[op]] = np.median(rows, axis=0)

    last = np.median(np.concatenate(run(plan, batch, observe=observe).hidden), axis=0).astype(np.float64)
    to_hidden = plan.to_hidden
    medians[channels.streams[-1]] = last if to_hidden is None else (last - to_hidden.shift) / to_hidden.scale
    medians[~movable(plan, channels)] = 0
    return shift(plan, channels, medians.astype(plan.dtype).astype(np.float64))


def movable(plan: Plan, channels: Channels) -> NDArray[np.bool_]:
    """(count,): from which channels a constant may be subtracted."""
    free = np.array(channels.free)
    free[channels.embedded] = False
    for op in plan.dense_ops():
        if op.activation != "linear" and op.norm is None:
            free[channels.written[op]] = False
        if op.activation != "linear" and op.residual is not None:
            free[channels.added[op]] = False
    return free


def shift(plan: Plan, channels: Channels, constants: Double) -> Plan:
    """Return a float plan with constants (count,) subtracted from its channels, 0 where they are not ``movable``."""

    def shifted(op: Dense) -> Dense:
        assert not isinstance(op.weight, Int8)
        bias = op.bias + op.weight @ constants[channels.read[op]]
        if op.residual is not None:
            bias += constants[channels.added[op]] * (1.0 if op.residual_scale is None else op.residual_scale)
        subtracted = constants[channels.written[op]]
        norm = _shifted_norm(op.norm, subtracted)
        return replace(op, bias=(bias if norm is not None else bias - subtracted).astype(op.bias.dtype), norm=norm)

    def to_hidden(affine: Affine | None, layers: int) -> Affine | None:
        subtracted = constants[channels.streams[layers]]
        if affine is not None:
            return Affine(affine.scale, (affine.shift + affine.scale * subtracted).astype(plan.dtype))
        if not subtracted.any():
            return None
        return Affine(np.ones(subtracted.shape, plan.dtype), subtracted.astype(plan.dtype))

    moved = plan.map_dense(shifted).map_to_hidden(to_hidden)
    norm = _shifted_norm(plan.embeddings.norm, constants[channels.streams[0]])
    return replace(moved, embeddings=replace(moved.embeddings, norm=norm))


def _shifted_norm(norm: Norm | None, subtracted: Double) -> Norm | None:
    return None if norm is None else replace(norm, bias=(norm.bias - subtracted).astype(norm.bias.dtype))
