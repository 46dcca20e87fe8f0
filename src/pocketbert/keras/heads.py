"""Every task head, written once; a public class composes one with a family's encoder and needs no line of its own.

What a head answers and what it is trained on stands in its record, ``architecture.heads``; a class here adds its loss.
Losses are means over the batch, computed from logits in float32.

Shapes: B batch, T tokens, C choices, N labels, V vocabulary, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import keras
from keras import ops

from pocketbert.architecture.families import family_of
from pocketbert.architecture.heads import Head, head_named
from pocketbert.architecture.input_checks import fits
from pocketbert.architecture.outputs import ModelOutput
from pocketbert.errors import InputError
from pocketbert.keras.layers import ExtraColumns, Layer, Tensor, Vocabulary, activation, layer_norm, linear
from pocketbert.keras.masks_and_ids import check_labels, dtype_of
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

IGNORE = -100  # the label of a token that has none
_OLD_WORD_LABELS = {"masked_lm_labels": "labels", "lm_labels": "labels"}
_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "head_mask", "inputs_embeds")


class Task(TFPreTrainedModel):
    """An encoder with a head.

    A head defines ``head`` and, where the default does not suit it, ``head_loss``. A family defines ``encoder_class``
    and ``head_dropout``.

    Attributes:
        record: the head.
        label_names: the arguments of ``call`` that are labels, in order.
        answer_names: the fields of the output that are logits, in order.
        output_class: what ``call`` returns.
    """

    encoder_class: ClassVar[Callable[..., TFPreTrainedModel]]
    record: ClassVar[Head]
    label_names: ClassVar[tuple[str, ...]]
    answer_names: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "head" in vars(cls):  # what the class does not say is as in the record
            record = cls.record = head_named(cls.head)
            facts = {"label_names": record.labels, "answer_names": record.fields, "output_class": record.output}
            cls.input_rank = record.input_rank
            for name in facts.keys() - vars(cls).keys():
                setattr(cls, name, facts[name])

    def build_layers(self) -> None:
        """Make the encoder, with its pooler where this head reads it, and the head."""
        encoder = self.encoder_class(self.config, self.record.reads_pooled, allow_float16=self.allow_float16)
        setattr(self, self.base_model_prefix, encoder)
        self.build_head()

    # -- what a family gives -----------------------------------------------------------------------------------

    def head_dropout(self) -> float:
        """Return the dropout in front of this head."""
        raise NotImplementedError

    # -- what a head gives -------------------------------------------------------------------------------------

    def build_head(self) -> None:
        """Make a layer for each answer, under the name that it has on disk."""
        width, pooled = self.config.hidden_size, family_of(self.config).pooled
        if any(answer.per != "position" for answer in self.record.answers):
            self.dropout = keras.layers.Dropout(self.head_dropout())
        if self.record.reads_pooled and not pooled.in_encoder:
            self.place(pooled.layer, linear(self.config, width, width))
        for answer in self.record.answers:
            if answer.per == "position":
                self.build_words()
            elif answer.layer is not None:
                self.place(answer.layer, linear(self.config, width, answer.width(self.config)))

    def place(self, path: str, layer: Layer) -> None:
        """Put a layer at a path of names that dots separate."""
        owner: Any = self
        *outer, name = path.split(".")
        for part in outer:
            if not hasattr(owner, part):
                setattr(owner, part, Layer())
            owner = getattr(owner, part)
        setattr(owner, name, layer)

    def layer_at(self, path: str) -> Any:
        """Return the layer at a path of names that dots separate."""
        layer: Any = self
        for part in path.split("."):
            layer = getattr(layer, part)
        return layer

    def build_words(self) -> None:
        """Make the layers that predict words; the norm is a real one, also with ``no_norm``."""
        config, width, family = self.config, self.config.hidden_size, family_of(self.config)
        words, narrow = family.words, self.get_input_embeddings().output_dim
        self.place(words.transform, linear(config, width, width))
        self.place(words.norm, layer_norm(width, family.eps(config)))
        if words.extra is not None:
            self.place(words.extra.removesuffix(".weight"), ExtraColumns(config, width - narrow))
        self.place(words.decoder, Vocabulary(config, narrow))

    def word_logits(self, hidden: Tensor) -> Tensor:
        """(B, T, W) -> (B, T, V): dense, activation, norm, then the word table as a matrix, and a bias."""
        words, table = family_of(self.config).words, self.get_input_embeddings()
        hidden = activation(self.config.hidden_act)(self.layer_at(words.transform)(hidden))
        hidden = self.layer_at(words.norm)(hidden)
        decoder, narrow = self.layer_at(words.decoder), table.output_dim
        if words.extra is None:
            return decoder(hidden, table=table.embeddings)
        extra = self.layer_at(words.extra.removesuffix(".weight"))  # what the table is too narrow for
        return decoder(hidden[:, :, :narrow], table=table.embeddings) + extra(hidden[:, :, narrow:])

    def pooled(self, encoded: ModelOutput) -> Tensor:
        """Return one vector per text, (B, W), after dropout."""
        pooled = family_of(self.config).pooled
        if pooled.in_encoder:
            return self.dropout(encoded.pooler_output)
        text = self.layer_at(pooled.layer)(encoded.last_hidden_state[:, 0])
        return self.dropout(activation(pooled.activation)(text))

    def answers(self, encoded: ModelOutput) -> tuple[Tensor, ...]:
        """Return the head's logits, one for each of ``answer_names``."""
        logits: list[Tensor] = []
        for answer in self.record.answers:
            if answer.per == "position":
                logits.append(self.word_logits(encoded.last_hidden_state))
                continue
            assert answer.layer is not None
            features = self.pooled(encoded) if answer.per == "text" else self.dropout(encoded.last_hidden_state)
            values = self.layer_at(answer.layer)(features)
            one = len(answer.fields) == 1
            logits += [values] if one else ops.unstack(values, len(answer.fields), axis=-1)
        return tuple(logits)

    def head_loss(self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...], weight: Tensor | None) -> Tensor:
        """Return the scalar loss of the values of ``answer_names`` and ``label_names``.

        By default the cross-entropies of all answers are added: of (B, N) with labels (B,) for an answer per text, else
        of (B, T, N) with labels (B, T). A label of -100 is ignored.

        ``weight`` (B,) multiplies the loss of each row.
        """
        losses = [
            (_class_loss if answer.per == "text" else _token_loss)(logits, wanted, weight, name)
            for answer, logits, wanted, name in zip(self.record.answers, answers, labels, self.label_names, strict=True)
        ]
        return sum(losses[1:], losses[0])

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
        choices = _fold_choices(given) if self.record.input_rank == 3 else None
        attentions, hidden_states, return_dict = outputs
        encoded = self.get_base_model()(
            **given, output_attentions=attentions, output_hidden_states=hidden_states, return_dict=True
        )
        answers = self.answers(encoded)
        if choices is not None:
            answers = tuple(ops.reshape(answer, (-1, choices)) for answer in answers)
        complete = tuple(label for label in labels if label is not None)
        output = self.output_class(
            loss=self.head_loss(answers, complete, None) if len(complete) == len(labels) else None,
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
    """Predicts the word at every position; labels (B, T)."""

    head = "masked_lm"
    old_names: ClassVar[dict[str, str]] = _OLD_WORD_LABELS


class NextSentence(Task):
    """Tells whether text B continues text A (0) or is random (1); labels (B,)."""

    head = "next_sentence"
    label_names: ClassVar[tuple[str, ...]] = ("next_sentence_label",)


class PreTraining(Task):
    """Both pre-training heads; the loss is the sum of theirs, and needs both labels, (B, T) and (B,)."""

    head = "pretraining"
    old_names: ClassVar[dict[str, str]] = _OLD_WORD_LABELS


class SequenceClassification(Task):
    """One answer per text: a class, several classes, or numbers."""

    head = "sequence_classification"

    def head_loss(self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...], weight: Tensor | None) -> Tensor:
        """Mean squared error, cross-entropy or binary cross-entropy of (B, N), as ``problem_type`` says.

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
    """Picks one of several texts; inputs are (B, C, T), labels (B,)."""

    head = "multiple_choice"


class TokenClassification(Task):
    """A class per token; labels (B, T)."""

    head = "token_classification"


class QuestionAnswering(Task):
    """Where the answer starts and ends."""

    head = "question_answering"

    def head_loss(self, answers: tuple[Tensor, ...], labels: tuple[Tensor, ...], weight: Tensor | None) -> Tensor:
        """Mean of the cross-entropies of start and end, (B, T) each; labels (B,) each.

        Positions outside the sequence are clamped to its length and ignored.
        """
        start, end = (_position_loss(*pair, weight) for pair in zip(answers, labels, strict=True))
        return (start + end) / 2


def problem_type(num_labels: int, labels: Tensor) -> str:
    """Return what ``labels`` ask for when the configuration does not say."""
    if num_labels == 1:
        return "regression"
    return "multi_label_classification" if "float" in dtype_of(labels) else "single_label_classification"


def _fold_choices(inputs: dict[str, Any]) -> Any:
    """Fold inputs (B, C, ...) into (B*C, ...) and return C; None if there are neither ids nor vectors."""
    given, rank = inputs["input_ids"], 3
    if given is None:
        given, rank = inputs["inputs_embeds"], 4
    if given is None:
        return None
    if len(given.shape) != rank:
        shape = tuple(given.shape)
        raise InputError(f"inputs of shape {shape} must be (batch, choices, tokens); one example needs ids[None]")
    choices = ops.shape(given)[1]
    for name, value in inputs.items():
        if len(getattr(value, "shape", ())) >= 3:
            inputs[name] = ops.reshape(value, (-1, *ops.shape(value)[2:]))
    return choices


def _token_loss(logits: Tensor, labels: Tensor, weight: Tensor | None, name: str = "labels") -> Tensor:
    if not fits(labels.shape, logits.shape[:-1]):
        raise InputError(f"{name} of shape {tuple(labels.shape)} must be (batch, tokens) = {tuple(logits.shape[:-1])}")
    check_labels(name, labels, logits.shape[-1], IGNORE)
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
