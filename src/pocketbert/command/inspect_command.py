"""``pocketbert inspect``."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from pocketbert.command.common_options import Folder, Json
from pocketbert.command.streams import console, results


def inspect_command(folder: Folder, as_json: Json = False) -> None:
    """Say what a checkpoint is: architecture, head, parameters by part, dtype, size, missing and unexpected names."""
    from pocketbert.command.inspection import inspect_checkpoint

    inspection = inspect_checkpoint(folder)
    if as_json:
        plain = asdict(inspection) | {"parameters": inspection.parameters, "complete": inspection.complete}
        typer.echo(json.dumps(plain, indent=2), file=results())
    else:
        from pocketbert.command.tables import print_inspection

        print_inspection(inspection, console())
    if not inspection.complete:
        raise typer.Exit(2)
