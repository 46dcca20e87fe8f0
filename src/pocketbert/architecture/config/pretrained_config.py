"""The fields that all configurations share, and how a configuration is read from and written to ``config.json``."""

from __future__ import annotations

import copy
import difflib
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pocketbert.architecture.config.field_checks import (
    MOST_LABELS,
    MOST_LAYERS,
    check_activation,
    check_bool,
    check_float,
    check_int,
    default_labels,
    dtype_name,
    from_the_first,
    modern_activation,
    pruned_heads_of,
)
from pocketbert.architecture.config.passive_fields import PASSIVE_FIELDS, PASSIVE_NAMES
from pocketbert.errors import ConfigError, InputError
from pocketbert.notices import warn
from pocketbert.storage.hub import CONFIG_FILES, HubOptions, given_file, local_folder
from pocketbert.storage.keywords import loading_options, saving_options
from pocketbert.storage.pushing import Pushable
from pocketbert.storage.replacing import replacing
from pocketbert.storage.texts import read_json

__all__ = ["GOOGLE_FILE", "PROBLEM_TYPES", "PretrainedConfig", "read_config"]

GOOGLE_FILE = "bert_config.json"  # beside Google's original checkpoints
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
_ACTIVATION = ("hidden_act", "activation")  # the field's names

_TRUTH = {"true": True, "1": True, "false": False, "0": False}

C = TypeVar("C", bound="PretrainedConfig")


