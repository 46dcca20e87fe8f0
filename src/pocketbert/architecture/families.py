"""One record per model family, and the class names and parameters that follow from a configuration and a head."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pocketbert.architecture import encoders, heads
from pocketbert.architecture.config import BertConfig, DistilBertConfig, MobileBertConfig, PretrainedConfig
from pocketbert.architecture.encoders import LayerNames
from pocketbert.architecture.heads import BARE, Answer, Head, head_named
from pocketbert.architecture.parameters import Parameter, linear, norm
from pocketbert.errors import ConfigError

__all__ = [
    "FAMILIES",
    "Family",
    "PooledText",
    "WordLayers",
    "class_name",
    "family_of",
    "family_or_none",
    "head_of_class",
    "known_names",
    "parameters",
    "register_head",
]


@dataclass(frozen=True)
class PooledText:
    """The dense layer between the state of [CLS] and a head that reads the pooled text.

    Attributes:
        layer: its name on disk.
        activation: what follows it.
        in_encoder: it is the encoder's pooler, and a bare encoder may have it too; otherwise it belongs to the head.
    """

    layer: str
    activation: str
    in_encoder: bool


@dataclass(frozen=True)
class WordLayers:
    """Names on disk of the layers that predict words: dense, activation, layer norm, and the vocabulary's matrix.

    Attributes:
        transform: the dense layer.
        norm: the layer norm, a real one also with ``no_norm``.
        decoder: the matrix, which a configuration may tie to the word table.
        bias: of the decoder, under the name that is stored.
        extra: matrix of the columns that the word table lacks, stored (in, vocabulary), or None.
    """

    transform: str
    norm: str
    decoder: str
    bias: str
    extra: str | None = None


@dataclass(frozen=True)
class Family:
    """One architecture with its published checkpoints.

    Attributes:
        model_type: its name in ``config.json``, and the prefix of the encoder's parameters in a model with a head.
        class_name: what its classes' names begin with.
        config: its configurations.
        heads: names of the heads that it has.
        encoder: lists the encoder's parameters, given a configuration and whether it has its pooler.
        pooled: see ``PooledText``.
        words: see ``WordLayers``.
        dropout: the dropout in front of a head, given a configuration and the head.
        layers: see ``LayerNames``; None where a layer has other parts than BERT's.
        norm_eps: the layer norms' epsilon where no configuration can change it.
        has_types: tokens have types, so ``token_type_ids`` means something.
    """

    model_type: str
    class_name: str
    config: type[PretrainedConfig]
    heads: tuple[str, ...]
    encoder: Callable[[Any, bool], Iterator[Parameter]]
    pooled: PooledText
    words: WordLayers
    dropout: Callable[[Any, Head], float]
    layers: LayerNames | None = None
    norm_eps: float | None = None
    has_types: bool = True

    @property
    def prefix(self) -> str:
        """What an encoder's names begin with in a model with a head."""
        return f"{self.model_type}."

    def head(self, name: str) -> Head:
        """Return the record of a head of this family.

        Raises:
            ConfigError: there is no such head, or this family lacks it.
        """
        record = head_named(name)
        if name not in self.heads:
            raise ConfigError(f"{self.class_name} has no {name} head; it has {', '.join(self.heads)}")
        return record

    def pooled_layer(self, config: PretrainedConfig) -> PooledText | None:
        """Return the layer of the pooled text; None where that is the state of [CLS] as it is (some MobileBERTs)."""
        return self.pooled if getattr(config, "classifier_activation", True) else None

    def eps(self, config: Any) -> float:
        """Return the layer norms' epsilon."""
        return float(config.layer_norm_eps if self.norm_eps is None else self.norm_eps)


def _distilbert_dropout(config: DistilBertConfig, head: Head) -> float:
    """Question answering and heads on the pooled text have rates of their own in the configuration."""
    if head.name == "question_answering":
        return float(config.qa_dropout)
    return float(config.seq_classif_dropout if head.reads_pooled else config.dropout)


def _bert_dropout(config: BertConfig | MobileBertConfig, head: Head) -> float:
    """``classifier_dropout``, else ``hidden_dropout_prob``, in front of a classifier; other heads have none."""
    if head.answers[0].part != "classifier":
        return 0.0
    return float(config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout)


_HEADS = tuple(heads.HEADS)
_POOLER = PooledText("pooler.dense", "tanh", in_encoder=True)
_WORD_PARTS = ("transform.dense", "transform.LayerNorm", "decoder", "bias")
_BERT_WORDS = WordLayers(*(f"cls.predictions.{part}" for part in _WORD_PARTS))

FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (
        Family(
            "distilbert",
            "DistilBert",
            DistilBertConfig,
            # it was trained without next-sentence prediction
            tuple(name for name in _HEADS if name not in ("pretraining", "next_sentence")),
            encoders.distilbert,
            PooledText("pre_classifier", "relu", in_encoder=False),
            WordLayers("vocab_transform", "vocab_layer_norm", "vocab_projector", "vocab_projector.bias"),
            _distilbert_dropout,
            encoders.DISTILBERT_LAYERS,
            norm_eps=1e-12,
            has_types=False,
        ),
        Family(
            "mobilebert",
            "MobileBert",
            MobileBertConfig,
            _HEADS,
            encoders.mobilebert,
            _POOLER,
            replace(_BERT_WORDS, extra="cls.predictions.dense.weight"),
            _bert_dropout,
        ),
        Family(
            "bert", "Bert", BertConfig, _HEADS, encoders.bert, _POOLER, _BERT_WORDS, _bert_dropout, encoders.BERT_LAYERS
        ),
    )
}


