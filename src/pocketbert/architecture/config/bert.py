"""BERT's configuration: teachers and MiniLM-like encoders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from pocketbert.architecture.config.field_checks import check_float, check_heads, check_int, check_probability
from pocketbert.architecture.config.passive_fields import PASSIVE_FIELDS
from pocketbert.architecture.config.pretrained_config import PretrainedConfig

__all__ = ["BertConfig"]


class BertConfig(PretrainedConfig):
    """BERT's architecture (arXiv 1810.04805), for teachers and MiniLM-like encoders; the defaults are ``bert-base``.

    Args:
        vocab_size: number of word pieces.
        hidden_size: width of the hidden states.
        num_hidden_layers: number of layers.
        num_attention_heads: attention heads of a layer.
        intermediate_size: width inside the feed-forward network.
        hidden_act: one of ``ACTIVATIONS``, or a function; ``"gelu"`` is the erf form.
        hidden_dropout_prob: dropout of embeddings and layers.
        attention_probs_dropout_prob: dropout of the attention weights.
        max_position_embeddings: longest sequence, in tokens.
        type_vocab_size: number of token types.
        initializer_range: standard deviation of fresh weights.
        layer_norm_eps: epsilon of the layer norms.
        pad_token_id: id of ``[PAD]``.
        position_embedding_type: only ``"absolute"``.
        classifier_dropout: dropout before a classification head; ``hidden_dropout_prob`` where None.
        **kwargs: see ``PretrainedConfig``.

    Example:
        >>> from pocketbert import BertConfig
        >>> BertConfig(num_hidden_layers=6).intermediate_size
        3072
    """

    model_type = "bert"
    passive_fields: ClassVar[Mapping[str, Any]] = {**PASSIVE_FIELDS, "use_cache": True}

    def __init__(
        self,
        vocab_size: int = 30522,
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        hidden_act: str | Callable[[Any], Any] = "gelu",
        hidden_dropout_prob: float = 0.1,
        attention_probs_dropout_prob: float = 0.1,
        max_position_embeddings: int = 512,
        type_vocab_size: int = 2,
        initializer_range: float = 0.02,
        layer_norm_eps: float = 1e-12,
        pad_token_id: int | None = 0,
        position_embedding_type: str = "absolute",
        classifier_dropout: float | None = None,
        **kwargs: Any,
    ) -> None:
        self._take(locals())
        super().__init__(**kwargs)

    def validate(self) -> None:
        """See ``PretrainedConfig.validate``."""
        super().validate()
        check_int("type_vocab_size", self.type_vocab_size, low=1)
        check_float("layer_norm_eps", self.layer_norm_eps)
        check_heads(self.num_attention_heads, "hidden_size", self.hidden_size)
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            check_probability(name, getattr(self, name))
        check_probability("classifier_dropout", self.classifier_dropout, optional=True)
