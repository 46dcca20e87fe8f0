"""What loading a checkpoint means for every framework: whose configuration, and which parameters may start afresh."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.parameters import Parameter
from pocketbert.checkpoint import Fit
from pocketbert.errors import CheckpointError, ConfigError
from pocketbert.storage.hub import HubOptions

__all__ = ["check_stored", "configure", "fresh_parameters"]

_FLOATS = ("float64", "float32", "float16", "bfloat16")


def configure(
    cls: Any,
    source: PretrainedConfig | str | os.PathLike[str] | None,
    overrides: dict[str, Any],
    hub: HubOptions,
) -> tuple[PretrainedConfig, dict[str, Any]]:
    """Return the configuration with ``overrides`` set, and those that are arguments of the class instead.

    Args:
        cls: the class of models to load, of any framework; its name and ``config_class`` are read.
        source: a configuration, or the folder or hub name that has one.
        overrides: the keywords that the caller gave.
        hub: how to reach the hub.

    Raises:
        ConfigError: the configuration is of another family, or an override is unknown.
    """
    assert source is not None
    options = {name: overrides.pop(name) for name in ("add_pooling_layer",) if name in overrides}
    if isinstance(source, PretrainedConfig):
        if not isinstance(source, cls.config_class):
            wanted = cls.config_class.__name__
            raise ConfigError(f"{cls.__name__} needs a {wanted}, got a {type(source).__name__}")
        config = type(source).from_dict(source.to_dict())
        config.attn_implementation = source.attn_implementation
        config.update(overrides)
    else:
        # a folder on disk takes its subfolder from the path that was found
        hub_options = {} if os.path.isdir(source) else vars(hub)
        config = cls.config_class.from_pretrained(source, **hub_options, **overrides)
    return config, options


def fresh_parameters(
    cls: Any,
    found: Fit,
    wanted: list[Parameter],
    ignore_mismatched_sizes: bool,
    folder: Path | None,
) -> list[Parameter]:
    """Return the parameters to start afresh, with a warning that names them; refuse everything else that is amiss.

    Args:
        cls: the class of models to load, of any framework; its name and ``head`` are read.
        found: how the checkpoint fits.
        wanted: what the model needs.
        ignore_mismatched_sizes: start parameters of another shape afresh instead of refusing.
        folder: where the checkpoint lies, for the message.

    Raises:
        CheckpointError: names are missing, misshaped or unexpected; all are listed.
    """
    there = {p.part for p in wanted if p.name in found.sources} | {p.part for p, _, _ in found.misshaped}
    is_head = {p.part: p.part not in ("embeddings", "encoder") and cls.head != "none" for p in wanted}
    lacking = [p for p in found.missing if is_head[p.part] and p.part not in there]
    refused = Fit(
        found.sources,
        [p for p in found.missing if p not in lacking],
        [] if ignore_mismatched_sizes else found.misshaped,
        found.unexpected,
        [],
    )
    complaint = refused.complaint()
    if complaint:
        raise CheckpointError(f"{folder or 'the state_dict'} does not fit {cls.__name__}: {complaint}{_cure(refused)}")
    changed = [p for p, _, _ in found.misshaped]
    fresh = lacking + changed
    if fresh:
        shapes = "".join(f"; {p.name} was {disk}, is {ours}" for p, disk, ours in found.misshaped)
        warnings.warn(
            f"{cls.__name__}: {', '.join(p.name for p in fresh)} not in the checkpoint and started with random values: "
            f"train the model before you use its answers{shapes}",
            UserWarning,
            stacklevel=4,  # past load and from_pretrained
        )
    return fresh


def check_stored(name: str, dtype: str) -> None:
    """Check that a parameter is stored as floats.

    Raises:
        CheckpointError: it is not.
    """
    if dtype not in _FLOATS:
        raise CheckpointError(f"{name} is stored as {dtype}, not as {', '.join(_FLOATS)}: quantised?")


def _cure(refused: Fit) -> str:
    if refused.unexpected:
        return "; pass state_dict= with only the tensors that you want"
    if refused.misshaped:
        return "; pass ignore_mismatched_sizes=True to start those afresh"
    if refused.missing and {p.part for p in refused.missing} == {"pooler"}:
        return "; pass add_pooling_layer=False to load the encoder without its pooler"
    return ""
