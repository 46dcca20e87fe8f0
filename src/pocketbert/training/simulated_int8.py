"""Training in simulated int8: the rounding of the int8 engine inside of a float model, so that its weights adapt to it.

Products and the word table are rounded as ``plan.int8`` does it: weights per output channel, activations per row, both
symmetric; a product's columns are centered and equalized before, and outliers stay in float32, with the values that a
first look at training batches gives. Gradients pass through the rounding as if it were not there (the straight-through
estimator, arXiv 1308.3432). A head's small products stay in float32, as in the engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketbert.plan.int8.narrow import MAX_OUTLIER_SHARE, OUTLIER_RATIO
from pocketbert.plan.int8.ranges import typical

__all__ = ["rounded", "simulating_int8"]


@dataclass(frozen=True)
class _Columns:
    """What is done to the input columns of a product before they are rounded, (in,) each.

    Attributes:
        center: is subtracted; the product adds its weights times this.
        factor: values are divided by it, and weights multiplied.
        inside: 0 for an outlier, which is not rounded, else 1.
    """

    center: Tensor
    factor: Tensor
    inside: Tensor


def rounded(x: Tensor) -> Tensor:
    """Round each row to 127 steps on either side of 0; the gradient passes through.

    >>> rounded(torch.tensor([[1.27, 0.016], [0.0, 0.0]]))
    tensor([[1.2700, 0.0200],
            [0.0000, 0.0000]])
    """
    scale = x.detach().abs().amax(dim=-1, keepdim=True) / 127
    scale = torch.where(scale > 0, scale, 1.0)
    return x + (torch.round(x.detach() / scale) * scale - x.detach())


@contextmanager
def simulating_int8(model: Any, batches: Iterable[dict[str, Tensor]]) -> Iterator[None]:
    """Let a model's products round as in int8 inside of the block.

    Args:
        model: a PyTorch model of this library.
        batches: typical inputs, to see the ranges of columns.
    """
    products = _products(model)
    seen = _inputs(model, products, batches)
    table = model.get_input_embeddings()
    for module in products:
        module.forward = partial(_product, module, _columns(seen[module], module.weight))  # type: ignore[method-assign]
    table.forward = partial(_words, table)
    try:
        yield
    finally:
        for module in [*products, table]:
            del module.forward


def _products(model: Any) -> list[nn.Linear]:
    """Return the products that the engine computes in int8: the encoder's, and large ones of heads."""
    encoder = model.base_model
    inside = {module for module in encoder.modules() if isinstance(module, nn.Linear)}
    large = model.config.hidden_size**2
    table = model.get_input_embeddings().weight
    return [
        module
        for module in model.modules()
        if type(module) is nn.Linear and (module in inside or module.weight.numel() >= large or module.weight is table)
    ]


def _inputs(model: Any, products: list[nn.Linear], batches: Iterable[dict[str, Tensor]]) -> dict[nn.Linear, Tensor]:
    """Run the model and return what each product reads at real tokens, (rows, in)."""
    seen: dict[nn.Linear, list[Tensor]] = {module: [] for module in products}
    mask = torch.ones(0)

    def keep(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        rows = args[0].detach()
        real = rows[mask.bool()] if rows.shape[:-1] == mask.shape else rows
        seen[module].append(real.reshape(-1, rows.shape[-1]))  # type: ignore[index]

    hooks = [module.register_forward_pre_hook(keep) for module in products]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for batch in batches:
                mask = batch["attention_mask"].flatten(0, -2)
                model(**batch)
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return {module: torch.cat(rows) for module, rows in seen.items() if rows}


def _columns(rows: Tensor, weight: Tensor) -> _Columns:
    """Choose center, factor and outliers as ``plan.int8`` does, for one product."""
    center = rows.median(dim=0).values
    centered = (rows - center).double().cpu().numpy()
    peak = (np.abs(centered) / typical(np.abs(centered))).max(axis=0)
    strongest = weight.detach().abs().amax(dim=0).double().cpu().numpy()
    known = (peak > 0) & (strongest > 0)
    exponents = np.zeros(len(peak))
    if known.any():
        preferred = 0.5 * np.log2(peak[known] / strongest[known])
        preferred -= np.median(preferred)
        exponents[known] = np.rint(preferred - 0.5 * np.clip(preferred, -4, 4))
    factor = 2.0**exponents
    peak = np.abs(centered) / factor
    peak = (peak / typical(peak)).max(axis=0)
    order = np.argsort(-peak, kind="stable")[: max(1, int(len(peak) * MAX_OUTLIER_SHARE))]
    inside = np.ones(len(peak))
    inside[order[peak[order] > OUTLIER_RATIO]] = 0
    return _Columns(center, weight.new_tensor(factor), weight.new_tensor(inside))


def _product(module: nn.Linear, columns: _Columns, x: Tensor) -> Tensor:
    """Return what the int8 product gives for rows (..., in)."""
    weight = module.weight * columns.factor
    x = (x - columns.center) / columns.factor
    outside = 1 - columns.inside
    values = rounded(x * columns.inside) + x * outside
    weight = rounded(weight * columns.inside) + weight * outside
    shift = F.linear(columns.center, module.weight, module.bias)
    return F.linear(values, weight) + shift


def _words(table: nn.Embedding, ids: Tensor) -> Tensor:
    """Look up words whose vectors are rounded, each with its own scale."""
    return rounded(F.embedding(ids, table.weight, table.padding_idx))
