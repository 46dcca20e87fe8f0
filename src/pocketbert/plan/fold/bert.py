"""BERT (arXiv 1810.04805) and DistilBERT (arXiv 1910.01108) as programs: one product to (query, key, value) a layer."""

from __future__ import annotations

from dataclasses import dataclass

from pocketbert.architecture.config import BertConfig, DistilBertConfig
from pocketbert.plan.fold.algebra import Reader, Stream, activation_name, attention_over, dense, stack
from pocketbert.plan.structure import STREAM, Affine, Array, Embeddings, Layer, Norm, Op, Span

__all__ = ["embeddings", "layers"]


@dataclass(frozen=True)
class _Names:
    """What the two families call the parts of a layer."""

    layer: str
    query: str
    key: str
    value: str
    output: str
    attention_norm: str
    first: str
    second: str
    output_norm: str


_BERT = _Names(
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
_DISTILBERT = _Names(
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


def embeddings(reader: Reader, config: BertConfig | DistilBertConfig, table: Array) -> Embeddings:
    """Return the first value of the stream.

    Args:
        reader: the parameters.
        config: the architecture.
        table: (V, W), the word table.
    """
    name, dtype = reader.prefix + "embeddings", reader.dtype
    norm = _norm(reader, config, f"{name}.LayerNorm")
    cast = Norm(norm.scale.astype(dtype), norm.bias.astype(dtype), norm.eps)
    positions = reader.array(f"{name}.position_embeddings.weight")
    if isinstance(config, DistilBertConfig):
        return Embeddings(table, positions.astype(dtype), None, norm=cast)
    types = reader.array(f"{name}.token_type_embeddings.weight")
    return Embeddings(table, (positions + types[0]).astype(dtype), (types - types[0]).astype(dtype), norm=cast)


def layers(reader: Reader, config: BertConfig | DistilBertConfig) -> tuple[list[Layer], Affine]:
    """Return the layers, and the identity: the stream holds the hidden states themselves."""
    names = _DISTILBERT if isinstance(config, DistilBertConfig) else _BERT
    stream = Stream(Span(STREAM, 0, config.hidden_size), reader.dtype)
    found = [
        Layer(tuple(_layer(reader, config, names, f"{reader.prefix}{names.layer}.{index}", stream)))
        for index in range(config.num_hidden_layers)
    ]
    return found, stream.state


def _layer(reader: Reader, config: BertConfig | DistilBertConfig, names: _Names, name: str, stream: Stream) -> list[Op]:
    query, key, value = (reader.linear(f"{name}.{part}") for part in (names.query, names.key, names.value))
    kept, head_size = len(query.bias), config.hidden_size // config.num_attention_heads
    attention = attention_over("qkv", kept, kept // head_size)
    middle = Span("middle", 0, config.intermediate_size)
    every = stack(query.times(head_size**-0.5), key, value)
    first = reader.linear(f"{name}.{names.first}")
    return [
        dense(stream.span, Span("qkv", 0, 3 * kept), every, reader.dtype),
        attention,
        stream.add(
            attention.target,
            reader.linear(f"{name}.{names.output}"),
            _norm(reader, config, f"{name}.{names.attention_norm}"),
        ),
        dense(stream.span, middle, first, reader.dtype, activation_name(config.hidden_act)),
        stream.add(
            middle, reader.linear(f"{name}.{names.second}"), _norm(reader, config, f"{name}.{names.output_norm}")
        ),
    ]


def _norm(reader: Reader, config: BertConfig | DistilBertConfig, name: str) -> Norm:
    eps = 1e-12 if isinstance(config, DistilBertConfig) else config.layer_norm_eps
    norm = reader.norm(name, eps)
    assert isinstance(norm, Norm)
    return norm
