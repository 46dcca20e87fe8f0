"""(configuration, head) -> every parameter's name on disk, shape and kind: the only list.

Every backend is checked against it. Names are Hugging Face's; weights of linear layers are [out, in].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from pocketbert.architecture.config import BertConfig, DistilBertConfig, MobileBertConfig, PretrainedConfig
from pocketbert.errors import ConfigError

__all__ = [
    "Head",
    "Kind",
    "Parameter",
    "HEADS",
    "POOLED",
    "PREFIXES",
    "parameters",
    "class_name",
    "head_of_class",
    "known_names",
]

Kind = Literal["linear_weight", "linear_bias", "norm_scale", "norm_bias", "embedding"]
Head = Literal[
    "none",
    "pretraining",
    "masked_lm",
    "next_sentence",
    "sequence_classification",
    "multiple_choice",
    "token_classification",
    "question_answering",
]

# head -> what follows the family's name in the class that has it
HEADS: dict[Head, str] = {
    "none": "Model",
    "pretraining": "ForPreTraining",
    "masked_lm": "ForMaskedLM",
    "next_sentence": "ForNextSentencePrediction",
    "sequence_classification": "ForSequenceClassification",
    "multiple_choice": "ForMultipleChoice",
    "token_classification": "ForTokenClassification",
    "question_answering": "ForQuestionAnswering",
}
# model_type -> the name under which a task model holds its encoder
PREFIXES = {"distilbert": "distilbert", "mobilebert": "mobilebert", "bert": "bert"}

_FAMILIES = {"distilbert": "DistilBert", "mobilebert": "MobileBert", "bert": "Bert"}
# heads that read the pooled text, so that BERT and MobileBERT keep their pooler
POOLED: tuple[Head, ...] = ("none", "pretraining", "next_sentence", "sequence_classification", "multiple_choice")


@dataclass(frozen=True)
class Parameter:
    """One tensor of a checkpoint.

    Attributes:
        name: its name on disk.
        shape: as on disk; [out, in] for a linear weight.
        kind: what it is to a backend that stores it otherwise.
        part: what it belongs to: "embeddings", "encoder", "pooler", or a head's part such as "classifier".
        tied_to: the name of the parameter that it shares its memory with; tied names are not stored.
    """

    name: str
    shape: tuple[int, ...]
    kind: Kind
    part: str
    tied_to: str | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        size = 1
        for length in self.shape:
            size *= length
        return size


def class_name(config: PretrainedConfig, head: Head) -> str:
    """Return the name of the class of this family with this head, such as ``"MobileBertForMaskedLM"``."""
    return _FAMILIES[config.model_type] + HEADS[head]


def head_of_class(name: str) -> tuple[str, Head]:
    """Return (model_type, head) of a class name; TensorFlow's ``TF`` in front is ignored.

    Raises:
        ConfigError: no class of these families has that name.
    """
    bare = name.removeprefix("TF")
    for model_type, family in sorted(_FAMILIES.items(), key=lambda item: -len(item[1])):
        for head, suffix in HEADS.items():
            if bare == family + suffix:
                return model_type, head
    raise ConfigError(f"{name!r} is no class of {', '.join(_FAMILIES.values())}")


def parameters(config: PretrainedConfig, head: Head = "none", *, pooler: bool | None = None) -> list[Parameter]:
    """List every parameter of a model, tied aliases included.

    Args:
        config: the architecture; ``pruned_heads`` narrows the layers that it names.
        head: ``"none"`` lists the bare encoder, whose names carry no prefix.
        pooler: whether the encoder has its pooling layer; by default as the class with this head has it.

    Raises:
        ConfigError: the family has no such head.
    """
    if pooler is None:
        pooler = head in POOLED
    if isinstance(config, DistilBertConfig):
        if head in _BERT_ONLY:
            raise ConfigError(f"DistilBERT has no {head} head: it was trained without next-sentence prediction")
        encoder = _distilbert(config)
    elif isinstance(config, MobileBertConfig):
        encoder = _mobilebert(config, pooler)
    elif isinstance(config, BertConfig):
        encoder = _bert(config, pooler)
    else:
        raise ConfigError(f"{type(config).__name__} belongs to no family of this library")
    if head == "none":
        return list(encoder)
    prefix = PREFIXES[config.model_type] + "."
    listed = [replace(parameter, name=prefix + parameter.name) for parameter in encoder]
    for p in _head(config, head):
        listed.append(replace(p, tied_to=p.tied_to.replace("{encoder}", prefix)) if p.tied_to else p)
    return listed


def known_names(config: PretrainedConfig) -> set[str]:
    """Return every name that any head of this family may store, encoder names without their prefix.

    A checkpoint may hold these beside what a class needs (the head of another task); nothing else.
    """
    heads: list[Head] = [head for head in HEADS if not (config.model_type == "distilbert" and head in _BERT_ONLY)]
    names = {p.name for p in parameters(config, "none", pooler=False)}
    names |= {p.name for head in heads for p in _head(config, head)}
    return names | {"embeddings.position_ids", "embeddings.token_type_ids", "pooler.dense.weight", "pooler.dense.bias"}


_BERT_ONLY: tuple[Head, ...] = ("pretraining", "next_sentence")


def _head(config: PretrainedConfig, head: Head) -> Iterator[Parameter]:
    if isinstance(config, DistilBertConfig):
        return _distilbert_head(config, head)
    assert isinstance(config, BertConfig | MobileBertConfig)
    return _bert_head(config, head)


# -- pieces ----------------------------------------------------------------------------------------------------


def _linear(name: str, out: int, into: int, part: str = "encoder") -> Iterator[Parameter]:
    yield Parameter(f"{name}.weight", (out, into), "linear_weight", part)
    yield Parameter(f"{name}.bias", (out,), "linear_bias", part)


def _norm(name: str, size: int, part: str = "encoder") -> Iterator[Parameter]:
    yield Parameter(f"{name}.weight", (size,), "norm_scale", part)
    yield Parameter(f"{name}.bias", (size,), "norm_bias", part)


def _table(name: str, rows: int, width: int) -> Parameter:
    return Parameter(f"embeddings.{name}.weight", (rows, width), "embedding", "embeddings")


def _kept_width(config: PretrainedConfig, layer: int, width: int) -> int:
    """Width of query, key and value of a layer whose pruned heads are gone."""
    heads = config.num_attention_heads
    return width // heads * (heads - len(config.pruned_heads.get(layer, ())))


# -- DistilBERT ------------------------------------------------------------------------------------------------


def _distilbert(config: DistilBertConfig) -> Iterator[Parameter]:
    yield _table("word_embeddings", config.vocab_size, config.dim)
    yield _table("position_embeddings", config.max_position_embeddings, config.dim)
    yield from _norm("embeddings.LayerNorm", config.dim, "embeddings")
    for index in range(config.n_layers):
        layer = f"transformer.layer.{index}"
        kept = _kept_width(config, index, config.dim)
        for name in ("q_lin", "k_lin", "v_lin"):
            yield from _linear(f"{layer}.attention.{name}", kept, config.dim)
        yield from _linear(f"{layer}.attention.out_lin", config.dim, kept)
        yield from _norm(f"{layer}.sa_layer_norm", config.dim)
        yield from _linear(f"{layer}.ffn.lin1", config.hidden_dim, config.dim)
        yield from _linear(f"{layer}.ffn.lin2", config.dim, config.hidden_dim)
        yield from _norm(f"{layer}.output_layer_norm", config.dim)


def _distilbert_head(config: DistilBertConfig, head: Head) -> Iterator[Parameter]:
    if head == "masked_lm":
        yield from _linear("vocab_transform", config.dim, config.dim, "masked-LM head")
        yield from _norm("vocab_layer_norm", config.dim, "masked-LM head")
        weight, bias = _linear("vocab_projector", config.vocab_size, config.dim, "masked-LM head")
        tied = "{encoder}embeddings.word_embeddings.weight" if config.tie_word_embeddings else None
        yield replace(weight, tied_to=tied)
        yield bias
    if head in ("sequence_classification", "multiple_choice"):
        yield from _linear("pre_classifier", config.dim, config.dim, "classifier")
    yield from _classifier(config, head)


# -- MobileBERT ------------------------------------------------------------------------------------------------


def _mobilebert(config: MobileBertConfig, pooler: bool) -> Iterator[Parameter]:
    outer, inner, middle = config.hidden_size, config.true_hidden_size, config.intermediate_size
    yield _table("word_embeddings", config.vocab_size, config.embedding_size)
    yield _table("position_embeddings", config.max_position_embeddings, outer)
    yield _table("token_type_embeddings", config.type_vocab_size, outer)
    width = config.embedding_size * (3 if config.trigram_input else 1)
    yield from _linear("embeddings.embedding_transformation", outer, width, "embeddings")
    yield from _norm("embeddings.LayerNorm", outer, "embeddings")
    for index in range(config.num_hidden_layers):
        layer = f"encoder.layer.{index}"
        kept = _kept_width(config, index, inner)
        yield from _linear(f"{layer}.attention.self.query", kept, config.query_key_size)
        yield from _linear(f"{layer}.attention.self.key", kept, config.query_key_size)
        yield from _linear(f"{layer}.attention.self.value", kept, config.value_size)
        yield from _linear(f"{layer}.attention.output.dense", inner, kept)
        yield from _norm(f"{layer}.attention.output.LayerNorm", inner)
        yield from _linear(f"{layer}.intermediate.dense", middle, inner)
        yield from _linear(f"{layer}.output.dense", inner, middle)
        yield from _norm(f"{layer}.output.LayerNorm", inner)
        if config.use_bottleneck:
            yield from _linear(f"{layer}.output.bottleneck.dense", outer, inner)
            yield from _norm(f"{layer}.output.bottleneck.LayerNorm", outer)
            for name in ("input", *(("attention",) if config.key_query_shared_bottleneck else ())):
                yield from _linear(f"{layer}.bottleneck.{name}.dense", inner, outer)
                yield from _norm(f"{layer}.bottleneck.{name}.LayerNorm", inner)
        for number in range(config.num_feedforward_networks - 1):
            yield from _linear(f"{layer}.ffn.{number}.intermediate.dense", middle, inner)
            yield from _linear(f"{layer}.ffn.{number}.output.dense", inner, middle)
            yield from _norm(f"{layer}.ffn.{number}.output.LayerNorm", inner)
    if pooler and config.classifier_activation:
        yield from _linear("pooler.dense", outer, outer, "pooler")


# -- BERT ------------------------------------------------------------------------------------------------------


def _bert(config: BertConfig, pooler: bool) -> Iterator[Parameter]:
    width, middle = config.hidden_size, config.intermediate_size
    yield _table("word_embeddings", config.vocab_size, width)
    yield _table("position_embeddings", config.max_position_embeddings, width)
    yield _table("token_type_embeddings", config.type_vocab_size, width)
    yield from _norm("embeddings.LayerNorm", width, "embeddings")
    for index in range(config.num_hidden_layers):
        layer = f"encoder.layer.{index}"
        kept = _kept_width(config, index, width)
        for name in ("query", "key", "value"):
            yield from _linear(f"{layer}.attention.self.{name}", kept, width)
        yield from _linear(f"{layer}.attention.output.dense", width, kept)
        yield from _norm(f"{layer}.attention.output.LayerNorm", width)
        yield from _linear(f"{layer}.intermediate.dense", middle, width)
        yield from _linear(f"{layer}.output.dense", width, middle)
        yield from _norm(f"{layer}.output.LayerNorm", width)
    if pooler:
        yield from _linear("pooler.dense", width, width, "pooler")


# -- heads -----------------------------------------------------------------------------------------------------


def _bert_head(config: MobileBertConfig | BertConfig, head: Head) -> Iterator[Parameter]:
    width, part = config.hidden_size, "masked-LM head"
    if head in ("masked_lm", "pretraining"):
        yield Parameter("cls.predictions.bias", (config.vocab_size,), "linear_bias", part)
        yield from _linear("cls.predictions.transform.dense", width, width, part)
        yield from _norm("cls.predictions.transform.LayerNorm", width, part)
        table = config.embedding_size if isinstance(config, MobileBertConfig) else width
        if isinstance(config, MobileBertConfig):
            # the columns of the output matrix that the word table lacks, stored [in, vocabulary]
            yield Parameter("cls.predictions.dense.weight", (width - table, config.vocab_size), "linear_weight", part)
        weight, bias = _linear("cls.predictions.decoder", config.vocab_size, table, part)
        tied = "{encoder}embeddings.word_embeddings.weight" if config.tie_word_embeddings else None
        yield replace(weight, tied_to=tied)
        yield replace(bias, tied_to="cls.predictions.bias")
    if head in ("next_sentence", "pretraining"):
        yield from _linear("cls.seq_relationship", 2, width, "next-sentence head")
    yield from _classifier(config, head)


def _classifier(config: PretrainedConfig, head: Head) -> Iterator[Parameter]:
    if head in ("sequence_classification", "token_classification"):
        yield from _linear("classifier", config.num_labels, config.hidden_size, "classifier")
    if head == "multiple_choice":
        yield from _linear("classifier", 1, config.hidden_size, "classifier")
    if head == "question_answering":
        yield from _linear("qa_outputs", 2, config.hidden_size, "question-answering head")
