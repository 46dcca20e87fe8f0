"""Every task head, written once; a public class composes one with a family's encoder and needs no line of its own.

What a head answers and what it is trained on stands in its record, ``architecture.heads``; a class here adds its
losses, and those of ``architecture.forward`` have the default ones.
Losses are computed from logits in float32; training takes their mean over the batch.

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


Losses = tuple[Tensor, Tensor]  # (B, ...), and which of them count, 1 or 0


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

    def answer_losses(self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...]) -> list[Losses]:
        """Return the losses (B, ...) of each answer, and which of them count, 1 or 0."""
        return [
            (_class_losses if answer.per == "text" else _token_losses)(logits, wanted, name)
            for answer, logits, wanted, name in zip(self.record.answers, answers, labels, self.label_names, strict=True)
        ]

    def head_loss(self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...]) -> Tensor:
        """See ``HeadForward``; (B,) where each text has one label, else (1,), as in TensorFlow."""
        parts = self.answer_losses(answers, labels)
        if all(len(values.shape) == 1 for values, _ in parts):
            return sum(values * counts for values, counts in parts)
        return ops.reshape(sum(_mean(*part, None) for part in parts), (1,))

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

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """As Keras's; without a ``loss``, the head's own is used. Several answers share one list of metrics."""
        metrics, weighted_metrics = self._for_each_answer(metrics), self._for_each_answer(weighted_metrics)
        super().compile(optimizer, loss, metrics=metrics, weighted_metrics=weighted_metrics, **kwargs)

    def _for_each_answer(self, metrics: Any) -> Any:
        names = self.answer_names
        if len(names) == 1 or not metrics or isinstance(metrics, Mapping):
            return metrics
        listed = list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]
        if len(listed) != len(names) and not any(isinstance(metric, (list, tuple)) for metric in listed):
            listed = [listed, *([_fresh(metric) for metric in listed] for _ in names[1:])]
        return dict(zip(names, listed, strict=True))

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Update the metrics with this model's predictions, by the names of the answers where there are several."""
        labels, answers, weights = self.labels_of(x, y), self.predictions(y_pred), self.labels_of(None, sample_weight)
        if len(self.answer_names) > 1:
            weights = weights if isinstance(weights, (list, tuple)) else [weights] * len(answers)
            named = [dict(zip(self.answer_names, values, strict=True)) for values in (labels, answers, weights)]
            labels, answers, weights = named[0], named[1], None if weights[0] is None else named[2]
        return keras.Model.compute_metrics(self, x, labels, answers, weights)

    def own_loss(self, labels: Any, outputs: Any, sample_weight: Any) -> Tensor:
        """See ``TFPreTrainedModel``."""
        if labels is None:
            raise InputError(
                f"{type(self).__name__} cannot train or be evaluated without {', '.join(self.label_names)}: "
                "pass them as y or among the inputs"
            )
        answers, weights = self.predictions(outputs), self.labels_of(None, sample_weight)
        if len(self.answer_names) == 1:
            answers, labels, weights = (answers,), (labels,), (weights,)
        parts = self.answer_losses(answers, tuple(labels))
        weights = weights if isinstance(weights, (list, tuple)) else [weights] * len(parts)
        return sum(_mean(*part, weight) for part, weight in zip(parts, weights, strict=True))


class NextSentence(Task):
    """Tells whether text B continues text A (0) or is random (1); labels (B,)."""

    head = "next_sentence"
    label_names: ClassVar[tuple[str, ...]] = ("next_sentence_label",)


