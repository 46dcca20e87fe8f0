"""DistilBERT (arXiv 1910.01108), read top to bottom: BERT without token types and pooler, half the layers.

Shapes: B batch, T tokens, W dim, M hidden_dim, V vocabulary. The modules carry the names that are on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from pocketbert.architecture.config import DistilBertConfig
from pocketbert.architecture.families import FAMILIES, family_of
from pocketbert.architecture.outputs import BaseModelOutput, ModelOutput
from pocketbert.architecture.parameters import kept_width
from pocketbert.torch import heads
from pocketbert.torch.calls import DistilBertCall, DistilBertSpanCall
from pocketbert.torch.embeddings import TokenEmbeddings
from pocketbert.torch.encoder import Encoder
from pocketbert.torch.initializing import fill
from pocketbert.torch.layers import Dropout, Stack, activation, attend
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


class Embeddings(TokenEmbeddings):
    """Word + position, layer norm, dropout."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config.vocab_size, config.dim, config.max_position_embeddings, config.dim, config.pad_token_id)
        self.sinusoidal = config.sinusoidal_pos_embds
        self.LayerNorm = nn.LayerNorm(config.dim, eps=NORM_EPS)
        self.dropout = nn.Dropout(config.dropout)
        self.position_embeddings.weight.requires_grad = not config.sinusoidal_pos_embds

    def forward(
        self, input_ids: Tensor | None, input_embeds: Tensor | None = None, position_ids: Tensor | None = None
    ) -> Tensor:
        """(B, T) ids or (B, T, W) word vectors -> (B, T, W)."""
        words = self.vectors(input_ids, input_embeds)
        return self.dropout(self.LayerNorm(words + self.places(words.shape[1], position_ids)))  # type: ignore[no-any-return]


class MultiHeadSelfAttention(nn.Module):
    """Query, key, value and output of one layer, as wide as its kept heads."""

    def __init__(self, config: DistilBertConfig, index: int) -> None:
        super().__init__()
        self.config = config
        self.attention_head_size = config.dim // config.n_heads
        kept = kept_width(config, index, config.dim)
        self.q_lin = nn.Linear(config.dim, kept)
        self.k_lin = nn.Linear(config.dim, kept)
        self.v_lin = nn.Linear(config.dim, kept)
        self.out_lin = nn.Linear(kept, config.dim)
        self.dropout = Dropout(config.attention_dropout)

    @property
    def dim(self) -> int:
        """Width of the kept heads together."""
        return int(self.q_lin.out_features)

    @property
    def n_heads(self) -> int:
        """How many heads are kept."""
        return int(self.dim // self.attention_head_size)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        head_mask: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, ...]:
        """(B, T, W) -> (B, T, W), and the weights if wanted; see ``layers.attend`` for the masks."""
        q, k, v = self.q_lin(query), self.k_lin(key), self.v_lin(value)
        size, how = self.attention_head_size, self.config.attn_implementation
        context, weights = attend(q, k, v, size, mask, head_mask, self.dropout, output_attentions, how)
        hidden = self.out_lin(context)
        return (hidden,) if weights is None else (hidden, weights)


class FFN(nn.Module):
    """Two dense layers with an activation between them."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.lin1 = nn.Linear(config.dim, config.hidden_dim)
        self.lin2 = nn.Linear(config.hidden_dim, config.dim)
        self.activation = activation(config.activation)

    def forward(self, input: Tensor) -> Tensor:  # the name that hooks and callers know
        """(B, T, W) -> (B, T, W)."""
        return self.dropout(self.lin2(self.activation(self.lin1(input))))  # type: ignore[no-any-return]


class TransformerBlock(nn.Module):
    """Attention and one feed-forward network, each with a residual and a layer norm."""

    def __init__(self, config: DistilBertConfig, index: int) -> None:
        super().__init__()
        self.attention = MultiHeadSelfAttention(config, index)
        self.sa_layer_norm = nn.LayerNorm(config.dim, eps=NORM_EPS)
        self.ffn = FFN(config)
        self.output_layer_norm = nn.LayerNorm(config.dim, eps=NORM_EPS)

    def forward(
        self,
        x: Tensor,
        attn_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, ...]:
        """(B, T, W) -> (hidden,), or (weights, hidden) where weights are wanted."""
        attended, *weights = self.attention(
            query=x, key=x, value=x, mask=attn_mask, head_mask=head_mask, output_attentions=output_attentions
        )
        hidden = self.sa_layer_norm(attended + x)
        return (*weights, self.output_layer_norm(self.ffn(hidden) + hidden))


class Transformer(Stack):
    """The stack of layers."""

    hidden_at = -1
    weights_at = 0

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__([TransformerBlock(config, index) for index in range(config.n_layers)])
        self.n_layers = config.n_layers

    def forward(
        self,
        x: Tensor,
        attn_mask: Tensor | None = None,
        head_mask: Any = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        return_dict: bool | None = None,
    ) -> BaseModelOutput | tuple[Any, ...]:
        """(B, T, W) -> the last hidden state and what else is wanted; see ``layers.Stack.run``."""
        return self.run(x, attn_mask, head_mask, output_attentions, output_hidden_states, return_dict)


class DistilBertPreTrainedModel(PreTrainedModel):
    """What all DistilBERT classes are."""

    config_class = DistilBertConfig
    base_model_prefix = "distilbert"

    def _init_weights(self, module: nn.Module) -> None:
        fill(module, self.config.initializer_range)


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
        with self.assembling():
            self.embeddings = Embeddings(config)
            self.transformer = Transformer(config)
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

    def embed(
        self,
        input_ids: Tensor | None,
        token_type_ids: Tensor | None,
        position_ids: Tensor | None,
        inputs_embeds: Tensor | None,
    ) -> Tensor:
        """See ``Encoder``."""
        return self.embeddings(input_ids, inputs_embeds, position_ids)  # type: ignore[no-any-return]

    def run_stack(self, hidden: Tensor, mask: Tensor | None, head_mask: Any, weights: bool, states: bool) -> Any:
        """See ``Encoder``."""
        return self.transformer(
            x=hidden,
            attn_mask=mask,
            head_mask=head_mask,
            output_attentions=weights,
            output_hidden_states=states,
            return_dict=True,
        )

    def attention_linears(self, layer: int) -> tuple[nn.Linear, nn.Linear, nn.Linear, nn.Linear]:
        """See ``pruning``."""
        attention: Any = self.transformer.layer[layer].attention
        return attention.q_lin, attention.k_lin, attention.v_lin, attention.out_lin


class DistilBertTask(heads.Task, DistilBertPreTrainedModel):
    """A DistilBERT encoder with a head."""

    encoder_class: ClassVar[Callable[..., PreTrainedModel]] = DistilBertModel

    def build_words(self) -> None:
        """See ``heads.Task``."""
        width, words = self.config.dim, family_of(self.config).words
        self.activation = activation(self.config.activation)
        self.place(words.transform, nn.Linear(width, width))
        self.place(words.norm, nn.LayerNorm(width, eps=NORM_EPS))
        self.place(words.decoder, nn.Linear(width, self.config.vocab_size))

    def word_logits(self, hidden: Tensor) -> Tensor:
        """See ``heads.Task``."""
        words, at = family_of(self.config).words, self.layer_at
        transformed = at(words.norm)(self.activation(at(words.transform)(hidden)))
        return at(words.decoder)(transformed)  # type: ignore[no-any-return]


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
