"""Every task head, written once; a public class composes one with a family's encoder in three lines.

A family gives a head its features: ``pooled`` (B, W) for one vector a text, the hidden states (B, T, W) for one a
token. A head gives logits, a loss where labels are given, and the kind of its output. Losses are means over the batch,
computed from logits in float32.

Shapes: B batch, T tokens, C choices, N labels, V vocabulary, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import keras
from keras import ops

from pocketbert.architecture import outputs
from pocketbert.architecture.input_checks import fits
from pocketbert.architecture.outputs import ModelOutput
from pocketbert.errors import InputError
from pocketbert.keras.inputs import check_labels, dtype_of
from pocketbert.keras.layers import Tensor, linear
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

IGNORE = -100


class Task(TFPreTrainedModel):
    """An encoder with a head.

    A head defines ``build_head``, ``answers`` and ``head_loss``; a family defines ``encoder_class`` and the methods
    that raise ``NotImplementedError`` here.

    Attributes:
        label_names: the arguments of ``call`` that are labels, in order.
        answer_names: the fields of the output that are logits, in order.
    """

    encoder_class: ClassVar[Callable[..., TFPreTrainedModel]]
    label_names: ClassVar[tuple[str, ...]] = ("labels",)
    answer_names: ClassVar[tuple[str, ...]] = ("logits",)

    def build_layers(self) -> None:
        """Make the encoder and the head."""
        setattr(self, self.base_model_prefix, self.make_encoder())
        self.build_head()

    # -- what a family gives -----------------------------------------------------------------------------------

    def make_encoder(self) -> TFPreTrainedModel:
        """Return the encoder that this head needs."""
        return self.encoder_class(self.config, allow_float16=self.allow_float16)

    def head_dropout(self) -> float:
        """Return the dropout in front of this head."""
        raise NotImplementedError

    def build_pooled(self) -> None:
        """Make what ``pooled`` needs beside the encoder."""
        self.dropout = keras.layers.Dropout(self.head_dropout())

    def pooled(self, encoded: ModelOutput) -> Tensor:
        """Return one vector a text, (B, W), after dropout."""
        raise NotImplementedError

    def build_pretraining(self, *, words: bool, follows: bool) -> None:
        """Make the masked-language-model head, the next-sentence head, or both."""
        raise NotImplementedError

    def word_logits(self, hidden: Tensor) -> Tensor:
        """(B, T, W) -> (B, T, V)."""
        raise NotImplementedError

    def follows_logits(self, pooled: Tensor) -> Tensor:
        """(B, W) -> (B, 2)."""
        raise NotImplementedError

    # -- what a head gives -------------------------------------------------------------------------------------

    def build_head(self) -> None:
        """Make the head's layers."""
        raise NotImplementedError

    def answers(self, encoded: ModelOutput) -> tuple[Tensor, ...]:
        """Return the head's logits, one for each of ``answer_names``."""
        raise NotImplementedError

    def head_loss(self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...], weight: Tensor | None) -> Tensor:
        """Return the scalar loss; ``weight`` (B,) multiplies the loss of each row."""
        raise NotImplementedError

    def run(
        self, inputs: dict[str, Any], labels: dict[str, Tensor | None], return_dict: bool | None
    ) -> ModelOutput | tuple[Any, ...]:
        """Encode ``inputs``, apply the head and, where all labels are given, the loss.

        Args:
            inputs: arguments of the encoder's call.
            labels: the head's labels by name, None where absent.
            return_dict: give a tuple if false; the configuration decides if None.
        """
        encoded = self.get_base_model()(**inputs, return_dict=True)
        answers = self.answers(encoded)
        given = tuple(labels.values())
        loss = None if any(label is None for label in given) else self.head_loss(answers, given, None)
        output = self.output_class(
            loss=loss,
            **dict(zip(self.answer_names, answers, strict=True)),
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )
        wanted = self.config.use_return_dict if return_dict is None else return_dict
        return output if wanted else output.to_tuple()

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


