"""The ``pocketbert`` command. Heavy imports happen inside the sub-commands, when they run."""

from __future__ import annotations

import io
import sys
import warnings
from typing import Annotated

import typer

from pocketbert import __version__
from pocketbert.command.bench_command import bench_command
from pocketbert.command.convert_command import convert_command
from pocketbert.command.export_command import export_app
from pocketbert.command.inspect_command import inspect_command
from pocketbert.command.predict_command import predict_command
from pocketbert.command.quantize_command import quantize_command
from pocketbert.errors import PocketBertError

__all__ = ["app", "main"]


app = typer.Typer(
    help="DistilBERT and MobileBERT, exact and small.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("inspect")(inspect_command)
app.command("convert")(convert_command)
app.add_typer(export_app, name="export")
app.command("quantize")(quantize_command)
app.command("predict")(predict_command)
app.command("bench")(bench_command)


def main() -> None:
    """Run the command; errors of this library, and warnings, are printed in one line, without a traceback."""
    warnings.showwarning = _show_warning
    if sys.platform == "win32":  # pipes and files there have a code page that lacks most characters
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(encoding="utf-8")
    try:
        app()
    except PocketBertError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(1) from error


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    typer.echo(f"warning: {message}", err=True)


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
