"""The fields that all configurations share, and how a configuration is read from and written to ``config.json``."""

from __future__ import annotations

import copy
import difflib
import inspect
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pocketbert.architecture.config.field_checks import (
    MOST_LABELS,
    MOST_LAYERS,
    check_bool,
    check_float,
    check_int,
    default_labels,
    dtype_name,
    from_the_first,
    modern_activation,
    pruned_heads_of,
)
from pocketbert.errors import ConfigError
from pocketbert.storage.hub import CONFIG_FILES, HubOptions, local_folder
from pocketbert.storage.replacing import read_json, replacing

__all__ = ["GOOGLE_FILE", "PROBLEM_TYPES", "PretrainedConfig", "config_file", "take_hub_options"]

GOOGLE_FILE = "bert_config.json"  # beside Google's original checkpoints
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")

C = TypeVar("C", bound="PretrainedConfig")

# Keys in published config.json files that have no effect on an encoder.
_PASSIVE = frozenset(
    """
    add_cross_attention bos_token_id chunk_size_feed_forward cls_token_id decoder_start_token_id directionality
    eos_token_id finetuning_task gradient_checkpointing is_decoder is_encoder_decoder language mask_token_id
    model_max_length name output_past pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers
    pooler_size_per_head pooler_type position_embedding_type prefix sep_token_id task_specific_params
    tie_weights_ tokenizer_class torchscript transformers_version true_hidden_size use_bfloat16 use_cache
    xla_device
    """.split()  # noqa: SIM905  # one name per line would be a page
)


