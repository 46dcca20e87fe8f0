"""MobileBERT (arXiv 2004.02984), read top to bottom: embeddings -> bottleneck -> attention -> stacked FFNs -> encoder.

Shapes: B batch, T tokens, E embedding_size, W hidden_size (between blocks), I true_hidden_size (inside a block),
V vocabulary. The layers carry the names that are on disk; a trailing underscore is only Keras's way out, which has an
``input`` and an ``output`` of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import keras
from keras import ops

from pocketbert.architecture import outputs
from pocketbert.architecture.config import MobileBertConfig
from pocketbert.architecture.outputs import ModelOutput
from pocketbert.keras import heads
from pocketbert.keras.bert import (
    BertEncoder,
    BertLikeModel,
    Intermediate,
    Pooler,
    PositionedEmbeddings,
    SelfAttention,
)
from pocketbert.keras.calls import BertCall, BertNextSentenceCall, BertPreTrainingCall, BertSpanCall, Output
from pocketbert.keras.layers import Attention, Layer, Tensor, WordTable, linear, make_norm, table
from pocketbert.keras.model import TFPreTrainedModel, register

__all__ = [
    "TFMobileBertPreTrainedModel",
    "TFMobileBertModel",
    "TFMobileBertForPreTraining",
    "TFMobileBertForMaskedLM",
    "TFMobileBertForNextSentencePrediction",
    "TFMobileBertForSequenceClassification",
    "TFMobileBertForMultipleChoice",
    "TFMobileBertForTokenClassification",
    "TFMobileBertForQuestionAnswering",
]


class MobileBertEmbeddings(PositionedEmbeddings):
    """Narrow word vectors, each with its neighbors', widened; then position, type, norm, dropout (section 3.1)."""

    def __init__(self, config: MobileBertConfig) -> None:
        super().__init__()
        self.trigram = config.trigram_input
        self.widen = config.trigram_input or config.embedding_size != config.hidden_size
        self.word_embeddings = WordTable(config, config.embedding_size)
        self.position_embeddings = table(config, config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = table(config, config.type_vocab_size, config.hidden_size)
        width = config.embedding_size * (3 if config.trigram_input else 1)
        self.embedding_transformation = linear(config, width, config.hidden_size)
        self.LayerNorm = make_norm(config.normalization_type, config.hidden_size, config.outer_layer_norm_eps)
        self.dropout = keras.layers.Dropout(config.hidden_dropout_prob)

    def call(self, words: Tensor, token_type_ids: Tensor | None = None, position_ids: Tensor | None = None) -> Tensor:
        """(B, T, E) word vectors -> (B, T, W).

        The trigram does not know the mask: the last token of a padded text has [PAD]'s vector beside it, as in the
        original.
        """
        if self.trigram:
            padded = ops.pad(words, ((0, 0), (1, 1), (0, 0)))  # (B, T+2, E)
            words = ops.concatenate([padded[:, 2:], words, padded[:, :-2]], axis=2)  # next, this, previous: (B, T, 3E)
        if self.widen:
            words = self.embedding_transformation(words)
        return self.dropout(self.LayerNorm(self.place(words, token_type_ids, position_ids)))


class DenseNorm(Layer):
    """Dense, dropout, residual, norm."""

    def __init__(
        self, config: MobileBertConfig, into: int, out: int, dropout: float = 0.0, eps: float | None = None
    ) -> None:
        super().__init__()
        self.dense = linear(config, into, out)
        self.LayerNorm = make_norm(config.normalization_type, out, config.layer_norm_eps if eps is None else eps)
        self.dropout = keras.layers.Dropout(dropout)

    def call(self, x: Tensor, residual: Tensor) -> Tensor:
        """(B, T, into), (B, T, out) -> (B, T, out)."""
        update = self.dense(x)
        if self.dropout.rate:
            update = self.dropout(update)
        return self.LayerNorm(update + residual)


class BottleneckDense(Layer):
    """Dense and norm, from the width between blocks to the width inside one."""

    def __init__(self, config: MobileBertConfig) -> None:
        super().__init__()
        self.dense = linear(config, config.hidden_size, config.intra_bottleneck_size)
        self.LayerNorm = make_norm(config.normalization_type, config.intra_bottleneck_size, config.layer_norm_eps)

    def call(self, hidden: Tensor) -> Tensor:
        """(B, T, W) -> (B, T, I)."""
        return self.LayerNorm(self.dense(hidden))


class Bottleneck(Layer):
    """The way into a block (section 3.1, figure 1c)."""

    def __init__(self, config: MobileBertConfig) -> None:
        super().__init__()
        self.inside = config.use_bottleneck_attention
        self.input_ = BottleneckDense(config)
        self.attention = BottleneckDense(config) if config.key_query_shared_bottleneck else None

    def call(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, W) -> what query and key read, what value reads, and the residual (B, T, I)."""
        residual = self.input_(hidden)
        if self.inside:
            return residual, residual, residual
        return hidden if self.attention is None else self.attention(hidden), hidden, residual


class MobileBertAttention(Layer):
    """Self-attention and its output."""

    def __init__(self, config: MobileBertConfig, index: int) -> None:
        super().__init__()
        width = config.true_hidden_size
        self.self = SelfAttention(config, index, width, config.query_key_size, config.value_size)
        dropout = 0.0 if config.use_bottleneck else config.hidden_dropout_prob
        self.output_ = DenseNorm(config, self.self.kept, width, dropout)

    def call(
        self, query: Tensor, value: Tensor, residual: Tensor, attention: Attention
    ) -> tuple[Tensor, Tensor | None]:
        """-> (B, T, I) and weights."""
        context, weights = self.self(query, value, attention=attention)
        return self.output_(context, residual), weights


class FeedForward(Layer):
    """One of a block's inner feed-forward networks (section 3.3)."""

    def __init__(self, config: MobileBertConfig) -> None:
        super().__init__()
        self.intermediate = Intermediate(config, config.true_hidden_size)
        self.output_ = DenseNorm(config, config.intermediate_size, config.true_hidden_size)

    def call(self, x: Tensor) -> Tensor:
        """(B, T, I) -> (B, T, I)."""
        return self.output_(self.intermediate(x), x)


class MobileBertOutput(DenseNorm):
    """The last feed-forward network's second half, and the way out of the block."""

    def __init__(self, config: MobileBertConfig) -> None:
        dropout = 0.0 if config.use_bottleneck else config.hidden_dropout_prob
        inner, eps = config.true_hidden_size, config.outer_layer_norm_eps
        super().__init__(config, config.intermediate_size, inner, dropout, eps)
        self.bottleneck = None
        if config.use_bottleneck:
            self.bottleneck = DenseNorm(config, inner, config.hidden_size, config.hidden_dropout_prob)

    def call(self, x: Tensor, residual: Tensor, block_input: Tensor) -> Tensor:  # type: ignore[override]
        """(B, T, M), (B, T, I), (B, T, W) -> (B, T, W)."""
        inner = super().call(x, residual)
        return inner if self.bottleneck is None else self.bottleneck(inner, block_input)


class MobileBertLayer(Layer):
    """Bottleneck in, attention, feed-forward networks, bottleneck out."""

    def __init__(self, config: MobileBertConfig, index: int) -> None:
        super().__init__()
        self.attention = MobileBertAttention(config, index)
        self.intermediate = Intermediate(config, config.true_hidden_size)
        self.output_ = MobileBertOutput(config)
        self.bottleneck = Bottleneck(config) if config.use_bottleneck else None
        self.ffn = [FeedForward(config) for _ in range(config.num_feedforward_networks - 1)]

    def call(self, hidden: Tensor, attention: Attention) -> tuple[Tensor, Tensor | None]:
        """(B, T, W) -> (B, T, W) and weights."""
        query, value, residual = (hidden,) * 3 if self.bottleneck is None else self.bottleneck(hidden)
        x, weights = self.attention(query, value, residual, attention=attention)  # (B, T, I)
        for network in self.ffn:
            x = network(x)
        return self.output_(self.intermediate(x), x, hidden), weights


class TFMobileBertPreTrainedModel(TFPreTrainedModel):
    """What all MobileBERT classes are."""

    config_class = MobileBertConfig
    base_model_prefix = "mobilebert"


@register
class TFMobileBertModel(BertLikeModel, TFMobileBertPreTrainedModel):
    """The encoder, optionally with its pooler.

    >>> import numpy as np
    >>> from pocketbert import MobileBertConfig, TFMobileBertModel
    >>> config = MobileBertConfig(
    ...     vocab_size=99, hidden_size=32, embedding_size=8, intra_bottleneck_size=16, intermediate_size=16,
    ...     num_hidden_layers=1, num_attention_heads=2,
    ... )
    >>> tuple(TFMobileBertModel(config)(np.array([[2, 7, 3]])).pooler_output.shape)
    (1, 32)
    """

    def build_layers(self) -> None:
        """See ``TFPreTrainedModel``."""
        config: MobileBertConfig = self.config
        self.embeddings = MobileBertEmbeddings(config)
        self.encoder = BertEncoder([MobileBertLayer(config, index) for index in range(config.num_hidden_layers)])
        self.pooler = Pooler(config, config.classifier_activation) if self.add_pooling_layer else None

    def call(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        training: bool | None = False,
    ) -> Output:
        """Return a ``BaseModelOutputWithPooling``; see ``pocketbert.keras.calls`` for the arguments."""
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, head_mask, inputs_embeds)
        return self.encode(inputs, (output_attentions, output_hidden_states, return_dict))


