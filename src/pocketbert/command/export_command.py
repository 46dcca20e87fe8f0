"""``pocketbert export``: a sub-command per target."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketbert.command.common_options import Folder, Head
from pocketbert.command.streams import printing_results, results
from pocketbert.notices import printable

if TYPE_CHECKING:
    from pocketbert.export.judging import Report


_OnnxFile = Annotated[Path, typer.Argument(metavar="OUT", help="The .onnx file to write.")]
_SavedModel = Annotated[Path, typer.Argument(metavar="OUT", help="The SavedModel folder to write.")]
_LiteRtFile = Annotated[Path, typer.Argument(metavar="OUT", help="The .tflite file to write.")]
_Int8 = Annotated[bool, typer.Option("--int8", help="Weights in 8 bits.")]
_Limit = Annotated[float | None, typer.Option(help="Least agreement (int8), or largest error (float32).")]
_Error = Annotated[float | None, typer.Option(help="Largest error.")]

export_app = typer.Typer(help="Write a checkpoint for other engines.", no_args_is_help=True)


@export_app.command("onnx")
@printing_results
def export_onnx_command(
    folder: Folder, out: _OnnxFile, head: Head = None, int8: _Int8 = False, limit: _Limit = None
) -> None:
    """Write a checkpoint as one ONNX file with dynamic batch and length, run and compared first."""
    from pocketbert.export.onnx import export_onnx

    _print_export(export_onnx(folder, out, head, int8, limit=limit))


@export_app.command("savedmodel")
@printing_results
def export_savedmodel_command(folder: Folder, out: _SavedModel, head: Head = None, limit: _Error = None) -> None:
    """Write a checkpoint as TensorFlow's SavedModel with dynamic batch and length, run and compared first."""
    from pocketbert.export.tensorflow import export_savedmodel

    _print_export(export_savedmodel(folder, out, head, limit=limit))


@export_app.command("litert")
@printing_results
def export_litert_command(
    folder: Folder, out: _LiteRtFile, head: Head = None, int8: _Int8 = False, limit: _Limit = None
) -> None:
    """Write a checkpoint as one LiteRT (TFLite) file with dynamic batch and length, run and compared first."""
    from pocketbert.export.tensorflow import export_litert

    _print_export(export_litert(folder, out, head, int8, limit=limit))


def _print_export(report: Report) -> None:
    kind = "int8" if report.int8 else "float32"
    typer.echo(printable(f"{report.path}: {report.size} bytes, {report.head}, {kind}"), file=results())
    for name, error in report.errors.items():
        typer.echo(f"{name}: largest error {error:.1e}, agreement {report.agreement[name]:.5f}", file=results())
