"""DistilBERT (arXiv 1910.01108), read top to bottom: BERT without token types and pooler, half the layers.

Shapes: B batch, T tokens, W dim, M hidden_dim, V vocabulary. The layers carry the names that are on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import keras
from keras import ops

from pocketbert.architecture.config import DistilBertConfig
from pocketbert.architecture.families import FAMILIES
from pocketbert.architecture.outputs import BaseModelOutput, ModelOutput
from pocketbert.architecture.sinusoids import sinusoids
from pocketbert.keras import heads
from pocketbert.keras.calls import DistilBertCall, DistilBertSpanCall, Output
from pocketbert.keras.encoder import Encoder
from pocketbert.keras.layers import (
    Attention,
    Layer,
    Tensor,
    WordTable,
    activation,
    layer_norm,
    linear,
    rows,
    table,
)
from pocketbert.keras.model import TFPreTrainedModel, register

__all__ = [
    "TFDistilBertPreTrainedModel",
    "TFDistilBertModel",
    "TFDistilBertForMaskedLM",
    "TFDistilBertForSequenceClassification",
    "TFDistilBertForMultipleChoice",
    "TFDistilBertForTokenClassification",
    "TFDistilBertForQuestionAnswering",
]

NORM_EPS = FAMILIES["distilbert"].eps(None)  # no configuration can change it


class DistilBertEmbeddings(Layer):
    """Word + position, layer norm, dropout."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        fixed = config.sinusoidal_pos_embds
        waves = (lambda shape, dtype=None: ops.convert_to_tensor(sinusoids(*shape), dtype)) if fixed else None
        self.word_embeddings = WordTable(config, config.dim)
        self.position_embeddings = table(config, config.max_position_embeddings, config.dim, waves, trainable=not fixed)
        self.LayerNorm = layer_norm(config.dim, NORM_EPS)
        self.dropout = keras.layers.Dropout(config.dropout)

    def call(self, words: Tensor, token_type_ids: None = None, position_ids: Tensor | None = None) -> Tensor:
        """(B, T, W) word vectors -> (B, T, W)."""
        return self.dropout(self.LayerNorm(words + rows(self.position_embeddings, position_ids, words)))


class DistilBertAttention(Layer):
    """Query, key, value and output of one layer, as wide as its kept heads."""

    def __init__(self, config: DistilBertConfig, index: int) -> None:
        super().__init__()
        self.index = index
        self.heads = config.n_heads - len(config.pruned_heads.get(index, ()))
        kept = config.dim // config.n_heads * self.heads
        self.q_lin = linear(config, config.dim, kept)
        self.k_lin = linear(config, config.dim, kept)
        self.v_lin = linear(config, config.dim, kept)
        self.out_lin = linear(config, kept, config.dim)
        self.dropout = keras.layers.Dropout(config.attention_dropout)

    def call(self, hidden: Tensor, attention: Attention) -> tuple[Tensor, Tensor | None]:
        """(B, T, W) -> (B, T, W) and weights."""
        q, k, v = self.q_lin(hidden), self.k_lin(hidden), self.v_lin(hidden)
        context, weights = attention(self.index, q, k, v, self.heads, self.dropout)
        return self.out_lin(context), weights