class MaskedLM(Task):
    """Predicts the word at every position."""

    head = "masked_lm"
    output_class: ClassVar[type[ModelOutput]] = outputs.MaskedLMOutput
    old_names: ClassVar[dict[str, str]] = {"masked_lm_labels": "labels", "lm_labels": "labels"}

    def build_head(self) -> None:
        """See ``Task``."""
        self.build_pretraining(words=True, follows=False)

    def answers(self, encoded: ModelOutput) -> tuple[Tensor, ...]:
        """(B, T, V)."""
        return (self.word_logits(encoded.last_hidden_state),)

    def head_loss(self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...], weight: Tensor | None) -> Tensor:
        """Cross-entropy over the positions whose label is not -100; labels (B, T)."""
        return _token_loss(answers[0], labels[0], weight)


class NextSentence(Task):
    """Tells whether text B continues text A (0) or is random (1)."""

    head = "next_sentence"
    output_class: ClassVar[type[ModelOutput]] = outputs.NextSentencePredictorOutput
    label_names: ClassVar[tuple[str, ...]] = ("next_sentence_label",)

    def build_head(self) -> None:
        """See ``Task``."""
        self.build_pretraining(words=False, follows=True)

    def answers(self, encoded: ModelOutput) -> tuple[Tensor, ...]:
        """(B, 2)."""
        return (self.follows_logits(encoded.pooler_output),)

    def head_loss(self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...], weight: Tensor | None) -> Tensor:
        """Cross-entropy; labels (B,)."""
        return _class_loss(answers[0], labels[0], weight, "next_sentence_label")


class PreTraining(Task):
    """Both pre-training heads; the loss is the sum of theirs, and needs both labels."""

    head = "pretraining"
    output_class: ClassVar[type[ModelOutput]] = outputs.BertForPreTrainingOutput
    old_names: ClassVar[dict[str, str]] = {"masked_lm_labels": "labels", "lm_labels": "labels"}
    label_names: ClassVar[tuple[str, ...]] = ("labels", "next_sentence_label")
    answer_names: ClassVar[tuple[str, ...]] = ("prediction_logits", "seq_relationship_logits")

    def build_head(self) -> None:
        """See ``Task``."""
        self.build_pretraining(words=True, follows=True)

    def answers(self, encoded: ModelOutput) -> tuple[Tensor, ...]:
        """(B, T, V) and (B, 2)."""
        return self.word_logits(encoded.last_hidden_state), self.follows_logits(encoded.pooler_output)

    def head_loss(self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...], weight: Tensor | None) -> Tensor:
        """The sum of both cross-entropies; labels (B, T) and (B,)."""
        words = _token_loss(answers[0], labels[0], weight)
        return words + _class_loss(answers[1], labels[1], weight, "next_sentence_label")


class SequenceClassification(Task):
    """One answer a text: a class, several classes, or numbers."""

    head = "sequence_classification"
    output_class: ClassVar[type[ModelOutput]] = outputs.SequenceClassifierOutput

    def build_head(self) -> None:
        """See ``Task``."""
        self.build_pooled()
        self.classifier = linear(self.config, self.config.hidden_size, self.config.num_labels)

    def answers(self, encoded: ModelOutput) -> tuple[Tensor, ...]:
        """(B, N)."""
        return (self.classifier(self.pooled(encoded)),)

    def head_loss(self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...], weight: Tensor | None) -> Tensor:
        """Mean squared error, cross-entropy or binary cross-entropy, as ``problem_type`` says.

        Where it says nothing: one label is a regression, integer labels (B,) are classes, float labels (B, N) are
        several classes at once.
        """
        logits, wanted = ops.cast(answers[0], "float32"), labels[0]
        problem = self.config.problem_type or problem_type(self.config.num_labels, wanted)
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


