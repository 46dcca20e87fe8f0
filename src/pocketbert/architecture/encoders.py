"""The parameters of each encoder, in the order in which the data flows through them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pocketbert.architecture.config import BertConfig, DistilBertConfig, MobileBertConfig
from pocketbert.architecture.parameters import Parameter, kept_width, linear, norm, table

__all__ = ["BERT_LAYERS", "DISTILBERT_LAYERS", "LayerNames", "bert", "distilbert", "mobilebert"]


@dataclass(frozen=True)
class LayerNames:
    """What a family calls the parts of a layer, which BERT and DistilBERT have alike.

    Attributes:
        layer: the list of layers.
        query, key, value, output: the dense layers of the attention.
        attention_norm: the norm behind the attention.
        first, second: the dense layers of the feed-forward network.
        output_norm: the norm behind it.
    """

    layer: str
    query: str
    key: str
    value: str
    output: str
    attention_norm: str
    first: str
    second: str
    output_norm: str


BERT_LAYERS = LayerNames(
    layer="encoder.layer",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    output="attention.output.dense",
    attention_norm="attention.output.LayerNorm",
    first="intermediate.dense",
    second="output.dense",
    output_norm="output.LayerNorm",
)
DISTILBERT_LAYERS = LayerNames(
    layer="transformer.layer",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    output="attention.out_lin",
    attention_norm="sa_layer_norm",
    first="ffn.lin1",
    second="ffn.lin2",
    output_norm="output_layer_norm",
)


def distilbert(config: DistilBertConfig, _pooler: bool) -> Iterator[Parameter]:
    """DistilBERT."""
    yield table("word_embeddings", config.vocab_size, config.dim)
    yield table("position_embeddings", config.max_position_embeddings, config.dim)
    yield from norm("embeddings.LayerNorm", config.dim, "embeddings")
    yield from _layers(config, DISTILBERT_LAYERS)


def bert(config: BertConfig, pooler: bool) -> Iterator[Parameter]:
    """BERT."""
    width = config.hidden_size
    yield table("word_embeddings", config.vocab_size, width)
    yield table("position_embeddings", config.max_position_embeddings, width)
    yield table("token_type_embeddings", config.type_vocab_size, width)
    yield from norm("embeddings.LayerNorm", width, "embeddings")
    yield from _layers(config, BERT_LAYERS)
    if pooler:
        yield from linear("pooler.dense", width, width, "pooler")


def _layers(config: Any, names: LayerNames) -> Iterator[Parameter]:
    width = config.hidden_size
    for index in range(config.num_hidden_layers):
        yield from _layer(config, names, index, width, (width, width, width))


def _layer(config: Any, names: LayerNames, index: int, width: int, read: tuple[int, int, int]) -> Iterator[Parameter]:
    """Yield the parameters of one layer; ``read`` is what query, key and value take."""
    layer, middle = f"{names.layer}.{index}", config.intermediate_size
    kept = kept_width(config, index, width)
    for name, into in zip((names.query, names.key, names.value), read, strict=True):
        yield from linear(f"{layer}.{name}", kept, into)
    yield from linear(f"{layer}.{names.output}", width, kept)
    yield from norm(f"{layer}.{names.attention_norm}", width)
    yield from linear(f"{layer}.{names.first}", middle, width)
    yield from linear(f"{layer}.{names.second}", width, middle)
    yield from norm(f"{layer}.{names.output_norm}", width)


def mobilebert(config: MobileBertConfig, pooler: bool) -> Iterator[Parameter]:
    """MobileBERT."""
    outer, inner, middle = config.hidden_size, config.true_hidden_size, config.intermediate_size
    yield table("word_embeddings", config.vocab_size, config.embedding_size)
    yield table("position_embeddings", config.max_position_embeddings, outer)
    yield table("token_type_embeddings", config.type_vocab_size, outer)
    width = config.embedding_size * (3 if config.trigram_input else 1)
    yield from linear("embeddings.embedding_transformation", outer, width, "embeddings")
    yield from norm("embeddings.LayerNorm", outer, "embeddings")
    for index in range(config.num_hidden_layers):
        layer = f"encoder.layer.{index}"
        read = (config.query_key_size, config.query_key_size, config.value_size)
        yield from _layer(config, BERT_LAYERS, index, inner, read)
        if config.use_bottleneck:
            yield from linear(f"{layer}.output.bottleneck.dense", outer, inner)
            yield from norm(f"{layer}.output.bottleneck.LayerNorm", outer)
            for name in ("input", *(("attention",) if config.key_query_shared_bottleneck else ())):
                yield from linear(f"{layer}.bottleneck.{name}.dense", inner, outer)
                yield from norm(f"{layer}.bottleneck.{name}.LayerNorm", inner)
        for number in range(config.num_feedforward_networks - 1):
            yield from linear(f"{layer}.ffn.{number}.intermediate.dense", middle, inner)
            yield from linear(f"{layer}.ffn.{number}.output.dense", inner, middle)
            yield from norm(f"{layer}.ffn.{number}.output.LayerNorm", inner)
    if pooler and config.classifier_activation:
        yield from linear("pooler.dense", outer, outer, "pooler")
