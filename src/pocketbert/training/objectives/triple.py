"""DistilBERT's three losses (arXiv 1910.01108, section 3; recipe: transformers' ``distillation``).

Shapes: B batch, T tokens, W width, V vocabulary, n tokens that count.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pocketbert.architecture.forward import IGNORE
from pocketbert.training.batches import Batch
from pocketbert.training.objectives.words import inputs_of

__all__ = ["TripleLoss", "divergence"]


class TripleLoss:
    """The student predicts what the teacher predicts, the hidden words, and the direction of the teacher's states.

    ======  ==========================================================================================
    ``ce``  divergence of the student's words from the teacher's, both at a temperature, times its square
    ``mlm``  cross-entropy of the hidden words
    ``cos``  1 - cosine of the last hidden states
    ======  ==========================================================================================

    Args:
        teacher: a model of the same vocabulary, with a head that predicts words if ``ce`` counts; and of the same width
            if ``cos`` counts.
        ce, mlm, cos: factors; a loss of factor 0 is not computed.
        temperature: divides the logits of ``ce``.
        masked_only: take ``ce`` over hidden words instead of all tokens but padding.
    """

    def __init__(
        self,
        teacher: Any,
        *,
        ce: float = 5.0,
        mlm: float = 2.0,
        cos: float = 1.0,
        temperature: float = 2.0,
        masked_only: bool = False,
    ) -> None:
        self.teacher = teacher.eval().requires_grad_(False)
        self.weights = {name: value for name, value in (("ce", ce), ("mlm", mlm), ("cos", cos)) if value}
        self.temperature = temperature
        self.masked_only = masked_only

    def counts(self, batch: Batch) -> dict[str, int]:
        """See ``Objective``: tokens but padding, or hidden words."""
        real, hidden = int(batch["attention_mask"].sum()), int((batch["labels"] != IGNORE).sum())
        found = {"ce": hidden if self.masked_only else real, "mlm": hidden, "cos": real}
        return {name: found[name] for name in self.weights}

    def losses(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        """See ``Objective``."""
        student = self._states(model, batch)
        with torch.no_grad():
            teacher = self._states(self.teacher.to(student.device), batch)
        labels = batch["labels"][batch["attention_mask"] > 0]  # (n,)
        hidden = labels != IGNORE
        losses = {}
        if "ce" in self.weights:
            mine, theirs = (student[hidden], teacher[hidden]) if self.masked_only else (student, teacher)
            logits = model.word_logits(mine)  # (n, V)
            with torch.no_grad():
                wanted = self.teacher.word_logits(theirs)
            losses["ce"] = divergence(logits, wanted, self.temperature).sum()
            at_hidden = logits if self.masked_only else logits[hidden]
        elif "mlm" in self.weights:
            at_hidden = model.word_logits(student[hidden])
        if "mlm" in self.weights:
            losses["mlm"] = F.cross_entropy(at_hidden, labels[hidden], reduction="sum")
        if "cos" in self.weights:
            losses["cos"] = (1 - F.cosine_similarity(student.float(), teacher.float(), dim=-1)).sum()
        return losses

    def _states(self, model: Any, batch: Batch) -> Tensor:
        """Return the last hidden states of all tokens but padding, (n, W)."""
        states: Tensor = model.base_model(**inputs_of(batch)).last_hidden_state
        return states[batch["attention_mask"] > 0]


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the divergence KL(teacher || student) of logits (..., N) at a temperature, times its square: (...)."""
    mine = F.log_softmax(student.float() / temperature, dim=-1)
    theirs = F.log_softmax(teacher.float() / temperature, dim=-1)
    return F.kl_div(mine, theirs, reduction="none", log_target=True).sum(dim=-1) * temperature**2
