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
from pocketbert.architecture.outputs import BaseModelOutputWithPooling, ModelOutput
from pocketbert.torch import heads
from pocketbert.torch.calls import BertCall, BertPreTrainingCall, BertSpanCall
from pocketbert.torch.layers import Attention, activation, run_layers
from pocketbert.torch.masks_and_ids import attention_bias, check_ids, check_tokens, per_layer_head_masks
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
        kept = self.head_size * (config.num_attention_heads - len(config.pruned_heads.get(index, ())))
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


class LMTransform(nn.Module):
    """Dense, activation, layer norm: what comes before the vocabulary. The norm is a real one, even with no_norm."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activate = activation(config.hidden_act)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, W) -> (B, T, W)."""
        return self.LayerNorm(self.activate(self.dense(hidden)))  # type: ignore[no-any-return]


class LMPredictions(nn.Module):
    """Logits of every word: the word table as a matrix, and a bias."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.transform = LMTransform(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        self.bias = self.decoder.bias

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, W) -> (B, T, V)."""
        return self.decoder(self.transform(hidden))  # type: ignore[no-any-return]


class BertEncoder(nn.Module):
    """The stack of layers, under the name that it has on disk."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layer = nn.ModuleList(layers)


class BertLikeModel(PreTrainedModel):
    """The encoder of BERT or MobileBERT."""

    embeddings: nn.Module
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
        """Check the inputs, embed them and run the layers; the arguments are those of forward."""
        config = self.config
        self.check_precision(self.compute_dtype)
        words = self.get_input_embeddings()
        shape = check_tokens(config, input_ids, inputs_embeds, words.embedding_dim)
        if token_type_ids is not None:
            check_ids("token_type_ids", token_type_ids, config.type_vocab_size, "type_vocab_size", shape, one_row=True)
        if position_ids is not None:
            limit = config.max_position_embeddings
            check_ids("position_ids", position_ids, limit, "max_position_embeddings", shape, one_row=True)
        vectors = words(input_ids) if inputs_embeds is None else inputs_embeds
        hidden = self.embeddings(vectors, token_type_ids, position_ids)
        attention = Attention(
            attention_bias(attention_mask, hidden),
            per_layer_head_masks(head_mask, config, hidden.dtype),
            config.output_attentions if output_attentions is None else output_attentions,
            config.attn_implementation,
        )
        last, hidden_states, attentions = run_layers(
            list(self.encoder.layer),
            hidden,
            attention,
            keep_hidden=config.output_hidden_states if output_hidden_states is None else output_hidden_states,
            checkpointing=self.gradient_checkpointing and self.training,
        )
        pooled = None if self.pooler is None else self.pooler(last)
        output = BaseModelOutputWithPooling(last, pooled, hidden_states, attentions)
        if config.use_return_dict if return_dict is None else return_dict:
            return output
        return (last, pooled, *(x for x in (hidden_states, attentions) if x is not None))

    def _attention_linears(self, layer: int) -> tuple[nn.Linear, nn.Linear, nn.Linear, nn.Linear]:
        attention: Any = self.encoder.layer[layer].attention
        inner = attention.self
        return inner.query, inner.key, inner.value, attention.output.dense


class BertLikeTask(heads.Task):
    """What BERT and MobileBERT give to every head."""

    cls: nn.Module  # ``predictions``, ``seq_relationship``, or both

    def head_dropout(self) -> float:
        """``classifier_dropout``, else ``hidden_dropout_prob``, in front of a classifier; other heads have none."""
        if self.record.answers[0].part != "classifier":
            return 0.0
        chosen = self.config.classifier_dropout
        return float(self.config.hidden_dropout_prob if chosen is None else chosen)

    def make_predictions(self) -> LMPredictions:
        """Return the layers that predict words."""
        return LMPredictions(self.config)

    def build_words(self) -> None:
        """See ``Task``."""
        self.place("cls.predictions", self.make_predictions())

    def word_logits(self, hidden: Tensor) -> Tensor:
        """(..., W) -> (..., V)."""
        return self.cls.predictions(hidden)  # type: ignore[no-any-return, operator]


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
    """The encoder, optionally with its pooler."""

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
        return self.encode(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            head_mask,
            inputs_embeds,
            output_attentions,
            output_hidden_states,
            return_dict,
        )


class BertTask(BertLikeTask, BertPreTrainedModel):
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
