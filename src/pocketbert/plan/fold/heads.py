"""The heads as branches of a plan; the stream's last scale and shift are folded into its first product."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np

from pocketbert.architecture.config import DistilBertConfig, MobileBertConfig, PretrainedConfig
from pocketbert.architecture.parameters import POOLED, Head
from pocketbert.plan.fold.algebra import Linear, Reader, activation_name, dense, identity
from pocketbert.plan.structure import STREAM, Affine, Array, Branch, Dense, Norm, Span

__all__ = ["branches"]


def branches(
    reader: Reader, config: PretrainedConfig, head: Head, to_hidden: Affine, table: Array, *, pooler: bool
) -> list[Branch]:
    """Return the branches of a head.

    Args:
        reader: the parameters.
        config: the architecture.
        head: the model's.
        to_hidden: from the last stream to the last hidden state, in float64.
        table: (V, E), the word table.
        pooler: whether a bare encoder has its pooler.
    """
    stream = Span(STREAM, 0, config.hidden_size)
    pooled, source, seen = _pooled(reader, config, head, to_hidden, stream, pooler=pooler)
    found = []
    if head == "none" and pooled:
        found.append(Branch("pooled", "first", tuple(pooled)))
    if head in ("masked_lm", "pretraining"):
        found.append(Branch("masked_lm", "tokens", tuple(_words(reader, config, to_hidden, table, stream))))

    def last(name: str, rows: Literal["first", "tokens"], linear: Linear) -> None:
        first = rows == "first"
        linear = linear.of(seen if first else to_hidden)
        target = Span(name, 0, len(linear.bias))
        op = dense(source if first else stream, target, linear, reader.dtype)
        found.append(Branch(name, rows, (*pooled, op) if first else (op,)))

    if head in ("next_sentence", "pretraining"):
        last("next_sentence", "first", reader.linear("cls.seq_relationship"))
    if head in ("sequence_classification", "multiple_choice"):
        last(head, "first", reader.linear("classifier"))
    if head == "token_classification":
        last(head, "tokens", reader.linear("classifier"))
    if head == "question_answering":
        last(head, "tokens", reader.linear("qa_outputs"))
    return found


def _pooled(
    reader: Reader, config: PretrainedConfig, head: Head, to_hidden: Affine, stream: Span, *, pooler: bool
) -> tuple[list[Dense], Span, Affine]:
    """Return the pooler's product, if there is one, its columns, and the map to what the model has there."""
    if isinstance(config, DistilBertConfig):
        name = "pre_classifier" if head in ("sequence_classification", "multiple_choice") else None
        activation = "relu"
    else:
        wanted = (head in POOLED) if head != "none" else pooler
        if isinstance(config, MobileBertConfig):
            wanted = wanted and config.classifier_activation
        name = f"{reader.prefix}pooler.dense" if wanted else None
        activation = "tanh"
    if name is None:
        return [], stream, to_hidden
    target = Span("pooled", 0, config.hidden_size)
    op = dense(stream, target, reader.linear(name).of(to_hidden), reader.dtype, activation)
    return [op], target, identity(target.width)


def _words(reader: Reader, config: PretrainedConfig, to_hidden: Affine, table: Array, stream: Span) -> Iterable[Dense]:
    """Yield the masked-language-model head; a tied decoder shares the word table's memory."""
    if isinstance(config, DistilBertConfig):
        first, norm_name, eps = "vocab_transform", "vocab_layer_norm", 1e-12
        decoder, bias_name = "vocab_projector.weight", "vocab_projector.bias"
    else:
        first, norm_name = "cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm"
        eps = config.layer_norm_eps
        decoder, bias_name = "cls.predictions.decoder.weight", "cls.predictions.bias"
    transform = Span("transform", 0, config.hidden_size)
    norm = reader.norm(norm_name, eps)
    assert isinstance(norm, Norm)  # a layer normalization even where the model has NoNorm
    activation = activation_name(config.hidden_act)
    yield dense(stream, transform, reader.linear(first).of(to_hidden), reader.dtype, activation, norm=norm)
    logits = Span("masked_lm", 0, config.vocab_size)
    weight = table if config.tie_word_embeddings else reader.table(decoder)
    narrow = weight.shape[1]
    yield Dense(Span("transform", 0, narrow), logits, weight, reader.table(bias_name))
    if narrow < transform.width:  # MobileBERT's columns beyond the word table, [in, vocabulary] on disk
        rest = Linear(reader.array("cls.predictions.dense.weight").T, np.zeros(config.vocab_size))
        yield dense(Span("transform", narrow, transform.width), logits, rest, reader.dtype, residual=logits)
