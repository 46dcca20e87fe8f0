"""BERT (arXiv 1810.04805) and DistilBERT (arXiv 1910.01108) as plans, with query, key and value as one product."""

from __future__ import annotations

from dataclasses import asdict

from pocketbert.architecture.config import BertConfig, DistilBertConfig
from pocketbert.architecture.families import family_of
from pocketbert.plan.fold.algebra import Reader, Stream, attention_over, dense, stack
from pocketbert.plan.structure import STREAM, Affine, Array, Embeddings, Layer, Op, Span

__all__ = ["embeddings", "layers"]


def embeddings(reader: Reader, config: BertConfig | DistilBertConfig, table: Array) -> Embeddings:
    """Return what the stream is before the first layer; ``table`` (V, W) is the word table."""
    name, dtype = reader.prefix + "embeddings", reader.dtype
    norm = reader.norm(f"{name}.LayerNorm", family_of(config).eps(config))
    if not family_of(config).has_types:
        return Embeddings(table, reader.table(f"{name}.position_embeddings.weight"), None, norm=norm)
    positions = reader.array(f"{name}.position_embeddings.weight")
    types = reader.array(f"{name}.token_type_embeddings.weight")
    return Embeddings(table, (positions + types[0]).astype(dtype), (types - types[0]).astype(dtype), norm=norm)


def layers(reader: Reader, config: BertConfig | DistilBertConfig) -> tuple[list[Layer], Affine]:
    """Return the layers, and the identity: the stream is the hidden state itself."""
    stream = Stream(Span(STREAM, 0, config.hidden_size), reader.dtype)
    names = family_of(config).layers
    assert names is not None
    built = []
    for index in range(config.num_hidden_layers):
        prefix = f"{reader.prefix}{names.layer}.{index}."
        parts = {part: prefix + name for part, name in asdict(names).items() if part != "layer"}
        built.append(Layer(tuple(_layer(reader, config, parts, stream))))
    return built, stream.to_hidden


def _layer(reader: Reader, config: BertConfig | DistilBertConfig, names: dict[str, str], stream: Stream) -> list[Op]:
    query, key, value = (reader.linear(names[part]) for part in ("query", "key", "value"))
    width, head_size = len(query.bias), config.hidden_size // config.num_attention_heads
    attention = attention_over("qkv", width, width // head_size)
    merged = stack(query.times(head_size**-0.5), key, value)
    output, first, second = (reader.linear(names[part]) for part in ("output", "first", "second"))
    eps = family_of(config).eps(config)
    attention_norm, output_norm = (reader.norm(names[part], eps) for part in ("attention_norm", "output_norm"))
    middle = Span("middle", 0, config.intermediate_size)
    return [
        dense(stream.span, Span("qkv", 0, 3 * width), merged, reader.dtype),
        attention,
        stream.add(attention.target, output, attention_norm),
        dense(stream.span, middle, first, reader.dtype, config.hidden_act),
        stream.add(middle, second, output_norm),
    ]
