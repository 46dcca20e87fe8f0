"""What the command prints for people to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich import filesize
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from pocketbert.notices import printable

if TYPE_CHECKING:
    from pocketbert.command.inspection import Inspection
    from pocketbert.quantization import QuantizationReport

__all__ = ["print_inspection", "print_quantization"]

_SHOWN = 5  # parts with the largest losses


def print_inspection(inspection: Inspection, console: Console) -> None:
    """Print the facts, the parameters by part, and every name that does not fit."""
    rows = {
        "checkpoint": inspection.folder,
        "architecture": inspection.architecture + (" (told from the names on disk)" if inspection.guessed else ""),
        "head": inspection.head.replace("_", " ") if inspection.head != "none" else "none (bare encoder)",
        **{name.replace("_", " "): value for name, value in inspection.facts.items()},
        "dtype": ", ".join(f"{dtype} ({count} tensors)" for dtype, count in inspection.dtypes.items()),
        "on disk": f"{filesize.decimal(inspection.size)} in {', '.join(inspection.files)}",
    }
    console.print(_facts(rows))

    parts = Table("part", Column("parameters", justify="right"), box=None, pad_edge=False)
    for part, count in inspection.parts:
        parts.add_row(_safe(part), f"{count:,}")
    parts.add_row("total", f"{inspection.parameters:,}", style="bold")
    console.print("", parts, "", sep="\n")

    lists = {"missing": inspection.missing, "unexpected": inspection.unexpected, "not used": inspection.unused}
    for title, names in lists.items():
        console.print(f"[bold]{title}[/]: {_safe(', '.join(names)) if names else 'none'}")
    for name, disk, ours in inspection.misshaped:
        console.print(f"[bold]misshaped: {_safe(name)}[/]: {disk} on disk, the configuration gives {ours}")
    for name, dtype in inspection.not_floats:
        console.print(f"[bold]no floats: {_safe(name)}[/] is {_safe(dtype)} on disk")
    if not inspection.complete:
        console.print(f"[bold red]{_safe(inspection.architecture)} cannot be loaded from this checkpoint.[/]")


def print_quantization(report: QuantizationReport, console: Console) -> None:
    """Print sizes, metrics, agreement and the parts with the largest losses."""
    share = report.size_after / report.size_before
    sizes = f"{filesize.decimal(report.size_before)} before, {filesize.decimal(report.size_after)} after ({share:.0%})"
    rows = {"int8 checkpoint": report.folder, "head": report.head.replace("_", " "), "weights": sizes}
    rows |= {score.name: f"{score.before:.4f} before, {score.after:.4f} after" for score in report.scores}
    rows["loss"] = f"{report.loss:.4f} (limit {report.max_loss:g})"
    console.print(_facts(rows))

    kinds = {"same": "same answer", "error": "error", "cosine": "cosine", "worst": "least cosine"}
    answers: dict[str, dict[str, float]] = {}
    for name, value in report.agreement.items():
        answer, kind = ("hidden", "worst") if name == "hidden_cosine_worst" else name.rsplit("_", 1)
        answers.setdefault(answer, {})[kind] = value
    columns = [Column(title, justify="right") for title in kinds.values()]
    table = Table("results", *columns, box=None, pad_edge=False)
    for answer, values in answers.items():
        cells = [f"{values[kind]:.4f}" if kind in values else "" for kind in kinds]
        table.add_row("hidden states" if answer == "hidden" else answer.replace("_", " "), *cells)
    console.print(f"\n[bold]agreement with float32 on {report.texts}[/]")
    console.print(table)

    parts = Table("part", Column("loss", justify="right"), box=None, pad_edge=False)
    for part in report.parts[:_SHOWN]:
        parts.add_row(_safe(part.name), f"{part.loss:.5f}")
    console.print("\n[bold]loss with one part alone in int8[/]", parts, sep="\n")


def _facts(rows: Mapping[str, object]) -> Table:
    table = Table(Column(style="bold"), Column(), show_header=False, box=None, pad_edge=False)
    for name, value in rows.items():
        table.add_row(name, _safe(value))
    return table


def _safe(value: object) -> str:
    """Return what rich shows as it is: names come from files."""
    return escape(printable(str(value)))
