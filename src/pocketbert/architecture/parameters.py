"""The parameter record, and functions that list the parameters of common layers. Dense weights are (out, in)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from pocketbert.architecture.config import PretrainedConfig

__all__ = ["Kind", "Parameter", "kept_width", "linear", "norm", "table"]

Kind = Literal["linear_weight", "linear_bias", "norm_scale", "norm_bias", "embedding", "own"]


@dataclass(frozen=True)
class Parameter:
    """One tensor of a checkpoint.

    Attributes:
        name: its name on disk.
        shape: as on disk; (out, in) for a dense layer's weight.
        kind: what it is to a backend that stores it otherwise; "own" where a user's class added it.
        part: what it belongs to: "embeddings", "encoder", "pooler", a head's part such as "classifier", or "own".
        tied_to: the name of the parameter that it shares its memory with; tied names are not stored.
    """

    name: str
    shape: tuple[int, ...]
    kind: Kind
    part: str
    tied_to: str | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def below(self, prefix: str) -> Parameter:
        """Return it as part of a model that has its owner under this name."""
        tied_to = None if self.tied_to is None else f"{prefix}.{self.tied_to}"
        return replace(self, name=f"{prefix}.{self.name}", tied_to=tied_to)


def linear(name: str, out: int, into: int, part: str = "encoder") -> Iterator[Parameter]:
    """Yield weight and bias of a dense layer."""
    yield Parameter(f"{name}.weight", (out, into), "linear_weight", part)
    yield Parameter(f"{name}.bias", (out,), "linear_bias", part)


def norm(name: str, size: int, part: str = "encoder") -> Iterator[Parameter]:
    """Yield scale and bias of a norm."""
    yield Parameter(f"{name}.weight", (size,), "norm_scale", part)
    yield Parameter(f"{name}.bias", (size,), "norm_bias", part)


def table(name: str, rows: int, width: int) -> Parameter:
    """Return an embedding table."""
    return Parameter(f"embeddings.{name}.weight", (rows, width), "embedding", "embeddings")


def kept_width(config: PretrainedConfig, layer: int, width: int) -> int:
    """Width of query, key and value of a layer whose pruned heads are gone."""
    heads = config.num_attention_heads
    return width // heads * (heads - len(config.pruned_heads.get(layer, ())))
