"""Which layer gave the first value that is not finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["first_not_finite"]


def first_not_finite(model: nn.Module, call: Callable[[Any], Any]) -> str | None:
    """Run ``call(model)`` and return the name of the first layer whose output is not finite, or None.

    A layer here is a module without modules in it.
    """
    found: list[str] = []
    hooks = []
    for name, module in model.named_modules():
        if not any(module.children()):

            def look(_: nn.Module, __: Any, output: Any, name: str = name) -> None:
                if isinstance(output, Tensor) and output.is_floating_point() and not torch.isfinite(output).all():
                    found.append(name)

            hooks.append(module.register_forward_hook(look))
    try:
        call(model)
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else None