class PretrainedConfig:
    """Base class of all configurations: labels, output flags and what else does not depend on the architecture.

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
        self.pruned_heads: dict[int, list[int]] = pruned_heads_of(pruned_heads)
        self.torch_dtype = dtype_name(others.pop("dtype", None) or torch_dtype)
        self.architectures = architectures
        self.attn_implementation = attn_implementation or "sdpa"
        self.name_or_path = str(others.pop("name_or_path", None) or "")
        self._set_labels(num_labels, id2label, label2id)
        for name, value in others.items():
            if name not in self.attribute_map and name not in _PASSIVE:
                self._refuse(name)
            setattr(self, name, modern_activation(value) if name == "hidden_act" else value)
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
        """Whether forward returns a ``ModelOutput`` when not told; a model for TorchScript returns tuples."""
        return self.return_dict and not getattr(self, "torchscript", False)

    @property
    def num_labels(self) -> int:
        """Number of labels; setting another number renames the labels ``LABEL_0``, ``LABEL_1``, ..."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, count: int) -> None:
        check_int("num_labels", count, low=1, high=MOST_LABELS)
        if count != len(self.id2label):
            self.id2label = default_labels(count)
            self.label2id = {label: index for index, label in self.id2label.items()}

    def _set_labels(
        self, count: int | None, id2label: Mapping[Any, str] | None, label2id: Mapping[str, Any] | None
    ) -> None:
        if label2id is not None and not isinstance(label2id, Mapping):
            raise ConfigError(f"label2id maps names to indices, got {label2id!r}")
        if id2label is None and label2id is not None and count in (None, len(label2id)):
            id2label = {index: label for label, index in label2id.items()}
        names = default_labels(2)
        if id2label is not None:
            try:
                names = {int(index): str(label) for index, label in id2label.items()}
            except (TypeError, ValueError, AttributeError, OverflowError) as error:
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
        return named_parameters(cls)

    @classmethod
    def _known(cls) -> set[str]:
        """Name everything that the constructor takes."""
        return {*cls._fields(), *named_parameters(PretrainedConfig), *cls.attribute_map, *_PASSIVE, "name_or_path"}

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
            check_int(self.attribute_map.get(name, name), getattr(self, name), low=1)
        name = self.attribute_map.get("num_hidden_layers", "num_hidden_layers")
        check_int(name, self.num_hidden_layers, low=1, high=MOST_LAYERS)
        for name in ("output_hidden_states", "output_attentions", "return_dict", "tie_word_embeddings"):
            check_bool(name, getattr(self, name))
        if self.pad_token_id is not None:
            check_int("pad_token_id", self.pad_token_id, low=0, high=self.vocab_size - 1)
        check_float("initializer_range", self.initializer_range)
        names = self.architectures
        if names is not None and not (isinstance(names, (list, tuple)) and all(isinstance(n, str) for n in names)):
            raise ConfigError(f"architectures must be a list of class names, got {names!r}")
        if self.problem_type is not None and self.problem_type not in PROBLEM_TYPES:
            raise ConfigError(f"problem_type {self.problem_type!r} is unknown; choose from {', '.join(PROBLEM_TYPES)}")
        if self.attn_implementation not in ("sdpa", "eager"):
            raise ConfigError(f"attn_implementation {self.attn_implementation!r} is unknown; choose 'sdpa' or 'eager'")
        if getattr(self, "position_embedding_type", "absolute") != "absolute":
            raise ConfigError(f"position_embedding_type {self.position_embedding_type!r}: only 'absolute' is supported")
        if getattr(self, "is_decoder", False):
            raise ConfigError("is_decoder is true: these models are encoders")
        if any(layer < 0 for layer in self.pruned_heads):
            self.pruned_heads = from_the_first(self.pruned_heads, self.num_hidden_layers)
        for layer, heads in self.pruned_heads.items():
            check_int("layer in pruned_heads", layer, low=0, high=self.num_hidden_layers - 1)
            for head in heads:
                check_int(f"head in pruned_heads[{layer}]", head, low=0, high=self.num_attention_heads - 1)
            if len(heads) == self.num_attention_heads:
                raise ConfigError(f"pruned_heads[{layer}] removes all {len(heads)} heads; keep at least one")

    # -- in and out --------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> Any:
        """Read ``config.json`` from a folder, a file or a hub name.

        Where a folder has none, Google's ``bert_config.json`` is read.

        Args:
            pretrained_model_name_or_path: folder, path of a JSON file, or hub name.
            **kwargs: hub options (``revision``, ``cache_dir``, ``local_files_only``, ``token``, ``force_download``,
                ``subfolder``), fields that override the file's, and ``return_unused_kwargs``: return a pair of the
                configuration and the keywords that it does not have.

        Raises:
            CheckpointError, HubError: there is no such file.
            ConfigError: the file describes no model of this class, or a keyword is unknown.
        """
        path = config_file(pretrained_model_name_or_path, take_hub_options(kwargs))
        return cls._from_fields(read_json(path), path, pretrained_model_name_or_path, kwargs)

    @classmethod
    def _from_fields(
        cls, fields: Mapping[str, Any], path: Path, name: str | os.PathLike[str], kwargs: dict[str, Any]
    ) -> Any:
        """Build from the content of the file at ``path``; see ``from_pretrained`` for ``kwargs``."""
        unused_wanted = kwargs.pop("return_unused_kwargs", False)
        try:
            config = cls.from_dict(fields)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
        config.name_or_path = str(name)
        unused = config.update(kwargs, keep_unknown=unused_wanted)
        return (config, unused) if unused_wanted else config

    @classmethod
    def from_json_file(cls: type[C], json_file: str | os.PathLike[str]) -> C:
        """Read one JSON file."""
        config: C = cls._from_fields(read_json(json_file), Path(json_file), "", {})
        return config

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
                self.torch_dtype = dtype_name(value)
            elif name == "pruned_heads":
                self.pruned_heads = pruned_heads_of(value)
            elif name in ("hidden_act", "activation"):
                setattr(self, name, modern_activation(value))
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
        if self.id2label == default_labels(2):
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
        """Write ``config.json`` into ``save_directory``, atomically.

        Example:
            >>> from pocketbert import BertConfig
            >>> BertConfig(num_labels=3).save_pretrained("saved")
            >>> BertConfig.from_pretrained("saved").num_labels
            3
        """
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


def config_file(name_or_path: str | os.PathLike[str], hub: HubOptions) -> Path:
    """Return the path of a configuration that is given as a file, a folder or a hub name."""
    path = Path(os.path.expanduser(os.fspath(name_or_path)))
    if path.is_file():
        return path
    folder = local_folder(name_or_path, CONFIG_FILES, options=hub)
    original = folder / GOOGLE_FILE
    return original if original.is_file() and not (folder / "config.json").exists() else folder / "config.json"


def take_hub_options(kwargs: dict[str, Any]) -> HubOptions:
    """Take the hub's options out of ``kwargs``."""
    return HubOptions(**{name: kwargs.pop(name) for name in HubOptions.__annotations__ if name in kwargs})


def named_parameters(cls: type[PretrainedConfig]) -> list[str]:
    """Return the names of a constructor's arguments."""
    parameters = inspect.signature(cls.__init__).parameters.values()
    return [p.name for p in parameters if p.name != "self" and p.kind is not p.VAR_KEYWORD]
