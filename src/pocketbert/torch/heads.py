"""Every task head, written once; a public class composes one with a family's encoder in three lines.

A family gives a head its features: ``pooled`` (B, W) for one vector a text, the hidden states (B, T, W) for one a
token. A head gives logits, a loss where labels are given, and the kind of its output.

Shapes: B batch, T tokens, C choices, N labels, V vocabulary, W width.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from pocketbert.architecture import outputs
from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.outputs import ModelOutput
from pocketbert.errors import InputError
from pocketbert.torch.inputs import check_labels
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

IGNORE = -100


class Task(PreTrainedModel):
    """An encoder with a head.

    A head defines ``build``, ``logits`` and ``loss``; a family defines ``encoder_class`` and the methods that raise
    ``NotImplementedError`` here.
    """

    encoder_class: ClassVar[Callable[..., PreTrainedModel]]
    output_class: ClassVar[type[ModelOutput]]
    old_names: ClassVar[dict[str, str]] = {}
    dropout: nn.Dropout
    classifier: nn.Linear

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config)
        setattr(self, self.base_model_prefix, self.make_encoder())
        self.build()
        self.post_init()

    # -- what a family gives -----------------------------------------------------------------------------------

    def make_encoder(self) -> PreTrainedModel:
        """Return the encoder that this head needs."""
        return self.encoder_class(self.config)

    def head_dropout(self) -> float:
        """Return the dropout in front of this head."""
        raise NotImplementedError

    def build_pooled(self) -> None:
        """Make what ``pooled`` needs beside the encoder."""
        self.dropout = nn.Dropout(self.head_dropout())

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

    def build(self) -> None:
        """Make the head's modules."""
        raise NotImplementedError

    def logits(self, encoded: ModelOutput) -> Tensor:
        """Return the head's logits."""
        raise NotImplementedError

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar loss."""
        raise NotImplementedError

    def run(
        self,
        inputs: dict[str, Any],
        labels: dict[str, Tensor | None],
        renamed: dict[str, Any],
        return_dict: bool | None,
    ) -> ModelOutput | tuple[Any, ...]:
        """Encode ``inputs``, apply the head and, where labels are given, the loss.

        Args:
            inputs: arguments of the encoder's forward.
            labels: the head's labels by name, None where absent.
            renamed: arguments given under names of older versions.
            return_dict: give a tuple if false; the configuration decides if None.
        """
        self._modernise(renamed, labels)
        encoded = self.base_model(**inputs, return_dict=True)
        output = self.answer(encoded, **labels)
        output.hidden_states, output.attentions = encoded.hidden_states, encoded.attentions
        wanted = self.config.use_return_dict if return_dict is None else return_dict
        return output if wanted else output.to_tuple()

    def answer(self, encoded: ModelOutput, labels: Tensor | None) -> ModelOutput:
        """Return logits and loss."""
        logits = self.logits(encoded)
        loss = None if labels is None else self.loss(logits, labels)
        return self.output_class(loss=loss, logits=logits)

    def _modernise(self, renamed: dict[str, Any], labels: dict[str, Tensor | None]) -> None:
        for old, value in renamed.items():
            new = self.old_names.get(old)
            if new is None:
                raise TypeError(f"{type(self).__name__}.forward() got an unexpected keyword argument {old!r}")
            warnings.warn(f"{old} is now named {new}", FutureWarning, stacklevel=4)
            if labels.get(new) is not None:
                raise TypeError(f"{type(self).__name__}.forward() got both {new} and its old name {old}")
            labels[new] = value


class MaskedLM(Task):
    """Predicts the word at every position."""

    head = "masked_lm"
    output_class: ClassVar[type[ModelOutput]] = outputs.MaskedLMOutput
    old_names: ClassVar[dict[str, str]] = {"masked_lm_labels": "labels", "lm_labels": "labels"}

    def build(self) -> None:
        """See ``Task``."""
        self.build_pretraining(words=True, follows=False)

    def logits(self, encoded: ModelOutput) -> Tensor:
        """(B, T, V)."""
        return self.word_logits(encoded.last_hidden_state)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy over the positions whose label is not -100; ``labels`` (B, T)."""
        return _token_loss(logits, labels)


