"""Every task head, written once; a public class composes one with a family's encoder and needs no line of its own.

What a head answers and what it is trained on stands in its record, ``architecture.heads``; a class here adds its loss,
and those of ``architecture.forward`` have the default one.
Losses are means over the batch.

Shapes: B batch, T tokens, C choices, N labels, V vocabulary, W width.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketbert.architecture import families
from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.families import FAMILIES, family_of
from pocketbert.architecture.forward import (
    IGNORE,
    Framework,
    HeadForward,
    MaskedLM,
    MultipleChoice,
    PreTraining,
    TokenClassification,
    problem_type,
)
from pocketbert.architecture.parameters import Parameter
from pocketbert.errors import InputError
from pocketbert.notices import warn
from pocketbert.torch.layers import activation
from pocketbert.torch.masks_and_ids import CHECKS, dtype_of
from pocketbert.torch.model import PreTrainedModel

__all__ = [
    "Task",
    "MaskedLM",
    "MultipleChoice",
    "NextSentence",
    "PreTraining",
    "QuestionAnswering",
    "SequenceClassification",
    "TokenClassification",
]

# what follows a family's pooler, one module for all calls
_POOLED_ACTIVATIONS = {family.pooled.activation: activation(family.pooled.activation) for family in FAMILIES.values()}


class Task(HeadForward, PreTrainedModel):
    """An encoder with a head; see ``HeadForward``."""

    toolkit = Framework(
        part=nn.Module,
        dense=lambda _, into, out: nn.Linear(into, out),
        dropout=nn.Dropout,
        activation=_POOLED_ACTIVATIONS.__getitem__,
        shape=lambda x: x.shape,
        reshape=torch.reshape,
        fold=lambda x: x.flatten(0, 1),
        columns=lambda x, _: [column.contiguous() for column in x.unbind(-1)],
        batch_axis=".unsqueeze(0)",
    )

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        has_pooler = family_of(config).pooled.in_encoder
        options = {"add_pooling_layer": self.record.reads_pooled} if has_pooler else {}
        with self.assembling():
            setattr(self, self.base_model_prefix, self.encoder_class(config, **options))
            self.build_head()
        self.post_init()

    def library_parameters(self) -> list[Parameter]:
        """See ``PreTrainedModel``."""
        pooler = getattr(self.base_model, "pooler", None) is not None
        return families.parameters(self.config, self.head, pooler=pooler)

    def get_output_embeddings(self) -> nn.Module | None:
        """Return the layer that maps onto the vocabulary, or None where no words are predicted."""
        predicts = any(answer.per == "position" for answer in self.record.answers)
        return self.get_submodule(family_of(self.config).words.decoder) if predicts else None

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the layer that maps onto the vocabulary.

        Raises:
            InputError: this class has none.
        """
        if self.get_output_embeddings() is None:
            super().set_output_embeddings(new_embeddings)
        words = family_of(self.config).words
        self.place(words.decoder, new_embeddings)
        self.place(words.bias, new_embeddings.bias)

    def head_loss(self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...]) -> Tensor:
        """See ``HeadForward``."""
        losses = [
            (_class_loss if answer.per == "text" else _token_loss)(logits, wanted, name)
            for answer, logits, wanted, name in zip(self.record.answers, answers, labels, self.label_names, strict=True)
        ]
        return sum(losses[1:], losses[0])

    def with_renamed(self, labels: tuple[Tensor | None, ...], renamed: dict[str, Any]) -> tuple[Tensor | None, ...]:
        """Return the values of ``label_names`` with those that were given under names of older versions.

        Raises:
            TypeError: a name is unknown or given twice.
        """
        given = dict(zip(self.label_names, labels, strict=True))
        for old, value in renamed.items():
            new = self.old_names.get(old)
            if new is None:
                raise TypeError(f"{type(self).__name__}.forward() got an unexpected keyword argument {old!r}")
            warn(f"{old} is now {new}", FutureWarning, "torch")
            if given[new] is not None:
                raise TypeError(f"{type(self).__name__}.forward() got both {new} and its old name {old}")
            given[new] = value
        return tuple(given.values())


class NextSentence(Task):
    """Tells whether text B continues text A (0) or is random (1); labels (B,)."""

    head = "next_sentence"
    old_names: ClassVar[dict[str, str]] = {"next_sentence_label": "labels"}


class SequenceClassification(Task):
    """One answer per text: a class, several classes, or numbers."""

    head = "sequence_classification"

    def head_loss(self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...]) -> Tensor:
        """Mean squared error, cross-entropy or binary cross-entropy of (B, N), as ``problem_type`` says.

        Where it says nothing: one label is a regression, integer labels (B,) are classes, float labels (B, N) are
        several classes at once.
        """
        logits, wanted = answers[0], labels[0]
        problem = self.config.problem_type or problem_type(self.config.num_labels, dtype_of(wanted))
        if problem == "single_label_classification":
            return _class_loss(logits, wanted)
        if problem == "regression":
            if wanted.numel() != logits.numel():
                raise InputError(
                    f"labels of shape {tuple(wanted.shape)} do not fit the logits' {tuple(logits.shape)} for regression"
                )
            return F.mse_loss(logits, wanted.to(logits.dtype).view_as(logits))
        if wanted.shape != logits.shape:
            raise InputError(
                f"labels of shape {tuple(wanted.shape)} must be (batch, labels) = {tuple(logits.shape)} "
                "for multi_label_classification"
            )
        return F.binary_cross_entropy_with_logits(logits, wanted.to(logits.dtype))


class QuestionAnswering(Task):
    """Where the answer starts and ends."""

    head = "question_answering"

    def head_loss(self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...]) -> Tensor:
        """Mean of the cross-entropies of start and end, (B, T) each; labels (B,) each.

        Positions outside the sequence are clamped to its length and ignored.
        """
        start, end = (_position_loss(*pair) for pair in zip(answers, labels, strict=True))
        return (start + end) / 2


def _token_loss(logits: Tensor, labels: Tensor, name: str = "labels") -> Tensor:
    if labels.shape != logits.shape[:-1]:
        raise InputError(f"{name} of shape {tuple(labels.shape)} must be (batch, tokens) = {tuple(logits.shape[:-1])}")
    CHECKS.labels(name, labels, logits.shape[-1], IGNORE)
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten().long(), ignore_index=IGNORE)


def _class_loss(logits: Tensor, labels: Tensor, name: str = "labels") -> Tensor:
    if labels.numel() != logits.shape[0]:
        raise InputError(f"{name} of shape {tuple(labels.shape)} must be (batch,) = ({logits.shape[0]},)")
    CHECKS.labels(name, labels, logits.shape[-1], IGNORE)
    return F.cross_entropy(logits, labels.reshape(-1).long(), ignore_index=IGNORE)


def _position_loss(logits: Tensor, positions: Tensor) -> Tensor:
    if positions.numel() != logits.shape[0]:
        raise InputError(f"positions of shape {tuple(positions.shape)} must be (batch,) = ({logits.shape[0]},)")
    if positions.is_floating_point():
        raise InputError(f"positions must be integers, got {dtype_of(positions)}")
    outside = logits.shape[1]
    clamped = positions.reshape(-1).long().clamp(0, outside)
    return F.cross_entropy(logits, clamped, ignore_index=outside)
