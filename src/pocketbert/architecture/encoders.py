"""The parameters of each encoder, in the order in which the data flows through them."""

from __future__ import annotations

from collections.abc import Iterator

from pocketbert.architecture.config import BertConfig, DistilBertConfig, MobileBertConfig
from pocketbert.architecture.parameters import Parameter, kept_width, linear, norm, table

__all__ = ["bert", "distilbert", "mobilebert"]


def distilbert(config: DistilBertConfig, _pooler: bool) -> Iterator[Parameter]:
    """DistilBERT."""
    yield table("word_embeddings", config.vocab_size, config.dim)
    yield table("position_embeddings", config.max_position_embeddings, config.dim)
    yield from norm("embeddings.LayerNorm", config.dim, "embeddings")
    for index in range(config.n_layers):
        layer = f"transformer.layer.{index}"
        kept = kept_width(config, index, config.dim)
        for name in ("q_lin", "k_lin", "v_lin"):
            yield from linear(f"{layer}.attention.{name}", kept, config.dim)
        yield from linear(f"{layer}.attention.out_lin", config.dim, kept)
        yield from norm(f"{layer}.sa_layer_norm", config.dim)
        yield from linear(f"{layer}.ffn.lin1", config.hidden_dim, config.dim)
        yield from linear(f"{layer}.ffn.lin2", config.dim, config.hidden_dim)
        yield from norm(f"{layer}.output_layer_norm", config.dim)


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
        kept = kept_width(config, index, inner)
        yield from linear(f"{layer}.attention.self.query", kept, config.query_key_size)
        yield from linear(f"{layer}.attention.self.key", kept, config.query_key_size)
        yield from linear(f"{layer}.attention.self.value", kept, config.value_size)
        yield from linear(f"{layer}.attention.output.dense", inner, kept)
        yield from norm(f"{layer}.attention.output.LayerNorm", inner)
        yield from linear(f"{layer}.intermediate.dense", middle, inner)
        yield from linear(f"{layer}.output.dense", inner, middle)
        yield from norm(f"{layer}.output.LayerNorm", inner)
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


def bert(config: BertConfig, pooler: bool) -> Iterator[Parameter]:
    """BERT."""
    width, middle = config.hidden_size, config.intermediate_size
    yield table("word_embeddings", config.vocab_size, width)
    yield table("position_embeddings", config.max_position_embeddings, width)
    yield table("token_type_embeddings", config.type_vocab_size, width)
    yield from norm("embeddings.LayerNorm", width, "embeddings")
    for index in range(config.num_hidden_layers):
        layer = f"encoder.layer.{index}"
        kept = kept_width(config, index, width)
        for name in ("query", "key", "value"):
            yield from linear(f"{layer}.attention.self.{name}", kept, width)
        yield from linear(f"{layer}.attention.output.dense", width, kept)
        yield from norm(f"{layer}.attention.output.LayerNorm", width)
        yield from linear(f"{layer}.intermediate.dense", middle, width)
        yield from linear(f"{layer}.output.dense", width, middle)
        yield from norm(f"{layer}.output.LayerNorm", width)
    if pooler:
        yield from linear("pooler.dense", width, width, "pooler")
