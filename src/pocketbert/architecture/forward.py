"""A model with a head, as far as it is the same in every framework: its layers, its forward pass and its outputs.

Shapes: B batch, T tokens, C choices, N labels, V vocabulary, W hidden_size. Tensors are those of the framework.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pocketbert.architecture.families import family_of
from pocketbert.architecture.heads import Head, head_named
from pocketbert.architecture.outputs import ModelOutput
from pocketbert.errors import InputError

__all__ = [
    "IGNORE",
    "Framework",
    "HeadForward",
    "MaskedLM",
    "MultipleChoice",
    "PreTraining",
    "TokenClassification",
    "problem_type",
]

Tensor = Any

IGNORE = -100  # the label of a token that has none
_OLD_WORD_LABELS = {"masked_lm_labels": "labels", "lm_labels": "labels"}
_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "head_mask", "inputs_embeds")


@dataclass(frozen=True)
class Framework:
    """What a head needs of a framework.

    Attributes:
        part: makes an empty layer, which holds others.
        dense: makes a dense layer, given a configuration and the widths before and after it.
        dropout: makes a dropout layer of a rate.
        activation: gives the function of that name.
        shape: gives a tensor's shape.
        reshape: gives a tensor another shape.
        fold: (B, C, ...) -> (B*C, ...).
        columns: (..., n) and n -> n tensors (...).
        batch_axis: how one writes a batch of one example.
    """

    part: Callable[[], Any]
    dense: Callable[[Any, int, int], Any]
    dropout: Callable[[float], Any]
    activation: Callable[[Any], Callable[[Tensor], Tensor]]
    shape: Callable[[Tensor], Sequence[Any]]
    reshape: Callable[[Tensor, Any], Tensor]
    fold: Callable[[Tensor], Tensor]
    columns: Callable[[Tensor, int], Sequence[Tensor]]
    batch_axis: str


class HeadForward:
    """An encoder with a head; a framework's ``Task`` is this and what all models of the framework are.

    A head defines ``head`` and, where the default does not suit it, ``head_loss``. A family defines ``encoder_class``.

    Attributes:
        toolkit: of the framework whose layers these are.
        encoder_class: the bare encoder.
        record: the head.
        label_names: the arguments of the forward pass that are labels, in order.
        answer_names: the fields of the output that are logits, in order.
        output_class: what the forward pass returns.
        input_rank: of ``input_ids``.
        old_names: arguments of older versions and what they are called now.
    """

    toolkit: ClassVar[Framework]
    encoder_class: ClassVar[Callable[..., Any]]
    base_model_prefix: ClassVar[str]
    record: ClassVar[Head]
    label_names: ClassVar[tuple[str, ...]]
    answer_names: ClassVar[tuple[str, ...]]
    output_class: ClassVar[type[ModelOutput]]
    input_rank: ClassVar[int]
    old_names: ClassVar[dict[str, str]] = {}
    config: Any
    dropout: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "head" in vars(cls):  # what the class does not say is as in the record
            record = cls.record = head_named(vars(cls)["head"])
            cls.input_rank = record.input_rank
            facts = {"label_names": record.labels, "answer_names": record.fields, "output_class": record.output}
            for name in facts.keys() - vars(cls).keys():
                setattr(cls, name, facts[name])

    def build_head(self) -> None:
        """Make a layer for each answer, under the name that it has on disk."""
        config, family, make = self.config, family_of(self.config), self.toolkit
        width = config.hidden_size
        if any(answer.per != "position" for answer in self.record.answers):
            self.dropout = make.dropout(family.dropout(config, self.record))
        if self.record.reads_pooled and not family.pooled.in_encoder:
            self.place(family.pooled.layer, make.dense(config, width, width))
        for answer in self.record.answers:
            if answer.per == "position":
                self.build_words()
            elif answer.layer is not None:
                self.place(answer.layer, make.dense(config, width, answer.width(config)))

    def build_words(self) -> None:
        """Make the layers that predict words; the norm is a real one, also with ``no_norm``."""
        raise NotImplementedError

    def word_logits(self, hidden: Tensor) -> Tensor:
        """(..., W) -> (..., V): dense, activation, norm, then the word table as a matrix, and a bias."""
        raise NotImplementedError

    def head_loss(self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...]) -> Tensor:
        """Return the scalar loss of the values of ``answer_names`` and ``label_names``.

        By default the cross-entropies of all answers are added: of (B, N) with labels (B,) for an answer per text, else
        of (B, T, N) with labels (B, T). A label of -100 is ignored.
        """
        raise NotImplementedError

    def place(self, path: str, layer: Any) -> None:
        """Put a layer or parameter at a path of names that dots separate."""
        owner: Any = self
        *outer, name = path.split(".")
        for part in outer:
            if not hasattr(owner, part):
                setattr(owner, part, self.toolkit.part())
            owner = getattr(owner, part)
        setattr(owner, name, layer)

    def layer_at(self, path: str) -> Any:
        """Return the layer at a path of names that dots separate."""
        layer: Any = self
        for part in path.split("."):
            layer = getattr(layer, part)
        return layer

    def answers(self, encoded: Any) -> tuple[Tensor, ...]:
        """Return the head's logits, one for each of ``answer_names``."""
        logits: list[Tensor] = []
        for answer in self.record.answers:
            if answer.per == "position":
                logits.append(self.word_logits(encoded.last_hidden_state))
                continue
            assert answer.layer is not None
            features = self._pooled(encoded) if answer.per == "text" else encoded.last_hidden_state
            values = self.layer_at(answer.layer)(self.dropout(features))
            count = len(answer.fields)
            logits += [values] if count == 1 else self.toolkit.columns(values, count)
        return tuple(logits)

    def _pooled(self, encoded: Any) -> Tensor:
        """Return one vector per text, (B, W)."""
        pooled = family_of(self.config).pooled
        if pooled.in_encoder:
            return encoded.pooler_output
        text = self.layer_at(pooled.layer)(encoded.last_hidden_state[:, 0])
        return self.toolkit.activation(pooled.activation)(text)

    def run(
        self,
        inputs: tuple[Tensor | None, ...],
        outputs: tuple[bool | None, bool | None, bool | None],
        labels: tuple[Tensor | None, ...],
    ) -> ModelOutput | tuple[Any, ...]:
        """Encode, apply the head and, where all labels are given, the loss.

        Args:
            inputs: ``input_ids``, ``attention_mask``, ``token_type_ids``, ``position_ids``, ``head_mask`` and
                ``inputs_embeds``.
            outputs: ``output_attentions``, ``output_hidden_states`` and ``return_dict``.
            labels: values of ``label_names``.
        """
        given = dict(zip(_INPUTS, inputs, strict=True))
        choices = self._fold_choices(given) if self.input_rank == 3 else None
        attentions, hidden_states, return_dict = outputs
        encoded = getattr(self, self.base_model_prefix)(
            **given, output_attentions=attentions, output_hidden_states=hidden_states, return_dict=True
        )
        answers = self.answers(encoded)
        if choices is not None:
            answers = tuple(self.toolkit.reshape(answer, (-1, choices)) for answer in answers)
        complete = tuple(label for label in labels if label is not None)
        output = self.output_class(
            loss=self.head_loss(answers, complete) if len(complete) == len(labels) else None,
            **dict(zip(self.answer_names, answers, strict=True)),
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )
        wanted = self.config.use_return_dict if return_dict is None else return_dict
        return output if wanted else output.to_tuple()

    def _fold_choices(self, inputs: dict[str, Any]) -> Any:
        """Fold inputs (B, C, ...) into (B*C, ...) and return C; None if there are neither ids nor vectors."""
        ids, vectors = inputs["input_ids"], inputs["inputs_embeds"]
        given, rank = (ids, 3) if ids is not None else (vectors, 4)
        if given is None:
            return None
        if len(given.shape) != rank:
            wanted = f"(batch, choices, tokens); one example needs {self.toolkit.batch_axis}"
            raise InputError(f"inputs of shape {tuple(given.shape)} must be {wanted}")
        for name, value in inputs.items():
            if len(getattr(value, "shape", ())) >= 3:
                inputs[name] = self.toolkit.fold(value)
        return self.toolkit.shape(given)[1]


class MaskedLM(HeadForward):
    """Predicts the word at every position; labels (B, T)."""

    head = "masked_lm"
    old_names: ClassVar[dict[str, str]] = _OLD_WORD_LABELS


class PreTraining(HeadForward):
    """Both pre-training heads; the loss is the sum of theirs, and needs both labels, (B, T) and (B,)."""

    head = "pretraining"
    old_names: ClassVar[dict[str, str]] = _OLD_WORD_LABELS


class MultipleChoice(HeadForward):
    """Picks one of several texts; inputs are (B, C, T), labels (B,)."""

    head = "multiple_choice"


class TokenClassification(HeadForward):
    """A class per token; labels (B, T)."""

    head = "token_classification"


def problem_type(num_labels: int, label_dtype: str) -> str:
    """Return what labels of a dtype ask for when the configuration does not say."""
    if num_labels == 1:
        return "regression"
    real = "float" in label_dtype or "complex" in label_dtype
    return "multi_label_classification" if real else "single_label_classification"