class MobileBertTask(heads.Task, TFMobileBertPreTrainedModel):
    """A MobileBERT encoder with a head."""

    encoder_class: ClassVar[Callable[..., TFPreTrainedModel]] = TFMobileBertModel


@register
class TFMobileBertForPreTraining(BertPreTrainingCall, heads.PreTraining, MobileBertTask):
    """MobileBERT with both pre-training heads."""

    output_class: ClassVar[type[ModelOutput]] = outputs.TFMobileBertForPreTrainingOutput


@register
class TFMobileBertForMaskedLM(BertCall, heads.MaskedLM, MobileBertTask):
    """MobileBERT with its masked-language-model head."""


@register
class TFMobileBertForNextSentencePrediction(BertNextSentenceCall, heads.NextSentence, MobileBertTask):
    """MobileBERT with its next-sentence head."""


@register
class TFMobileBertForSequenceClassification(BertCall, heads.SequenceClassification, MobileBertTask):
    """MobileBERT with a classification or regression head over the pooled text."""


@register
class TFMobileBertForMultipleChoice(BertCall, heads.MultipleChoice, MobileBertTask):
    """MobileBERT with a score for each of several texts."""


@register
class TFMobileBertForTokenClassification(BertCall, heads.TokenClassification, MobileBertTask):
    """MobileBERT with a class for each token."""


@register
class TFMobileBertForQuestionAnswering(BertSpanCall, heads.QuestionAnswering, MobileBertTask):
    """MobileBERT with an answer's start and end."""
