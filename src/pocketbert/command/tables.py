"""What the command prints for people to read."""

from __future__ import annotations

from rich import filesize
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pocketbert.command.inspection import Inspection

__all__ = ["print_inspection"]


def print_inspection(inspection: Inspection, console: Console | None = None) -> None:
    """Print the facts, the parameters by part, and every name that does not fit."""
    console = console or Console()
    head = inspection.head.replace("_", " ") if inspection.head != "none" else "none (bare encoder)"
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_column(style="bold")
    facts.add_column()
    rows = {
        "checkpoint": inspection.folder,
        "architecture": inspection.architecture + (" (told from the names on disk)" if inspection.guessed else ""),
        "head": head,
        **{name.replace("_", " "): value for name, value in inspection.facts.items()},
        "dtype": ", ".join(f"{dtype} ({count} tensors)" for dtype, count in inspection.dtypes.items()),
        "on disk": f"{filesize.decimal(inspection.size)} in {', '.join(inspection.files)}",
    }
    for name, value in rows.items():
        facts.add_row(name, escape(str(value)))
    console.print(facts)

    parts = Table(box=None, pad_edge=False)
    parts.add_column("part")
    parts.add_column("parameters", justify="right")
    for part, count in inspection.parts:
        parts.add_row(part, f"{count:,}")
    parts.add_row("total", f"{inspection.parameters:,}", style="bold")
    console.print()
    console.print(parts)

    console.print()
    shapes = {
        f"misshaped: {name}": f"{disk} on disk, the configuration gives {ours}"
        for name, disk, ours in inspection.misshaped
    }
    lists = {"missing": inspection.missing, "unexpected": inspection.unexpected, "not used": inspection.unused}
    for title, names in lists.items():
        console.print(f"[bold]{title}[/]: {escape(', '.join(names)) if names else 'none'}")
    for title, text in shapes.items():
        console.print(f"[bold]{escape(title)}[/]: {text}")
    if not inspection.complete:
        console.print(f"[bold red]{inspection.architecture} cannot be loaded from this checkpoint.[/]")
