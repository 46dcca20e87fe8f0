"""Scores from logits, in float64 and without overflow."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["best_first", "sigmoid", "softmax"]

Array = NDArray[np.float64]


def softmax(logits: NDArray[Any]) -> Array:
    """Probabilities over the last axis."""
    logits = np.asarray(logits, np.float64)
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float64)


def sigmoid(logits: NDArray[Any]) -> Array:
    """Probability of each logit by itself."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -np.asarray(logits, np.float64))), np.float64)


def best_first(scores: NDArray[Any], top_k: int | None = None) -> list[int]:
    """Indices of the ``top_k`` highest scores (all if None), highest first; equal scores keep their order."""
    flat = np.asarray(scores)
    if top_k is not None and top_k < len(flat):
        edge = np.partition(flat, len(flat) - top_k)[len(flat) - top_k]
        candidates = np.flatnonzero(flat >= edge)
    else:
        candidates = np.arange(len(flat))
    order = candidates[np.argsort(-flat[candidates], kind="stable")]
    return [int(index) for index in order[:top_k]]
