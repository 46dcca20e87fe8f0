"""Activations by name, for layers of one's own."""

from __future__ import annotations

from typing import Any

from pocketbert.torch.layers import ACTIVATIONS, activation

__all__ = ["ACT2FN", "activation", "gelu", "gelu_new"]


class _Modules(dict[str, Any]):
    """Gives a new module for each name."""

    def __getitem__(self, name: str) -> Any:
        return super().__getitem__(name)()


ACT2FN = _Modules(ACTIVATIONS)
gelu = activation("gelu")
gelu_new = activation("gelu_new")
