"""A quantization report as tables for the terminal."""

from __future__ import annotations

from rich import filesize
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from pocketbert.quantization.quantization_report import QuantizationReport

__all__ = ["print_report"]

_SHOWN = 5  # parts with the largest losses


def print_report(report: QuantizationReport, console: Console | None = None) -> None:
    """Print sizes, metrics, agreement and the parts with the largest losses."""
    console = console or Console()
    facts = Table(Column(style="bold"), Column(), show_header=False, box=None, pad_edge=False)
    share = report.size_after / report.size_before
    sizes = f"{filesize.decimal(report.size_before)} before, {filesize.decimal(report.size_after)} after ({share:.0%})"
    rows = {"int8 checkpoint": report.folder, "head": report.head.replace("_", " "), "weights": sizes}
    rows |= {f"{score.name}": f"{score.before:.4f} before, {score.after:.4f} after" for score in report.scores}
    rows["loss"] = f"{report.loss:.4f} (limit {report.max_loss:g})"
    for name, text in rows.items():
        facts.add_row(name, escape(text))
    console.print(facts)

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
        parts.add_row(part.name, f"{part.loss:.5f}")
    console.print("\n[bold]loss with one part alone in int8[/]", parts, sep="\n")
