"""DistilBERT's configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from pocketbert.architecture.config.field_checks import check_bool, check_heads, check_probability
from pocketbert.architecture.config.pretrained_config import PretrainedConfig

__all__ = ["DistilBertConfig"]


class DistilBertConfig(PretrainedConfig):
    """DistilBERT's architecture (arXiv 1910.01108); the defaults are ``distilbert-base-uncased``.

    Args:
        vocab_size: number of word pieces.
        max_position_embeddings: longest sequence, in tokens.
        sinusoidal_pos_embds: start the position table as sines and cosines instead of random values.
        n_layers: number of layers (also ``num_hidden_layers``).
        n_heads: attention heads of a layer (also ``num_attention_heads``).
        dim: width of the hidden states (also ``hidden_size``).
        hidden_dim: width inside the feed-forward network.
        dropout: dropout of embeddings and layers.
        attention_dropout: dropout of the attention weights.
        activation: one of ``ACTIVATIONS``, or a function; ``"gelu"`` is the erf form.
        initializer_range: standard deviation of fresh weights.
        qa_dropout: dropout before the question-answering head.
        seq_classif_dropout: dropout inside the sequence-classification and multiple-choice heads.
        pad_token_id: id of ``[PAD]``.
        **kwargs: see ``PretrainedConfig``.

    Example:
        >>> from pocketbert import DistilBertConfig
        >>> config = DistilBertConfig(n_layers=2, num_labels=3)
        >>> config.num_hidden_layers, config.dim, config.id2label[2]
        (2, 768, 'LABEL_2')
    """

    model_type = "distilbert"
    attribute_map: ClassVar[Mapping[str, str]] = {
        "hidden_size": "dim",
        "num_attention_heads": "n_heads",
        "num_hidden_layers": "n_layers",
        "intermediate_size": "hidden_dim",
        "hidden_act": "activation",
    }

    def __init__(
        self,
        vocab_size: int = 30522,
        max_position_embeddings: int = 512,
        sinusoidal_pos_embds: bool = False,
        n_layers: int = 6,
        n_heads: int = 12,
        dim: int = 768,
        hidden_dim: int = 3072,
        dropout: float = 0.1,
        attention_dropout: float = 0.1,
        activation: str | Callable[[Any], Any] = "gelu",
        initializer_range: float = 0.02,
        qa_dropout: float = 0.1,
        seq_classif_dropout: float = 0.2,
        pad_token_id: int | None = 0,
        **kwargs: Any,
    ) -> None:
        self._take(locals())
        super().__init__(**kwargs)

    def validate(self) -> None:
        """See ``PretrainedConfig.validate``."""
        super().validate()
        check_bool("sinusoidal_pos_embds", self.sinusoidal_pos_embds)
        check_heads(self.n_heads, "dim", self.dim)
        for name in ("dropout", "attention_dropout", "qa_dropout", "seq_classif_dropout"):
            check_probability(name, getattr(self, name))
