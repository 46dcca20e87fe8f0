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
from pocketbert.architecture.families import family_of
from pocketbert.architecture.outputs import BaseModelOutput, ModelOutput
from pocketbert.architecture.parameters import kept_width
from pocketbert.torch import heads
from pocketbert.torch.calls import BertCall, BertPreTrainingCall, BertSpanCall
from pocketbert.torch.embeddings import TypedEmbeddings
from pocketbert.torch.encoder import Encoder
from pocketbert.torch.initializing import fill
from pocketbert.torch.layers import Dropout, ExtraColumns, Stack, activation, attend
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


class SelfAttention(nn.Module):
    """Query, key and value of one layer, as wide as its kept heads."""

    def __init__(self, config: PretrainedConfig, index: int, width: int, query_size: int, value_size: int) -> None:
        super().__init__()
        self.config = config
        self.attention_head_size = width // config.num_attention_heads
        kept = kept_width(config, index, width)
        self.query = nn.Linear(query_size, kept)
        self.key = nn.Linear(query_size, kept)
        self.value = nn.Linear(value_size, kept)
        self.dropout = Dropout(config.attention_probs_dropout_prob)

    @property
    def all_head_size(self) -> int:
        """Width of the kept heads together."""
        return int(self.query.out_features)

    @property
    def num_attention_heads(self) -> int:
        """How many heads are kept."""
        return self.all_head_size // self.attention_head_size

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        head_mask: Tensor | None,
        output_attentions: bool | None,
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, query_size) twice, (B, T, value_size) -> context (B, T, kept width) and weights, or None."""
        q, k, v = self.query(query), self.key(key), self.value(value)
        size, how = self.attention_head_size, self.config.attn_implementation
        return attend(q, k, v, size, mask, head_mask, self.dropout, output_attentions, how)


class Intermediate(nn.Module):
    """The first half of a feed-forward network."""

    def __init__(self, width: int, middle: int, act: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(width, middle)
        self.intermediate_act_fn = activation(act)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, T, width) -> (B, T, middle)."""
        return self.intermediate_act_fn(self.dense(hidden_states))  # type: ignore[no-any-return]


class Pooler(nn.Module):
    """The [CLS] state, through a dense layer with tanh where ``activate``."""

    def __init__(self, width: int, activate: bool) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width) if activate else None
        self.activation = nn.Tanh()

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, T, W) -> (B, W)."""
        first = hidden_states[:, 0]
        return first if self.dense is None else self.activation(self.dense(first))


class BertLikeEncoder(Stack):
    """The layers of BERT or MobileBERT."""

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        head_mask: Any = None,
        output_attentions: bool | None = False,
        output_hidden_states: bool | None = False,
        return_dict: bool | None = True,
    ) -> BaseModelOutput | tuple[Any, ...]:
        """(B, T, W) -> the last hidden state and what else is wanted; see ``layers.Stack.run``."""
        return self.run(hidden_states, attention_mask, head_mask, output_attentions, output_hidden_states, return_dict)


class BertLikeModel(Encoder):
    """The encoder of BERT or MobileBERT."""

    encoder: Stack

    def embed(
        self,
        input_ids: Tensor | None,
        token_type_ids: Tensor | None,
        position_ids: Tensor | None,
        inputs_embeds: Tensor | None,
    ) -> Tensor:
        """See ``Encoder``."""
        return self.embeddings(  # type: ignore[no-any-return]
            input_ids=input_ids, token_type_ids=token_type_ids, position_ids=position_ids, inputs_embeds=inputs_embeds
        )

    def run_stack(self, hidden: Tensor, mask: Tensor | None, head_mask: Any, weights: bool, states: bool) -> Any:
        """See ``Encoder``."""
        return self.encoder(
            hidden,
            attention_mask=mask,
            head_mask=head_mask,
            output_attentions=weights,
            output_hidden_states=states,
            return_dict=True,
        )

    def attention_linears(self, layer: int) -> tuple[nn.Linear, nn.Linear, nn.Linear, nn.Linear]:
        """See ``pruning``."""
        attention: Any = self.encoder.layer[layer].attention
        inner = attention.self
        return inner.query, inner.key, inner.value, attention.output.dense


class WordTransform(nn.Module):
    """Dense, activation, and a real layer norm, also with ``no_norm``."""

    def __init__(self, config: PretrainedConfig, eps: float) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.transform_act_fn = activation(config.hidden_act)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=eps)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(..., W) -> (..., W)."""
        return self.LayerNorm(self.transform_act_fn(self.dense(hidden_states)))  # type: ignore[no-any-return]


class WordPredictions(nn.Module):
    """A score for every word: the word table as a matrix, more columns where it is narrow, and a bias."""

    def __init__(self, config: PretrainedConfig, eps: float) -> None:
        super().__init__()
        width, vocabulary = config.hidden_size, config.vocab_size
        narrow = getattr(config, "embedding_size", None)
        self.transform = WordTransform(config, eps)
        self.dense = None if narrow is None else ExtraColumns(vocabulary, width - narrow, bias=False)
        self.decoder = nn.Linear(width if narrow is None else narrow, vocabulary)
        self.bias = self.decoder.bias

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(..., W) -> (..., V)."""
        hidden = self.transform(hidden_states)
        if self.dense is None:
            return self.decoder(hidden)  # type: ignore[no-any-return]
        extra = self.dense.weight  # what the table is too narrow for
        narrow, rest = hidden.split([hidden.shape[-1] - extra.shape[0], extra.shape[0]], dim=-1)
        return self.decoder(narrow) + rest @ extra  # type: ignore[no-any-return]

    def _tie_weights(self) -> None:
        self.decoder.bias = self.bias


class PreTrainingHeads(nn.Module):
    """Word predictions, next-sentence prediction, or both."""

    def forward(self, states: Tensor, pooled: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Score hidden states (B, T, W), the pooled text (B, W), or both, in this order, with what there is."""
        if not hasattr(self, "predictions"):
            return self.seq_relationship(states)  # type: ignore[no-any-return, operator]
        if not hasattr(self, "seq_relationship"):
            return self.predictions(states)  # type: ignore[no-any-return, operator]
        return self.predictions(states), self.seq_relationship(pooled)  # type: ignore[operator]


