"""One record per head: its outputs, training labels and names.

Model classes, parameter lists, plans, runners, tasks and exports read these records. ``families.register_head`` adds a
custom head; with a model class of the matching name, it works everywhere a built-in head does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pocketbert.architecture import outputs
from pocketbert.architecture.outputs import ModelOutput
from pocketbert.errors import ConfigError

if TYPE_CHECKING:
    from pocketbert.architecture.config import PretrainedConfig

__all__ = ["BARE", "HEADS", "Answer", "Head", "Per", "head_named"]

Per = Literal["text", "token", "position"]
BARE = "none"  # the head of a bare encoder, whose answer is its hidden states


@dataclass(frozen=True)
class Answer:
    """One array that a head computes.

    Attributes:
        name: the head that gives this answer alone.
        fields: the columns' names in outputs and exported graphs; where there are several, each has one column.
        per: the array has one row per text, per token, or per requested position (by default, all). Rows per text
            are computed from the pooled text, all others from hidden states.
        width: the columns of all fields together, given a configuration.
        layer: name on disk of the dense layer that computes it. None for hidden states, and for word predictions,
            whose layers ``Family.words`` names.
        part: the name of its parameters' part, for messages.
    """

    name: str
    fields: tuple[str, ...]
    per: Per
    width: Callable[[PretrainedConfig], int]
    layer: str | None
    part: str = "classifier"


@dataclass(frozen=True)
class Head:
    """What a model has on top of its encoder.

    Attributes:
        name: what it is called here, such as ``"question_answering"``.
        suffix: what follows the family's name in the class that has it: ``"ForQuestionAnswering"``.
        answers: pre-training has two, and a model that has it serves both.
        labels: the arguments of a model's call that it is trained on, in order.
        output: what a model's call returns.
        task: the task that a checkpoint with this head is for.
        input_rank: 3 where a model's call takes (batch, choices, tokens), 2 for (batch, tokens).
    """

    name: str
    suffix: str
    answers: tuple[Answer, ...]
    labels: tuple[str, ...]
    output: type[ModelOutput]
    task: str
    input_rank: int = 2

    @property
    def reads_pooled(self) -> bool:
        """Whether it reads the pooled text."""
        return any(answer.per == "text" for answer in self.answers)

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of everything that it gives, in order."""
        return tuple(field for answer in self.answers for field in answer.fields)

    def answer(self, name: str) -> Answer | None:
        """Return the answer that the head ``name`` alone would give, or None; a head's own name needs no other."""
        return next((answer for answer in self.answers if answer.name == name), None)

    def same_names_as(self, other: Head) -> bool:
        """Whether both have a layer of one name, so that only ``architectures`` in a configuration tells them apart."""
        layers = {answer.layer for answer in self.answers} - {None}
        return bool(layers & {answer.layer for answer in other.answers})


def _labels(config: PretrainedConfig) -> int:
    return config.num_labels


_STATES = Answer(BARE, ("last_hidden_state",), "token", lambda config: config.hidden_size, None)
_WORDS = Answer("masked_lm", ("logits",), "position", lambda config: config.vocab_size, None, "masked-LM head")
# column 0: B continues A, 1: B is random
_NEXT = Answer("next_sentence", ("logits",), "text", lambda _: 2, "cls.seq_relationship", "next-sentence head")
_SPAN_FIELDS = ("start_logits", "end_logits")
_SPAN = Answer("question_answering", _SPAN_FIELDS, "token", lambda _: 2, "qa_outputs", "question-answering head")

HEADS: dict[str, Head] = {
    head.name: head
    for head in (
        Head(BARE, "Model", (_STATES,), (), outputs.BaseModelOutput, "feature-extraction"),
        Head(
            "pretraining",
            "ForPreTraining",
            (replace(_WORDS, fields=("prediction_logits",)), replace(_NEXT, fields=("seq_relationship_logits",))),
            ("labels", "next_sentence_label"),
            outputs.BertForPreTrainingOutput,
            "fill-mask",
        ),
        Head("masked_lm", "ForMaskedLM", (_WORDS,), ("labels",), outputs.MaskedLMOutput, "fill-mask"),
        Head(
            "next_sentence",
            "ForNextSentencePrediction",
            (_NEXT,),
            ("labels",),
            outputs.NextSentencePredictorOutput,
            "next-sentence-prediction",
        ),
        Head(
            "sequence_classification",
            "ForSequenceClassification",
            (Answer("sequence_classification", ("logits",), "text", _labels, "classifier"),),
            ("labels",),
            outputs.SequenceClassifierOutput,
            "text-classification",
        ),
        Head(
            "multiple_choice",
            "ForMultipleChoice",
            (Answer("multiple_choice", ("logits",), "text", lambda _: 1, "classifier"),),
            ("labels",),
            outputs.MultipleChoiceModelOutput,
            "multiple-choice",
            input_rank=3,
        ),
        Head(
            "token_classification",
            "ForTokenClassification",
            (Answer("token_classification", ("logits",), "token", _labels, "classifier"),),
            ("labels",),
            outputs.TokenClassifierOutput,
            "token-classification",
        ),
        Head(
            "question_answering",
            "ForQuestionAnswering",
            (_SPAN,),
            ("start_positions", "end_positions"),
            outputs.QuestionAnsweringModelOutput,
            "question-answering",
        ),
    )
}


def head_named(name: str) -> Head:
    """Return the record of a head.

    Raises:
        ConfigError: there is no such head.
    """
    if name not in HEADS:
        raise ConfigError(f"unknown head {name!r}; choose from {', '.join(HEADS)}")
    return HEADS[name]
