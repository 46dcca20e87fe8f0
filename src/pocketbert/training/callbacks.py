"""What a run tells its listeners."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketbert.training.loop import Run

__all__ = ["Callback"]


class Callback:
    """Hears of a run; override what you need. Setting ``run.stopping`` ends the run after the step, with a checkpoint.

    >>> from pocketbert import Callback
    >>> class Printer(Callback):
    ...     def on_step(self, run, values):
    ...         print(run.progress.step, values["loss"])
    """

    def on_start(self, run: Run) -> None:
        """Before the first step."""

    def on_step(self, run: Run, values: dict[str, Any]) -> None:
        """After a step; ``values`` are its losses, learning rate and gradient norm."""

    def on_evaluation(self, run: Run, scores: dict[str, float]) -> None:
        """After an evaluation; the deciding metric comes first."""

    def on_end(self, run: Run) -> None:
        """After the last step."""
