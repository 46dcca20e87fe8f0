"""Checks of configuration fields: each error states the field, its value, the limit and the fix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pocketbert.errors import ConfigError
from pocketbert.notices import renamed

__all__ = [
    "ACTIVATIONS",
    "MOST_LAYERS",
    "MOST_LABELS",
    "modern_activation",
    "default_labels",
    "check_int",
    "check_bool",
    "check_float",
    "check_heads",
    "check_activation",
    "check_probability",
    "from_the_first",
    "pruned_heads_of",
    "dtype_name",
]

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "relu6", "silu", "tanh", "linear")

# Far above any real model; limits the memory that an untrusted file can allocate.
MOST_LAYERS = 1000
MOST_LABELS = 1_000_000


def modern_activation(activation: str | Callable[[Any], Any]) -> str | Callable[[Any], Any]:
    """Return the current name of an activation, with a warning for an old one."""
    if activation == "swish":
        renamed('activation "swish"', '"silu"')
        return "silu"
    return activation


def default_labels(count: int) -> dict[int, str]:
    """Return the default label names."""
    return {index: f"LABEL_{index}" for index in range(count)}


def check_int(name: str, value: Any, low: int, high: int | None = None) -> None:
    """Check that a field is an integer in its range."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{name} must be an integer, got {value!r}")
    if value < low or (high is not None and value > high):
        limit = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ConfigError(f"{name} {value} must be {limit}")


def check_bool(name: str, value: Any) -> None:
    """Check that a field is true or false."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be true or false, got {value!r}")


def check_float(name: str, value: Any) -> None:
    """Check that a field is a finite number and not negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ConfigError(f"{name} {value!r} must be a finite number and not negative")


def check_heads(heads: int, width_name: str, width: int) -> None:
    """Check that heads divide the width."""
    if width % heads:
        raise ConfigError(f"head count {heads} does not divide {width_name} {width}")


def check_activation(name: str, value: Any) -> None:
    """Check that an activation is a function or one of ``ACTIVATIONS``."""
    if not callable(value) and value not in ACTIVATIONS:
        raise ConfigError(f"{name} {value!r} is unknown; choose from {', '.join(ACTIVATIONS)}")


def check_probability(name: str, value: Any, *, optional: bool = False) -> None:
    """Check that a field is a probability, or None where ``optional``."""
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ConfigError(f"{name} {value!r} must be a probability from 0 to 1")


def pruned_heads_of(heads: Mapping[Any, Any] | None) -> dict[int, list[int]]:
    """Return ``{layer: sorted heads}`` with integer keys, as JSON cannot hold them."""
    message = f"pruned_heads maps layers to lists of heads, got {heads!r}"
    try:
        listed = {int(layer): sorted(set(gone)) for layer, gone in (heads or {}).items()}
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(message) from error
    if any(isinstance(head, bool) or not isinstance(head, int) for gone in listed.values() for head in gone):
        raise ConfigError(message)
    return {layer: gone for layer, gone in listed.items() if gone}


def from_the_first(pruned: Mapping[int, Iterable[int]], layers: int) -> dict[int, list[int]]:
    """Return ``{layer: heads}`` where -1 was the last layer and now is ``layers - 1``; what is no layer stays."""
    counted: dict[int, list[int]] = {}
    for layer, heads in pruned.items():
        place = layer + layers if -layers <= layer < 0 else layer
        counted[place] = sorted({*counted.get(place, ()), *heads})
    return counted


def dtype_name(dtype: Any) -> str | None:
    """Return ``"float32"`` of ``torch.float32`` or ``"float32"``."""
    return None if dtype is None else str(dtype).removeprefix("torch.")
