"""MobileBERT (arXiv 2004.02984), read top to bottom: embeddings -> bottleneck -> attention -> stacked FFNs -> encoder.

Shapes: B batch, T tokens, E embedding_size, W hidden_size (between blocks), I true_hidden_size (inside a block),
V vocabulary. The modules carry the names that are on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketbert.architecture import outputs
from pocketbert.architecture.config import MobileBertConfig
from pocketbert.architecture.outputs import ModelOutput
from pocketbert.torch import heads
from pocketbert.torch.bert import BertLikeEncoder, BertLikeModel, BertLikeTask, Intermediate, Pooler, SelfAttention
from pocketbert.torch.calls import BertCall, BertPreTrainingCall, BertSpanCall
from pocketbert.torch.embeddings import TypedEmbeddings
from pocketbert.torch.initializing import fill
from pocketbert.torch.layers import Dropout, make_norm
from pocketbert.torch.model import PreTrainedModel

__all__ = [
    "MobileBertPreTrainedModel",
    "MobileBertModel",
    "MobileBertForPreTraining",
    "MobileBertForMaskedLM",
    "MobileBertForNextSentencePrediction",
    "MobileBertForSequenceClassification",
    "MobileBertForMultipleChoice",
    "MobileBertForTokenClassification",
    "MobileBertForQuestionAnswering",
]


class MobileBertEmbeddings(TypedEmbeddings):
    """Narrow word vectors, each with its neighbors', widened; then position, type, norm, dropout (section 3.1)."""

    def __init__(self, config: MobileBertConfig) -> None:
        narrow, width, positions = config.embedding_size, config.hidden_size, config.max_position_embeddings
        super().__init__(config.vocab_size, narrow, positions, width, config.pad_token_id, config.type_vocab_size)
        self.trigram_input = config.trigram_input
        self.widen = config.trigram_input or narrow != width
        self.embedding_transformation = nn.Linear(narrow * (3 if config.trigram_input else 1), width)
        self.LayerNorm = make_norm(config.normalization_type, width, config.outer_layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        input_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        """(B, T) ids or (B, T, E) word vectors -> (B, T, W).

        The trigram does not know the mask: the last token of a padded text has [PAD]'s vector beside it, as in the
        original.
        """
        words = self.vectors(input_ids, inputs_embeds)
        if self.trigram_input:
            padded = F.pad(words, (0, 0, 1, 1))  # (B, T+2, E); slices of length T keep torch.export's shapes general
            words = torch.cat([padded[:, 2:], words, padded[:, :-2]], dim=2)  # next, this, previous: (B, T, 3E)
        if self.widen:
            words = self.embedding_transformation(words)
        return self.dropout(self.LayerNorm(self.place(words, token_type_ids, position_ids)))  # type: ignore[no-any-return]


class DenseNorm(nn.Module):
    """Dense, dropout if there is any, residual, norm."""

    def __init__(
        self, config: MobileBertConfig, into: int, out: int, dropout: float | None = None, eps: float | None = None
    ) -> None:
        super().__init__()
        self.dense = nn.Linear(into, out)
        self.LayerNorm = make_norm(config.normalization_type, out, config.layer_norm_eps if eps is None else eps)
        self.dropout = None if dropout is None else Dropout(dropout)

    def forward(self, hidden_states: Tensor, residual_tensor: Tensor) -> Tensor:
        """(B, T, into), (B, T, out) -> (B, T, out)."""
        update = self.dense(hidden_states)
        if self.dropout is not None:
            update = self.dropout(update)
        return self.LayerNorm(update + residual_tensor)  # type: ignore[no-any-return]


class BottleneckDense(nn.Module):
    """Dense and norm, from the width between blocks to the width inside one."""

    def __init__(self, config: MobileBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intra_bottleneck_size)
        self.LayerNorm = make_norm(config.normalization_type, config.intra_bottleneck_size, config.layer_norm_eps)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, T, W) -> (B, T, I)."""
        return self.LayerNorm(self.dense(hidden_states))  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """The way into a block (section 3.1, figure 1c)."""

    def __init__(self, config: MobileBertConfig) -> None:
        super().__init__()
        self.inside = config.use_bottleneck_attention
        self.input = BottleneckDense(config)
        self.attention = BottleneckDense(config) if config.key_query_shared_bottleneck else None

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(B, T, W) -> what query, key and value read, and the residual (B, T, I)."""
        residual = self.input(hidden_states)
        if self.inside:
            return residual, residual, residual, residual
        shared = hidden_states if self.attention is None else self.attention(hidden_states)
        return shared, shared, hidden_states, residual


