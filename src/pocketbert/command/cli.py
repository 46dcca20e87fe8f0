"""The ``pocketbert`` command: arguments in, library called, result printed. Heavy imports happen inside commands."""

from __future__ import annotations

import io
import json
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketbert import __version__
from pocketbert.errors import InputError, PocketBertError

if TYPE_CHECKING:
    from pocketbert.architecture.parameters import Head
    from pocketbert.export.agreement import Report as ExportReport
    from pocketbert.tasks.records import Fields, Record

__all__ = ["app", "main"]

app = typer.Typer(
    help="DistilBERT and MobileBERT, exact and small.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="Checkpoint folder, or a name on the hub.")]
_Head = Annotated[str | None, typer.Option(help="Which head; the checkpoint's own by default.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def main() -> None:
    """Run the command; errors of this library, and warnings, are printed in one line, without a traceback."""
    warnings.showwarning = _show_warning
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


@app.command("inspect")
def inspect_command(folder: _Folder, as_json: _Json = False) -> None:
    """Say what a checkpoint is: architecture, head, parameters by part, dtype, size, missing and unexpected names."""
    from pocketbert.command.inspection import inspect_checkpoint

    found = inspect_checkpoint(folder)
    if as_json:
        typer.echo(json.dumps(asdict(found) | {"parameters": found.parameters, "complete": found.complete}, indent=2))
    else:
        from pocketbert.command.tables import print_inspection

        print_inspection(found)
    if not found.complete:
        raise typer.Exit(2)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="BERT_FOLDER", help="Folder of a BERT encoder.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; made if absent.")],
) -> None:
    """Turn a BERT encoder into the DistilBERT checkpoint that computes the same, tokenizer files included."""
    from pocketbert.checkpoint.convert import convert_bert_to_distilbert

    typer.echo(f"wrote {convert_bert_to_distilbert(source, target)}")


export_app = typer.Typer(help="Write a checkpoint for other engines.", no_args_is_help=True)
app.add_typer(export_app, name="export")


@export_app.command("onnx")
def export_onnx_command(
    folder: _Folder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The .onnx file to write.")],
    head: _Head = None,
    int8: Annotated[bool, typer.Option("--int8", help="Weights in 8 bits.")] = False,
    limit: Annotated[float | None, typer.Option(help="Least agreement (int8), or largest error (float).")] = None,
) -> None:
    """Write a checkpoint as one ONNX file with dynamic batch and length, run and compared first."""
    from pocketbert.export.onnx import export_onnx

    _print_export(export_onnx(folder, out, _checked_head(head), int8, limit=limit))


@export_app.command("savedmodel")
def export_savedmodel_command(
    folder: _Folder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The SavedModel folder to write.")],
    head: _Head = None,
    limit: Annotated[float | None, typer.Option(help="Largest error.")] = None,
) -> None:
    """Write a checkpoint as TensorFlow's SavedModel with dynamic batch and length, run and compared first."""
    from pocketbert.export.tensorflow import export_savedmodel

    _print_export(export_savedmodel(folder, out, _checked_head(head), limit=limit))


@export_app.command("litert")
def export_litert_command(
    folder: _Folder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The .tflite file to write.")],
    head: _Head = None,
    int8: Annotated[bool, typer.Option("--int8", help="Weights in 8 bits.")] = False,
    limit: Annotated[float | None, typer.Option(help="Least agreement (int8), or largest error (float).")] = None,
) -> None:
    """Write a checkpoint as one LiteRT (TFLite) file with dynamic batch and length, run and compared first."""
    from pocketbert.export.tensorflow import export_litert

    _print_export(export_litert(folder, out, _checked_head(head), int8, limit=limit))


@app.command("quantize")
def quantize_command(
    folder: _Folder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; made if absent.")],
    data: Annotated[Path | None, typer.Option(help="Labelled records: compare the task's metric on them.")] = None,
    texts: Annotated[Path | None, typer.Option(help="Typical texts, one a line, to calibrate and compare on.")] = None,
    max_loss: Annotated[float, typer.Option(help="Most that the metric, or without data the cosine, may lose.")] = 0.01,
    head: _Head = None,
    as_json: _Json = False,
) -> None:
    """Write a checkpoint in int8, a quarter of the size, and say what that costs; refused above --max-loss."""
    from rich.console import Console

    from pocketbert.command.quantization_table import print_report
    from pocketbert.quantization import quantize

    chosen = _checked_head(head)
    lines = None if texts is None else _lines(texts)
    before = ""

    def watch(what: str, done: int, total: int) -> None:
        nonlocal before
        if status.console.is_terminal:
            status.update(f"{what}: {done} of {total}" if total > 1 else what)
        elif what != before:
            typer.echo(what, err=True)
        before = what

    with Console(stderr=True).status("reading the checkpoint") as status:
        try:
            report = quantize(folder, out, data=data, texts=lines, max_loss=max_loss, head=chosen, progress=watch)
        except KeyboardInterrupt:
            typer.echo("stopped; nothing was written", err=True)
            raise typer.Exit(130) from None
    if as_json:
        typer.echo(json.dumps(report.to_dict(), indent=2))
    else:
        print_report(report)


