"""Fresh weights: what a new module starts with, and how a model that is being loaded is put together without any.

While a checkpoint is loaded, the library's own layers are left empty, since all of them are read from it; layers that
a user's class adds are built as ever, and get fresh weights where the checkpoint has nothing for them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from pocketbert.architecture.sinusoids import sinusoids
from pocketbert.torch.embeddings import TokenEmbeddings
from pocketbert.torch.layers import NoNorm

__all__ = ["building", "empty_layers", "fill", "fill_any", "is_building", "start_afresh"]

_building: ContextVar[bool] = ContextVar("building", default=False)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d)
_NORMS = (nn.LayerNorm, NoNorm, nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def is_building() -> bool:
    """Whether a model is being built to be loaded, so that fresh weights would be thrown away."""
    return _building.get()


@contextmanager
def building() -> Iterator[None]:
    """Build a model that is about to be loaded."""
    token = _building.set(True)
    try:
        with torch.device("cpu"):
            yield
    finally:
        _building.reset(token)


@contextmanager
def empty_layers(model: nn.Module) -> Iterator[None]:
    """Leave the layers that are made inside, and that ``model`` holds then, empty if the model is being loaded."""
    if not is_building():
        yield
        return
    with torch.device("meta"):
        yield
    convert: Any = model._apply
    convert(lambda tensor: torch.empty_like(tensor, device="cpu") if tensor.is_meta else tensor)
    for module in model.modules():
        if isinstance(module, TokenEmbeddings):
            module.fill_buffers()


def fill(module: nn.Module, deviation: float) -> None:
    """Give a module's own parameters fresh weights, if it is of a kind that these models have.

    Weights are normal with this deviation, biases zero, norms one, and the row of padding is zero.
    """
    if isinstance(module, nn.Linear):
        module.weight.data.normal_(mean=0.0, std=deviation)
        _zero(module.bias)
    elif isinstance(module, nn.Embedding):
        module.weight.data.normal_(mean=0.0, std=deviation)
        if module.padding_idx is not None:
            module.weight.data[module.padding_idx].zero_()
    elif isinstance(module, (nn.LayerNorm, NoNorm)):
        _one(module)
    elif isinstance(module, TokenEmbeddings) and getattr(module, "sinusoidal", False):
        table = module.position_embeddings.weight
        table.data.copy_(torch.from_numpy(sinusoids(*table.shape)))


def fill_any(module: nn.Module, deviation: float) -> None:
    """As ``fill``, also for convolutions, other norms and attention, as models of one's own may have."""
    if isinstance(module, _CONVOLUTIONS):
        module.weight.data.normal_(mean=0.0, std=deviation)
        _zero(module.bias)
    elif isinstance(module, nn.MultiheadAttention):
        module._reset_parameters()
    elif isinstance(module, _NORMS):
        _one(module)
    else:
        fill(module, deviation)


def start_afresh(model: Any, names: Collection[str], empty: Collection[str]) -> None:
    """Give parameters fresh weights: every module that holds one, at any depth, goes through ``_init_weights``.

    Args:
        model: a ``PreTrainedModel``.
        names: the parameters.
        empty: those of them that hold nothing yet.
    """
    with torch.no_grad():
        for name in empty:
            model.get_parameter(name).zero_()
        paths = {""} | {name.rsplit(".", count)[0] for name in names for count in range(1, name.count(".") + 1)}
        named = dict(model.named_modules())
        owners = {path: module for path, module in named.items() if hasattr(module, "_init_weights")}
        chosen = [
            path for path in named if path in paths
        ]  # in the model's order, so that a seed gives the same weights
        for path in sorted(chosen, key=lambda path: -path.count(".") if path else 1):
            above = [path.rsplit(".", count)[0] for count in range(path.count(".") + 1)] + [""]
            owner = next(owners[place] for place in above if place in owners)
            owner._init_weights(named[path])


def _zero(bias: Tensor | None) -> None:
    if bias is not None:
        bias.data.zero_()


def _one(norm: Any) -> None:
    if getattr(norm, "weight", None) is not None:
        norm.weight.data.fill_(1.0)
    _zero(getattr(norm, "bias", None))