class NextSentence(Task):
    """Tells whether text B continues text A (0) or is random (1)."""

    head = "next_sentence"
    output_class: ClassVar[type[ModelOutput]] = outputs.NextSentencePredictorOutput
    old_names: ClassVar[dict[str, str]] = {"next_sentence_label": "labels"}

    def build(self) -> None:
        """See ``Task``."""
        self.build_pretraining(words=False, follows=True)

    def logits(self, encoded: ModelOutput) -> Tensor:
        """(B, 2)."""
        return self.follows_logits(encoded.pooler_output)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy; ``labels`` (B,)."""
        return _class_loss(logits, labels)


class PreTraining(Task):
    """Both pre-training heads; the loss is the sum of theirs, and needs both labels."""

    head = "pretraining"
    output_class: ClassVar[type[ModelOutput]] = outputs.BertForPreTrainingOutput
    old_names: ClassVar[dict[str, str]] = {"masked_lm_labels": "labels", "lm_labels": "labels"}

    def build(self) -> None:
        """See ``Task``."""
        self.build_pretraining(words=True, follows=True)

    def answer(  # type: ignore[override]  # its labels have names of their own
        self, encoded: ModelOutput, labels: Tensor | None, next_sentence_label: Tensor | None
    ) -> ModelOutput:
        """Return both logits and, where both labels are given, the loss."""
        words, follows = self.word_logits(encoded.last_hidden_state), self.follows_logits(encoded.pooler_output)
        loss = None
        if labels is not None and next_sentence_label is not None:
            loss = _token_loss(words, labels) + _class_loss(follows, next_sentence_label, "next_sentence_label")
        return self.output_class(loss=loss, prediction_logits=words, seq_relationship_logits=follows)


class SequenceClassification(Task):
    """One answer a text: a class, several classes, or numbers."""

    head = "sequence_classification"
    output_class: ClassVar[type[ModelOutput]] = outputs.SequenceClassifierOutput

    def build(self) -> None:
        """See ``Task``."""
        self.build_pooled()
        self.classifier = nn.Linear(self.config.hidden_size, self.config.num_labels)

    def logits(self, encoded: ModelOutput) -> Tensor:
        """(B, N)."""
        return self.classifier(self.pooled(encoded))  # type: ignore[no-any-return]

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean squared error, cross-entropy or binary cross-entropy, as ``problem_type`` says.

        Where it says nothing: one label is a regression, integer labels (B,) are classes, float labels (B, N) are
        several classes at once.
        """
        problem = self.config.problem_type or problem_type(self.config.num_labels, labels)
        if problem == "regression":
            if labels.numel() != logits.numel():
                raise InputError(
                    f"labels of shape {tuple(labels.shape)} do not fit the logits' {tuple(logits.shape)} for regression"
                )
            return F.mse_loss(logits, labels.to(logits.dtype).view_as(logits))
        if problem == "single_label_classification":
            return _class_loss(logits, labels)
        if labels.shape != logits.shape:
            raise InputError(
                f"labels of shape {tuple(labels.shape)} must be (batch, labels) = {tuple(logits.shape)} "
                "for multi_label_classification"
            )
        return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))


class MultipleChoice(Task):
    """Picks one of several texts; inputs are (B, C, T)."""

    head = "multiple_choice"
    output_class: ClassVar[type[ModelOutput]] = outputs.MultipleChoiceModelOutput

    def build(self) -> None:
        """See ``Task``."""
        self.build_pooled()
        self.classifier = nn.Linear(self.config.hidden_size, 1)

    def run(
        self,
        inputs: dict[str, Any],
        labels: dict[str, Tensor | None],
        renamed: dict[str, Any],
        return_dict: bool | None,
    ) -> ModelOutput | tuple[Any, ...]:
        """As ``Task.run``, with the choices folded into the batch on the way in and unfolded on the way out."""
        given, rank = inputs["input_ids"], 3
        if given is None:
            given, rank = inputs["inputs_embeds"], 4
        if given is not None and given.dim() != rank:
            shape = tuple(given.shape)
            raise InputError(
                f"inputs of shape {shape} must be (batch, choices, tokens); one example needs .unsqueeze(0)"
            )
        folded = {
            name: value.flatten(0, 1) if isinstance(value, Tensor) and value.dim() >= 3 else value
            for name, value in inputs.items()
        }
        output = super().run(folded, {"labels": None}, renamed, return_dict=True)
        assert given is not None and isinstance(output, ModelOutput)
        output.logits = output.logits.view(-1, given.shape[1])
        if labels["labels"] is not None:
            output.loss = _class_loss(output.logits, labels["labels"])
        wanted = self.config.use_return_dict if return_dict is None else return_dict
        return output if wanted else output.to_tuple()

    def logits(self, encoded: ModelOutput) -> Tensor:
        """(B*C, 1)."""
        return self.classifier(self.pooled(encoded))  # type: ignore[no-any-return]


