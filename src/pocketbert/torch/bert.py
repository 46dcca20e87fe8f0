"""BERT (arXiv 1810.04805) as a teacher, and what MobileBERT shares with it.

Shapes: B batch, T tokens, W hidden_size, M intermediate_size, V vocabulary. The modules carry the names that are on
disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pocketbert.architecture.config import BertConfig, PretrainedConfig
from pocketbert.architecture.outputs import ModelOutput
from pocketbert.architecture.parameters import kept_width
from pocketbert.torch import heads
from pocketbert.torch.calls import BertCall, BertPreTrainingCall, BertSpanCall
from pocketbert.torch.encoder import Encoder
from pocketbert.torch.layers import Attention, activation
from pocketbert.torch.model import PreTrainedModel

__all__ = [
    "BertPreTrainedModel",
    "BertModel",
    "BertForPreTraining",
    "BertForMaskedLM",
    "BertForNextSentencePrediction",
    "BertForSequenceClassification",
    "BertForMultipleChoice",
    "BertForTokenClassification",
    "BertForQuestionAnswering",
]


# -- pieces that BERT and MobileBERT share -----------------------------------------------------------------------


class PositionedEmbeddings(nn.Module):
    """Adds position and token-type rows to word vectors of the model's width."""

    position_embeddings: nn.Embedding
    token_type_embeddings: nn.Embedding

    def place(self, words: Tensor, token_type_ids: Tensor | None, position_ids: Tensor | None) -> Tensor:
        """(B, T, W) -> (B, T, W); absent ids mean type 0 and positions 0 .. T-1."""
        positions, types = self.position_embeddings, self.token_type_embeddings
        place = positions.weight[: words.shape[1]] if position_ids is None else positions(position_ids)
        kind = types.weight[0] if token_type_ids is None else types(token_type_ids)
        return words + place + kind


