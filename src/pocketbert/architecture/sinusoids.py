"""Sinusoidal position embeddings of the original Transformer, an optional initialization of DistilBERT."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["sinusoids"]


def sinusoids(positions: int, width: int) -> np.ndarray[Any, Any]:
    """Return (positions, width), float64: sin on even columns, cos on odd ones (arXiv 1706.03762, section 3.5)."""
    column = np.arange(width, dtype=np.float64)
    angle = np.arange(positions, dtype=np.float64)[:, None] / 10000 ** (2 * (column // 2) / width)
    return np.where(column % 2 == 0, np.sin(angle), np.cos(angle))
