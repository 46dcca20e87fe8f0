"""Every task head, written once; a public class composes one with a family's encoder and needs no line of its own.

What a head answers and what it is trained on stands in its record, ``architecture.heads``; a class here adds its loss,
and those of ``architecture.forward`` have the default one.
Losses are means over the batch, computed from logits in float32.

Shapes: B batch, T tokens, C choices, N labels, V vocabulary, W width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import keras
from keras import ops

from pocketbert.architecture.families import family_of
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
from pocketbert.architecture.input_checks import fits
from pocketbert.errors import InputError
from pocketbert.keras.layers import ExtraColumns, Layer, Tensor, Vocabulary, activation, layer_norm, linear
from pocketbert.keras.masks_and_ids import CHECKS, dtype_of
from pocketbert.keras.model import TFPreTrainedModel

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


class Task(HeadForward, TFPreTrainedModel):
    """An encoder with a head; see ``HeadForward``."""

    framework = Framework(
        part=Layer,
        dense=linear,
        dropout=keras.layers.Dropout,
        activation=activation,
        shape=ops.shape,
        reshape=ops.reshape,
        fold=lambda x: ops.reshape(x, (-1, *ops.shape(x)[2:])),
        columns=lambda x, count: ops.unstack(x, count, axis=-1),
        batch_axis="ids[None]",
    )

    def build_layers(self) -> None:
        """Make the encoder, with its pooler where this head reads it, and the head."""
        encoder = self.encoder_class(self.config, self.record.reads_pooled, allow_float16=self.allow_float16)
        setattr(self, self.base_model_prefix, encoder)
        self.build_head()

    def build_words(self) -> None:
        """See ``HeadForward``."""
        config, width, family = self.config, self.config.hidden_size, family_of(self.config)
        words, narrow = family.words, self.get_input_embeddings().output_dim
        self.place(words.transform, linear(config, width, width))
        self.place(words.norm, layer_norm(width, family.eps(config)))
        if words.extra is not None:
            self.place(words.extra.removesuffix(".weight"), ExtraColumns(config, width - narrow))
        self.place(words.decoder, Vocabulary(config, narrow))

    def word_logits(self, hidden: Tensor) -> Tensor:
        """See ``HeadForward``."""
        words, table = family_of(self.config).words, self.get_input_embeddings()
        hidden = activation(self.config.hidden_act)(self.layer_at(words.transform)(hidden))
        hidden = self.layer_at(words.norm)(hidden)
        decoder, narrow = self.layer_at(words.decoder), table.output_dim
        if words.extra is None:
            return decoder(hidden, table=table.embeddings)
        extra = self.layer_at(words.extra.removesuffix(".weight"))  # what the table is too narrow for
        return decoder(hidden[:, :, :narrow], table=table.embeddings) + extra(hidden[:, :, narrow:])

    def head_loss(
        self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...], weight: Tensor | None = None
    ) -> Tensor:
        """See ``HeadForward``; ``weight`` (B,) multiplies the loss of each row."""
        losses = [
            (_class_loss if answer.per == "text" else _token_loss)(logits, wanted, weight, name)
            for answer, logits, wanted, name in zip(self.record.answers, answers, labels, self.label_names, strict=True)
        ]
        return sum(losses[1:], losses[0])

    # -- training ----------------------------------------------------------------------------------------------

    def labels_of(self, x: Any, y: Any) -> Any:
        """Return the labels in the order of ``label_names``: a tensor if there is one, else a tuple."""
        if y is None and isinstance(x, Mapping):
            named = {self.old_names.get(name, name): value for name, value in x.items()}
            y = {name: named[name] for name in self.label_names if name in named} or None
        if isinstance(y, Mapping):
            y = {self.old_names.get(name, name): value for name, value in y.items()}
            if set(y) != set(self.label_names):
                raise InputError(
                    f"labels of {type(self).__name__} are named {', '.join(self.label_names)}, got {', '.join(y)}"
                )
            y = tuple(y[name] for name in self.label_names)
        if isinstance(y, (list, tuple)) and len(self.label_names) == 1 and len(y) == 1:
            return y[0]
        return y

    def predictions(self, outputs: Any) -> Any:
        """Return the logits: a tensor if there is one, else a tuple."""
        if isinstance(outputs, tuple):
            outputs = self.output_class(zip(self.answer_names, outputs, strict=False))
        answers = tuple(outputs[name] for name in self.answer_names)
        return answers[0] if len(answers) == 1 else answers

    def own_loss(self, labels: Any, outputs: Any, sample_weight: Any) -> Tensor:
        """See ``TFPreTrainedModel``."""
        if labels is None:
            raise InputError(
                f"{type(self).__name__} cannot train or be evaluated without {', '.join(self.label_names)}: "
                "pass them as y or among the inputs"
            )
        answers = self.predictions(outputs)
        if len(self.answer_names) == 1:
            answers, labels = (answers,), (labels,)
        return self.head_loss(answers, tuple(labels), sample_weight)


class NextSentence(Task):
    """Tells whether text B continues text A (0) or is random (1); labels (B,)."""

    head = "next_sentence"
    label_names: ClassVar[tuple[str, ...]] = ("next_sentence_label",)


class SequenceClassification(Task):
    """One answer per text: a class, several classes, or numbers."""

    head = "sequence_classification"

    def head_loss(
        self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...], weight: Tensor | None = None
    ) -> Tensor:
        """Mean squared error, cross-entropy or binary cross-entropy of (B, N), as ``problem_type`` says.

        Where it says nothing: one label is a regression, integer labels (B,) are classes, float labels (B, N) are
        several classes at once.
        """
        logits, wanted = ops.cast(answers[0], "float32"), labels[0]
        problem = self.config.problem_type or problem_type(self.config.num_labels, dtype_of(wanted))
        if problem == "single_label_classification":
            return _class_loss(logits, wanted, weight)
        if problem == "regression":
            flat = [None] if logits.shape[0] is None else [logits.shape[0] * logits.shape[1]]
            if not (fits(wanted.shape, logits.shape) or fits(wanted.shape, flat)):
                raise InputError(
                    f"labels of shape {tuple(wanted.shape)} do not fit the logits' {tuple(logits.shape)} for regression"
                )
            difference = logits - ops.reshape(ops.cast(wanted, "float32"), ops.shape(logits))
            return _mean(ops.square(difference), None, weight)
        if not fits(wanted.shape, logits.shape):
            raise InputError(
                f"labels of shape {tuple(wanted.shape)} must be (batch, labels) = {tuple(logits.shape)} "
                "for multi_label_classification"
            )
        return _mean(ops.binary_crossentropy(ops.cast(wanted, "float32"), logits, from_logits=True), None, weight)


class QuestionAnswering(Task):
    """Where the answer starts and ends."""

    head = "question_answering"

    def head_loss(
        self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...], weight: Tensor | None = None
    ) -> Tensor:
        """Mean of the cross-entropies of start and end, (B, T) each; labels (B,) each.

        Positions outside the sequence are clamped to its length and ignored.
        """
        start, end = (_position_loss(*pair, weight) for pair in zip(answers, labels, strict=True))
        return (start + end) / 2


def _token_loss(logits: Tensor, labels: Tensor, weight: Tensor | None, name: str = "labels") -> Tensor:
    if not fits(labels.shape, logits.shape[:-1]):
        raise InputError(f"{name} of shape {tuple(labels.shape)} must be (batch, tokens) = {tuple(logits.shape[:-1])}")
    CHECKS.labels(name, labels, logits.shape[-1], IGNORE)
    return _cross_entropy(logits, labels, ops.not_equal(labels, IGNORE), weight)


def _class_loss(logits: Tensor, labels: Tensor, weight: Tensor | None, name: str = "labels") -> Tensor:
    _check_batch(name, labels, logits)
    CHECKS.labels(name, labels, logits.shape[-1], IGNORE)
    labels = ops.reshape(labels, (-1,))
    return _cross_entropy(logits, labels, ops.not_equal(labels, IGNORE), weight)


def _position_loss(logits: Tensor, positions: Tensor, weight: Tensor | None) -> Tensor:
    _check_batch("positions", positions, logits)
    if "float" in dtype_of(positions):
        raise InputError(f"positions must be integers, got {dtype_of(positions)}")
    positions = ops.maximum(ops.cast(ops.reshape(positions, (-1,)), "int32"), 0)
    return _cross_entropy(logits, positions, positions < ops.shape(logits)[1], weight)


def _check_batch(name: str, labels: Tensor, logits: Tensor) -> None:
    count: int | None = 1
    rows = logits.shape[0]
    for length in labels.shape:
        count = None if count is None or length is None else count * length
    if not fits((count,), (rows,)):
        raise InputError(f"{name} of shape {tuple(labels.shape)} must be (batch,) = ({rows},)")


def _cross_entropy(logits: Tensor, labels: Tensor, counted: Tensor, weight: Tensor | None) -> Tensor:
    """Mean over the ``counted`` labels (...) of logits (..., N)."""
    labels = ops.where(counted, labels, ops.zeros_like(labels))
    losses = ops.sparse_categorical_crossentropy(labels, ops.cast(logits, "float32"), from_logits=True)
    return _mean(losses, counted, weight)


def _mean(losses: Tensor, counted: Tensor | None, weight: Tensor | None) -> Tensor:
    """Mean of ``losses`` (B, ...) that are ``counted``, each row multiplied by its ``weight`` (B,)."""
    counts = ops.ones_like(losses) if counted is None else ops.cast(counted, losses.dtype)
    losses = losses * counts
    if weight is not None:
        axes = (1,) * (len(losses.shape) - 1)
        losses = losses * ops.reshape(ops.cast(weight, losses.dtype), (-1, *axes))
    return ops.sum(losses) / ops.sum(counts)
