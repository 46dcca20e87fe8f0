"""What the command prints for people to read."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pocketbert.command.inspection import Inspection

__all__ = ["print_inspection", "readable_size"]


def readable_size(size: int) -> str:
    """Return bytes as ``"265.5 MB"``."""
    amount = float(size)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.2f} GB"


def print_inspection(found: Inspection, console: Console | None = None) -> None:
    """Print the facts, the parameters by part, and every name that does not fit."""
    console = console or Console()
    head = found.head.replace("_", " ") if found.head != "none" else "none (bare encoder)"
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_column(style="bold")
    facts.add_column()
    rows = {
        "checkpoint": found.folder,
        "architecture": found.architecture + (" (told from the names on disk)" if found.guessed else ""),
        "head": head,
        **{name.replace("_", " "): value for name, value in found.facts.items()},
        "dtype": ", ".join(f"{dtype} ({count} tensors)" for dtype, count in found.dtypes.items()),
        "on disk": f"{readable_size(found.size)} in {', '.join(found.files)}",
    }
    for name, value in rows.items():
        facts.add_row(name, escape(str(value)))
    console.print(facts)

    parts = Table(box=None, pad_edge=False)
    parts.add_column("part")
    parts.add_column("parameters", justify="right")
    for part, count in found.parts:
        parts.add_row(part, f"{count:,}")
    parts.add_row("total", f"{found.parameters:,}", style="bold")
    console.print()
    console.print(parts)

    console.print()
    shapes = {
        f"misshaped: {name}": f"{disk} on disk, the configuration gives {ours}" for name, disk, ours in found.misshaped
    }
    lists = {"missing": found.missing, "unexpected": found.unexpected, "not used": found.unused}
    for title, names in lists.items():
        console.print(f"[bold]{title}[/]: {escape(', '.join(names)) if names else 'none'}")
    for title, text in shapes.items():
        console.print(f"[bold]{escape(title)}[/]: {text}")
    if not found.complete:
        console.print(f"[bold red]{found.architecture} cannot be loaded from this checkpoint.[/]")
