"""BERT (arXiv 1810.04805) and DistilBERT (arXiv 1910.01108) as plans, with query, key and value as one product."""

from __future__ import annotations

from pocketbert.architecture.config import BertConfig, DistilBertConfig
from pocketbert.plan.fold.algebra import Reader, Stream, activation_name, attention_over, dense, stack
from pocketbert.plan.structure import STREAM, Affine, Array, Embeddings, Layer, Norm, Op, Span

__all__ = ["embeddings", "layers"]

_NAMES = {  # part of a layer -> its names in BERT and in DistilBERT
    "query": ("attention.self.query", "attention.q_lin"),
    "key": ("attention.self.key", "attention.k_lin"),
    "value": ("attention.self.value", "attention.v_lin"),
    "output": ("attention.output.dense", "attention.out_lin"),
    "attention norm": ("attention.output.LayerNorm", "sa_layer_norm"),
    "first": ("intermediate.dense", "ffn.lin1"),
    "second": ("output.dense", "ffn.lin2"),
    "output norm": ("output.LayerNorm", "output_layer_norm"),
}


def embeddings(reader: Reader, config: BertConfig | DistilBertConfig, table: Array) -> Embeddings:
    """Return what the stream is before the first layer; ``table`` (V, W) is the word table."""
    name, dtype = reader.prefix + "embeddings", reader.dtype
    norm = _norm(reader, config, f"{name}.LayerNorm")
    norm = Norm(norm.scale.astype(dtype), norm.bias.astype(dtype), norm.eps)
    positions = reader.array(f"{name}.position_embeddings.weight")
    if isinstance(config, DistilBertConfig):
        return Embeddings(table, positions.astype(dtype), None, norm=norm)
    types = reader.array(f"{name}.token_type_embeddings.weight")
    return Embeddings(table, (positions + types[0]).astype(dtype), (types - types[0]).astype(dtype), norm=norm)


def layers(reader: Reader, config: BertConfig | DistilBertConfig) -> tuple[list[Layer], Affine]:
    """Return the layers, and the identity: the stream is the hidden state itself."""
    stream = Stream(Span(STREAM, 0, config.hidden_size), reader.dtype)
    family = 1 if isinstance(config, DistilBertConfig) else 0
    prefix = reader.prefix + ("encoder.layer", "transformer.layer")[family]
    found = []
    for index in range(config.num_hidden_layers):
        names = {part: f"{prefix}.{index}.{options[family]}" for part, options in _NAMES.items()}
        found.append(Layer(tuple(_layer(reader, config, names, stream))))
    return found, stream.to_hidden


def _layer(reader: Reader, config: BertConfig | DistilBertConfig, names: dict[str, str], stream: Stream) -> list[Op]:
    query, key, value = (reader.linear(names[part]) for part in ("query", "key", "value"))
    width, head_size = len(query.bias), config.hidden_size // config.num_attention_heads
    attention = attention_over("qkv", width, width // head_size)
    merged = stack(query.times(head_size**-0.5), key, value)
    output, first, second = (reader.linear(names[part]) for part in ("output", "first", "second"))
    attention_norm, output_norm = (_norm(reader, config, names[part]) for part in ("attention norm", "output norm"))
    middle = Span("middle", 0, config.intermediate_size)
    return [
        dense(stream.span, Span("qkv", 0, 3 * width), merged, reader.dtype),
        attention,
        stream.add(attention.target, output, attention_norm),
        dense(stream.span, middle, first, reader.dtype, activation_name(config.hidden_act)),
        stream.add(middle, second, output_norm),
    ]


def _norm(reader: Reader, config: BertConfig | DistilBertConfig, name: str) -> Norm:
    eps = 1e-12 if isinstance(config, DistilBertConfig) else config.layer_norm_eps
    norm = reader.norm(name, eps)
    assert isinstance(norm, Norm)
    return norm
