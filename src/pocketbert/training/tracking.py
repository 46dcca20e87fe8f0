"""What a run measures, sent to trackers of experiments through accelerate."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pocketbert.training.callbacks import Callback

if TYPE_CHECKING:
    from pocketbert.training.loop import Run

__all__ = ["Tracking"]

_PROJECT = "pocketbert"


class Tracking(Callback):
    """Sends losses, learning rates and scores to accelerate's trackers; scores as ``eval/...``.

    Args:
        accelerator: the run's, which knows the trackers.
    """

    def __init__(self, accelerator: Any) -> None:
        self.accelerator = accelerator

    def on_start(self, run: Run) -> None:
        """Begin, with the settings."""
        shown = {n: v if isinstance(v, (bool, int, float)) else str(v) for n, v in asdict(run.settings).items()}
        self.accelerator.init_trackers(_PROJECT, config=shown)

    def on_step(self, run: Run, values: dict[str, Any]) -> None:
        """Send what a step gave."""
        numbers = {n: v for n, v in values.items() if isinstance(v, (int, float)) and n != "stopping"}
        self.accelerator.log(numbers, step=run.progress.step)

    def on_evaluation(self, run: Run, scores: dict[str, float]) -> None:
        """Send scores."""
        self.accelerator.log({f"eval/{name}": value for name, value in scores.items()}, step=run.progress.step)

    def close(self) -> None:
        """End, whether the run came to its end or not."""
        for tracker in self.accelerator.trackers:
            tracker.finish()
        self.accelerator.trackers = []
