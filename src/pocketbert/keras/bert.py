"""What MobileBERT has from BERT (arXiv 1810.04805).

Shapes: B batch, T tokens, W hidden_size, M intermediate_size, V vocabulary. The layers carry the names that are on
disk; a trailing underscore is only Keras's way out, which has an ``output`` of its own.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pocketbert.architecture.outputs import BaseModelOutputWithPooling, ModelOutput
from pocketbert.keras import heads
from pocketbert.keras.layers import (
    Attention,
    Layer,
    Tensor,
    Vocabulary,
    activation,
    layer_norm,
    linear,
    rows,
    run_layers,
)
from pocketbert.keras.masks_and_ids import attention_bias, check_ids, check_tokens, per_layer_head_masks
from pocketbert.keras.model import TFPreTrainedModel

__all__ = [
    "BertEncoder",
    "BertLikeModel",
    "BertLikeTask",
    "Intermediate",
    "LMPredictions",
    "LMTransform",
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


class LMTransform(Layer):
    """Dense, activation, layer norm: what comes before the vocabulary. The norm is a real one, even with no_norm."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = linear(config, config.hidden_size, config.hidden_size)
        self.activate = activation(config.hidden_act)
        self.LayerNorm = layer_norm(config.hidden_size, config.layer_norm_eps)

    def call(self, hidden: Tensor) -> Tensor:
        """(B, T, W) -> (B, T, W)."""
        return self.LayerNorm(self.activate(self.dense(hidden)))


class LMPredictions(Layer):
    """Logits of every word."""

    def __init__(self, config: Any, table_width: int) -> None:
        super().__init__()
        self.transform = LMTransform(config)
        self.decoder = Vocabulary(config, table_width)

    @property
    def bias(self) -> keras.Variable:
        """The decoder's, under the other name that it has on disk."""
        return self.decoder.bias


class BertEncoder(Layer):
    """The stack of layers, under the name that it has on disk."""

    def __init__(self, layers: list[Layer]) -> None:
        super().__init__()
        self.layer = layers


class BertLikeModel(TFPreTrainedModel):
    """The encoder of a model of BERT's family."""

    output_class = BaseModelOutputWithPooling
    embeddings: Any
    encoder: BertEncoder
    pooler: Pooler | None

    def encode(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        token_type_ids: Tensor | None,
        position_ids: Tensor | None,
        head_mask: Tensor | None,
        inputs_embeds: Tensor | None,
        output_attentions: bool | None,
        output_hidden_states: bool | None,
        return_dict: bool | None,
    ) -> ModelOutput | tuple[Any, ...]:
        """Check the inputs, embed them and run the layers; the arguments are those of call."""
        config: Any = self.config
        words = self.get_input_embeddings()
        shape = check_tokens(config, input_ids, inputs_embeds, words.output_dim)
        if token_type_ids is not None:
            check_ids("token_type_ids", token_type_ids, config.type_vocab_size, "type_vocab_size", shape, one_row=True)
        if position_ids is not None:
            limit = config.max_position_embeddings
            check_ids("position_ids", position_ids, limit, "max_position_embeddings", shape, one_row=True)
        vectors = words(input_ids) if inputs_embeds is None else inputs_embeds
        hidden = self.embeddings(vectors, token_type_ids=token_type_ids, position_ids=position_ids)
        attention = Attention(
            attention_bias(attention_mask, hidden),
            per_layer_head_masks(head_mask, config, hidden),
            config.output_attentions if output_attentions is None else output_attentions,
        )
        keep = config.output_hidden_states if output_hidden_states is None else output_hidden_states
        last, hidden_states, attentions = run_layers(self.encoder.layer, hidden, attention, keep_hidden=keep)
        pooled = None if self.pooler is None else self.pooler(last)
        output = BaseModelOutputWithPooling(last, pooled, hidden_states, attentions)
        if config.use_return_dict if return_dict is None else return_dict:
            return output
        return (last, pooled, *(x for x in (hidden_states, attentions) if x is not None))


class BertLikeTask(heads.Task):
    """What a family like BERT's gives to every head."""

    cls: Layer  # ``predictions``, ``seq_relationship``, or both

    def head_dropout(self) -> float:
        """``classifier_dropout``, else ``hidden_dropout_prob``, in front of a classifier; other heads have none."""
        if self.record.answers[0].part != "classifier":
            return 0.0
        chosen = self.config.classifier_dropout
        return float(self.config.hidden_dropout_prob if chosen is None else chosen)

    def make_predictions(self) -> LMPredictions:
        """Return the layers that predict words."""
        raise NotImplementedError

    def build_words(self) -> None:
        """See ``Task``."""
        self.place("cls.predictions", self.make_predictions())

    def word_logits(self, hidden: Tensor) -> Tensor:
        """(B, T, W) -> (B, T, V)."""
        return self.cls.predictions(hidden, table=self.get_input_embeddings().embeddings)
