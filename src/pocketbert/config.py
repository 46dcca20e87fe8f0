"""What a model is: DistilBertConfig, MobileBertConfig and BertConfig, in and out of Hugging Face's ``config.json``.

Parameters, order and defaults are those of the original documentation. A configuration is checked when it is made and
again when a model is built from it. Names that older checkpoints carry and that mean nothing here are kept, so that a
file that is read and written loses nothing.
"""

from __future__ import annotations

import copy
import difflib
import inspect
import json
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pocketbert.errors import ConfigError
from pocketbert.files import read_json, replacing
from pocketbert.hub import CONFIG_FILES, HubOptions, local_folder

__all__ = [
    "PretrainedConfig",
    "DistilBertConfig",
    "MobileBertConfig",
    "BertConfig",
    "AutoConfig",
    "ACTIVATIONS",
    "PROBLEM_TYPES",
]

ACTIVATIONS = (
    "gelu",
    "gelu_new",
    "gelu_pytorch_tanh",
    "relu",
    "relu6",
    "silu",
    "tanh",
    "linear",
)
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")

# Far beyond any real model; a file from a stranger that says more would only fill the memory.
_MOST_LAYERS = 1000
_MOST_LABELS = 1_000_000

C = TypeVar("C", bound="PretrainedConfig")

# Keys of PretrainedConfig that real files hold and that change nothing in an encoder.
_PASSIVE = frozenset(
    {
        "add_cross_attention",
        "bos_token_id",
        "chunk_size_feed_forward",
        "cls_token_id",
        "decoder_start_token_id",
        "directionality",
        "eos_token_id",
        "finetuning_task",
        "gradient_checkpointing",
        "is_decoder",
        "is_encoder_decoder",
        "language",
        "mask_token_id",
        "model_max_length",
        "name",
        "output_past",
        "pooler_fc_size",
        "pooler_num_attention_heads",
        "pooler_num_fc_layers",
        "pooler_size_per_head",
        "pooler_type",
        "position_embedding_type",
        "prefix",
        "sep_token_id",
        "task_specific_params",
        "tie_weights_",
        "tokenizer_class",
        "torchscript",
        "transformers_version",
        "true_hidden_size",
        "use_bfloat16",
        "use_cache",
        "xla_device",
    }
)


