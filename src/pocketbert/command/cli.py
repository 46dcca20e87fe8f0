"""The ``pocketbert`` command. Heavy imports happen inside the sub-commands, when they run."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pocketbert import __version__
from pocketbert.command.bench_command import bench_command
from pocketbert.command.convert_command import convert_command
from pocketbert.command.ending import status_of
from pocketbert.command.export_command import export_app
from pocketbert.command.inspect_command import inspect_command
from pocketbert.command.predict_command import predict_command
from pocketbert.command.quantize_command import quantize_command
from pocketbert.command.streams import printing_results, standard_streams
from pocketbert.command.training_command import distil_app, finetune_command, own_options, pretrain_command

__all__ = ["app", "main"]


app = typer.Typer(
    help="DistilBERT and MobileBERT, exact and small.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("inspect")(printing_results(inspect_command))
app.command("convert")(printing_results(convert_command))
app.add_typer(export_app, name="export")
app.command("quantize")(printing_results(quantize_command))
app.command("predict")(printing_results(predict_command))
app.command("bench")(printing_results(bench_command))
app.command("finetune", context_settings=own_options)(finetune_command)
app.command("pretrain", context_settings=own_options)(pretrain_command)
app.add_typer(distil_app, name="distil", help="Make a small model from a large one.")


def main() -> None:
    """Run the command; errors and warnings are told in one line, and its end is a status."""
    arguments = sys.argv[1:]
    words = arguments[: arguments.index("--")] if "--" in arguments else arguments
    debug = "--debug" in words
    if debug:  # it may stand behind a sub-command, too
        arguments.remove("--debug")

    def run() -> None:
        command = typer.main.get_command(app)
        with standard_streams(), command.make_context("pocketbert", arguments) as context:
            command.invoke(context)

    raise SystemExit(status_of(run, debug=debug))


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pocketbert {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print the traceback of an error, too.")] = False,
) -> None:
    pass