class TokenClassification(Task):
    """One class a token."""

    head = "token_classification"
    output_class: ClassVar[type[ModelOutput]] = outputs.TokenClassifierOutput

    def build(self) -> None:
        """See ``Task``."""
        self.dropout = nn.Dropout(self.head_dropout())
        self.classifier = nn.Linear(self.config.hidden_size, self.config.num_labels)

    def logits(self, encoded: ModelOutput) -> Tensor:
        """(B, T, N)."""
        return self.classifier(self.dropout(encoded.last_hidden_state))  # type: ignore[no-any-return]

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy over the tokens whose label is not -100; ``labels`` (B, T)."""
        return _token_loss(logits, labels)


class QuestionAnswering(Task):
    """Where the answer starts and ends."""

    head = "question_answering"
    output_class: ClassVar[type[ModelOutput]] = outputs.QuestionAnsweringModelOutput
    qa_outputs: nn.Linear

    def build(self) -> None:
        """See ``Task``."""
        self.dropout = nn.Dropout(self.head_dropout())
        self.qa_outputs = nn.Linear(self.config.hidden_size, 2)

    def answer(  # type: ignore[override]  # its labels have names of their own
        self, encoded: ModelOutput, start_positions: Tensor | None, end_positions: Tensor | None
    ) -> ModelOutput:
        """Return both logits (B, T) and, where both positions (B,) are given, the mean of their cross-entropies.

        Positions outside the sequence are clamped to its length and ignored.
        """
        start, end = self.qa_outputs(self.dropout(encoded.last_hidden_state)).unbind(-1)  # (B, T) each
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = (_position_loss(start, start_positions) + _position_loss(end, end_positions)) / 2
        return self.output_class(loss=loss, start_logits=start.contiguous(), end_logits=end.contiguous())


def problem_type(num_labels: int, labels: Tensor) -> str:
    """Return what ``labels`` ask for when the configuration does not say."""
    if num_labels == 1:
        return "regression"
    integer = not labels.is_floating_point() and not labels.is_complex()
    return "single_label_classification" if integer else "multi_label_classification"


def _token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    if labels.shape != logits.shape[:-1]:
        raise InputError(f"labels of shape {tuple(labels.shape)} must be (batch, tokens) = {tuple(logits.shape[:-1])}")
    check_labels("labels", labels, logits.shape[-1], IGNORE)
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten().long(), ignore_index=IGNORE)


def _class_loss(logits: Tensor, labels: Tensor, name: str = "labels") -> Tensor:
    if labels.numel() != logits.shape[0]:
        raise InputError(f"{name} of shape {tuple(labels.shape)} must be (batch,) = ({logits.shape[0]},)")
    check_labels(name, labels, logits.shape[-1], IGNORE)
    return F.cross_entropy(logits, labels.reshape(-1).long(), ignore_index=IGNORE)


def _position_loss(logits: Tensor, positions: Tensor) -> Tensor:
    if positions.numel() != logits.shape[0]:
        raise InputError(f"positions of shape {tuple(positions.shape)} must be (batch,) = ({logits.shape[0]},)")
    if positions.is_floating_point():
        raise InputError(f"positions must be integers, got {str(positions.dtype).removeprefix('torch.')}")
    outside = logits.shape[1]
    clamped = positions.reshape(-1).long().clamp(0, outside)
    return F.cross_entropy(logits, clamped, ignore_index=outside)