class PretrainedConfig:
    """What every configuration has beside its architecture.

    Args:
        output_hidden_states: return every hidden state by default.
        output_attentions: return the attention weights by default.
        return_dict: return a ``ModelOutput``; ``False`` gives plain tuples.
        num_labels: number of labels of a classification head; renames the labels if their number changes.
        id2label: label names by index; ``label2id`` is derived from it if absent.
        label2id: index by label name.
        problem_type: ``"regression"``, ``"single_label_classification"`` or ``"multi_label_classification"``; decided
            by the number of labels and the labels' dtype where it is None.
        tie_word_embeddings: the masked-language-model head shares the word table.
        pruned_heads: ``{layer: [heads]}`` that were removed.
        torch_dtype: the dtype of the weights on disk; read by ``from_pretrained(dtype="auto")`` only.
        architectures: names of the classes that the checkpoint was saved from.
        attn_implementation: ``"sdpa"`` (the default) or ``"eager"``; a runtime choice, not written to disk.

    Raises:
        ConfigError: a field is unknown, of the wrong type or out of its range.
    """

    model_type: ClassVar[str] = ""
    attribute_map: ClassVar[Mapping[str, str]] = {}
    pretrained_config_archive_map: ClassVar[Mapping[str, str]] = {}

    # Every concrete configuration answers to these names, by field or by `attribute_map`.
    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
    initializer_range: float
    pad_token_id: int | None
    id2label: dict[int, str]
    label2id: dict[str, int]

    def __init__(
        self,
        *,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        return_dict: bool = True,
        num_labels: int | None = None,
        id2label: Mapping[Any, str] | None = None,
        label2id: Mapping[str, Any] | None = None,
        problem_type: str | None = None,
        tie_word_embeddings: bool = True,
        pruned_heads: Mapping[Any, Any] | None = None,
        torch_dtype: Any = None,
        architectures: list[str] | None = None,
        attn_implementation: str | None = None,
        **others: Any,
    ) -> None:
        self.output_hidden_states = output_hidden_states
        self.output_attentions = output_attentions
        self.return_dict = return_dict
        self.problem_type = problem_type
        self.tie_word_embeddings = tie_word_embeddings
        self.pruned_heads: dict[int, list[int]] = _pruned(pruned_heads)
        self.torch_dtype = _dtype_name(others.pop("dtype", None) or torch_dtype)
        self.architectures = architectures
        self.attn_implementation = attn_implementation or "sdpa"
        self.name_or_path = str(others.pop("name_or_path", None) or "")
        self._set_labels(num_labels, id2label, label2id)
        for name, value in others.items():
            if name not in self.attribute_map and name not in _PASSIVE:
                self._refuse(name)
            setattr(self, name, _modern(value) if name == "hidden_act" else value)
        self.validate()

    # -- fields ------------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, self.attribute_map.get(name, name), value)

    def __getattr__(self, name: str) -> Any:
        alias = type(self).attribute_map.get(name)
        if alias is None:
            raise AttributeError(f"{type(self).__name__} has no field {name!r}")
        return getattr(self, alias)

    @property
    def use_return_dict(self) -> bool:
        """Whether forward returns a ``ModelOutput`` when not told."""
        return self.return_dict

    @property
    def num_labels(self) -> int:
        """Number of labels; setting another number renames the labels ``LABEL_0``, ``LABEL_1``, ..."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, count: int) -> None:
        _check_int("num_labels", count, low=1, high=_MOST_LABELS)
        if count != len(self.id2label):
            self.id2label = _default_labels(count)
            self.label2id = {label: index for index, label in self.id2label.items()}

    def _set_labels(
        self, count: int | None, id2label: Mapping[Any, str] | None, label2id: Mapping[str, Any] | None
    ) -> None:
        if label2id is not None and not isinstance(label2id, Mapping):
            raise ConfigError(f"label2id maps names to indices, got {label2id!r}")
        if id2label is None and label2id is not None and count in (None, len(label2id)):
            id2label = {index: label for label, index in label2id.items()}
        names = _default_labels(2)
        if id2label is not None:
            try:
                names = {int(index): str(label) for index, label in id2label.items()}
            except (TypeError, ValueError, AttributeError) as error:
                raise ConfigError(f"id2label maps indices to names, got {id2label!r}") from error
            if sorted(names) != list(range(len(names))) or not names:
                raise ConfigError(f"id2label must name every index 0 .. {max(len(names) - 1, 0)}, got {sorted(names)}")
            if count is not None and count != len(names):
                raise ConfigError(f"num_labels {count} contradicts id2label, which names {len(names)} labels")
        self.id2label = dict(sorted(names.items()))
        self.label2id = {label: index for index, label in self.id2label.items()}
        if count is not None:
            self.num_labels = count

    @classmethod
    def _fields(cls) -> list[str]:
        """Name the parameters of this class, without those that every configuration has."""
        return _named_parameters(cls)

    @classmethod
    def _known(cls) -> set[str]:
        """Name everything that the constructor takes."""
        return {*cls._fields(), *_named_parameters(PretrainedConfig), *cls.attribute_map, *_PASSIVE, "name_or_path"}

    def _refuse(self, name: str) -> None:
        close = difflib.get_close_matches(name, sorted(self._known() - _PASSIVE), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"{type(self).__name__} has no parameter {name!r}{hint}")

    # -- checks ------------------------------------------------------------------------------------------------

    def validate(self) -> None:
        """Check every field.

        Raises:
            ConfigError: a field is of the wrong type, out of its range, or contradicts another.
        """
        for name in ("vocab_size", "hidden_size", "num_attention_heads", "max_position_embeddings"):
            _check_int(self.attribute_map.get(name, name), getattr(self, name), low=1)
        name = self.attribute_map.get("num_hidden_layers", "num_hidden_layers")
        _check_int(name, self.num_hidden_layers, low=1, high=_MOST_LAYERS)
        for name in ("output_hidden_states", "output_attentions", "return_dict", "tie_word_embeddings"):
            _check_bool(name, getattr(self, name))
        if self.pad_token_id is not None:
            _check_int("pad_token_id", self.pad_token_id, low=0, high=self.vocab_size - 1)
        _check_float("initializer_range", self.initializer_range)
        if self.problem_type is not None and self.problem_type not in PROBLEM_TYPES:
            raise ConfigError(f"problem_type {self.problem_type!r} is unknown; choose from {', '.join(PROBLEM_TYPES)}")
        if self.attn_implementation not in ("sdpa", "eager"):
            raise ConfigError(f"attn_implementation {self.attn_implementation!r} is unknown; choose 'sdpa' or 'eager'")
        if getattr(self, "position_embedding_type", "absolute") != "absolute":
            raise ConfigError(f"position_embedding_type {self.position_embedding_type!r}: only 'absolute' is supported")
        if getattr(self, "is_decoder", False):
            raise ConfigError("is_decoder is true: these models are encoders")
        for layer, heads in self.pruned_heads.items():
            _check_int("layer in pruned_heads", layer, low=0, high=self.num_hidden_layers - 1)
            for head in heads:
                _check_int(f"head in pruned_heads[{layer}]", head, low=0, high=self.num_attention_heads - 1)
            if len(heads) == self.num_attention_heads:
                raise ConfigError(f"pruned_heads[{layer}] removes all {len(heads)} heads; keep at least one")

    # -- in and out --------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> Any:
        """Read ``config.json`` from a folder, a file or a hub name.

        Args:
            pretrained_model_name_or_path: folder, path of a JSON file, or hub name.
            **kwargs: hub options (``revision``, ``cache_dir``, ``local_files_only``, ``token``, ``force_download``,
                ``subfolder``), fields that override the file's, and ``return_unused_kwargs``: return a pair of the
                configuration and the keywords that it does not have.

        Raises:
            CheckpointError, HubError: there is no such file.
            ConfigError: the file describes no model of this class, or a keyword is unknown.
        """
        unused_wanted = kwargs.pop("return_unused_kwargs", False)
        hub = HubOptions(**{name: kwargs.pop(name) for name in HubOptions.__annotations__ if name in kwargs})
        config = cls.from_json_file(_config_file(pretrained_model_name_or_path, hub))
        config.name_or_path = str(pretrained_model_name_or_path)
        unused = config.update(kwargs, keep_unknown=unused_wanted)
        return (config, unused) if unused_wanted else config

    @classmethod
    def from_json_file(cls: type[C], json_file: str | os.PathLike[str]) -> C:
        """Read one JSON file."""
        fields = read_json(json_file)
        try:
            return cls.from_dict(fields)
        except ConfigError as error:
            raise ConfigError(f"{json_file}: {error}") from error

    @classmethod
    def from_dict(cls: type[C], config_dict: Mapping[str, Any], **kwargs: Any) -> C:
        """Build from the content of a ``config.json``; names that are unknown here are kept as they are."""
        fields = {**config_dict, **kwargs}
        found = fields.pop("model_type", cls.model_type)
        if found != cls.model_type:
            raise ConfigError(f"model_type is {found!r}, {cls.__name__} reads {cls.model_type!r}; use AutoConfig")
        for name in ("hidden_act", "activation"):
            if fields.get(name) == "swish":
                fields[name] = "silu"
        if fields.get("id2label") is not None:
            fields.pop("num_labels", None)  # the names on disk are what was trained
        fields.setdefault("name_or_path", fields.get("_name_or_path") or "")
        known = {name: value for name, value in fields.items() if name in cls._known()}
        config = cls(**known, dtype=fields.get("dtype"))
        for name in fields.keys() - known.keys() - {"dtype"}:
            # a name that a method or the machinery has is never a field
            if not name.startswith("_") and not hasattr(cls, name):
                setattr(config, name, fields[name])
        return config

    def update(self, fields: Mapping[str, Any], *, keep_unknown: bool = False) -> dict[str, Any]:
        """Set ``fields`` on this configuration and check it; returns those it does not have.

        Raises:
            ConfigError: a name is unknown (unless ``keep_unknown``) or a value is out of its range.
        """
        unused = {}
        labels = {name: fields[name] for name in ("num_labels", "id2label", "label2id") if name in fields}
        if set(labels) == {"num_labels"}:
            self.num_labels = labels["num_labels"]
        elif labels:
            self._set_labels(labels.get("num_labels"), labels.get("id2label"), labels.get("label2id"))
        for name, value in fields.items():
            if name in labels:
                continue
            if name in ("torch_dtype", "dtype"):
                self.torch_dtype = _dtype_name(value)
            elif name == "pruned_heads":
                self.pruned_heads = _pruned(value)
            elif name in ("hidden_act", "activation"):
                setattr(self, name, _modern(value))
            elif name in self._known() or name in vars(self):
                setattr(self, name, value)
            elif keep_unknown:
                unused[name] = value
            else:
                self._refuse(name)
        self.validate()
        return unused

    def to_dict(self) -> dict[str, Any]:
        """Return what ``config.json`` holds: every architecture field, and of the rest what is not a default."""
        out = {name: value for name, value in copy.deepcopy(vars(self)).items() if not name.startswith("_")}
        out.pop("attn_implementation")
        out["model_type"] = self.model_type
        if self.id2label == _default_labels(2):
            del out["id2label"], out["label2id"]
        else:
            out["id2label"] = {str(index): label for index, label in self.id2label.items()}
        out["pruned_heads"] = {str(layer): heads for layer, heads in self.pruned_heads.items()}
        always = {*self._fields(), "model_type"}
        out.pop("name_or_path")
        defaults: dict[str, Any] = {"output_hidden_states": False, "output_attentions": False, "return_dict": True}
        defaults |= {"tie_word_embeddings": True, "pruned_heads": {}, "problem_type": None, "torch_dtype": None}
        defaults |= {"architectures": None}
        return {n: v for n, v in sorted(out.items()) if n in always or n not in defaults or v != defaults[n]}

    def to_json_string(self) -> str:
        """Return the content of ``config.json``.

        Raises:
            ConfigError: a field cannot be written, such as an activation given as a function.
        """
        try:
            return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"
        except TypeError as error:
            raise ConfigError(
                f"{type(self).__name__} cannot be written as JSON: {error}; name activations by string"
            ) from error

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Write ``config.json`` into ``save_directory``, replacing it as a whole or not at all."""
        text = self.to_json_string()
        with replacing(save_directory) as stage:
            (stage / "config.json").write_text(text, "utf-8")

    def _facts(self) -> dict[str, Any]:
        """Return every field but where the configuration was read from."""
        return {name: value for name, value in vars(self).items() if name != "name_or_path"}

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._facts() == other._facts()

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"{type(self).__name__} {json.dumps(self.to_dict(), indent=2, sort_keys=True, default=repr)}"


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
        self.vocab_size = vocab_size
        self.max_position_embeddings = max_position_embeddings
        self.sinusoidal_pos_embds = sinusoidal_pos_embds
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.dim = dim
        self.hidden_dim = hidden_dim
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.activation = _modern(activation)
        self.initializer_range = initializer_range
        self.qa_dropout = qa_dropout
        self.seq_classif_dropout = seq_classif_dropout
        self.pad_token_id = pad_token_id
        super().__init__(**kwargs)

    def validate(self) -> None:
        """See ``PretrainedConfig.validate``."""
        super().validate()
        _check_int("hidden_dim", self.hidden_dim, low=1)
        _check_bool("sinusoidal_pos_embds", self.sinusoidal_pos_embds)
        _check_heads(self.n_heads, "dim", self.dim)
        _check_activation("activation", self.activation)
        for name in ("dropout", "attention_dropout", "qa_dropout", "seq_classif_dropout"):
            _check_probability(name, getattr(self, name))