class MobileBertSelfAttention(SelfAttention):
    """Attention whose query, key and value may read different states."""

    def forward(
        self,
        query_tensor: Tensor,
        key_tensor: Tensor,
        value_tensor: Tensor,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
    ) -> tuple[Tensor, ...]:
        """-> context (B, T, kept width), and the weights if wanted; see ``layers.attend`` for the masks."""
        given = (query_tensor, key_tensor, value_tensor)
        context, weights = self.attend(*given, attention_mask, head_mask, output_attentions)
        return (context,) if weights is None else (context, weights)


class MobileBertAttention(nn.Module):
    """Self-attention and its output."""

    def __init__(self, config: MobileBertConfig, index: int) -> None:
        super().__init__()
        width = config.true_hidden_size
        self.self = MobileBertSelfAttention(config, index, width, config.query_key_size, config.value_size)
        dropout = None if config.use_bottleneck else config.hidden_dropout_prob
        self.output = DenseNorm(config, self.self.query.out_features, width, dropout)

    def forward(
        self,
        query_tensor: Tensor,
        key_tensor: Tensor,
        value_tensor: Tensor,
        layer_input: Tensor,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
    ) -> tuple[Tensor, ...]:
        """-> (B, T, I), and the weights if wanted."""
        given = (query_tensor, key_tensor, value_tensor)
        context, *weights = self.self(*given, attention_mask, head_mask, output_attentions)
        return (self.output(context, layer_input), *weights)


class FeedForward(nn.Module):
    """One of a block's inner feed-forward networks (section 3.3)."""

    def __init__(self, config: MobileBertConfig) -> None:
        super().__init__()
        self.intermediate = Intermediate(config.true_hidden_size, config.intermediate_size, config.hidden_act)
        self.output = DenseNorm(config, config.intermediate_size, config.true_hidden_size)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, T, I) -> (B, T, I)."""
        return self.output(self.intermediate(hidden_states), hidden_states)  # type: ignore[no-any-return]


class MobileBertOutput(DenseNorm):
    """The last feed-forward network's second half, and the way out of the block."""

    def __init__(self, config: MobileBertConfig) -> None:
        dropout = None if config.use_bottleneck else config.hidden_dropout_prob
        inner, eps = config.true_hidden_size, config.outer_layer_norm_eps
        super().__init__(config, config.intermediate_size, inner, dropout, eps)
        self.bottleneck = None
        if config.use_bottleneck:
            self.bottleneck = DenseNorm(config, inner, config.hidden_size, config.hidden_dropout_prob)

    def forward(  # type: ignore[override]
        self, intermediate_states: Tensor, residual_tensor_1: Tensor, residual_tensor_2: Tensor
    ) -> Tensor:
        """(B, T, M), (B, T, I), (B, T, W) -> (B, T, W)."""
        inner = super().forward(intermediate_states, residual_tensor_1)
        return inner if self.bottleneck is None else self.bottleneck(inner, residual_tensor_2)


