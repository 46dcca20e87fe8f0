"""DistilBERT (arXiv 1910.01108), read top to bottom: BERT without token types and pooler, half the layers.

Shapes: B batch, T tokens, W dim, M hidden_dim, V vocabulary. The modules carry the names that are on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from pocketbert.architecture.config import DistilBertConfig
from pocketbert.architecture.families import FAMILIES
from pocketbert.architecture.outputs import ModelOutput
from pocketbert.torch import heads
from pocketbert.torch.calls import DistilBertCall, DistilBertSpanCall
from pocketbert.torch.encoder import Encoder
from pocketbert.torch.layers import Attention, activation
from pocketbert.torch.model import PreTrainedModel

__all__ = [
    "DistilBertPreTrainedModel",
    "DistilBertModel",
    "DistilBertForMaskedLM",
    "DistilBertForSequenceClassification",
    "DistilBertForMultipleChoice",
    "DistilBertForTokenClassification",
    "DistilBertForQuestionAnswering",
]

NORM_EPS = FAMILIES["distilbert"].eps(None)  # no configuration can change it


class DistilBertEmbeddings(nn.Module):
    """Word + position, layer norm, dropout."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.dim, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.dim)
        self.LayerNorm = nn.LayerNorm(config.dim, eps=NORM_EPS)
        self.dropout = nn.Dropout(config.dropout)
        self.position_embeddings.weight.requires_grad = not config.sinusoidal_pos_embds

    def forward(self, words: Tensor, token_type_ids: None, position_ids: Tensor | None) -> Tensor:
        """(B, T, W) word vectors -> (B, T, W)."""
        table = self.position_embeddings
        place = table.weight[: words.shape[1]] if position_ids is None else table(position_ids)
        return self.dropout(self.LayerNorm(words + place))  # type: ignore[no-any-return]


class DistilBertAttention(nn.Module):
    """Query, key, value and output of one layer, as wide as its kept heads."""

    def __init__(self, config: DistilBertConfig, index: int) -> None:
        super().__init__()
        self.index = index
        self.head_size = config.dim // config.n_heads
        kept = self.head_size * (config.n_heads - len(config.pruned_heads.get(index, ())))
        self.q_lin = nn.Linear(config.dim, kept)
        self.k_lin = nn.Linear(config.dim, kept)
        self.v_lin = nn.Linear(config.dim, kept)
        self.out_lin = nn.Linear(kept, config.dim)
        self.dropout = nn.Dropout(config.attention_dropout)

    def forward(self, hidden: Tensor, attention: Attention) -> tuple[Tensor, Tensor | None]:
        """(B, T, W) -> (B, T, W) and weights."""
        q, k, v = self.q_lin(hidden), self.k_lin(hidden), self.v_lin(hidden)
        dropout = self.dropout.p if self.training else 0.0
        context, weights = attention(self.index, q, k, v, q.shape[-1] // self.head_size, dropout)
        return self.out_lin(context), weights


class FeedForward(nn.Module):
    """Two dense layers with an activation between them."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.lin1 = nn.Linear(config.dim, config.hidden_dim)
        self.lin2 = nn.Linear(config.hidden_dim, config.dim)
        self.activate = activation(config.activation)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, W) -> (B, T, W)."""
        return self.dropout(self.lin2(self.activate(self.lin1(x))))  # type: ignore[no-any-return]


class DistilBertLayer(nn.Module):
    """Attention and one feed-forward network, each with a residual and a layer norm."""

    def __init__(self, config: DistilBertConfig, index: int) -> None:
        super().__init__()
        self.attention = DistilBertAttention(config, index)
        self.sa_layer_norm = nn.LayerNorm(config.dim, eps=NORM_EPS)
        self.ffn = FeedForward(config)
        self.output_layer_norm = nn.LayerNorm(config.dim, eps=NORM_EPS)

    def forward(self, hidden: Tensor, attention: Attention) -> tuple[Tensor, Tensor | None]:
        """(B, T, W) -> (B, T, W) and weights."""
        attended, weights = self.attention(hidden, attention)
        hidden = self.sa_layer_norm(attended + hidden)
        return self.output_layer_norm(self.ffn(hidden) + hidden), weights


class DistilBertLayers(nn.Module):
    """The stack of layers, under the name that it has on disk."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(DistilBertLayer(config, index) for index in range(config.n_layers))


class DistilBertPreTrainedModel(PreTrainedModel):
    """What all DistilBERT classes are."""

    config_class = DistilBertConfig
    base_model_prefix = "distilbert"


class DistilBertModel(Encoder, DistilBertPreTrainedModel):
    """The encoder.

    >>> import torch
    >>> from pocketbert import DistilBertConfig, DistilBertModel
    >>> model = DistilBertModel(DistilBertConfig(vocab_size=99, dim=8, n_heads=2, n_layers=1, hidden_dim=16))
    >>> model(torch.tensor([[2, 7, 3]])).last_hidden_state.shape
    torch.Size([1, 3, 8])
    """

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.embeddings = DistilBertEmbeddings(config)
        self.transformer = DistilBertLayers(config)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> ModelOutput | tuple[Any, ...]:
        """Return a ``BaseModelOutput``; ``token_type_ids`` is accepted and ignored.

        See ``pocketbert.torch.calls`` for the other arguments.
        """
        inputs = (input_ids, attention_mask, None, position_ids, head_mask, inputs_embeds)
        return self.encode(inputs, (output_attentions, output_hidden_states, return_dict))

    def encoder_layers(self) -> list[nn.Module]:
        """See ``Encoder``."""
        return list(self.transformer.layer)

    def _attention_linears(self, layer: int) -> tuple[nn.Linear, nn.Linear, nn.Linear, nn.Linear]:
        attention: Any = self.transformer.layer[layer].attention
        return attention.q_lin, attention.k_lin, attention.v_lin, attention.out_lin


class DistilBertTask(heads.Task, DistilBertPreTrainedModel):
    """A DistilBERT encoder with a head."""

    encoder_class: ClassVar[Callable[..., PreTrainedModel]] = DistilBertModel


class DistilBertForMaskedLM(DistilBertCall, heads.MaskedLM, DistilBertTask):
    """DistilBERT with its masked-language-model head."""


class DistilBertForSequenceClassification(DistilBertCall, heads.SequenceClassification, DistilBertTask):
    """DistilBERT with a classification or regression head over the text.

    >>> import torch
    >>> from pocketbert import DistilBertConfig, DistilBertForSequenceClassification
    >>> config = DistilBertConfig(vocab_size=99, dim=8, n_heads=2, n_layers=1, hidden_dim=16, num_labels=3)
    >>> output = DistilBertForSequenceClassification(config)(torch.tensor([[2, 7, 3]]), labels=torch.tensor([1]))
    >>> output.logits.shape, output.loss.shape
    (torch.Size([1, 3]), torch.Size([]))
    """


class DistilBertForMultipleChoice(DistilBertCall, heads.MultipleChoice, DistilBertTask):
    """DistilBERT with a score for each of several texts."""


class DistilBertForTokenClassification(DistilBertCall, heads.TokenClassification, DistilBertTask):
    """DistilBERT with a class for each token."""


class DistilBertForQuestionAnswering(DistilBertSpanCall, heads.QuestionAnswering, DistilBertTask):
    """DistilBERT with an answer's start and end."""
