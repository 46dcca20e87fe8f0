"""The settings of a run: typed, checked, kept as TOML beside the model, and overridden by name.

A run's dataclass is the one place that names its settings: the command's options, the keys of the file and the keyword
arguments in Python all come from its fields.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pocketbert.errors import ConfigError, InputError
from pocketbert.extras import require
from pocketbert.storage.texts import read_text
from pocketbert.tasks.option_checks import check_choice, check_number, check_whole, suggest

__all__ = [
    "RUN_FILE",
    "Settings",
    "check_trackers",
    "place",
    "places_of",
    "read_settings",
    "setting",
    "to_toml",
    "type_of",
]

RUN_FILE = "run.toml"  # the name beside the model

TRACKERS = ("tensorboard", "trackio", "wandb", "mlflow")
S = TypeVar("S", bound="Settings")


def setting(default: Any, about: str, check: Callable[..., object] | None = None, *limits: Any, **more: Any) -> Any:
    """Declare a setting: its default, what it means, and the check of its name and value."""
    metadata = {"about": about, "check": None if check is None else lambda n, v: check(n, v, *limits, **more)}
    return field(default=default, metadata=metadata)


def place(default: Any, about: str) -> Any:
    """Declare a setting that names files or folders: what they hold matters to a run, and not where they lie."""
    return field(default=default, metadata={"about": about, "check": None, "is_place": True})


def places_of(settings: Settings | type[Settings]) -> list[str]:
    """Return the names of the settings that are places."""
    return [each.name for each in fields(settings) if each.metadata.get("is_place")]


def at_least_zero(name: str, value: Any) -> None:
    """Require a finite number >= 0."""
    check_number(name, value)
    if value < 0:
        raise InputError(f"{name}={value!r} must not be negative")


def above_zero(name: str, value: Any, *, none: str | None = None) -> None:
    """Require a finite number > 0; None is allowed if ``none`` describes what it means."""
    if value is None and none:
        return
    at_least_zero(name, value)
    if not value:
        raise InputError(f"{name}={value!r} must be above 0")


def share(name: str, value: Any) -> None:
    """Require a number from 0 to 1."""
    check_number(name, value)
    if not 0 <= value <= 1:
        raise InputError(f"{name}={value!r} must lie between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every run can set. Batch sizes count texts (or windows, or questions with their choices).

    The mean of a loss is taken over ``batch_size`` texts, however they are divided among processes and passes.

    Attributes:
        needed: settings that have no default.
    """

    needed: ClassVar[tuple[str, ...]] = ("out",)

    out: str = place("", "folder to write the model into; made if absent")
    epochs: float = setting(3.0, "how often the training data is seen", at_least_zero)
    max_steps: int | None = setting(None, "stop after this many steps, whatever the epochs", check_whole, 1, none="all")
    batch_size: int = setting(32, "texts of one step, over all processes", check_whole, 1)
    micro_batch_size: int | None = setting(
        None, "most texts that a process holds at once; a step adds up several passes", check_whole, 1, none="all"
    )
    learning_rate: float = setting(5e-5, "the highest learning rate", at_least_zero)
    schedule: str = setting("linear", "after the warm-up: linear, cosine or constant")
    warmup: float = setting(0.1, "share of all steps in which the learning rate rises", share)
    final_rate: float = setting(0.0, "learning rate at the end, as a share of the highest", share)
    optimizer: str = setting("adamw", "adamw or lamb")
    beta1: float = setting(0.9, "decay of the optimizer's mean of gradients", share)
    beta2: float = setting(0.999, "decay of the optimizer's mean of squared gradients", share)
    epsilon: float = setting(1e-6, "added to the root of the mean of squares", at_least_zero)
    weight_decay: float = setting(0.01, "decoupled weight decay; biases and norms have none", at_least_zero)
    clip: float = setting(1.0, "largest norm of the gradient; 0 for any", at_least_zero)
    seed: int = setting(0, "decides fresh weights, order, masks and dropout", check_whole, 0)
    precision: str = setting("float32", "float32 or bfloat16")
    gradient_checkpointing: bool = setting(False, "compute activations again instead of keeping them")
    group_by_length: bool = setting(True, "put texts of similar length into a batch")
    workers: int = setting(0, "processes that prepare batches", check_whole, 0)
    eval_every: int | None = setting(None, "steps between evaluations", check_whole, 1, none="once an epoch")
    patience: int | None = setting(
        None, "stop after this many evaluations without a better one", check_whole, 1, none="never"
    )
    save_every: int | None = setting(None, "steps between checkpoints", check_whole, 1, none="at every evaluation")
    keep: int = setting(1, "how many of the latest checkpoints to keep", check_whole, 1)
    report_to: str | None = setting(None, f"trackers, comma-separated: {', '.join(TRACKERS)}")

    def check(self) -> None:
        """Check all values.

        Raises:
            InputError: a value is of the wrong type or out of range; the message names it, and the limit.
        """
        for each in fields(self):
            value = getattr(self, each.name)
            wanted = type_of(type(self), each.name)
            if wanted is bool and not isinstance(value, bool):
                raise InputError(f"{each.name}={value!r} must be true or false")
            if wanted is str and not (isinstance(value, str) or (value is None and each.default is None)):
                raise InputError(f"{each.name}={value!r} must be a string")
            if wanted is list and not (isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value)):
                raise InputError(f"{each.name}={value!r} must be a list of strings")
            if check := each.metadata.get("check"):
                check(each.name, value)
        check_choice("schedule", self.schedule, ("linear", "cosine", "constant"))
        check_choice("optimizer", self.optimizer, ("adamw", "lamb"))
        check_trackers(self.report_to)
        check_choice("precision", self.precision, ("float32", "bfloat16"))

    def changed(self: S, values: Mapping[str, Any]) -> S:
        """Return these settings with others by name.

        Raises:
            InputError: there is no such setting.
        """
        known = [each.name for each in fields(self)]
        for name in values:
            if name not in known:
                raise InputError(f"there is no setting {name!r}{suggest(name, known)}; there are {', '.join(known)}")
        return dataclasses.replace(self, **values)


