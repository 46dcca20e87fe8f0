"""MobileBERT's configuration, its teacher's and its variants', and Google's original files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from pocketbert.architecture.config.field_checks import (
    MOST_LAYERS,
    check_bool,
    check_float,
    check_heads,
    check_int,
    check_probability,
)
from pocketbert.architecture.config.pretrained_config import PretrainedConfig
from pocketbert.errors import ConfigError
from pocketbert.storage.texts import read_json

__all__ = ["MobileBertConfig"]

_GELU_AND_LAYER_NORM = {"hidden_act": "gelu_new", "normalization_type": "layer_norm", "outer_layer_norm_eps": 1e-12}


_OUTER_EPS = 1e-5  # of torch.nn.LayerNorm, where the reference implementation names none


class MobileBertConfig(PretrainedConfig):
    """MobileBERT's architecture (arXiv 2004.02984); the defaults are ``google/mobilebert-uncased``.

    The same fields describe its teacher IB-BERT_LARGE (``ib_bert_large``), MobileBERT_TINY (``tiny``) and the variant
    without operational optimizations (``without_opt``). ``from_google_json`` reads the original JSON files, whose
    absent keys mean something else.

    Args:
        vocab_size: number of word pieces.
        hidden_size: width between blocks.
        num_hidden_layers: number of blocks.
        num_attention_heads: attention heads of a block.
        intermediate_size: width inside each feed-forward network.
        hidden_act: one of ``ACTIVATIONS``, or a function; ``"gelu"`` is the erf form.
        hidden_dropout_prob: dropout of embeddings and layers.
        attention_probs_dropout_prob: dropout of the attention weights.
        max_position_embeddings: longest sequence, in tokens.
        type_vocab_size: number of token types.
        initializer_range: standard deviation of fresh weights.
        layer_norm_eps: epsilon of the layer norms (see also ``outer_layer_norm_eps``).
        pad_token_id: id of ``[PAD]``.
        embedding_size: width of the word table.
        trigram_input: embed each token with the previous and the next one.
        use_bottleneck: blocks work at ``intra_bottleneck_size``, narrower or wider than ``hidden_size``.
        intra_bottleneck_size: width inside a block.
        use_bottleneck_attention: query, key and value all read the input bottleneck.
        key_query_shared_bottleneck: query and key read a second, shared bottleneck.
        num_feedforward_networks: feed-forward networks of a block.
        normalization_type: ``"no_norm"`` (an affine map) or ``"layer_norm"``.
        classifier_activation: the pooler is a dense layer with tanh; otherwise it is the raw [CLS] state.
        classifier_dropout: dropout before a classification head; ``hidden_dropout_prob`` where None.
        outer_layer_norm_eps: epsilon of ``embeddings.LayerNorm`` and of each block's ``output.LayerNorm``, which the
            reference implementation leaves at 1e-5. Matters for ``layer_norm`` only.
        **kwargs: see ``PretrainedConfig``.

    Example:
        >>> from pocketbert import MobileBertConfig
        >>> MobileBertConfig.tiny().num_feedforward_networks
        2
    """

    model_type = "mobilebert"

    def __init__(
        self,
        vocab_size: int = 30522,
        hidden_size: int = 512,
        num_hidden_layers: int = 24,
        num_attention_heads: int = 4,
        intermediate_size: int = 512,
        hidden_act: str | Callable[[Any], Any] = "relu",
        hidden_dropout_prob: float = 0.0,
        attention_probs_dropout_prob: float = 0.1,
        max_position_embeddings: int = 512,
        type_vocab_size: int = 2,
        initializer_range: float = 0.02,
        layer_norm_eps: float = 1e-12,
        pad_token_id: int | None = 0,
        embedding_size: int = 128,
        trigram_input: bool = True,
        use_bottleneck: bool = True,
        intra_bottleneck_size: int = 128,
        use_bottleneck_attention: bool = False,
        key_query_shared_bottleneck: bool = True,
        num_feedforward_networks: int = 4,
        normalization_type: str = "no_norm",
        classifier_activation: bool = True,
        classifier_dropout: float | None = None,
        outer_layer_norm_eps: float = _OUTER_EPS,
        **kwargs: Any,
    ) -> None:
        self._take(locals())
        kwargs.pop("true_hidden_size", None)  # derived
        super().__init__(**kwargs)

    @property
    def true_hidden_size(self) -> int:
        """Width inside a block."""
        return self.intra_bottleneck_size if self.use_bottleneck else self.hidden_size

    @property
    def query_key_size(self) -> int:
        """Width that query and key read: a bottleneck's, or the block input's (IB-BERT)."""
        narrow = self.use_bottleneck and (self.use_bottleneck_attention or self.key_query_shared_bottleneck)
        return self.intra_bottleneck_size if narrow else self.hidden_size

    @property
    def value_size(self) -> int:
        """Width that value reads."""
        narrow = self.use_bottleneck and self.use_bottleneck_attention
        return self.intra_bottleneck_size if narrow else self.hidden_size

    def to_dict(self) -> dict[str, Any]:
        """See ``PretrainedConfig.to_dict``; ``outer_layer_norm_eps``, which transformers lacks, where it matters."""
        fields = {**super().to_dict(), "true_hidden_size": self.true_hidden_size}
        if self.outer_layer_norm_eps == _OUTER_EPS:
            del fields["outer_layer_norm_eps"]
        return fields

    def validate(self) -> None:
        """See ``PretrainedConfig.validate``."""
        super().validate()
        for name in ("type_vocab_size", "embedding_size"):
            check_int(name, getattr(self, name), low=1)
        check_int("num_feedforward_networks", self.num_feedforward_networks, low=1, high=MOST_LAYERS)
        for name in ("trigram_input", "use_bottleneck", "use_bottleneck_attention", "key_query_shared_bottleneck"):
            check_bool(name, getattr(self, name))
        check_bool("classifier_activation", self.classifier_activation)
        for name in ("layer_norm_eps", "outer_layer_norm_eps"):
            check_float(name, getattr(self, name))
        width = "intra_bottleneck_size" if self.use_bottleneck else "hidden_size"
        check_int(width, self.true_hidden_size, low=1)
        check_heads(self.num_attention_heads, width, self.true_hidden_size)
        if self.embedding_size > self.hidden_size:
            raise ConfigError(f"embedding_size {self.embedding_size} exceeds hidden_size {self.hidden_size}")
        if self.normalization_type not in ("no_norm", "layer_norm"):
            found = self.normalization_type
            raise ConfigError(f"normalization_type {found!r} is unknown; choose 'no_norm' or 'layer_norm'")
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            check_probability(name, getattr(self, name))
        check_probability("classifier_dropout", self.classifier_dropout, optional=True)

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any], **kwargs: Any) -> Any:
        """As ``PretrainedConfig.from_dict``; a dict without ``model_type`` is Google's (see ``from_google_json``)."""
        if not {"model_type", "transformers_version", "architectures"} & {*config_dict, *kwargs}:
            config_dict = google_fields(config_dict)
        return super().from_dict(config_dict, **kwargs)

    @classmethod
    def from_google_json(cls, json_file: str | os.PathLike[str]) -> MobileBertConfig:
        """Read one of the original files (google-research ``mobilebert/config``), with their own defaults.

        Keys that they leave out mean LayerNorm, one feed-forward network, no sharing, no trigram and no bottleneck;
        ``"gelu"`` is the tanh form, every epsilon is 1e-12, and classification heads have dropout 0.1.
        """
        config: MobileBertConfig = cls.from_dict(google_fields(read_json(json_file)))
        return config

    @classmethod
    def ib_bert_large(cls, **kwargs: Any) -> MobileBertConfig:
        """IB-BERT_LARGE, the teacher: inverted bottlenecks of 1024, LayerNorm (section 3 of the paper)."""
        sizes = {"intermediate_size": 4096, "intra_bottleneck_size": 1024, "num_feedforward_networks": 1}
        other = {"hidden_dropout_prob": 0.1, "key_query_shared_bottleneck": False}
        return cls(**{**_GELU_AND_LAYER_NORM, **sizes, **other, **kwargs})

    @classmethod
    def tiny(cls, **kwargs: Any) -> MobileBertConfig:
        """MobileBERT_TINY: two feed-forward networks, attention inside the bottleneck (section 4 of the paper)."""
        inside = {"use_bottleneck_attention": True, "key_query_shared_bottleneck": False}
        return cls(**{**inside, "num_feedforward_networks": 2, "classifier_activation": False, **kwargs})

    @classmethod
    def without_opt(cls, **kwargs: Any) -> MobileBertConfig:
        """MobileBERT without operational optimizations: LayerNorm and gelu (section 4.3 of the paper)."""
        return cls(**{**_GELU_AND_LAYER_NORM, "classifier_activation": False, **kwargs})


def google_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Say in full what a file of google-research ``mobilebert/config`` leaves out (``modeling.BertConfig`` there)."""
    if "vocab_size" not in fields:
        raise ConfigError("no model_type and no vocab_size: neither a Hugging Face nor a Google configuration")
    full = {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "max_position_embeddings": 512,
        "type_vocab_size": 16,
        "initializer_range": 0.02,
        **dict.fromkeys(("trigram_input", "use_bottleneck", "use_bottleneck_attention"), False),
        "key_query_shared_bottleneck": False,
        "num_feedforward_networks": 1,
        "classifier_activation": True,
        "normalization_type": "layer_norm",
        "layer_norm_eps": 1e-12,
        "outer_layer_norm_eps": 1e-12,
        "classifier_dropout": 0.1,
        **fields,
    }
    for name in ("embedding_size", "intra_bottleneck_size"):
        if full.get(name) is None:
            full[name] = full["hidden_size"]
    if full["hidden_act"] == "gelu":
        full["hidden_act"] = "gelu_new"
    if full["normalization_type"] == "manual_layer_norm":
        full |= {"normalization_type": "layer_norm", "layer_norm_eps": 1e-6, "outer_layer_norm_eps": 1e-6}
    return full
