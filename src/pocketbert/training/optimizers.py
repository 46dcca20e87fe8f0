"""Optimizers, and which parameters have weight decay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pocketbert.settings.settings import Settings
from pocketbert.training.phases import Phase

__all__ = ["Lamb", "make_optimizer"]


def make_optimizer(
    model: nn.Module, settings: Settings, phases: Sequence[Phase]
) -> tuple[torch.optim.Optimizer, list[tuple[float, ...]]]:
    """Return the optimizer of a run, and for each of its groups the factor of the learning rate in every phase.

    Biases and the parameters of norms have no weight decay, and no adaptation in LAMB.
    """
    groups: dict[tuple[bool, tuple[float, ...]], dict[str, Any]] = {}
    for name, value in model.named_parameters():
        if value.requires_grad:
            plain, factors = _is_plain(name, value), tuple(phase.factor(name) for phase in phases)
            decay = 0.0 if plain else settings.weight_decay
            group = groups.setdefault((plain, factors), {"params": [], "weight_decay": decay})
            group["params"].append(value)
            if settings.optimizer == "lamb":
                group["adapted"] = not plain
    shared: dict[str, Any] = {
        "lr": settings.learning_rate,
        "betas": (settings.beta1, settings.beta2),
        "eps": settings.epsilon,
    }
    kind = Lamb if settings.optimizer == "lamb" else torch.optim.AdamW
    return kind(list(groups.values()), **shared), [factors for _, factors in groups]


def _is_plain(name: str, value: Tensor) -> bool:
    return value.ndim < 2 or name.endswith("bias")


class Lamb(torch.optim.Optimizer):
    """Layer-wise adaptive moments for large batches (arXiv 1904.00962), as MobileBERT's pre-training uses it.

    There is no bias correction. With the means of gradients ``m`` and of their squares ``v``, and the decoupled decay
    ``d``, the update of a weight ``w`` is ``u = m / (sqrt(v) + eps) + d * w``, and ``w`` becomes
    ``w - lr * r * u`` with the ratio ``r = |w| / |u|``, which is 1 if either norm is 0, and in groups of parameters
    whose ``adapted`` is false.

    >>> weight = nn.Parameter(torch.tensor([3.0, 4.0]))
    >>> optimizer = Lamb([weight], lr=0.1)
    >>> weight.grad = torch.tensor([1.0, 1.0])
    >>> optimizer.step()
    >>> round(float((weight.detach() - torch.tensor([3.0, 4.0])).norm()), 4)  # lr * |w|
    0.5
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.5e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        adapted: bool = True,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "adapted": adapted}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Change every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            first, second = group["betas"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["exp_avg"] = torch.zeros_like(weight)
                    state["exp_avg_sq"] = torch.zeros_like(weight)
                mean = state["exp_avg"].lerp_(weight.grad, 1 - first)
                squares = state["exp_avg_sq"].mul_(second).addcmul_(weight.grad, weight.grad, value=1 - second)
                update = mean / (squares.sqrt() + group["eps"])
                update = update.add_(weight, alpha=group["weight_decay"])
                ratio = torch.ones((), device=weight.device, dtype=weight.dtype)
                if group["adapted"]:
                    size, change = weight.norm(), update.norm()
                    ratio = torch.where((size > 0) & (change > 0), size / change, ratio)
                weight.sub_(update * (group["lr"] * ratio))
        return loss