class MultipleChoice(Task):
    """Picks one of several texts; inputs are (B, C, T)."""

    head = "multiple_choice"
    output_class: ClassVar[type[ModelOutput]] = outputs.MultipleChoiceModelOutput
    input_rank: ClassVar[int] = 3

    def build_head(self) -> None:
        """See ``Task``."""
        self.build_pooled()
        self.classifier = linear(self.config, self.config.hidden_size, 1)

    def run(
        self, inputs: dict[str, Any], labels: dict[str, Tensor | None], return_dict: bool | None
    ) -> ModelOutput | tuple[Any, ...]:
        """As ``Task.run``, with the choices folded into the batch on the way in and unfolded on the way out."""
        given, rank = inputs["input_ids"], 3
        if given is None:
            given, rank = inputs["inputs_embeds"], 4
        if given is None:
            return super().run(inputs, labels, return_dict)  # which says what is missing
        if len(given.shape) != rank:
            shape = tuple(given.shape)
            raise InputError(f"inputs of shape {shape} must be (batch, choices, tokens); one example needs ids[None]")
        choices = ops.shape(given)[1]
        folded = {name: _folded(value) for name, value in inputs.items()}
        output = super().run(folded, {"labels": None}, return_dict=True)
        assert isinstance(output, ModelOutput)
        output.logits = ops.reshape(output.logits, (-1, choices))
        if labels["labels"] is not None:
            output.loss = self.head_loss((output.logits,), (labels["labels"],), None)
        wanted = self.config.use_return_dict if return_dict is None else return_dict
        return output if wanted else output.to_tuple()

    def answers(self, encoded: ModelOutput) -> tuple[Tensor, ...]:
        """(B*C, 1)."""
        return (self.classifier(self.pooled(encoded)),)

    def head_loss(self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...], weight: Tensor | None) -> Tensor:
        """Cross-entropy; labels (B,)."""
        return _class_loss(answers[0], labels[0], weight)


class TokenClassification(Task):
    """One class a token."""

    head = "token_classification"
    output_class: ClassVar[type[ModelOutput]] = outputs.TokenClassifierOutput

    def build_head(self) -> None:
        """See ``Task``."""
        self.dropout = keras.layers.Dropout(self.head_dropout())
        self.classifier = linear(self.config, self.config.hidden_size, self.config.num_labels)

    def answers(self, encoded: ModelOutput) -> tuple[Tensor, ...]:
        """(B, T, N)."""
        return (self.classifier(self.dropout(encoded.last_hidden_state)),)

    def head_loss(self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...], weight: Tensor | None) -> Tensor:
        """Cross-entropy over the tokens whose label is not -100; labels (B, T)."""
        return _token_loss(answers[0], labels[0], weight)


class QuestionAnswering(Task):
    """Where the answer starts and ends."""

    head = "question_answering"
    output_class: ClassVar[type[ModelOutput]] = outputs.QuestionAnsweringModelOutput
    label_names: ClassVar[tuple[str, ...]] = ("start_positions", "end_positions")
    answer_names: ClassVar[tuple[str, ...]] = ("start_logits", "end_logits")

    def build_head(self) -> None:
        """See ``Task``."""
        self.dropout = keras.layers.Dropout(self.head_dropout())
        self.qa_outputs = linear(self.config, self.config.hidden_size, 2)

    def answers(self, encoded: ModelOutput) -> tuple[Tensor, ...]:
        """(B, T) each."""
        both = self.qa_outputs(self.dropout(encoded.last_hidden_state))  # (B, T, 2)
        return both[:, :, 0], both[:, :, 1]

    def head_loss(self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...], weight: Tensor | None) -> Tensor:
        """The mean of both cross-entropies; labels (B,) each.

        Positions outside the sequence are clamped to its length and ignored.
        """
        losses = [_position_loss(*pair, weight) for pair in zip(answers, labels, strict=True)]
        return (losses[0] + losses[1]) / 2


def problem_type(num_labels: int, labels: Tensor) -> str:
    """Return what ``labels`` ask for when the configuration does not say."""
    if num_labels == 1:
        return "regression"
    return "multi_label_classification" if "float" in dtype_of(labels) else "single_label_classification"


def _folded(value: Any) -> Any:
    """(B, C, ...) -> (B*C, ...); what has no such shape stays."""
    shape = getattr(value, "shape", ())
    return ops.reshape(value, (-1, *ops.shape(value)[2:])) if len(shape) >= 3 else value


def _token_loss(logits: Tensor, labels: Tensor, weight: Tensor | None) -> Tensor:
    if not fits(labels.shape, logits.shape[:-1]):
        raise InputError(f"labels of shape {tuple(labels.shape)} must be (batch, tokens) = {tuple(logits.shape[:-1])}")
    check_labels("labels", labels, logits.shape[-1], IGNORE)
    return _cross_entropy(logits, labels, ops.not_equal(labels, IGNORE), weight)


def _class_loss(logits: Tensor, labels: Tensor, weight: Tensor | None, name: str = "labels") -> Tensor:
    _check_batch(name, labels, logits)
    check_labels(name, labels, logits.shape[-1], IGNORE)
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