def family_of(config: PretrainedConfig) -> Family:
    """Return the family of a configuration.

    Raises:
        ConfigError: it belongs to none.
    """
    family = family_or_none(config)
    if family is None:
        raise ConfigError(f"{type(config).__name__} belongs to no family of this library")
    return family


def family_or_none(config: PretrainedConfig) -> Family | None:
    """Return the family of a configuration, or of the class that it was derived from; None if it belongs to none."""
    families = (FAMILIES.get(config.model_type), *FAMILIES.values())
    return next((family for family in families if family is not None and isinstance(config, family.config)), None)


def class_name(config: PretrainedConfig, head: str) -> str:
    """Return the name of the class of this family with this head, such as ``"MobileBertForMaskedLM"``."""
    return family_of(config).class_name + head_named(head).suffix


def head_of_class(name: str) -> tuple[str, str]:
    """Return (model_type, head) of a class name; TensorFlow's ``TF`` in front is ignored.

    Raises:
        ConfigError: no class of these families has that name.
    """
    bare = name.removeprefix("TF")
    for family in FAMILIES.values():
        for head in family.heads:
            if bare == family.class_name + head_named(head).suffix:
                return family.model_type, head
    raise ConfigError(f"{name!r} is no class of {', '.join(family.class_name for family in FAMILIES.values())}")


def parameters(config: PretrainedConfig, head: str = BARE, *, pooler: bool | None = None) -> list[Parameter]:
    """List every parameter of a model, tied aliases included.

    Args:
        config: the architecture; ``pruned_heads`` narrows the layers that it names.
        head: ``"none"`` lists the bare encoder, whose names carry no prefix.
        pooler: whether the encoder has its pooling layer; by default as the class with this head has it.

    Raises:
        ConfigError: the family has no such head.
    """
    family = family_of(config)
    record = family.head(head)
    if pooler is None:
        pooler = record.reads_pooled or head == BARE
    encoder = family.encoder(config, pooler)
    if head == BARE:
        return list(encoder)
    listed = [replace(parameter, name=family.prefix + parameter.name) for parameter in encoder]
    return [*listed, *_head_parameters(family, config, record)]


def known_names(config: PretrainedConfig) -> set[str]:
    """Return every name that any head of this family may store, encoder names without their prefix.

    A checkpoint may hold these beside what a class needs (the head of another task); nothing else.
    """
    family = family_of(config)
    names = {p.name for p in family.encoder(config, False)}
    names |= {p.name for head in family.heads for p in _head_parameters(family, config, head_named(head))}
    return names | {"embeddings.position_ids", "embeddings.token_type_ids", "pooler.dense.weight", "pooler.dense.bias"}


def register_head(head: Head, *model_types: str) -> None:
    """Add a head and give it to families, all of them if none is named.

    Raises:
        ConfigError: the name is taken by another head, or there is no such family.
    """
    if heads.HEADS.setdefault(head.name, head) != head:
        raise ConfigError(f"there is a head {head.name!r} already; choose another name")
    for model_type in model_types or tuple(FAMILIES):
        if model_type not in FAMILIES:
            raise ConfigError(f"unknown model_type {model_type!r}; choose from {', '.join(FAMILIES)}")
        family = FAMILIES[model_type]
        if head.name not in family.heads:
            FAMILIES[model_type] = replace(family, heads=(*family.heads, head.name))


def _head_parameters(family: Family, config: PretrainedConfig, head: Head) -> Iterator[Parameter]:
    if head.reads_pooled and not family.pooled.in_encoder:
        yield from linear(family.pooled.layer, config.hidden_size, config.hidden_size, "classifier")
    for answer in head.answers:
        if answer.per == "position":
            yield from _word_parameters(family, config, answer)
        elif answer.layer is not None:
            yield from linear(answer.layer, answer.width(config), config.hidden_size, answer.part)


def _word_parameters(family: Family, config: PretrainedConfig, answer: Answer) -> Iterator[Parameter]:
    words, width, vocabulary = family.words, config.hidden_size, answer.width(config)
    table = getattr(config, "embedding_size", width)
    weight, bias = linear(words.decoder, vocabulary, table, answer.part)
    stored_bias = replace(bias, name=words.bias)
    if stored_bias != bias:
        yield stored_bias
    yield from linear(words.transform, width, width, answer.part)
    yield from norm(words.norm, width, answer.part)
    if words.extra is not None:
        yield Parameter(words.extra, (width - table, vocabulary), "linear_weight", answer.part)
    tied = f"{family.prefix}embeddings.word_embeddings.weight" if config.tie_word_embeddings else None
    yield replace(weight, tied_to=tied)
    yield bias if stored_bias == bias else replace(bias, tied_to=words.bias)
