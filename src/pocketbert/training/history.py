"""What a run measured: rows on disk, and curves as a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketbert.storage.replacing import replacing
from pocketbert.training.callbacks import Callback

if TYPE_CHECKING:
    from pocketbert.training.loop import Run

__all__ = ["CURVES_FILE", "HISTORY_FILE", "History"]

HISTORY_FILE = "history.jsonl"
CURVES_FILE = "curves.png"
_CURVES = 4  # scores that are drawn; of more, a picture shows nothing
_NOT_DRAWN = ("step", "phase", "learning_rate", "gradient_norm", "seconds")


class History(Callback):
    """Keeps the rows of a run in ``history.jsonl``, and draws them as ``curves.png``.

    Args:
        folder: the run's folder.
        step: the step that the run goes on from; rows of steps that are made again go.

    Attributes:
        rows: what was measured, in order.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.folder = folder
        self.rows = [row for row in _read(folder / HISTORY_FILE) if row["step"] <= step] if step else []

    def on_start(self, run: Run) -> None:
        """Write the rows up to the checkpoint."""
        text = "".join(json.dumps(row) + "\n" for row in self.rows)
        with replacing(self.folder) as stage:
            (stage / HISTORY_FILE).write_text(text, "utf-8")

    def on_step(self, run: Run, values: dict[str, Any]) -> None:
        """Add a row."""
        self._add({"step": run.progress.step, **{n: v for n, v in values.items() if n != "stopping"}})

    def on_evaluation(self, run: Run, scores: dict[str, float]) -> None:
        """Add a row."""
        self._add({"step": run.progress.step, "scores": scores})

    def draw(self, folder: Path) -> None:
        """Draw losses and scores over the steps, into a folder."""
        draw_curves(self.rows, folder / CURVES_FILE)

    def _add(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        with (self.folder / HISTORY_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def _read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file; a line that was left in pieces is none, and a missing file has none."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            with suppress(ValueError):
                row = json.loads(line)
                if isinstance(row, dict) and type(row.get("step")) is int:
                    yield row


def draw_curves(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw losses, the learning rate and scores over the steps, one panel each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps = [row for row in rows if "loss" in row]
    scored = [row for row in rows if "scores" in row]
    figure = Figure(figsize=(7, 7 if scored else 5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(3 if scored else 2, 1, sharex=True))
    for name in dict.fromkeys(name for row in steps for name in row if name not in _NOT_DRAWN):
        with_it = [row for row in steps if name in row]  # losses may come and go with the phases of a run
        panels[0].plot([row["step"] for row in with_it], [row[name] for row in with_it], label=name, linewidth=1)
    panels[0].set_ylabel("loss")
    panels[0].legend()
    panels[1].plot([row["step"] for row in steps], [row["learning_rate"] for row in steps], linewidth=1)
    panels[1].set_ylabel("learning rate")
    for name in list(scored[0]["scores"])[:_CURVES] if scored else ():
        panels[2].plot([r["step"] for r in scored], [r["scores"][name] for r in scored], marker="o", label=name)
    if scored:
        panels[2].set_ylabel("score")
        panels[2].legend()
    panels[-1].set_xlabel("step")
    figure.savefig(path, dpi=120)