class SelfAttention(nn.Module):
    """Query, key and value of one layer, as wide as its kept heads."""

    def __init__(self, config: PretrainedConfig, index: int, width: int, query_size: int, value_size: int) -> None:
        super().__init__()
        self.index = index
        self.head_size = width // config.num_attention_heads
        kept = kept_width(config, index, width)
        self.query = nn.Linear(query_size, kept)
        self.key = nn.Linear(query_size, kept)
        self.value = nn.Linear(value_size, kept)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def forward(self, query: Tensor, value: Tensor, attention: Attention) -> tuple[Tensor, Tensor | None]:
        """(B, T, query_size), (B, T, value_size) -> context (B, T, kept width) and weights."""
        q, k, v = self.query(query), self.key(query), self.value(value)
        dropout = self.dropout.p if self.training else 0.0
        return attention(self.index, q, k, v, q.shape[-1] // self.head_size, dropout)


class Intermediate(nn.Module):
    """The first half of a feed-forward network."""

    def __init__(self, width: int, middle: int, act: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(width, middle)
        self.activate = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) -> (B, T, middle)."""
        return self.activate(self.dense(x))


class Pooler(nn.Module):
    """The [CLS] state, through a dense layer with tanh where ``activate``."""

    def __init__(self, width: int, activate: bool) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width) if activate else None

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, W) -> (B, W)."""
        first = hidden[:, 0]
        return first if self.dense is None else torch.tanh(self.dense(first))


class BertEncoder(nn.Module):
    """The stack of layers, under the name that it has on disk."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layer = nn.ModuleList(layers)


class BertLikeModel(Encoder):
    """The encoder of BERT or MobileBERT."""

    encoder: BertEncoder

    def encoder_layers(self) -> list[nn.Module]:
        """See ``Encoder``."""
        return list(self.encoder.layer)

    def _attention_linears(self, layer: int) -> tuple[nn.Linear, nn.Linear, nn.Linear, nn.Linear]:
        attention: Any = self.encoder.layer[layer].attention
        inner = attention.self
        return inner.query, inner.key, inner.value, attention.output.dense


# -- BERT ------------------------------------------------------------------------------------------------------


class BertEmbeddings(PositionedEmbeddings):
    """Word + position + type, layer norm, dropout."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, words: Tensor, token_type_ids: Tensor | None, position_ids: Tensor | None) -> Tensor:
        """(B, T, W) word vectors -> (B, T, W)."""
        return self.dropout(self.LayerNorm(self.place(words, token_type_ids, position_ids)))  # type: ignore[no-any-return]


class BertOutput(nn.Module):
    """Dense, dropout, residual, layer norm."""

    def __init__(self, config: BertConfig, into: int) -> None:
        super().__init__()
        self.dense = nn.Linear(into, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """(B, T, into), (B, T, W) -> (B, T, W)."""
        return self.LayerNorm(self.dropout(self.dense(x)) + residual)  # type: ignore[no-any-return]


class BertAttention(nn.Module):
    """Self-attention and its output."""

    def __init__(self, config: BertConfig, index: int) -> None:
        super().__init__()
        width = config.hidden_size
        self.self = SelfAttention(config, index, width, width, width)
        self.output = BertOutput(config, self.self.query.out_features)

    def forward(self, hidden: Tensor, attention: Attention) -> tuple[Tensor, Tensor | None]:
        """(B, T, W) -> (B, T, W) and weights."""
        context, weights = self.self(hidden, hidden, attention)
        return self.output(context, hidden), weights


class BertLayer(nn.Module):
    """Attention and one feed-forward network, each with a residual and a layer norm."""

    def __init__(self, config: BertConfig, index: int) -> None:
        super().__init__()
        self.attention = BertAttention(config, index)
        self.intermediate = Intermediate(config.hidden_size, config.intermediate_size, config.hidden_act)
        self.output = BertOutput(config, config.intermediate_size)

    def forward(self, hidden: Tensor, attention: Attention) -> tuple[Tensor, Tensor | None]:
        """(B, T, W) -> (B, T, W) and weights."""
        attended, weights = self.attention(hidden, attention)
        return self.output(self.intermediate(attended), attended), weights


class BertPreTrainedModel(PreTrainedModel):
    """What all BERT classes are."""

    config_class = BertConfig
    base_model_prefix = "bert"


class BertModel(BertLikeModel, BertPreTrainedModel):
    """The encoder, optionally with its pooler.

    >>> import torch
    >>> from pocketbert import BertConfig, BertModel
    >>> config = BertConfig(
    ...     vocab_size=99, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    ... )
    >>> BertModel(config)(torch.tensor([[2, 7, 3]])).pooler_output.shape
    torch.Size([1, 8])
    """

    def __init__(self, config: BertConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.embeddings = BertEmbeddings(config)
        self.encoder = BertEncoder([BertLayer(config, index) for index in range(config.num_hidden_layers)])
        self.pooler = Pooler(config.hidden_size, activate=True) if add_pooling_layer else None
        self.post_init()

    def forward(
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
    ) -> ModelOutput | tuple[Any, ...]:
        """Return a ``BaseModelOutputWithPooling``; see ``pocketbert.torch.calls`` for the arguments."""
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, head_mask, inputs_embeds)
        return self.encode(inputs, (output_attentions, output_hidden_states, return_dict))


class BertTask(heads.Task, BertPreTrainedModel):
    """A BERT encoder with a head."""

    encoder_class: ClassVar[Callable[..., PreTrainedModel]] = BertModel


class BertForPreTraining(BertPreTrainingCall, heads.PreTraining, BertTask):
    """BERT with both pre-training heads."""


class BertForMaskedLM(BertCall, heads.MaskedLM, BertTask):
    """BERT with its masked-language-model head."""


class BertForNextSentencePrediction(BertCall, heads.NextSentence, BertTask):
    """BERT with its next-sentence head."""


class BertForSequenceClassification(BertCall, heads.SequenceClassification, BertTask):
    """BERT with a classification or regression head over the pooled text."""


class BertForMultipleChoice(BertCall, heads.MultipleChoice, BertTask):
    """BERT with a score for each of several texts."""


class BertForTokenClassification(BertCall, heads.TokenClassification, BertTask):
    """BERT with a class for each token."""


class BertForQuestionAnswering(BertSpanCall, heads.QuestionAnswering, BertTask):
    """BERT with an answer's start and end."""
