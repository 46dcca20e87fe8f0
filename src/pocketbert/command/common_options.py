"""Arguments that several sub-commands have."""

from __future__ import annotations

from typing import Annotated

import typer

from pocketbert.errors import InputError

__all__ = ["Folder", "Head", "Json", "checked_head"]


Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="Checkpoint folder, or a name on the hub.")]
Head = Annotated[str | None, typer.Option(help="Which head; the checkpoint's own by default.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def checked_head(head: str | None) -> str | None:
    """Return ``head``.

    Raises:
        InputError: there is no such head.
    """
    from pocketbert.architecture.heads import HEADS

    if head is not None and head not in HEADS:
        raise InputError(f"unknown head {head!r}; choose from {', '.join(HEADS)}")
    return head