class MobileBertConfig(PretrainedConfig):
    """MobileBERT's architecture (arXiv 2004.02984); the defaults are ``google/mobilebert-uncased``.

    The same fields describe its teacher IB-BERT_LARGE (``ib_bert_large``), MobileBERT_TINY (``tiny``) and the variant
    without operational optimisations (``without_opt``). ``from_google_json`` reads the original JSON files, whose
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
        trigram_input: embed each token with its neighbours.
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
        outer_layer_norm_eps: float = 1e-5,
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.hidden_act = _modern(hidden_act)
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.max_position_embeddings = max_position_embeddings
        self.type_vocab_size = type_vocab_size
        self.initializer_range = initializer_range
        self.layer_norm_eps = layer_norm_eps
        self.pad_token_id = pad_token_id
        self.embedding_size = embedding_size
        self.trigram_input = trigram_input
        self.use_bottleneck = use_bottleneck
        self.intra_bottleneck_size = intra_bottleneck_size
        self.use_bottleneck_attention = use_bottleneck_attention
        self.key_query_shared_bottleneck = key_query_shared_bottleneck
        self.num_feedforward_networks = num_feedforward_networks
        self.normalization_type = normalization_type
        self.classifier_activation = classifier_activation
        self.classifier_dropout = classifier_dropout
        self.outer_layer_norm_eps = outer_layer_norm_eps
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

    def validate(self) -> None:
        """See ``PretrainedConfig.validate``."""
        super().validate()
        for name in ("intermediate_size", "type_vocab_size", "embedding_size"):
            _check_int(name, getattr(self, name), low=1)
        _check_int("num_feedforward_networks", self.num_feedforward_networks, low=1, high=_MOST_LAYERS)
        for name in (
            "trigram_input",
            "use_bottleneck",
            "use_bottleneck_attention",
            "key_query_shared_bottleneck",
            "classifier_activation",
        ):
            _check_bool(name, getattr(self, name))
        for name in ("layer_norm_eps", "outer_layer_norm_eps"):
            _check_float(name, getattr(self, name))
        if self.use_bottleneck:
            _check_int("intra_bottleneck_size", self.intra_bottleneck_size, low=1)
        _check_heads(
            self.num_attention_heads,
            "intra_bottleneck_size" if self.use_bottleneck else "hidden_size",
            self.true_hidden_size,
        )
        if self.embedding_size > self.hidden_size:
            raise ConfigError(f"embedding_size {self.embedding_size} exceeds hidden_size {self.hidden_size}")
        if self.normalization_type not in ("no_norm", "layer_norm"):
            raise ConfigError(
                f"normalization_type {self.normalization_type!r} is unknown; choose 'no_norm' or 'layer_norm'"
            )
        _check_activation("hidden_act", self.hidden_act)
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            _check_probability(name, getattr(self, name))
        _check_probability("classifier_dropout", self.classifier_dropout, optional=True)

    @classmethod
    def from_dict(cls: type[C], config_dict: Mapping[str, Any], **kwargs: Any) -> C:
        """As ``PretrainedConfig.from_dict``; a dict without ``model_type`` is Google's (see ``from_google_json``)."""
        if not {"model_type", "transformers_version", "architectures"} & {*config_dict, *kwargs}:
            config_dict = _google_fields(config_dict)
        return super().from_dict(config_dict, **kwargs)

    @classmethod
    def from_google_json(cls, json_file: str | os.PathLike[str]) -> MobileBertConfig:
        """Read one of the original files (google-research ``mobilebert/config``), with their own defaults.

        Keys that they leave out mean LayerNorm, one feed-forward network, no sharing, no trigram and no bottleneck;
        ``"gelu"`` is the tanh form, every epsilon is 1e-12, and classification heads have dropout 0.1.
        """
        return cls.from_dict(_google_fields(read_json(json_file)))

    @classmethod
    def ib_bert_large(cls, **kwargs: Any) -> MobileBertConfig:
        """IB-BERT_LARGE, the teacher: inverted bottlenecks of 1024, LayerNorm (section 3 of the paper)."""
        return cls(
            **{
                "hidden_act": "gelu_new",
                "hidden_dropout_prob": 0.1,
                "intermediate_size": 4096,
                "intra_bottleneck_size": 1024,
                "key_query_shared_bottleneck": False,
                "num_feedforward_networks": 1,
                "normalization_type": "layer_norm",
                "outer_layer_norm_eps": 1e-12,
                **kwargs,
            }
        )

    @classmethod
    def tiny(cls, **kwargs: Any) -> MobileBertConfig:
        """MobileBERT_TINY: two feed-forward networks, attention inside the bottleneck (section 4 of the paper)."""
        return cls(
            **{
                "use_bottleneck_attention": True,
                "key_query_shared_bottleneck": False,
                "num_feedforward_networks": 2,
                "classifier_activation": False,
                **kwargs,
            }
        )

    @classmethod
    def without_opt(cls, **kwargs: Any) -> MobileBertConfig:
        """MobileBERT without operational optimisations: LayerNorm and gelu (section 4.3 of the paper)."""
        return cls(
            **{
                "hidden_act": "gelu_new",
                "normalization_type": "layer_norm",
                "outer_layer_norm_eps": 1e-12,
                "classifier_activation": False,
                **kwargs,
            }
        )


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
    """

    model_type = "bert"

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
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.hidden_act = _modern(hidden_act)
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.max_position_embeddings = max_position_embeddings
        self.type_vocab_size = type_vocab_size
        self.initializer_range = initializer_range
        self.layer_norm_eps = layer_norm_eps
        self.pad_token_id = pad_token_id
        self.position_embedding_type = position_embedding_type
        self.classifier_dropout = classifier_dropout
        super().__init__(**kwargs)

    def validate(self) -> None:
        """See ``PretrainedConfig.validate``."""
        super().validate()
        _check_int("intermediate_size", self.intermediate_size, low=1)
        _check_int("type_vocab_size", self.type_vocab_size, low=1)
        _check_float("layer_norm_eps", self.layer_norm_eps)
        _check_heads(self.num_attention_heads, "hidden_size", self.hidden_size)
        _check_activation("hidden_act", self.hidden_act)
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            _check_probability(name, getattr(self, name))
        _check_probability("classifier_dropout", self.classifier_dropout, optional=True)


class AutoConfig:
    """The configuration class that a checkpoint's ``model_type`` names."""

    classes: ClassVar[dict[str, type[PretrainedConfig]]] = {
        config.model_type: config for config in (DistilBertConfig, MobileBertConfig, BertConfig)
    }

    @classmethod
    def for_model(cls, model_type: str, **kwargs: Any) -> PretrainedConfig:
        """Return a configuration of ``model_type`` with these fields."""
        return cls._class(model_type)(**kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> Any:
        """As ``PretrainedConfig.from_pretrained``, for whichever class ``model_type`` names.

        Raises:
            ConfigError: the file has no ``model_type``, or one of another family.
        """
        hub = HubOptions(**{name: kwargs[name] for name in HubOptions.__annotations__ if name in kwargs})
        path = _config_file(pretrained_model_name_or_path, hub)
        fields = read_json(path)
        if "model_type" not in fields:
            raise ConfigError(f"{path} has no model_type; load it with the class that it belongs to")
        return cls._class(fields["model_type"]).from_pretrained(pretrained_model_name_or_path, **kwargs)

    @classmethod
    def _class(cls, model_type: str) -> type[PretrainedConfig]:
        if not isinstance(model_type, str) or model_type not in cls.classes:
            raise ConfigError(f"model_type {model_type!r} is not supported; choose from {', '.join(cls.classes)}")
        return cls.classes[model_type]


# -- Google's own files ----------------------------------------------------------------------------------------


def _google_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
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
        "trigram_input": False,
        "use_bottleneck": False,
        "use_bottleneck_attention": False,
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


# -- where and what -------------------------------------------------------------------------------------------


def _config_file(name_or_path: str | os.PathLike[str], hub: HubOptions) -> Path:
    """Return the path of a configuration that is given as a file, a folder or a hub name."""
    path = Path(os.path.expanduser(os.fspath(name_or_path)))
    return path if path.is_file() else local_folder(name_or_path, CONFIG_FILES, options=hub) / "config.json"


def _named_parameters(cls: type[PretrainedConfig]) -> list[str]:
    parameters = inspect.signature(cls.__init__).parameters.values()
    return [p.name for p in parameters if p.name != "self" and p.kind is not p.VAR_KEYWORD]


# -- checks ----------------------------------------------------------------------------------------------------


def _modern(activation: str | Callable[[Any], Any]) -> str | Callable[[Any], Any]:
    if activation == "swish":
        warnings.warn('activation "swish" is now named "silu"', FutureWarning, stacklevel=3)
        return "silu"
    return activation


def _default_labels(count: int) -> dict[int, str]:
    return {index: f"LABEL_{index}" for index in range(count)}


def _check_int(name: str, value: Any, low: int, high: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{name} must be an integer, got {value!r}")
    if value < low or (high is not None and value > high):
        limit = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ConfigError(f"{name} {value} must be {limit}")


def _check_bool(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be true or false, got {value!r}")


def _check_float(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ConfigError(f"{name} {value!r} must be a finite number and not negative")


def _check_heads(heads: int, width_name: str, width: int) -> None:
    if width % heads:
        raise ConfigError(f"head count {heads} does not divide {width_name} {width}")


def _check_activation(name: str, value: Any) -> None:
    if not callable(value) and value not in ACTIVATIONS:
        raise ConfigError(f"{name} {value!r} is unknown; choose from {', '.join(ACTIVATIONS)}")


def _check_probability(name: str, value: Any, *, optional: bool = False) -> None:
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ConfigError(f"{name} {value!r} must be a probability from 0 to 1")


def _pruned(heads: Mapping[Any, Any] | None) -> dict[int, list[int]]:
    message = f"pruned_heads maps layers to lists of heads, got {heads!r}"
    try:
        listed = {int(layer): sorted(set(gone)) for layer, gone in (heads or {}).items()}
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(message) from error
    if any(isinstance(head, bool) or not isinstance(head, int) for gone in listed.values() for head in gone):
        raise ConfigError(message)
    return {layer: gone for layer, gone in listed.items() if gone}


def _dtype_name(dtype: Any) -> str | None:
    return None if dtype is None else str(dtype).removeprefix("torch.")