class PretrainedConfig(Pushable):
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
        dtype: the dtype of the weights on disk (or ``torch_dtype``); read by ``from_pretrained(dtype="auto")`` only.
        architectures: names of the classes that the checkpoint was saved from.
        attn_implementation: ``"sdpa"`` (the default) or ``"eager"``; a runtime choice, not written to disk.
        torchscript: models return tuples and share no weights, as ``torch.jit.trace`` needs; a runtime choice.
        **others: fields of your own are kept, and written; one that is nearly the name of a field gives a warning.

    Raises:
        ConfigError: a field is of the wrong type or out of its range, or has the name of a method.

    Example:
        >>> from pocketbert import PretrainedConfig
        >>> PretrainedConfig(num_labels=3).id2label[2]
        'LABEL_2'
    """

    model_type: ClassVar[str] = ""
    attribute_map: ClassVar[Mapping[str, str]] = {}
    pretrained_config_archive_map: ClassVar[Mapping[str, str]] = {}
    passive_fields: ClassVar[Mapping[str, Any]] = PASSIVE_FIELDS
    sub_configs: ClassVar[Mapping[str, Any]] = {}
    has_no_defaults_at_init: ClassVar[bool] = False

    # Every concrete configuration answers to these names, by field or by `attribute_map`.
    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    hidden_act: str | Callable[[Any], Any]
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
        dtype: Any = None,
        torch_dtype: Any = None,
        architectures: list[str] | None = None,
        attn_implementation: str | None = None,
        torchscript: bool = False,
        **others: Any,
    ) -> None:
        self.output_hidden_states = output_hidden_states
        self.output_attentions = output_attentions
        self.return_dict = return_dict
        self.problem_type = problem_type
        self.tie_word_embeddings = tie_word_embeddings
        self.pruned_heads: dict[int, list[int]] = pruned_heads_of(pruned_heads)
        self.dtype_name = dtype_name(dtype if dtype is not None else torch_dtype)
        self.architectures = architectures
        self.attn_implementation = attn_implementation or "sdpa"
        self.torchscript = torchscript
        self.name_or_path = str(others.pop("name_or_path", None) or "")
        self._set_labels(num_labels, id2label, label2id)
        for name, value in others.items():
            if name.startswith("_") or hasattr(type(self), name):
                self._refuse(name)
            if name not in self._known() and (hint := self._nearest(name)):
                warn(f"{type(self).__name__} keeps {name!r} as a field of yours, which nothing reads{hint}")
            setattr(self, name, modern_activation(value) if name == "hidden_act" else value)
        self.validate()

    # -- fields ------------------------------------------------------------------------------------------------

    def _take(self, arguments: Mapping[str, Any]) -> None:
        """Make fields of a constructor's own arguments."""
        for name in self._fields():
            value = arguments[name]
            setattr(self, name, modern_activation(value) if name in _ACTIVATION else value)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, self.attribute_map.get(name, name), value)

    def __getattr__(self, name: str) -> Any:
        alias = type(self).attribute_map.get(name)
        if alias is not None:
            return getattr(self, alias)
        if name in type(self).passive_fields:
            return type(self).passive_fields[name]
        raise AttributeError(f"{type(self).__name__} has no field {name!r}")

    def __iter__(self) -> Iterator[str]:
        return iter(vars(self))

    @property
    def dtype(self) -> Any:
        """The dtype of the weights on disk: a ``torch.dtype`` where torch is imported, else its name."""
        torch = sys.modules.get("torch")
        return self.dtype_name if torch is None or self.dtype_name is None else getattr(torch, self.dtype_name)

    @dtype.setter
    def dtype(self, value: Any) -> None:
        self.dtype_name = dtype_name(value)

    torch_dtype = dtype

    @property
    def _attn_implementation(self) -> str:
        """What transformers calls ``attn_implementation``."""
        return self.attn_implementation

    @_attn_implementation.setter
    def _attn_implementation(self, value: str | None) -> None:
        self.attn_implementation = value or "sdpa"

    @property
    def use_return_dict(self) -> bool:
        """Whether forward returns a ``ModelOutput`` when not told; a model for TorchScript returns tuples."""
        return self.return_dict and not self.torchscript

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
        parameters = inspect.signature(cls.__init__).parameters.values()
        return [p.name for p in parameters if p.name != "self" and p.kind is not p.VAR_KEYWORD]

    @classmethod
    def _known(cls) -> set[str]:
        """Name everything that the constructor takes."""
        own = {*cls._fields(), *PretrainedConfig._fields(), *cls.attribute_map}
        return own | PASSIVE_NAMES | {"name_or_path"}

    def _nearest(self, name: str) -> str:
        close = difflib.get_close_matches(name, sorted(self._known() - PASSIVE_NAMES), n=1)
        return f"; did you mean {close[0]!r}?" if close else ""

    def _refuse(self, name: str) -> None:
        raise ConfigError(f"{type(self).__name__} has no parameter {name!r}{self._nearest(name)}")

    # -- checks ------------------------------------------------------------------------------------------------

    def validate(self) -> None:
        """Check every field.

        Raises:
            ConfigError: a field is of the wrong type, out of its range, or contradicts another.
        """
        for name in ("output_hidden_states", "output_attentions", "return_dict", "tie_word_embeddings", "torchscript"):
            check_bool(name, getattr(self, name))
        names = self.architectures
        if names is not None and not (isinstance(names, (list, tuple)) and all(isinstance(n, str) for n in names)):
            raise ConfigError(f"architectures must be a list of class names, got {names!r}")
        if self.problem_type is not None and self.problem_type not in PROBLEM_TYPES:
            raise ConfigError(f"problem_type {self.problem_type!r} is unknown; choose from {', '.join(PROBLEM_TYPES)}")
        if self.attn_implementation not in ("sdpa", "eager"):
            raise ConfigError(f"attn_implementation {self.attn_implementation!r} is unknown; choose 'sdpa' or 'eager'")
        if getattr(self, "position_embedding_type", "absolute") != "absolute":
            raise ConfigError(f"position_embedding_type {self.position_embedding_type!r}: only 'absolute' is supported")
        if self.is_decoder:
            raise ConfigError("is_decoder is true: these models are encoders")
        if self.model_type:  # else no architecture, only what all have
            self._validate_sizes()

    def _validate_sizes(self) -> None:
        sizes = ("vocab_size", "hidden_size", "num_attention_heads", "intermediate_size", "max_position_embeddings")
        for name in (*sizes, "num_hidden_layers"):
            most = MOST_LAYERS if name == "num_hidden_layers" else None
            check_int(self.attribute_map.get(name, name), getattr(self, name), low=1, high=most)
        check_activation(self.attribute_map.get("hidden_act", "hidden_act"), self.hidden_act)
        if self.pad_token_id is not None:
            check_int("pad_token_id", self.pad_token_id, low=0, high=self.vocab_size - 1)
        check_float("initializer_range", self.initializer_range)
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
        path, fields = read_config(pretrained_model_name_or_path, kwargs)
        return cls._from_fields(fields, path, pretrained_model_name_or_path, kwargs)

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
        unused = config.override(kwargs, keep_unknown=unused_wanted)
        return (config, unused) if unused_wanted else config

    @classmethod
    def get_config_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the content of ``config.json``, and the keywords that are no hub options; see ``from_pretrained``."""
        return read_config(pretrained_model_name_or_path, kwargs)[1], kwargs

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> PretrainedConfig:
        """Return this configuration: there is only text."""
        return self

    @classmethod
    def from_json_file(cls: type[C], json_file: str | os.PathLike[str]) -> C:
        """Read one JSON file."""
        config: C = cls._from_fields(read_json(json_file), Path(json_file), "", {})
        return config

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any], **kwargs: Any) -> Any:
        """Build from the content of a ``config.json``; names that are unknown here are kept as they are.

        ``return_unused_kwargs=True`` returns a pair of the configuration and the keywords that it does not have.
        """
        if kwargs:
            return cls._from_fields(config_dict, Path("config_dict"), config_dict.get("_name_or_path") or "", kwargs)
        fields = dict(config_dict)
        found = fields.pop("model_type", cls.model_type)
        if found != cls.model_type:
            raise ConfigError(f"model_type is {found!r}, {cls.__name__} reads {cls.model_type!r}; use AutoConfig")
        for name in _ACTIVATION:
            if fields.get(name) == "swish":
                fields[name] = "silu"
        if fields.get("id2label") is not None:
            fields.pop("num_labels", None)  # the names on disk are what was trained
        fields.setdefault("name_or_path", fields.get("_name_or_path") or "")
        known = {name: value for name, value in fields.items() if name in cls._known()}
        config = cls(**known)
        for name in fields.keys() - known.keys():
            # a name that a method or the machinery has is never a field
            if not name.startswith("_") and not hasattr(cls, name):
                setattr(config, name, fields[name])
        return config

    def override(self, fields: Mapping[str, Any], *, keep_unknown: bool = False) -> dict[str, Any]:
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
            if name == "pruned_heads":
                self.pruned_heads = pruned_heads_of(value)
            elif name in _ACTIVATION:
                setattr(self, name, modern_activation(value))
            elif name in self._known() or name in vars(self):
                setattr(self, name, value)
            elif keep_unknown:
                unused[name] = value
            else:
                self._refuse(name)
        self.validate()
        return unused

    def update(self, config_dict: Mapping[str, Any]) -> None:
        """Set fields, your own ones too.

        Raises:
            ConfigError: a value is out of its range, or a name is that of a method.
        """
        for name, value in self.override(config_dict, keep_unknown=True).items():
            if hasattr(type(self), name):
                self._refuse(name)
            setattr(self, name, value)

    def update_from_string(self, update_str: str) -> None:
        """Set fields that exist, from ``"n_layers=2,dropout=0.2"``; each value is read as the type of the old one.

        Raises:
            ConfigError: there is no such field, or the value is none of its type.
        """
        fields: dict[str, Any] = {}
        for item in update_str.split(","):
            name, _, text = item.partition("=")
            old: Any = getattr(self, name, None)
            if not isinstance(old, (bool, int, float, str)):
                self._refuse(name)
            try:
                fields[name] = _TRUTH[text.lower()] if isinstance(old, bool) else type(old)(text)
            except (KeyError, ValueError) as error:
                raise ConfigError(f"{name}={text!r} is no {type(old).__name__}") from error
        self.override(fields)

    def to_dict(self) -> dict[str, Any]:
        """Return every field, with its default where it was not set."""
        hidden = {"attn_implementation", "name_or_path", "dtype_name"}
        own = {name: value for name, value in vars(self).items() if not name.startswith("_") and name not in hidden}
        always = {"model_type": self.model_type, "_name_or_path": self.name_or_path, "dtype": self.dtype_name}
        return copy.deepcopy({**self.passive_fields, "pad_token_id": None, **own, **always})

    def to_diff_dict(self) -> dict[str, Any]:
        """Return what ``config.json`` holds: every field of the architecture, and of the rest what is not a default."""
        common, usual = PretrainedConfig().to_dict(), type(self)().to_dict()
        fields = {name: value for name, value in self.to_dict().items() if name != "_name_or_path"}
        return {
            name: value
            for name, value in fields.items()
            if name not in common or value != common[name] or value != usual.get(name, value)
        }

    def to_json_string(self, use_diff: bool = True) -> str:
        """Return the content of ``config.json``, or of every field without ``use_diff``.

        Raises:
            ConfigError: a field cannot be written, such as an activation given as a function.
        """
        fields = self.to_diff_dict() if use_diff else self.to_dict()
        try:
            return json.dumps(fields, indent=2, sort_keys=True) + "\n"
        except TypeError as error:
            what = f"{type(self).__name__} cannot be written as JSON: {error}"
            raise ConfigError(f"{what}; name activations by string") from error

    def to_json_file(self, json_file_path: str | os.PathLike[str], use_diff: bool = True) -> None:
        """Write one JSON file, atomically; see ``to_json_string``."""
        text, path = self.to_json_string(use_diff), Path(json_file_path)
        with replacing(path.parent) as stage:
            (stage / path.name).write_text(text, "utf-8")

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Write ``config.json`` into ``save_directory``, atomically; ``push_to_hub=True`` sends it to the hub, too.

        Example:
            >>> from pocketbert import BertConfig
            >>> BertConfig(num_labels=3).save_pretrained("saved")
            >>> BertConfig.from_pretrained("saved").num_labels
            3
        """
        text, options = self.to_json_string(), saving_options(kwargs, save_directory)
        if not options.write:
            return
        with replacing(save_directory) as stage:
            (stage / "config.json").write_text(text, "utf-8")
        self._push(options.push)

    def _facts(self) -> dict[str, Any]:
        """Return every field but where the configuration was read from."""
        return {**self.passive_fields, **vars(self), "name_or_path": None}

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._facts() == other._facts()

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"{type(self).__name__} {json.dumps(self.to_diff_dict(), indent=2, sort_keys=True, default=repr)}\n"


def config_file(name_or_path: str | os.PathLike[str], hub: HubOptions) -> Path:
    """Return the path of a configuration that is given as a file, a folder or a hub name."""
    if (path := given_file(name_or_path)) is not None:
        return path
    folder = local_folder(name_or_path, CONFIG_FILES, options=hub)
    original = folder / GOOGLE_FILE
    return original if original.is_file() and not (folder / "config.json").exists() else folder / "config.json"


def read_config(name_or_path: str | os.PathLike[str], kwargs: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """Return path and content of a configuration's file; the keywords that say where it is are taken out of ``kwargs``.

    Raises:
        InputError: ``trust_remote_code=True``, and the file names classes that its repository brings.
    """
    hub = loading_options(kwargs)
    path = config_file(name_or_path, hub)
    fields = read_json(path)
    if hub.runs_remote_code and fields.get("auto_map"):
        raise InputError(
            f"trust_remote_code=True: {path} names code of its own in auto_map, and none is ever run here; without "
            "that argument this library's own class is used"
        )
    return path, fields