class FeedForward(Layer):
    """Two dense layers with an activation between them."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.lin1 = linear(config, config.dim, config.hidden_dim, activation(config.activation))
        self.lin2 = linear(config, config.hidden_dim, config.dim)
        self.dropout = keras.layers.Dropout(config.dropout)

    def call(self, x: Tensor) -> Tensor:
        """(B, T, W) -> (B, T, W)."""
        return self.dropout(self.lin2(self.lin1(x)))


class DistilBertLayer(Layer):
    """Attention and one feed-forward network, each with a residual and a layer norm."""

    def __init__(self, config: DistilBertConfig, index: int) -> None:
        super().__init__()
        self.attention = DistilBertAttention(config, index)
        self.sa_layer_norm = layer_norm(config.dim, NORM_EPS)
        self.ffn = FeedForward(config)
        self.output_layer_norm = layer_norm(config.dim, NORM_EPS)

    def call(self, hidden: Tensor, attention: Attention) -> tuple[Tensor, Tensor | None]:
        """(B, T, W) -> (B, T, W) and weights."""
        attended, weights = self.attention(hidden, attention=attention)
        hidden = self.sa_layer_norm(attended + hidden)
        return self.output_layer_norm(self.ffn(hidden) + hidden), weights


class DistilBertLayers(Layer):
    """The stack of layers, under the name that it has on disk."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.layer = [DistilBertLayer(config, index) for index in range(config.n_layers)]


class TFDistilBertPreTrainedModel(TFPreTrainedModel):
    """What all DistilBERT classes are."""

    config_class = DistilBertConfig
    base_model_prefix = "distilbert"


@register
class TFDistilBertModel(Encoder, TFDistilBertPreTrainedModel):
    """The encoder.

    >>> import numpy as np
    >>> from pocketbert import DistilBertConfig, TFDistilBertModel
    >>> model = TFDistilBertModel(DistilBertConfig(vocab_size=99, dim=8, n_heads=2, n_layers=1, hidden_dim=16))
    >>> tuple(model(np.array([[2, 7, 3]])).last_hidden_state.shape)
    (1, 3, 8)
    """

    output_class: ClassVar[type[ModelOutput]] = BaseModelOutput

    def build_layers(self) -> None:
        """See ``TFPreTrainedModel``."""
        self.embeddings = DistilBertEmbeddings(self.config)
        self.transformer = DistilBertLayers(self.config)

    def call(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        training: bool | None = False,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> Output:
        """Return a ``BaseModelOutput``; ``token_type_ids`` is accepted and ignored.

        See ``pocketbert.keras.calls`` for the other arguments.
        """
        del token_type_ids, training  # Keras hands training on to the layers
        inputs = (input_ids, attention_mask, None, position_ids, head_mask, inputs_embeds)
        return self.encode(inputs, (output_attentions, output_hidden_states, return_dict))

    def encoder_layers(self) -> list[Layer]:
        """See ``Encoder``."""
        return self.transformer.layer


class DistilBertTask(heads.Task, TFDistilBertPreTrainedModel):
    """A DistilBERT encoder with a head."""

    encoder_class: ClassVar[Callable[..., TFPreTrainedModel]] = TFDistilBertModel


@register
class TFDistilBertForMaskedLM(DistilBertCall, heads.MaskedLM, DistilBertTask):
    """DistilBERT with its masked-language-model head."""


@register
class TFDistilBertForSequenceClassification(DistilBertCall, heads.SequenceClassification, DistilBertTask):
    """DistilBERT with a classification or regression head over the text.

    >>> import numpy as np
    >>> from pocketbert import DistilBertConfig, TFDistilBertForSequenceClassification
    >>> config = DistilBertConfig(vocab_size=99, dim=8, n_heads=2, n_layers=1, hidden_dim=16, num_labels=3)
    >>> output = TFDistilBertForSequenceClassification(config)(np.array([[2, 7, 3]]), labels=np.array([1]))
    >>> tuple(output.logits.shape), tuple(output.loss.shape)
    ((1, 3), (1,))
    """


@register
class TFDistilBertForMultipleChoice(DistilBertCall, heads.MultipleChoice, DistilBertTask):
    """DistilBERT with a score for each of several texts."""


@register
class TFDistilBertForTokenClassification(DistilBertCall, heads.TokenClassification, DistilBertTask):
    """DistilBERT with a class for each token."""


@register
class TFDistilBertForQuestionAnswering(DistilBertSpanCall, heads.QuestionAnswering, DistilBertTask):
    """DistilBERT with an answer's start and end."""
