"""Centring: channels held less what they typically are, so that 8 bits are spent on what differs between tokens.

A channel may be held less any constant s if whoever reads it adds its weights times s to the bias: the program computes
the same. A product's own bias takes away what its target is held less, a norm's bias does so behind a norm, and
attention's weights add up to 1, so that what the values lack the context lacks too.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pocketbert.plan.executor import run
from pocketbert.plan.int8.equalize import Channels, trace
from pocketbert.plan.int8.ranges import calibration_batch
from pocketbert.plan.structure import Affine, Array, Dense, Int8, Norm, Program
from pocketbert.runtime.batching import PackedBatch

__all__ = ["centre", "movable", "shift"]

Double = NDArray[np.float64]


def centre(program: Program, batch: PackedBatch | None = None) -> Program:
    """Hold channels less their median over all tokens, before equalising and quantising.

    The program computes the same, up to roundings. The median, for a few rows of a released MobileBERT reach 1e7.

    Args:
        program: a float program.
        batch: typical texts; pseudo-random words where None.
    """
    channels = trace(program)
    batch = calibration_batch(program.config) if batch is None else batch
    typical = np.zeros(len(channels.free))
    heads = {id(op) for branch in program.branches for op in branch.ops}

    def observe(op: Dense, rows: Array) -> None:
        if id(op) not in heads:  # these may see the first tokens only
            typical[channels.read[id(op)]] = np.median(rows, axis=0)

    last = np.median(np.concatenate(run(program, batch, observe=observe).hidden), axis=0).astype(np.float64)
    state = program.state
    typical[channels.ends[-1]] = last if state is None else (last - state.shift) / state.scale
    typical[~movable(program, channels)] = 0
    return shift(program, channels, typical.astype(program.dtype).astype(np.float64))


def movable(program: Program, channels: Channels) -> NDArray[np.bool_]:
    """(count,): which channels may be held less a constant."""
    free = np.array(channels.free)
    free[channels.embedded] = False
    for op in program.denses():
        if op.activation == "linear":
            continue
        if op.norm is None:
            free[channels.written[id(op)]] = False
        if op.residual is not None:
            free[channels.added[id(op)]] = False
    return free


def shift(program: Program, channels: Channels, constants: Double) -> Program:
    """Return the program with every channel held less its constant.

    Args:
        program: a float program.
        channels: from ``gauge.trace`` of this program.
        constants: (count,), 0 where a channel is not ``movable``.
    """

    def moved(op: Dense) -> Dense:
        assert not isinstance(op.weight, Int8)
        bias = op.bias + op.weight @ constants[channels.read[id(op)]]
        if op.residual is not None:
            bias += constants[channels.added[id(op)]] * (1.0 if op.carry is None else op.carry)
        gone = constants[channels.written[id(op)]]
        norm = _moved_norm(op.norm, gone)
        return replace(op, bias=(bias if op.norm is not None else bias - gone).astype(op.bias.dtype), norm=norm)

    e = program.embeddings
    first = constants[channels.first]
    projection = None if e.projection is None else moved(e.projection)
    layers = tuple(
        replace(
            layer,
            ops=tuple(moved(op) if isinstance(op, Dense) else op for op in layer.ops),
            state=_moved_state(layer.state, constants[end], program.dtype),
        )
        for layer, end in zip(program.layers, channels.ends, strict=True)
    )
    return replace(
        program,
        embeddings=replace(e, projection=projection, norm=_moved_norm(e.norm, first)),
        embeddings_state=_moved_state(program.embeddings_state, first, program.dtype),
        layers=layers,
        branches=tuple(replace(branch, ops=tuple(map(moved, branch.ops))) for branch in program.branches),
    )


def _moved_norm(norm: Norm | None, gone: Double) -> Norm | None:
    return None if norm is None else replace(norm, bias=(norm.bias - gone).astype(norm.bias.dtype))


def _moved_state(state: Affine | None, gone: Double, dtype: np.dtype[np.generic]) -> Affine | None:
    if state is not None:
        return Affine(state.scale, (state.shift + state.scale * gone).astype(dtype))
    return Affine(np.ones(gone.shape, dtype), gone.astype(dtype)) if gone.any() else None
