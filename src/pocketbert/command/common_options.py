"""Arguments that several sub-commands have."""

from __future__ import annotations

from typing import Annotated

import typer

from pocketbert.errors import InputError

__all__ = ["Folder", "Head", "Json"]


def _checked(head: str | None) -> str | None:
    from pocketbert.architecture.heads import HEADS

    if head is not None and head not in HEADS:
        raise InputError(f"unknown head {head!r}; choose from {', '.join(HEADS)}")
    return head


Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="Checkpoint folder, or a name on the hub.")]
Head = Annotated[str | None, typer.Option(help="Which head; the checkpoint's own by default.", callback=_checked)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
