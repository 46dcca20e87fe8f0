"""The heads as branches of a plan; the stream's last scale and shift are folded into its first product."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.families import family_of
from pocketbert.architecture.heads import BARE
from pocketbert.plan.fold.algebra import Linear, Reader, dense, identity
from pocketbert.plan.structure import STREAM, Affine, Array, Branch, Dense, Span

__all__ = ["branches"]


def branches(
    reader: Reader, config: PretrainedConfig, head: str, to_hidden: Affine, table: Array, *, pooler: bool
) -> list[Branch]:
    """Return the branches of a head.

    ``to_hidden`` leads from the last stream to the last hidden state, in float64; ``table`` (V, E) is the word table;
    ``pooler`` tells whether a bare encoder has its pooler.
    """
    family = family_of(config)
    record = family.head(head)
    stream = Span(STREAM, 0, config.hidden_size)
    layer = family.pooled_layer(config) if (pooler if head == BARE else record.reads_pooled) else None
    pooled, source, seen = [], stream, to_hidden  # the pooled text: its product, its columns, and the map to its value
    if layer is not None:
        name = (reader.prefix if layer.in_encoder else "") + layer.layer
        source, seen = Span("pooled", 0, stream.width), identity(stream.width)
        pooled = [dense(stream, source, reader.linear(name).of(to_hidden), reader.dtype, layer.activation)]
    if head == BARE:
        return [Branch("pooled", "first", tuple(pooled))] if pooled else []
    found = []
    for answer in record.answers:
        if answer.per == "position":
            found.append(Branch(answer.name, "tokens", tuple(_words(reader, config, to_hidden, table, stream))))
            continue
        assert answer.layer is not None
        first = answer.per == "text"
        linear = reader.linear(answer.layer).of(seen if first else to_hidden)
        op = dense(source if first else stream, Span(answer.name, 0, len(linear.bias)), linear, reader.dtype)
        found.append(Branch(answer.name, "first" if first else "tokens", (*pooled, op) if first else (op,)))
    return found


def _words(reader: Reader, config: PretrainedConfig, to_hidden: Affine, table: Array, stream: Span) -> Iterable[Dense]:
    """Yield the masked-language-model head; a tied decoder shares the word table's memory."""
    family = family_of(config)
    words = family.words
    transform = Span("transform", 0, config.hidden_size)
    norm = reader.norm(words.norm, family.eps(config))  # a layer normalization even where the others are NoNorm
    linear = reader.linear(words.transform).of(to_hidden)
    yield dense(stream, transform, linear, reader.dtype, config.hidden_act, norm=norm)
    logits = Span("masked_lm", 0, config.vocab_size)
    weight = table if config.tie_word_embeddings else reader.table(f"{words.decoder}.weight")
    narrow = weight.shape[1]
    yield Dense(Span("transform", 0, narrow), logits, weight, reader.table(words.bias))
    if words.extra is not None and narrow < transform.width:
        rest = Linear(reader.array(words.extra).T, np.zeros(config.vocab_size))
        yield dense(Span("transform", narrow, transform.width), logits, rest, reader.dtype, residual=logits)
