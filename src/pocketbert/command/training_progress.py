"""A bar with the loss, the learning rate and the time that is left, on standard error."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pocketbert.training.callbacks import Callback

__all__ = ["TrainingProgress"]

_SMOOTH = 0.9  # share of the shown loss that earlier steps have


class TrainingProgress(Callback):
    """Shows how a run goes: a bar in a terminal, a line per evaluation elsewhere."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("loss {task.fields[loss]:.4f}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.loss: float | None = None

    def on_start(self, run: Any) -> None:
        """See ``Callback``."""
        self.bar.start()
        self.task = self.bar.add_task("", total=run.steps, completed=run.progress.step, loss=float("nan"))

    def on_step(self, run: Any, values: dict[str, Any]) -> None:
        """See ``Callback``."""
        loss = values["loss"]
        self.loss = loss if self.loss is None else _SMOOTH * self.loss + (1 - _SMOOTH) * loss
        self.bar.update(self.task, completed=run.progress.step, loss=self.loss)

    def on_evaluation(self, run: Any, scores: dict[str, float]) -> None:
        """See ``Callback``."""
        shown = ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
        self.console.print(f"step {run.progress.step} of {run.steps}: loss {self.loss:.4f}, {shown}", highlight=False)

    def close(self) -> None:
        """End the bar."""
        self.bar.stop()
