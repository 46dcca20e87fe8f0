"""The contract of an objective, and the one that most runs have: the head's own loss.

A loss is a mean over items: texts, tokens, masked words. A step may be divided into several passes and among several
processes, whose shares hold unequally many items; a mean of their means would then be wrong. So an objective says
beforehand how many items a batch has of each loss, and gives the sum over them; the loop divides by the step's total.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from pocketbert.architecture.forward import IGNORE
from pocketbert.architecture.heads import Head
from pocketbert.training.batches import Batch

__all__ = ["HeadLoss", "Objective"]


class Objective(Protocol):
    """What is minimized.

    Attributes:
        weights: the factor of each loss in the total, by name.
    """

    weights: dict[str, float]

    def counts(self, batch: Batch) -> dict[str, int]:
        """Return how many items of a batch each loss is taken over."""

    def losses(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        """Run the model, and return the sum of each loss over its items."""


class HeadLoss:
    """The loss of a model's own head on its labels.

    Args:
        head: the record of the head.
    """

    def __init__(self, head: Head) -> None:
        self.weights = {"loss": 1.0}
        self.label = head.labels[0]
        self.per_token = head.answers[0].per != "text" and len(head.labels) == 1

    def counts(self, batch: Batch) -> dict[str, int]:
        """See ``Objective``: labeled tokens, or texts."""
        labels = batch[self.label]
        return {"loss": int((labels != IGNORE).sum()) if self.per_token else len(labels)}

    def losses(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        """See ``Objective``."""
        mean = model(**batch).loss
        count = self.counts(batch)["loss"]
        return {"loss": mean * count if count else torch.nan_to_num(mean) * 0}