def check_trackers(report_to: str | None) -> list[str]:
    """Return the names of the trackers that are asked for.

    Raises:
        InputError: one is not known.
        MissingExtra: its package is not installed.
    """
    names = [name.strip() for name in (report_to or "").split(",") if name.strip()]
    for name in names:
        check_choice("report_to", name, TRACKERS)
        require(name)
    return names


def type_of(cls: type[Settings], name: str) -> type:
    """Return the type of a setting: bool, int, float, str, or list of str; of one that may be None, the other type."""
    hint = typing.get_type_hints(cls)[name]
    if typing.get_origin(hint) is tuple:
        return list
    if isinstance(hint, types.UnionType):
        hint = next(each for each in typing.get_args(hint) if each is not type(None))
    return typing.cast(type, hint)


def read_settings(cls: type[S], path: str | Path, **overrides: Any) -> S:
    """Read a run's file; ``overrides`` take the place of what it says.

    Raises:
        CheckpointError: there is no such file.
        ConfigError: it is not TOML, or describes another kind of run.
        InputError: a setting is unknown.
    """
    try:
        found = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    kind = found.pop("kind", cls.__name__.lower())
    if kind != cls.__name__.lower():
        raise ConfigError(f"{path} describes a {kind}, not a {cls.__name__.lower()}")
    whole = {each.name for each in fields(cls) if type_of(cls, each.name) is float}
    found = {name: float(v) if name in whole and isinstance(v, int) else v for name, v in found.items()}
    found = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    return cls().changed({**found, **overrides})


def to_toml(settings: Settings) -> str:
    """Return what ``read_settings`` reads; settings that are None are left out."""
    lines = [f"kind = {json.dumps(type(settings).__name__.lower())}"]
    for each in fields(settings):
        value = getattr(settings, each.name)
        if value is not None:
            # JSON's strings, numbers and booleans are TOML's, but for DEL, which TOML wants escaped
            lines.append(f"{each.name} = {json.dumps(value, ensure_ascii=False)}".replace("\x7f", "\\u007f"))
    return "\n".join(lines) + "\n"
