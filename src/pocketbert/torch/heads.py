"""Every task head, written once; a public class composes one with a family's encoder and needs no line of its own.

What a head answers and what it is trained on stands in its record, ``architecture.heads``; a class here adds its loss.
Losses are means over the batch.

Shapes: B batch, T tokens, C choices, N labels, V vocabulary, W width.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketbert.architecture import families
from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.families import family_of
from pocketbert.architecture.heads import Head, head_named
from pocketbert.architecture.outputs import ModelOutput
from pocketbert.architecture.parameters import Parameter
from pocketbert.checkpoint.loading import warn_caller
from pocketbert.errors import InputError
from pocketbert.torch.layers import activation
from pocketbert.torch.masks_and_ids import check_labels
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

IGNORE = -100  # the label of a token that has none
_OLD_WORD_LABELS = {"masked_lm_labels": "labels", "lm_labels": "labels"}
_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "head_mask", "inputs_embeds")
_TORCH = os.path.dirname(torch.__file__) + os.sep


class Task(PreTrainedModel):
    """An encoder with a head.

    A head defines ``head`` and, where the default does not suit it, ``head_loss``. A family defines ``encoder_class``
    and ``head_dropout``.

    Attributes:
        record: the head.
        label_names: the arguments of ``forward`` that are labels, in order.
        answer_names: the fields of the output that are logits, in order.
        output_class: what ``forward`` returns.
        old_names: arguments of older versions and what they are called now.
    """

    encoder_class: ClassVar[Callable[..., PreTrainedModel]]
    record: ClassVar[Head]
    label_names: ClassVar[tuple[str, ...]]
    answer_names: ClassVar[tuple[str, ...]]
    output_class: ClassVar[type[ModelOutput]]
    old_names: ClassVar[dict[str, str]] = {}
    dropout: nn.Dropout

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "head" in vars(cls):  # what the class does not say is as in the record
            record = cls.record = head_named(cls.head)
            facts = {"label_names": record.labels, "answer_names": record.fields, "output_class": record.output}
            for name in facts.keys() - vars(cls).keys():
                setattr(cls, name, facts[name])

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

    # -- what a family gives -----------------------------------------------------------------------------------

    def head_dropout(self) -> float:
        """Return the dropout in front of this head."""
        raise NotImplementedError

    # -- what a head gives -------------------------------------------------------------------------------------

    def build_head(self) -> None:
        """Make a layer for each answer, under the name that it has on disk."""
        width, pooled = self.config.hidden_size, family_of(self.config).pooled
        if any(answer.per != "position" for answer in self.record.answers):
            self.dropout = nn.Dropout(self.head_dropout())
        if self.record.reads_pooled and not pooled.in_encoder:
            self.place(pooled.layer, nn.Linear(width, width))
        for answer in self.record.answers:
            if answer.per == "position":
                self.build_words()
            elif answer.layer is not None:
                self.place(answer.layer, nn.Linear(width, answer.width(self.config)))

    def place(self, path: str, module: nn.Module | nn.Parameter) -> None:
        """Put a module or parameter at a path of names that dots separate."""
        owner: nn.Module = self
        *outer, name = path.split(".")
        for part in outer:
            if not hasattr(owner, part):
                setattr(owner, part, nn.Module())
            owner = getattr(owner, part)
        setattr(owner, name, module)

    def build_words(self) -> None:
        """Make the layers that predict words, under the names of ``Family.words``; a family has its own way."""
        raise NotImplementedError

    def word_logits(self, hidden: Tensor) -> Tensor:
        """(..., W) -> (..., V): dense, activation, norm, then the word table as a matrix, and a bias."""
        raise NotImplementedError

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
        for path, value in ((words.decoder, new_embeddings), (words.bias, new_embeddings.bias)):
            owner, _, name = path.rpartition(".")
            setattr(self.get_submodule(owner), name, value)

    def pooled(self, encoded: ModelOutput) -> Tensor:
        """Return one vector per text, (B, W), after dropout."""
        pooled = family_of(self.config).pooled
        if pooled.in_encoder:
            return self.dropout(encoded.pooler_output)  # type: ignore[no-any-return]
        text = self.get_submodule(pooled.layer)(encoded.last_hidden_state[:, 0])
        return self.dropout(activation(pooled.activation)(text))  # type: ignore[no-any-return]

    def answers(self, encoded: ModelOutput) -> tuple[Tensor, ...]:
        """Return the head's logits, one for each of ``answer_names``."""
        logits: list[Tensor] = []
        for answer in self.record.answers:
            if answer.per == "position":
                logits.append(self.word_logits(encoded.last_hidden_state))
                continue
            assert answer.layer is not None
            features = self.pooled(encoded) if answer.per == "text" else self.dropout(encoded.last_hidden_state)
            values = self.get_submodule(answer.layer)(features)
            one = len(answer.fields) == 1
            logits += [values] if one else [value.contiguous() for value in values.unbind(-1)]
        return tuple(logits)

    def head_loss(self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...]) -> Tensor:
        """Return the scalar loss of the values of ``answer_names`` and ``label_names``.

        By default the cross-entropies of all answers are added: of (B, N) with labels (B,) for an answer per text, else
        of (B, T, N) with labels (B, T). A label of -100 is ignored.
        """
        losses = [
            (_class_loss if answer.per == "text" else _token_loss)(logits, wanted, name)
            for answer, logits, wanted, name in zip(self.record.answers, answers, labels, self.label_names, strict=True)
        ]
        return sum(losses[1:], losses[0])

    def run(
        self,
        inputs: tuple[Tensor | None, ...],
        outputs: tuple[bool | None, bool | None, bool | None],
        labels: tuple[Tensor | None, ...],
        renamed: dict[str, Any],
    ) -> ModelOutput | tuple[Any, ...]:
        """Encode, apply the head and, where all labels are given, the loss.

        Args:
            inputs: ``input_ids``, ``attention_mask``, ``token_type_ids``, ``position_ids``, ``head_mask`` and
                ``inputs_embeds``.
            outputs: ``output_attentions``, ``output_hidden_states`` and ``return_dict``.
            labels: values of ``label_names``.
            renamed: arguments given under names of older versions.
        """
        if renamed:
            labels = self._with_renamed(labels, renamed)
        given = dict(zip(_INPUTS, inputs, strict=True))
        choices = _fold_choices(given) if self.record.input_rank == 3 else None
        attentions, hidden_states, return_dict = outputs
        encoded = self.base_model(
            **given, output_attentions=attentions, output_hidden_states=hidden_states, return_dict=True
        )
        answers = self.answers(encoded)
        if choices is not None:
            answers = tuple(answer.view(-1, choices) for answer in answers)
        complete = tuple(label for label in labels if label is not None)
        output = self.output_class(
            loss=self.head_loss(answers, complete) if len(complete) == len(labels) else None,
            **dict(zip(self.answer_names, answers, strict=True)),
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )
        wanted = self.config.use_return_dict if return_dict is None else return_dict
        return output if wanted else output.to_tuple()

    def _with_renamed(self, labels: tuple[Tensor | None, ...], renamed: dict[str, Any]) -> tuple[Tensor | None, ...]:
        given = dict(zip(self.label_names, labels, strict=True))
        for old, value in renamed.items():
            new = self.old_names.get(old)
            if new is None:
                raise TypeError(f"{type(self).__name__}.forward() got an unexpected keyword argument {old!r}")
            warn_caller(f"{old} is now named {new}", FutureWarning, _TORCH)
            if given[new] is not None:
                raise TypeError(f"{type(self).__name__}.forward() got both {new} and its old name {old}")
            given[new] = value
        return tuple(given.values())


