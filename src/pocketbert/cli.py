"""The ``pocketbert`` command: arguments in, library called, result printed. Heavy imports happen inside commands."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pocketbert import __version__
from pocketbert.errors import PocketBertError

__all__ = ["app", "main"]

app = typer.Typer(
    help="DistilBERT and MobileBERT, exact and small.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="Checkpoint folder, or a name on the hub.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def main() -> None:
    """Run the command; errors of this library are printed in one line, without a traceback."""
    try:
        app()
    except PocketBertError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(1) from error


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pocketbert {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


@app.command("inspect")
def inspect_command(folder: _Folder, as_json: _Json = False) -> None:
    """Say what a checkpoint is: architecture, head, parameters by part, dtype, size, missing and unexpected names."""
    from pocketbert.inspection import inspect_checkpoint

    found = inspect_checkpoint(folder)
    if as_json:
        typer.echo(json.dumps(asdict(found) | {"parameters": found.parameters, "complete": found.complete}, indent=2))
    else:
        from pocketbert.tables import print_inspection

        print_inspection(found)
    if not found.complete:
        raise typer.Exit(2)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="BERT_FOLDER", help="Folder of a BERT encoder.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; made if absent.")],
) -> None:
    """Turn a BERT encoder into the DistilBERT checkpoint that computes the same, tokenizer files included."""
    from pocketbert.convert import convert_bert_to_distilbert

    typer.echo(f"wrote {convert_bert_to_distilbert(source, target)}")
