"""What loading a model means for every framework: which checkpoint and configuration, and what may start afresh."""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.parameters import Parameter
from pocketbert.checkpoint.fitting import Fit, fit
from pocketbert.checkpoint.formats.names import modern_name
from pocketbert.checkpoint.opened import Opened
from pocketbert.checkpoint.weights import Checkpoint, open_checkpoint
from pocketbert.errors import CheckpointError, ConfigError, InputError
from pocketbert.notices import warn
from pocketbert.storage.commits import check_state, state_of
from pocketbert.storage.hub import CONFIG_FILES, LOOKUP, HubOptions, given_file, local_folder

__all__ = ["Matched", "Source", "open_source"]


@dataclass(frozen=True)
class Source:
    """Where the parameters of a model come from.

    Attributes:
        cls: the class of the model, of any framework.
        config: its configuration, a copy that the model may keep.
        options: keyword arguments of the class.
        folder: the checkpoint's folder, if there is one.
        weights: the weights of that folder, or None where the caller gave tensors.
        tensors: what the caller gave, by present-day name.
        stored: shape and dtype of each tensor.
    """

    cls: Any
    config: PretrainedConfig
    options: dict[str, Any]
    folder: Path | None
    weights: Checkpoint | None
    tensors: Mapping[str, Any]
    stored: dict[str, tuple[tuple[int, ...], str]]

    def match(self, wanted: list[Parameter], *, ignore_mismatched_sizes: bool) -> Matched:
        """Find the tensor of each parameter, and warn of those that start afresh.

        Args:
            wanted: what the model needs.
            ignore_mismatched_sizes: start parameters of another shape afresh instead of refusing.

        Raises:
            CheckpointError: names are missing, misshaped or unexpected (all are listed), or are not stored as floats.
        """
        whole = fit(self.stored, wanted, self.config, getattr(self.cls, "base_model_prefix", ""))
        fresh = _fresh_parameters(self, whole, wanted, ignore_mismatched_sizes)
        info: dict[str, list[Any]] = {
            "missing_keys": [p.name for p in whole.missing],
            "unexpected_keys": sorted(whole.unused + whole.foreign),
            "mismatched_keys": [(p.name, disk, ours) for p, disk, ours in whole.misshaped],
        }
        return Matched(whole.sources, fresh, info)


@dataclass(frozen=True)
class Matched:
    """How the tensors of a source become parameters.

    Attributes:
        sources: parameter -> the tensor that it is read from.
        fresh: the parameters that start with random values.
        info: ``missing_keys``, ``unexpected_keys`` and ``mismatched_keys``, as ``from_pretrained`` returns them.
    """

    sources: dict[str, str]
    fresh: list[Parameter]
    info: dict[str, list[Any]]


def open_source(
    cls: Any,
    name: str | os.PathLike[str] | Opened | None,
    *,
    config: PretrainedConfig | str | os.PathLike[str] | None,
    state_dict: Mapping[str, Any] | None,
    describe: Callable[[Any], tuple[tuple[int, ...], str]],
    hub: HubOptions,
    overrides: dict[str, Any],
) -> Source:
    """Open what a model is loaded from; each file is read once, and nothing of an opened checkpoint again.

    Args:
        cls: the class of the model, of any framework; its name, ``config_class`` and ``head`` are read.
        name: folder, hub name, opened checkpoint, or with ``config`` a file of weights. None with ``config`` and
            ``state_dict``.
        config: a configuration, or where to read one, instead of the checkpoint's own.
        state_dict: tensors to use instead of the checkpoint's weights.
        describe: returns shape and dtype of such a tensor.
        hub: how to reach the hub.
        overrides: fields of the configuration, and keyword arguments of the class.

    Raises:
        InputError: ``name`` is None and something lacks.
        ConfigError: the configuration is of another family, or an override is unknown.
        CheckpointError, HubError: there is no such checkpoint.
    """
    if name is None and (state_dict is None or config is None):
        raise InputError("without a name or folder, both config and state_dict are needed")
    opened, folder, label = None, None, "" if name is None else str(name)
    file = _weights_file(name)
    if isinstance(name, Opened):
        opened, folder, label = name, name.folder, name.config.name_or_path
        config = opened.config if config is None else config
    elif file is not None:
        if config is None:
            raise CheckpointError(f"{name} is a file of weights alone; pass config= too, or the folder that holds both")
        folder = file.parent
    elif name is not None and (config is None or state_dict is None):
        files = CONFIG_FILES if config is None else ()
        folder = local_folder(name, files, weights=state_dict is None, options=hub)
    options = _options(cls, overrides, isinstance(config, PretrainedConfig))
    state = () if folder is None else state_of(folder)
    own = _configuration(cls, folder if config is None else config, overrides, hub)
    own.name_or_path = label
    if state_dict is not None:
        tensors = {modern_name(key): value for key, value in state_dict.items()}
        return Source(cls, own, options, folder, None, tensors, {key: describe(x) for key, x in tensors.items()})
    assert folder is not None
    if opened is None:
        try:
            weights = open_checkpoint(file or folder, tied=own.tie_word_embeddings, files=hub.weight_files)
        finally:  # a file that a save took away is no matter of the file
            if config is None:
                check_state(folder, state)
    else:
        same = opened.config.tie_word_embeddings == own.tie_word_embeddings
        weights = (opened if same else opened.with_config(own)).weights
    stored = {key: (tensor.shape, tensor.dtype) for key, tensor in weights.tensors.items()}
    return Source(cls, own, options, folder, weights, {}, stored)


