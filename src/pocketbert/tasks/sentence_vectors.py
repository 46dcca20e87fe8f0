"""From a text's states to its vector, as sentence-transformers computes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pocketbert.checkpoint.sentence_transformers import POOLINGS, Dense, Normalize, Pooling
from pocketbert.errors import InputError

__all__ = ["check_pooling", "normalized", "vector_of"]

Array = NDArray[np.float64]

_erf = np.vectorize(math.erf, [np.float64])
_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "Tanh": np.tanh,
    "Identity": lambda x: x,
    "ReLU": lambda x: np.maximum(x, 0),
    "GELU": lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))),
    "Sigmoid": lambda x: 0.5 * (1 + np.tanh(0.5 * x)),
    "SiLU": lambda x: 0.5 * x * (1 + np.tanh(0.5 * x)),
}


def check_pooling(name: str, value: object) -> None:
    """Require ``"auto"``, ``"none"`` or None, one of ``POOLINGS``, or several of them."""
    modes = value if isinstance(value, (list, tuple)) and value else [value]
    choices = POOLINGS if isinstance(value, (list, tuple)) else ("auto", "none", *POOLINGS)
    if value is not None and not all(isinstance(mode, str) and mode in choices for mode in modes):
        known = ", ".join(map(repr, POOLINGS))
        raise InputError(f"{name}={value!r} is unknown; choose from 'auto', None, {known}, or a list of these")


def vector_of(states: Array, steps: Sequence[Pooling | Dense | Normalize], prompt: int = 0) -> Array:
    """Return a text's vector, (tokens, width) -> (width out,).

    Args:
        states: of every token, special tokens included.
        steps: a pooling first.
        prompt: how many of the first tokens are the prompt's.
    """
    vector: Array = states
    for step in steps:
        if isinstance(step, Pooling):
            start = 0 if step.include_prompt else min(prompt, len(states) - 1)
            vector = np.concatenate([_pooled(vector, mode, start) for mode in step.modes])
        elif isinstance(step, Dense):
            if step.weight.shape[1] != len(vector):
                raise InputError(f"a dense layer takes {step.weight.shape[1]} numbers, the vector has {len(vector)}")
            vector = step.weight @ vector + (0 if step.bias is None else step.bias)
            vector = _ACTIVATIONS[step.activation](vector)
        else:
            vector = normalized(vector)
    return vector


def normalized(vectors: Array) -> Array:
    """Scale vectors, (..., width), to length 1."""
    scaled: Array = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return scaled


def _pooled(states: Array, mode: str, start: int) -> Array:
    """(tokens, width) -> (width,); the tokens before ``start`` do not count, but keep their places."""
    counted = states[start:]
    if mode == "cls":
        return np.asarray(counted[0])
    if mode == "lasttoken":
        return np.asarray(counted[-1])
    if mode == "max":
        return np.asarray(counted.max(axis=0))
    if mode == "weightedmean":
        weights = np.arange(start, len(states)) + 1.0
        return np.asarray(weights @ counted / weights.sum())
    count = len(counted) if mode == "mean" else math.sqrt(len(counted))
    return np.asarray(counted.sum(axis=0) / count)
