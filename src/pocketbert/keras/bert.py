"""What MobileBERT has from BERT (arXiv 1810.04805).

Shapes: B batch, T tokens, W hidden_size, M intermediate_size, V vocabulary. The layers carry the names that are on
disk; a trailing underscore is only Keras's way out, which has an ``output`` of its own.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pocketbert.architecture.outputs import BaseModelOutputWithPooling
from pocketbert.keras.encoder import Encoder
from pocketbert.keras.layers import (
    Attention,
    Layer,
    Tensor,
    activation,
    linear,
    rows,
)

__all__ = [
    "BertEncoder",
    "BertLikeModel",
    "Intermediate",
    "Pooler",
    "PositionedEmbeddings",
    "SelfAttention",
]


class PositionedEmbeddings(Layer):
    """Adds position and token-type rows to word vectors of the model's width."""

    position_embeddings: keras.layers.Embedding
    token_type_embeddings: keras.layers.Embedding

    def place(self, words: Tensor, token_type_ids: Tensor | None, position_ids: Tensor | None) -> Tensor:
        """(B, T, W) -> (B, T, W); absent ids mean type 0 and positions 0 .. T-1."""
        types = self.token_type_embeddings
        kind = ops.cast(types.embeddings[0], words.dtype) if token_type_ids is None else types(token_type_ids)
        return words + rows(self.position_embeddings, position_ids, words) + kind


class SelfAttention(Layer):
    """Query, key and value of one layer, as wide as its kept heads."""

    def __init__(self, config: Any, index: int, width: int, query_size: int, value_size: int) -> None:
        super().__init__()
        self.index = index
        self.heads = config.num_attention_heads - len(config.pruned_heads.get(index, ()))
        self.kept = width // config.num_attention_heads * self.heads
        self.query = linear(config, query_size, self.kept)
        self.key = linear(config, query_size, self.kept)
        self.value = linear(config, value_size, self.kept)
        self.dropout = keras.layers.Dropout(config.attention_probs_dropout_prob)

    def call(self, query: Tensor, value: Tensor, attention: Attention) -> tuple[Tensor, Tensor | None]:
        """(B, T, query_size), (B, T, value_size) -> context (B, T, kept width) and weights."""
        q, k, v = self.query(query), self.key(query), self.value(value)
        return attention(self.index, q, k, v, self.heads, self.dropout)


class Intermediate(Layer):
    """The first half of a feed-forward network."""

    def __init__(self, config: Any, width: int) -> None:
        super().__init__()
        self.dense = linear(config, width, config.intermediate_size, activation(config.hidden_act))

    def call(self, x: Tensor) -> Tensor:
        """(B, T, width) -> (B, T, M)."""
        return self.dense(x)


class Pooler(Layer):
    """The [CLS] state, through a dense layer with tanh where ``activate``."""

    def __init__(self, config: Any, activate: bool) -> None:
        super().__init__()
        self.dense = linear(config, config.hidden_size, config.hidden_size) if activate else None

    def call(self, hidden: Tensor) -> Tensor:
        """(B, T, W) -> (B, W)."""
        first = hidden[:, 0]
        return first if self.dense is None else ops.tanh(self.dense(first))


class BertEncoder(Layer):
    """The stack of layers, under the name that it has on disk."""

    def __init__(self, layers: list[Layer]) -> None:
        super().__init__()
        self.layer = layers


class BertLikeModel(Encoder):
    """The encoder of a model of BERT's family."""

    output_class = BaseModelOutputWithPooling
    encoder: BertEncoder

    def encoder_layers(self) -> list[Layer]:
        """See ``Encoder``."""
        return self.encoder.layer
