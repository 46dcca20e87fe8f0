"""Masked words, and whether one sentence follows another: what encoders are pre-trained on.

Shapes: B batch, T tokens, W width, V vocabulary, n chosen tokens.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from pocketbert.architecture.forward import IGNORE
from pocketbert.training.batches import Batch

__all__ = ["MaskedWords", "inputs_of"]

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def inputs_of(batch: Batch) -> Batch:
    """Return what an encoder takes of a batch."""
    return {name: batch[name] for name in _INPUTS if name in batch}


class MaskedWords:
    """Cross-entropy of the hidden words, whose logits alone are computed; and of the next sentence, if there is one.

    Args:
        next_sentence: whether batches say by ``next_sentence_label`` if the second text follows the first.
    """

    def __init__(self, next_sentence: bool = False) -> None:
        self.weights = {"words": 1.0} | ({"next_sentence": 1.0} if next_sentence else {})

    def counts(self, batch: Batch) -> dict[str, int]:
        """See ``Objective``: hidden words, and pairs of sentences."""
        found = {"words": int((batch["labels"] != IGNORE).sum()), "next_sentence": len(batch["labels"])}
        return {name: found[name] for name in self.weights}

    def losses(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        """See ``Objective``."""
        encoded = model.base_model(**inputs_of(batch))
        labels = batch["labels"]
        hidden = encoded.last_hidden_state[labels != IGNORE]  # (n, W)
        losses = {"words": F.cross_entropy(model.word_logits(hidden), labels[labels != IGNORE], reduction="sum")}
        if "next_sentence" in self.weights:
            logits = model.cls.seq_relationship(encoded.pooler_output)  # (B, 2)
            losses["next_sentence"] = F.cross_entropy(logits, batch["next_sentence_label"], reduction="sum")
        return losses