class MaskedLM(Task):
    """Predicts the word at every position; labels (B, T)."""

    head = "masked_lm"
    old_names: ClassVar[dict[str, str]] = _OLD_WORD_LABELS


class NextSentence(Task):
    """Tells whether text B continues text A (0) or is random (1); labels (B,)."""

    head = "next_sentence"
    old_names: ClassVar[dict[str, str]] = {"next_sentence_label": "labels"}


class PreTraining(Task):
    """Both pre-training heads; the loss is the sum of theirs, and needs both labels, (B, T) and (B,)."""

    head = "pretraining"
    old_names: ClassVar[dict[str, str]] = _OLD_WORD_LABELS


class SequenceClassification(Task):
    """One answer per text: a class, several classes, or numbers."""

    head = "sequence_classification"

    def head_loss(self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...]) -> Tensor:
        """Mean squared error, cross-entropy or binary cross-entropy of (B, N), as ``problem_type`` says.

        Where it says nothing: one label is a regression, integer labels (B,) are classes, float labels (B, N) are
        several classes at once.
        """
        logits, wanted = answers[0], labels[0]
        problem = self.config.problem_type or problem_type(self.config.num_labels, wanted)
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


class MultipleChoice(Task):
    """Picks one of several texts; inputs are (B, C, T), labels (B,)."""

    head = "multiple_choice"


class TokenClassification(Task):
    """A class per token; labels (B, T)."""

    head = "token_classification"


class QuestionAnswering(Task):
    """Where the answer starts and ends."""

    head = "question_answering"

    def head_loss(self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...]) -> Tensor:
        """Mean of the cross-entropies of start and end, (B, T) each; labels (B,) each.

        Positions outside the sequence are clamped to its length and ignored.
        """
        start, end = (_position_loss(*pair) for pair in zip(answers, labels, strict=True))
        return (start + end) / 2


def problem_type(num_labels: int, labels: Tensor) -> str:
    """Return what ``labels`` ask for when the configuration does not say."""
    if num_labels == 1:
        return "regression"
    integer = not labels.is_floating_point() and not labels.is_complex()
    return "single_label_classification" if integer else "multi_label_classification"


def _fold_choices(inputs: dict[str, Any]) -> int | None:
    """Fold inputs (B, C, ...) into (B*C, ...) and return C; None if there are neither ids nor vectors."""
    given, rank = inputs["input_ids"], 3
    if given is None:
        given, rank = inputs["inputs_embeds"], 4
    if given is None:
        return None
    if given.dim() != rank:
        shape = tuple(given.shape)
        raise InputError(f"inputs of shape {shape} must be (batch, choices, tokens); one example needs .unsqueeze(0)")
    choices: int = given.shape[1]
    for name, value in inputs.items():
        if isinstance(value, Tensor) and value.dim() >= 3:
            inputs[name] = value.flatten(0, 1)
    return choices


def _token_loss(logits: Tensor, labels: Tensor, name: str = "labels") -> Tensor:
    if labels.shape != logits.shape[:-1]:
        raise InputError(f"{name} of shape {tuple(labels.shape)} must be (batch, tokens) = {tuple(logits.shape[:-1])}")
    check_labels(name, labels, logits.shape[-1], IGNORE)
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