class SequenceClassification(Task):
    """One answer per text: a class, several classes, or numbers."""

    head = "sequence_classification"

    def answer_losses(self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...]) -> list[Losses]:
        """Squared errors, cross-entropies or binary cross-entropies of (B, N), as ``problem_type`` says.

        Where it says nothing: one label is a regression, integer labels (B,) are classes, float labels (B, N) are
        several classes at once.
        """
        logits, wanted = ops.cast(answers[0], "float32"), labels[0]
        problem = self.config.problem_type or problem_type(self.config.num_labels, dtype_of(wanted))
        if problem == "single_label_classification":
            return [_class_losses(logits, wanted)]
        if problem == "regression":
            flat = [None] if logits.shape[0] is None else [logits.shape[0] * logits.shape[1]]
            if not (fits(wanted.shape, logits.shape) or fits(wanted.shape, flat)):
                raise InputError(
                    f"labels of shape {tuple(wanted.shape)} do not fit the logits' {tuple(logits.shape)} for regression"
                )
            difference = logits - ops.reshape(ops.cast(wanted, "float32"), ops.shape(logits))
            return [_by_row(ops.square(difference))]
        if not fits(wanted.shape, logits.shape):
            raise InputError(
                f"labels of shape {tuple(wanted.shape)} must be (batch, labels) = {tuple(logits.shape)} "
                "for multi_label_classification"
            )
        return [_by_row(ops.binary_crossentropy(ops.cast(wanted, "float32"), logits, from_logits=True))]


class QuestionAnswering(Task):
    """Where the answer starts and ends."""

    head = "question_answering"

    def answer_losses(self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...]) -> list[Losses]:
        """Half the cross-entropies of start and end, (B, T) each; labels (B,) each.

        Positions outside the sequence are clamped to its length and ignored.
        """
        pairs = (_position_losses(*pair) for pair in zip(answers, labels, strict=True))
        return [(values / 2, counts) for values, counts in pairs]


def _token_losses(logits: Tensor, labels: Tensor, name: str = "labels") -> Losses:
    if not fits(labels.shape, logits.shape[:-1]):
        raise InputError(f"{name} of shape {tuple(labels.shape)} must be (batch, tokens) = {tuple(logits.shape[:-1])}")
    CHECKS.labels(name, labels, logits.shape[-1], IGNORE)
    return _cross_entropies(logits, labels, ops.not_equal(labels, IGNORE))


def _class_losses(logits: Tensor, labels: Tensor, name: str = "labels") -> Losses:
    _check_batch(name, labels, logits)
    CHECKS.labels(name, labels, logits.shape[-1], IGNORE)
    labels = ops.reshape(labels, (-1,))
    return _cross_entropies(logits, labels, ops.not_equal(labels, IGNORE))


def _position_losses(logits: Tensor, positions: Tensor) -> Losses:
    _check_batch("positions", positions, logits)
    if "float" in dtype_of(positions):
        raise InputError(f"positions must be integers, got {dtype_of(positions)}")
    positions = ops.maximum(ops.cast(ops.reshape(positions, (-1,)), "int32"), 0)
    return _cross_entropies(logits, positions, positions < ops.shape(logits)[1])


def _check_batch(name: str, labels: Tensor, logits: Tensor) -> None:
    count: int | None = 1
    rows = logits.shape[0]
    for length in labels.shape:
        count = None if count is None or length is None else count * length
    if not fits((count,), (rows,)):
        raise InputError(f"{name} of shape {tuple(labels.shape)} must be (batch,) = ({rows},)")


def _by_row(losses: Tensor) -> Losses:
    """(B, N) -> the mean of each row, (B,), all of which count."""
    losses = ops.mean(losses, axis=-1)
    return losses, ops.ones_like(losses)


def _cross_entropies(logits: Tensor, labels: Tensor, counted: Tensor) -> Losses:
    """Return the cross-entropies (...) of logits (..., N), where ``counted`` (...)."""
    labels = ops.where(counted, labels, ops.zeros_like(labels))
    losses = ops.sparse_categorical_crossentropy(labels, ops.cast(logits, "float32"), from_logits=True)
    return losses, ops.cast(counted, losses.dtype)


def _mean(losses: Tensor, counts: Tensor, weight: Tensor | None) -> Tensor:
    """Mean of ``losses`` (B, ...) that count, each multiplied by its ``weight`` or its row's, (B,) or (B, 1)."""
    total = losses * counts
    if weight is not None:
        weight = ops.cast(weight, losses.dtype)
        if not (len(weight.shape) == len(losses.shape) and fits(weight.shape, losses.shape)):
            weight = ops.reshape(weight, (-1, *(1,) * (len(losses.shape) - 1)))
        total = total * weight
    return ops.sum(total) / ops.sum(counts)


def _fresh(metric: Any) -> Any:
    """Return a metric that counts for itself."""
    return type(metric).from_config(metric.get_config()) if isinstance(metric, keras.metrics.Metric) else metric