class BertLikeTask(heads.Task):
    """What BERT and MobileBERT give to every head."""

    def build_head(self) -> None:
        """See ``heads.Task``; the pre-training heads stand under one module."""
        if any(answer.per == "position" or str(answer.layer).startswith("cls.") for answer in self.record.answers):
            self.cls = PreTrainingHeads()
        super().build_head()

    def build_words(self) -> None:
        """See ``heads.Task``."""
        self.cls.predictions = WordPredictions(self.config, family_of(self.config).eps(self.config))

    def word_logits(self, hidden: Tensor) -> Tensor:
        """See ``heads.Task``."""
        predictions: Any = self.cls.predictions
        return predictions(hidden)  # type: ignore[no-any-return]

    def answers(self, encoded: ModelOutput) -> tuple[Tensor, ...]:
        """See ``heads.Task``."""
        if not hasattr(self, "cls"):
            return super().answers(encoded)
        states = [encoded.last_hidden_state] if hasattr(self.cls, "predictions") else []
        pooled = [self.dropout(encoded.pooler_output)] if hasattr(self.cls, "seq_relationship") else []
        logits = self.cls(*states, *pooled)
        return logits if isinstance(logits, tuple) else (logits,)


# -- BERT ------------------------------------------------------------------------------------------------------


class BertEmbeddings(TypedEmbeddings):
    """Word + position + type, layer norm, dropout."""

    def __init__(self, config: BertConfig) -> None:
        width, positions = config.hidden_size, config.max_position_embeddings
        super().__init__(config.vocab_size, width, positions, width, config.pad_token_id, config.type_vocab_size)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.register_buffer("token_type_ids", torch.zeros(1, positions, dtype=torch.long), persistent=False)

    def fill_buffers(self) -> None:
        """See ``TokenEmbeddings``."""
        super().fill_buffers()
        self.token_type_ids = torch.zeros_like(self.position_ids)

    def forward(
        self,
        input_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        """(B, T) ids or (B, T, W) word vectors -> (B, T, W)."""
        placed = self.place(self.vectors(input_ids, inputs_embeds), token_type_ids, position_ids)
        return self.dropout(self.LayerNorm(placed))  # type: ignore[no-any-return]


class BertOutput(nn.Module):
    """Dense, dropout, residual, layer norm."""

    def __init__(self, config: BertConfig, into: int) -> None:
        super().__init__()
        self.dense = nn.Linear(into, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: Tensor, input_tensor: Tensor) -> Tensor:
        """(B, T, into), (B, T, W) -> (B, T, W)."""
        return self.LayerNorm(self.dropout(self.dense(hidden_states)) + input_tensor)  # type: ignore[no-any-return]


class BertSelfAttention(SelfAttention):
    """Attention of the hidden states to themselves."""

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = False,
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, W) -> context (B, T, kept width) and weights, or None; see ``layers.attend`` for the masks."""
        given = (hidden_states, hidden_states, hidden_states)
        return self.attend(*given, attention_mask, head_mask, output_attentions)


class BertAttention(nn.Module):
    """Self-attention and its output."""

    def __init__(self, config: BertConfig, index: int) -> None:
        super().__init__()
        width = config.hidden_size
        self.self = BertSelfAttention(config, index, width, width, width)
        self.output = BertOutput(config, self.self.query.out_features)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = False,
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, W) -> (B, T, W) and weights, or None."""
        context, weights = self.self(hidden_states, attention_mask, head_mask, output_attentions)
        return self.output(context, hidden_states), weights


class BertLayer(nn.Module):
    """Attention and one feed-forward network, each with a residual and a layer norm."""

    def __init__(self, config: BertConfig, index: int) -> None:
        super().__init__()
        self.attention = BertAttention(config, index)
        self.intermediate = Intermediate(config.hidden_size, config.intermediate_size, config.hidden_act)
        self.output = BertOutput(config, config.intermediate_size)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = False,
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, W) -> (B, T, W) and weights, or None."""
        attended, weights = self.attention(hidden_states, attention_mask, head_mask, output_attentions)
        return self.output(self.intermediate(attended), attended), weights


class BertEncoder(BertLikeEncoder):
    """The stack of layers."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__([BertLayer(config, index) for index in range(config.num_hidden_layers)])
        self.config = config


class BertPreTrainedModel(PreTrainedModel):
    """What all BERT classes are."""

    config_class = BertConfig
    base_model_prefix = "bert"

    def _init_weights(self, module: nn.Module) -> None:
        fill(module, self.config.initializer_range)


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
        with self.assembling():
            self.embeddings = BertEmbeddings(config)
            self.encoder = BertEncoder(config)
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