@app.command()
def predict(
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT]...",
            help='Texts; a JSON object each where the task needs more, such as \'{"question": ..., "context": ...}\'.',
        ),
    ] = None,
    model: Annotated[str, typer.Option("--model", "-m", metavar="FOLDER", help="Checkpoint folder, or hub name.")] = "",
    task: Annotated[str | None, typer.Option(help="The task; by default what the checkpoint was saved for.")] = None,
    file: Annotated[
        str | None, typer.Option("--input", "-i", metavar="FILE", help="txt, csv, tsv, jsonl or parquet; - is stdin.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--input-format", help="The input's format, if its name hides it.")
    ] = None,
    runtime: Annotated[str | None, typer.Option(help="native (the default), onnx or torch.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32; int8 with native and onnx; bfloat16 with torch.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write; stdout by default.")] = None,
    style: Annotated[str, typer.Option("--format", help="table (to read) or jsonl (to process).")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Go on where --output ends.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --output if it is there.")] = False,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help='Of the task: top_k=3, overflow=window, candidate_labels=["a", "b"].'),
    ] = None,
) -> None:
    """Answer texts: from the command line, a file or stdin; to stdout or a file.

    Order is kept. A broken record is reported with its line and the rest goes on. Ctrl-C leaves what is finished, and
    --resume continues it.
    """
    from pocketbert.command.predict import fields_of_task
    from pocketbert.command.predict import predict as run
    from pocketbert.tasks import pipeline
    from pocketbert.tasks.records import count_records

    if not model:
        raise InputError("pass --model with a checkpoint folder or a hub name")
    answerer = pipeline(task, model=model, runtime=runtime, dtype=dtype)
    records = _records(texts or [], file, kind, fields_of_task(answerer))
    from_file = file not in (None, "-")
    style = style or ("jsonl" if output is not None else "table")
    try:
        summary = run(
            answerer,
            records,
            output=output,
            style=style,
            resume=resume,
            overwrite=overwrite,
            report=lambda line, message: typer.echo(f"line {line}: {message}", err=True),
            progress=output is not None and sys.stderr.isatty(),
            total=count_records(file, kind) if file is not None and from_file else None,
            **dict(map(_option, option or [])),
        )
    except KeyboardInterrupt:
        hint = "; --resume continues" if output is not None and style == "jsonl" else ""
        typer.echo(f"stopped; what is finished was written{hint}", err=True)
        raise typer.Exit(130) from None
    if summary.skipped or summary.broken:
        counts = f"{summary.answered} answered, {summary.broken} broken, {summary.skipped} done before"
        typer.echo(counts, err=True)
    if summary.broken:
        raise typer.Exit(2)


@app.command("bench")
def bench_command(
    folder: _Folder,
    threads: Annotated[int | None, typer.Option(help="CPU threads; by default all, and one is tried too.")] = None,
    seconds: Annotated[float, typer.Option(help="About how long to measure; loading comes on top.")] = 20.0,
    as_json: _Json = False,
) -> None:
    """Measure this machine: latency, texts per second and memory of every installed runtime, and what to use.

    Ctrl-C prints what is measured so far.
    """
    from rich.console import Console

    from pocketbert.bench import Report, bench
    from pocketbert.bench.table import print_report

    report: Report | None = None

    def watch(step: str, so_far: Report) -> None:
        nonlocal report
        report = so_far
        if status.console.is_terminal:
            status.update(step)
        else:
            typer.echo(step, err=True)

    stopped = False
    with Console(stderr=True).status("reading the checkpoint") as status:
        try:
            report = bench(folder, threads=threads, seconds=seconds, watch=watch)
        except KeyboardInterrupt:
            stopped = True
    if report is not None and as_json:
        typer.echo(json.dumps(report.to_dict(), indent=2))
    elif report is not None:
        print_report(report)
    if stopped:
        typer.echo("stopped; the rest was not measured", err=True)
        raise typer.Exit(130)


def _checked_head(head: str | None) -> Head | None:
    from pocketbert.architecture.parameters import HEADS

    if head is not None and head not in HEADS:
        raise InputError(f"unknown head {head!r}; choose from {', '.join(HEADS)}")
    return head


def _print_export(report: ExportReport) -> None:
    typer.echo(f"{report.path}: {report.size} bytes, {report.head}, {'int8' if report.int8 else 'float32'}")
    for name, error in report.errors.items():
        typer.echo(f"{name}: largest error {error:.1e}, agreement {report.agreement[name]:.5f}")


def _records(texts: list[str], file: str | None, kind: str | None, fields: Fields) -> Iterator[Record]:
    from pocketbert.tasks.records import read_file, read_stream, read_texts

    if texts and file is not None:
        raise InputError("pass texts or --input, not both")
    if texts:
        if fields.needed in ((), ("text",)):
            return read_texts(texts, fields)
        return read_stream(io.BytesIO("\n".join(texts).encode()), fields, "jsonl")
    if file is not None and file != "-":
        if not Path(file).is_file():
            raise InputError(f"--input {file}: no such file")
        return read_file(file, fields, kind)
    if file is None and sys.stdin.isatty():
        raise InputError("nothing to answer: pass texts, --input FILE, or pipe text in")
    plain = "txt" if fields.needed in ((), ("text",)) else "jsonl"
    return read_stream(sys.stdin.buffer, fields, kind or plain)


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--texts {path} cannot be read: {error}") from error


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--option {text!r} must be NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
