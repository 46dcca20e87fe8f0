"""Embeddings of pairs of texts: cosines that follow a score, or that tell a text's partner from those of others.

A text's vector is the mean over its tokens, special ones included, as ``pipeline("feature-extraction",
pooling="mean")`` gives it. A batch holds the rows of both texts in turn: first, second, first, second, ...
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pocketbert.training.batches import Batch

__all__ = ["CosineLoss", "InBatchNegatives"]

_SCALE = 20.0  # of cosines, before the softmax


class CosineLoss:
    """The squared difference of a pair's cosine and its score (sentence-transformers' CosineSimilarityLoss)."""

    def __init__(self) -> None:
        self.weights = {"loss": 1.0}

    def counts(self, batch: Batch) -> dict[str, int]:
        """See ``Objective``: pairs."""
        return {"loss": len(batch["labels"])}

    def losses(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        """See ``Objective``."""
        first, second = _vectors(model, batch)
        cosines = (first * second).sum(dim=-1)  # (B,)
        return {"loss": F.mse_loss(cosines, batch["labels"].float(), reduction="sum")}


class InBatchNegatives(CosineLoss):
    """The cross-entropy of finding a text's partner among those of the whole pass, by their cosines times 20.

    It is sentence-transformers' MultipleNegativesRankingLoss. The negatives are those of one pass of one process, so
    smaller passes and more processes make another, easier task.
    """

    def losses(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        """See ``Objective``."""
        first, second = _vectors(model, batch)
        likeness = first @ second.T * _SCALE  # (B, B)
        partners = torch.arange(len(likeness), device=likeness.device)
        return {"loss": F.cross_entropy(likeness, partners, reduction="sum")}


def _vectors(model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the vectors of the first and the second texts, (B, H) each, of length 1."""
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    states = model(**inputs).last_hidden_state.float()  # (2B, T, H)
    mask = batch["attention_mask"][..., None].to(states)
    vectors = F.normalize((states * mask).sum(dim=1) / mask.sum(dim=1), dim=-1)
    return vectors[::2], vectors[1::2]
