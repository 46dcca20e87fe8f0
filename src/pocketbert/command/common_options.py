"""Arguments that several sub-commands have."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["Folder", "Head", "Json"]

Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="Checkpoint folder, or a name on the hub.")]
Head = Annotated[str | None, typer.Option(help="Which head; the checkpoint's own by default.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
