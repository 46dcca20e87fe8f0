"""A run whose objective, trained parameters or learning rates change on the way: its phases, one after another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from pocketbert.training.objectives.objective import Objective

__all__ = ["Phase", "free", "phase_at", "same_factor", "trained_in"]


def same_factor(_: str) -> float:
    """Train every parameter at the phase's own rate."""
    return 1.0


@dataclass(frozen=True)
class Phase:
    """Some steps of a run. The optimizer's moments start afresh with every phase.

    Attributes:
        name: what the history calls it.
        steps: how many.
        objective: what is minimized in it.
        rate: the learning rate of a step, counted from the phase's first, as a share of the run's.
        factor: what a parameter's learning rate is multiplied by, given its name; 0 freezes it.
    """

    name: str
    steps: int
    objective: Objective
    rate: Callable[[int], float]
    factor: Callable[[str], float] = same_factor

    def freeze(self, model: Any, trained: Collection[str]) -> None:
        """Let those of the run's parameters get gradients that this phase trains, and no others."""
        free(model, [name for name in trained if self.factor(name) > 0])


def trained_in(model: Any) -> list[str]:
    """Return the names of the parameters that a run trains: those that are not frozen before it."""
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def free(model: Any, names: Collection[str]) -> None:
    """Let these parameters get gradients, and no others."""
    chosen = set(names)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in chosen)


def phase_at(phases: Sequence[Phase], step: int) -> tuple[int, int]:
    """Return the phase that a step of the run belongs to, and which of its steps it is."""
    for index, phase in enumerate(phases):
        if step < phase.steps:
            return index, step
        step -= phase.steps
    raise AssertionError("a step after the last")
