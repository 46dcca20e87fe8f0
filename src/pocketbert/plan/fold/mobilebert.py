"""MobileBERT (arXiv 2004.02984) as a plan, IB-BERT and MobileBERT_TINY included.

With ``no_norm`` a layer is: one product to (query, key, value, residual), attention, a product added to the residual,
two products for each feed-forward network, and one added to the stream. With ``layer_norm`` the bottlenecks are
products of their own, since a normalization follows each.
"""

from __future__ import annotations

import numpy as np

from pocketbert.architecture.config import MobileBertConfig
from pocketbert.plan.fold.algebra import Linear, Reader, Stream, affine_or_none, attention_over, dense, stack
from pocketbert.plan.structure import STREAM, Affine, Array, Attention, Embeddings, Layer, Norm, Op, Span

__all__ = ["embeddings", "layers"]


def embeddings(reader: Reader, config: MobileBertConfig, table: Array) -> Embeddings:
    """Return what the stream is before the first layer, a NoNorm folded in; ``table`` (V, E) is the word table."""
    name, dtype = reader.prefix + "embeddings", reader.dtype
    types = reader.array(f"{name}.token_type_embeddings.weight")
    positions = reader.array(f"{name}.position_embeddings.weight") + types[0]
    types = types - types[0]
    norm = _norm(reader, f"{name}.LayerNorm", _eps(config, outer=True))
    stream = Span(STREAM, 0, config.hidden_size)
    if not config.trigram_input and config.embedding_size == config.hidden_size:
        if isinstance(norm, Norm):
            return Embeddings(table, positions.astype(dtype), types.astype(dtype), norm=norm)
        positions, types = positions * norm.scale + norm.shift, types * norm.scale
        words = reader.array(f"{name}.word_embeddings.weight") * norm.scale
        return Embeddings(words.astype(dtype), positions.astype(dtype), types.astype(dtype))
    widen = reader.linear(f"{name}.embedding_transformation")
    positions = positions + widen.bias
    widen = Linear(widen.weight, np.zeros_like(widen.bias))
    if isinstance(norm, Affine):
        positions, types, widen = positions * norm.scale + norm.shift, types * norm.scale, widen.times(norm.scale)
    source = Span("words", 0, widen.weight.shape[1])
    project = dense(source, stream, widen, dtype, residual=stream, norm=norm if isinstance(norm, Norm) else None)
    return Embeddings(table, positions.astype(dtype), types.astype(dtype), config.trigram_input, project)


def layers(reader: Reader, config: MobileBertConfig) -> tuple[list[Layer], Affine]:
    """Return the layers, and the map from the last stream to the last hidden state, in float64."""
    outer = Stream(Span(STREAM, 0, config.hidden_size), reader.dtype)
    found = []
    for index in range(config.num_hidden_layers):
        ops = _layer(reader, config, f"{reader.prefix}encoder.layer.{index}", outer)
        found.append(Layer(tuple(ops), affine_or_none(outer.to_hidden, reader.dtype)))
    return found, outer.to_hidden


def _layer(reader: Reader, config: MobileBertConfig, name: str, outer: Stream) -> list[Op]:
    """Fold one layer; ``outer`` is the stream across layers and is updated."""
    inner = outer
    if config.use_bottleneck:
        inner = Stream(Span("inner", 0, config.intra_bottleneck_size), reader.dtype)
    ops, attention, residual = _into_attention(reader, config, name, outer, inner)
    ops.append(attention)
    eps, outer_eps = _eps(config), _eps(config, outer=True)
    output = reader.linear(f"{name}.attention.output.dense")
    norm = _norm(reader, f"{name}.attention.output.LayerNorm", eps)
    ops.append(inner.add(attention.target, output, norm, residual))
    middle = Span("middle", 0, config.intermediate_size)
    networks = [(f"{name}.ffn.{number}", eps) for number in range(config.num_feedforward_networks - 1)]
    for network, end_eps in [*networks, (name, outer_eps)]:
        first = inner.read(reader.linear(f"{network}.intermediate.dense"))
        ops.append(dense(inner.span, middle, first, reader.dtype, config.hidden_act))
        norm = _norm(reader, f"{network}.output.LayerNorm", end_eps)
        ops.append(inner.add(middle, reader.linear(f"{network}.output.dense"), norm))
    if config.use_bottleneck:
        widen = inner.read(reader.linear(f"{name}.output.bottleneck.dense"))
        ops.append(outer.add(inner.span, widen, _norm(reader, f"{name}.output.bottleneck.LayerNorm", eps)))
    return ops


def _into_attention(
    reader: Reader, config: MobileBertConfig, name: str, outer: Stream, inner: Stream
) -> tuple[list[Op], Attention, Span | None]:
    """Return the operations before attention, attention, and the residual's columns unless they are ``inner``'s."""
    query, key, value = (reader.linear(f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
    width, head_size = len(query.bias), config.true_hidden_size // config.num_attention_heads
    query = query.times(head_size**-0.5)
    shared = config.use_bottleneck and config.key_query_shared_bottleneck and not config.use_bottleneck_attention
    merged = config.normalization_type == "no_norm" and config.use_bottleneck and not config.use_bottleneck_attention
    buffer = "qkvr" if merged else "qkv"
    attention = attention_over(buffer, width, width // head_size)
    eps, dtype, x = _eps(config), reader.dtype, outer.span

    if merged:  # all four are affine maps of x
        if shared:
            neck = _bottleneck(reader, f"{name}.bottleneck.attention")
            query, key = query.of(neck), key.of(neck)
        merged_map = outer.read(stack(query, key, value, _bottleneck(reader, f"{name}.bottleneck.input")))
        total = len(merged_map.bias)
        return [dense(x, Span(buffer, 0, total), merged_map, dtype)], attention, Span(buffer, 3 * width, total)

    ops: list[Op] = []
    if config.use_bottleneck:
        enter = outer.read(reader.linear(f"{name}.bottleneck.input.dense"))
        ops.append(inner.set(x, enter, _norm(reader, f"{name}.bottleneck.input.LayerNorm", eps)))
    if shared:
        neck_norm = _norm(reader, f"{name}.bottleneck.attention.LayerNorm", eps)
        narrow = Stream(Span("shared", 0, config.intra_bottleneck_size), dtype)
        ops.append(narrow.set(x, outer.read(reader.linear(f"{name}.bottleneck.attention.dense")), neck_norm))
        ops.append(dense(narrow.span, Span(buffer, 0, 2 * width), narrow.read(stack(query, key)), dtype))
        ops.append(dense(x, attention.value, outer.read(value), dtype))
        return ops, attention, None
    # With NoNorm the input bottleneck could be merged into these three, but reading its narrow output is cheaper.
    source = inner if config.use_bottleneck_attention else outer
    ops.append(dense(source.span, Span(buffer, 0, 3 * width), source.read(stack(query, key, value)), dtype))
    return ops, attention, None


def _bottleneck(reader: Reader, name: str) -> Linear:
    """Return a bottleneck and its NoNorm as one map."""
    return reader.linear(f"{name}.dense").then(reader.no_norm(f"{name}.LayerNorm"))


def _norm(reader: Reader, name: str, eps: float | None) -> Affine | Norm:
    return reader.no_norm(name) if eps is None else reader.norm(name, eps)


def _eps(config: MobileBertConfig, *, outer: bool = False) -> float | None:
    """Return a norm's epsilon, or None with NoNorm."""
    if config.normalization_type == "no_norm":
        return None
    return float(config.outer_layer_norm_eps if outer else config.layer_norm_eps)
