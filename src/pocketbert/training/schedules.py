"""The learning rate of a step, as a share of the highest."""

from __future__ import annotations

import math

__all__ = ["rate", "transfer_rate"]


def rate(kind: str, step: int, steps: int, warmup: float, final: float = 0.0) -> float:
    """Return the share of the highest learning rate in a step.

    It rises linearly over the first ``warmup * steps`` steps, then falls to ``final`` at the end.

    Args:
        kind: ``"linear"``, ``"cosine"`` (half a period) or ``"constant"``, which does not fall.
        step: from 0.
        steps: of the whole run.
        warmup: share of the steps.
        final: share of the highest rate that is left at the end.

    >>> [round(rate("linear", step, 10, 0.2), 3) for step in (0, 1, 2, 6, 9)]
    [0.0, 0.5, 1.0, 0.5, 0.125]
    """
    rising = math.ceil(warmup * steps)
    if step < rising:
        return step / rising
    if kind == "constant":
        return 1.0
    done = (step - rising) / max(steps - rising, 1)
    left = 1 - done if kind == "linear" else (1 + math.cos(math.pi * done)) / 2
    return final + (1 - final) * left


def transfer_rate(step: int, steps: int) -> float:
    """Return the share of the highest learning rate in a phase of MobileBERT's layer transfer, as its code has it.

    It is three times as high as later, when words are learned; it rises over the first tenth of the steps or less,
    then falls slowly, by a tenth in all.

    Args:
        step: from 0.
        steps: of the phase.

    >>> [round(transfer_rate(step, 100), 3) for step in (0, 5, 50, 99)]
    [0.0, 1.5, 2.912, 2.73]
    """
    done = step / steps
    return 3 * min(0.9 + 0.1 * math.sqrt(1 - done), 10 * done)
