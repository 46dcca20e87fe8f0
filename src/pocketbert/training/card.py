"""The model card: README.md beside a model, with the head that the hub reads and what the run measured."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pocketbert.settings.settings import RUN_FILE, Settings, places_of, to_toml
from pocketbert.training.history import CURVES_FILE

__all__ = ["CARD_FILE", "Card", "write_card"]

CARD_FILE = "README.md"
_MARK = "<!-- pocketbert writes this card again at the next run; without this line it leaves the file alone -->"
# the hub's names of metrics, by how the names here begin
_METRICS = {
    "accuracy": "accuracy",
    "exact match": "exact_match",
    "Spearman": "spearmanr",
    "Pearson": "pearsonr",
    "entity precision": "precision",
    "entity recall": "recall",
}


@dataclass(frozen=True)
class Card:
    """What a run was made of, as a card tells it.

    Attributes:
        done: what the run did, such as ``"fine-tuned for text-classification"``.
        task: the hub's name of the task.
        base: the model that it began with: a folder or a name on the hub.
        train: the data that it learned from.
        eval: the data that it was scored on.
    """

    done: str
    task: str
    base: str
    train: str
    eval: str | None = None


def write_card(
    folder: Path, target: Path, card: Card, settings: Settings, model: Any, scores: Mapping[str, float], steps: int
) -> None:
    """Write a run's card into ``folder``, unless ``target`` holds a README.md that is somebody's own.

    Args:
        folder: where to write.
        target: where the files of ``folder`` go.
        card: what the run was made of.
        settings: its settings.
        model: what it made.
        scores: what was measured.
        steps: how many it made.
    """
    before = target / CARD_FILE
    if before.exists() and _MARK not in before.read_text("utf-8", errors="replace"):
        return
    name = target.resolve().name
    base = _shown(card.base)
    lines = ["---", _head(card, name, scores), "---", "", _MARK, "", f"# {name}", ""]
    parameters = sum(value.numel() for value in model.parameters())
    lines += [f"`{type(model).__name__}`, {parameters:,} parameters, {card.done} from {base}.", ""]
    lines += [f"Learned in {steps:,} steps from {_shown(card.train)}. The curves:", "", f"![curves]({CURVES_FILE})", ""]
    if scores and card.eval is not None:
        lines += [f"## Scores on {_shown(card.eval)}", "", "| metric | value |", "|---|---|"]
        lines += [f"| {_cell(metric)} | {value:.4f} |" for metric, value in scores.items()]
        lines += ["", "They chose the checkpoint, so they are no test of it.", ""]
    lines += ["## Use", "", "```python", "from pocketbert import pipeline", ""]
    lines += [f'answer = pipeline("{card.task}", model="path/to/this/folder")', "```", ""]
    lines += ["## Settings", "", f"All of them are in `{RUN_FILE}`; these differ from the defaults:", ""]
    lines += ["```toml", _changed(settings), "```", ""]
    (folder / CARD_FILE).write_text("\n".join(lines), "utf-8")


def _head(card: Card, name: str, scores: Mapping[str, float]) -> str:
    """Return the card's YAML."""
    from huggingface_hub import EvalResult, ModelCardData

    known = {metric: _hub_name(metric) for metric in scores if not metric.startswith("F1 of ")}
    results = [
        EvalResult(
            task_type=card.task,
            dataset_type=_on_hub(card.eval) or "private",
            dataset_name=_on_hub(card.eval) or Path(card.eval).name,
            metric_type=kind,
            metric_name=metric,
            metric_value=round(scores[metric], 4),
        )
        for metric, kind in known.items()
        if card.eval is not None
    ]
    data = ModelCardData(
        library_name="pocketbert",
        pipeline_tag=card.task,
        base_model=_on_hub(card.base),
        datasets=[found] if (found := _on_hub(card.train)) else None,
        metrics=list(dict.fromkeys(known.values())) or None,
        model_name=name if results else None,
        eval_results=results or None,
    )
    return str(data.to_yaml()).strip()


def _hub_name(metric: str) -> str:
    return next((kind for begin, kind in _METRICS.items() if metric.startswith(begin)), "f1")


def _on_hub(source: str | None) -> str | None:
    """Return the hub's name of a model or data set; None for what lies on this machine."""
    name = re.split("[@:]", source or "")[0]
    path = os.path.expanduser(source or "")
    is_name = re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) is not None and not Path(name).suffix[1:].isalpha()
    return name if is_name and not os.path.exists(path) else None


def _shown(source: str) -> str:
    """Return what to call a place without saying where on this machine it lies."""
    return f"`{(_on_hub(source) and source) or Path(source).name}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _changed(settings: Settings) -> str:
    same = {f"{each.name} = " for each in fields(settings) if getattr(settings, each.name) == each.default}
    places = {f"{name} = " for name in places_of(settings)}  # which lie on this machine
    rows = to_toml(settings).splitlines()
    return "\n".join(row for row in rows if not row.startswith(tuple(same | places)))