class MobileBertLayer(nn.Module):
    """Bottleneck in, attention, feed-forward networks, bottleneck out."""

    def __init__(self, config: MobileBertConfig, index: int) -> None:
        super().__init__()
        self.attention = MobileBertAttention(config, index)
        self.intermediate = Intermediate(config.true_hidden_size, config.intermediate_size, config.hidden_act)
        self.output = MobileBertOutput(config)
        self.bottleneck = Bottleneck(config) if config.use_bottleneck else None
        self.ffn = nn.ModuleList(FeedForward(config) for _ in range(config.num_feedforward_networks - 1))

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
    ) -> tuple[Tensor, ...]:
        """(B, T, W) -> (B, T, W), and the weights if wanted."""
        inputs = (hidden_states,) * 4 if self.bottleneck is None else self.bottleneck(hidden_states)
        x, *weights = self.attention(*inputs, attention_mask, head_mask, output_attentions)  # (B, T, I)
        for network in self.ffn:
            x = network(x)
        return (self.output(self.intermediate(x), x, hidden_states), *weights)


class MobileBertEncoder(BertLikeEncoder):
    """The stack of blocks."""

    def __init__(self, config: MobileBertConfig) -> None:
        super().__init__([MobileBertLayer(config, index) for index in range(config.num_hidden_layers)])


class MobileBertPreTrainedModel(PreTrainedModel):
    """What all MobileBERT classes are."""

    config_class = MobileBertConfig
    base_model_prefix = "mobilebert"

    def _init_weights(self, module: nn.Module) -> None:
        fill(module, self.config.initializer_range)


class MobileBertModel(BertLikeModel, MobileBertPreTrainedModel):
    """The encoder, optionally with its pooler.

    >>> import torch
    >>> from pocketbert import MobileBertConfig, MobileBertModel
    >>> config = MobileBertConfig(
    ...     vocab_size=99, hidden_size=32, embedding_size=8, intra_bottleneck_size=16, intermediate_size=16,
    ...     num_hidden_layers=1, num_attention_heads=2,
    ... )
    >>> MobileBertModel(config)(torch.tensor([[2, 7, 3]])).pooler_output.shape
    torch.Size([1, 32])
    """

    def __init__(self, config: MobileBertConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        with self.assembling():
            self.embeddings = MobileBertEmbeddings(config)
            self.encoder = MobileBertEncoder(config)
            self.pooler = Pooler(config.hidden_size, config.classifier_activation) if add_pooling_layer else None
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> ModelOutput | tuple[Any, ...]:
        """Return a ``BaseModelOutputWithPooling``; see ``pocketbert.torch.calls`` for the arguments.

        Note the documented order: ``output_hidden_states`` comes before ``output_attentions`` here.
        """
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, head_mask, inputs_embeds)
        return self.encode(inputs, (output_attentions, output_hidden_states, return_dict))


class MobileBertTask(BertLikeTask, MobileBertPreTrainedModel):
    """A MobileBERT encoder with a head."""

    encoder_class: ClassVar[Callable[..., PreTrainedModel]] = MobileBertModel


class MobileBertForPreTraining(BertPreTrainingCall, heads.PreTraining, MobileBertTask):
    """MobileBERT with both pre-training heads."""

    output_class: ClassVar[type[ModelOutput]] = outputs.MobileBertForPreTrainingOutput


class MobileBertForMaskedLM(BertCall, heads.MaskedLM, MobileBertTask):
    """MobileBERT with its masked-language-model head."""


class MobileBertForNextSentencePrediction(BertCall, heads.NextSentence, MobileBertTask):
    """MobileBERT with its next-sentence head."""


class MobileBertForSequenceClassification(BertCall, heads.SequenceClassification, MobileBertTask):
    """MobileBERT with a classification or regression head over the pooled text."""


class MobileBertForMultipleChoice(BertCall, heads.MultipleChoice, MobileBertTask):
    """MobileBERT with a score for each of several texts."""


class MobileBertForTokenClassification(BertCall, heads.TokenClassification, MobileBertTask):
    """MobileBERT with a class for each token."""


class MobileBertForQuestionAnswering(BertSpanCall, heads.QuestionAnswering, MobileBertTask):
    """MobileBERT with an answer's start and end."""