def _options(cls: Any, keywords: dict[str, Any], configured: bool) -> dict[str, Any]:
    """Take from ``keywords`` the arguments of the class, which a user's class may have more of.

    A name that is a field of the configuration too means the field, unless the caller gave the configuration.
    """
    taken = inspect.signature(cls.__init__).parameters
    anything = any(p.kind is p.VAR_KEYWORD for p in taken.values()) and not _in_package(cls)
    field = cls.config_class._known() if hasattr(cls.config_class, "_known") else ()
    names = [n for n in keywords if (n in taken or (anything and n not in field)) and (configured or n not in field)]
    return {name: keywords.pop(name) for name in names if name not in ("self", "config")}


def _in_package(cls: Any) -> bool:
    return str(cls.__module__).partition(".")[0] == __name__.partition(".")[0]


def _weights_file(name: Any) -> Path | None:
    """Return the path of a file, which may hold weights, if ``name`` is one."""
    return None if name is None or isinstance(name, Opened) else given_file(name)


def _configuration(cls: Any, source: Any, overrides: dict[str, Any], hub: HubOptions) -> PretrainedConfig:
    """Return a configuration of its own for a model, with the fields that the caller overrides."""
    if not isinstance(source, PretrainedConfig):
        # a folder on disk includes the subfolder already
        where = {} if os.path.isdir(source) else {name: getattr(hub, name) for name in LOOKUP}
        where["trust_remote_code"] = hub.runs_remote_code
        config: PretrainedConfig = cls.config_class.from_pretrained(source, **where, **overrides)
        return config
    if not isinstance(source, cls.config_class):
        raise ConfigError(f"{cls.__name__} needs a {cls.config_class.__name__}, got a {type(source).__name__}")
    config = copy.deepcopy(source)
    config.override(overrides)
    return config


def _fresh_parameters(
    source: Source, whole: Fit, wanted: list[Parameter], ignore_mismatched_sizes: bool
) -> list[Parameter]:
    """Return the parameters to start afresh, with a warning that names them; refuse everything else that is amiss.

    A head may start afresh if the checkpoint has nothing of it; half a head is damage. Layers of a user's own may
    start afresh one by one, and those of another class are left out; the warning names both.
    """
    name, where = source.cls.__name__, source.folder or "the state_dict"
    present = {p.part for p in wanted if p.name in whole.sources} | {p.part for p, _, _ in whole.misshaped}
    bare = _never_fresh(wanted)
    lacking = [p for p in whole.missing if p.kind == "own" or p.part not in bare | present]
    refused = replace(
        whole.of_the_library(),
        missing=[p for p in whole.missing if p not in lacking],
        misshaped=[] if ignore_mismatched_sizes else whole.misshaped,
    )
    if refused.complaint():
        whole_truth = replace(refused, unexpected=whole.unexpected)
        raise CheckpointError(f"{where} does not fit {name}: {whole_truth.complaint()}{_cure(refused)}")
    if wanted and not whole.sources and not whole.misshaped:
        raise CheckpointError(f"{where} has nothing that {name} needs, such as {wanted[0].name}")
    fresh = lacking + [p for p, _, _ in whole.misshaped]
    said = []
    if fresh:
        shapes = "".join(f"; {p.name} was {disk}, is {ours}" for p, disk, ours in whole.misshaped)
        said.append(
            f"{', '.join(p.name for p in fresh)} not in the checkpoint and started with random values: "
            f"train the model before you use its answers{shapes}"
        )
    if whole.foreign:
        said.append(f"{', '.join(whole.foreign)} of the checkpoint are not used: no part of this class has these names")
    if said:
        warn(f"{name}: {'; '.join(said)}")
    return fresh


def _never_fresh(wanted: list[Parameter]) -> set[str]:
    """Name the parts that are never started afresh: all of a bare encoder, or the encoder of a model with a head."""
    parts = {p.part for p in wanted}
    alone = any(p.part == "embeddings" and p.name.startswith("embeddings.") for p in wanted)
    return parts if alone else {"embeddings", "encoder"}


def _cure(refused: Fit) -> str:
    if refused.unexpected:
        return "; pass state_dict= with only the tensors that you want"
    if refused.misshaped:
        return "; pass ignore_mismatched_sizes=True to start those afresh"
    if refused.missing and {p.part for p in refused.missing} == {"pooler"}:
        return "; pass add_pooling_layer=False to load the encoder without its pooler"
    return ""
