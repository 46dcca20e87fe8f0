"""A head learns what a teacher's head of the same task answers, and the labels where there are any.

Shapes: B batch, T tokens, N labels, n tokens that begin a word.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pocketbert.architecture.forward import IGNORE
from pocketbert.architecture.heads import Head
from pocketbert.evaluation.labeled import is_multi_label, is_regression
from pocketbert.training.batches import Batch
from pocketbert.training.objectives.triple import divergence
from pocketbert.training.objectives.words import inputs_of

__all__ = ["TaskDistillation"]

_NEVER = -1e9  # the logit of padding


class TaskDistillation:
    """``share`` x the divergence from the teacher's answers, and the rest x the head's own loss on labels.

    Classes, tags, choices and spans (mean of start and end) diverge as KL(teacher || student) at a temperature, times
    its square; several labels at once each as a distribution over yes and no, of which the mean is taken; numbers by
    the squared difference. A label of -100 counts nothing.

    Args:
        head: the record of the head.
        teacher: a model with this head and the same labels.
        temperature: divides the logits.
        share: of the teacher in the loss.
    """

    def __init__(self, head: Head, teacher: Any, temperature: float = 2.0, share: float = 0.5) -> None:
        self.teacher = teacher.eval().requires_grad_(False)
        self.temperature = temperature
        self.weights = {name: value for name, value in (("teacher", share), ("labels", 1 - share)) if value}
        self.head = head
        self.answer_names = head.fields

    def counts(self, batch: Batch) -> dict[str, int]:
        """See ``Objective``: texts, or words for tags; and those of them that have labels."""
        labels = batch[self.head.labels[0]]
        items = int((batch["first"] == 1).sum()) if "first" in batch else len(labels)
        labeled = int((labels if "first" in batch else labels.reshape(len(labels), -1)[:, 0]).ne(IGNORE).sum())
        found = {"teacher": items, "labels": labeled}
        return {name: found[name] for name in self.weights}

    def losses(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        """See ``Objective``."""
        inputs = inputs_of(batch)
        student = model(**inputs)
        with torch.no_grad():
            teacher = self.teacher.to(batch["input_ids"].device)(**inputs)
        soft, hard = [], []
        for field, name in zip(self.answer_names, self.head.labels, strict=True):
            logits, wanted, labels = student[field].float(), teacher[field].float(), batch[name]
            if "first" in batch:
                words = batch["first"] == 1
                logits, wanted, labels = logits[words], wanted[words], labels[words]  # (n, N)
            hard.append(self._labels(model.config, logits, labels))
            if len(self.answer_names) > 1:  # places in the text, of which padding is none
                logits, wanted = (x.masked_fill(batch["attention_mask"] == 0, _NEVER) for x in (logits, wanted))
            soft.append(self._teacher(model.config, logits, wanted))
        found = {"teacher": torch.stack(soft).mean(dim=0).sum(), "labels": torch.stack(hard).mean(dim=0)}
        return {name: found[name] for name in self.weights}

    def _teacher(self, config: Any, logits: Tensor, wanted: Tensor) -> Tensor:
        """Return how far each answer is from the teacher's."""
        if self.head.name == "sequence_classification":
            if is_regression(config):
                return (logits - wanted).square().mean(dim=-1)
            if is_multi_label(config):
                mine, theirs = (torch.stack([x, torch.zeros_like(x)], dim=-1) for x in (logits, wanted))
                return divergence(mine, theirs, self.temperature).mean(dim=-1)
        return divergence(logits, wanted, self.temperature)

    def _labels(self, config: Any, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the sum of the head's own loss over the answers that have labels."""
        if self.head.name == "sequence_classification" and (is_regression(config) or is_multi_label(config)):
            labels = labels.view_as(logits).to(logits.dtype)
            known = labels != IGNORE
            loss = F.mse_loss if is_regression(config) else F.binary_cross_entropy_with_logits
            each = loss(logits, labels.where(known, 0.0), reduction="none") * known
            return each.mean(dim=-1).sum()
        return F.cross_entropy(logits, labels.long(), ignore_index=IGNORE, reduction="sum")
