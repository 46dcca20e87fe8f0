"""``pocketbert predict``."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketbert.errors import InputError

if TYPE_CHECKING:
    from pocketbert.tasks.records import Fields, Record


def predict_command(
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
    runtime: Annotated[str | None, typer.Option(help="native (the default), onnx, torch or keras.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32; int8 with native and onnx; bfloat16 with torch.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; by default all.")] = None,
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
    from pocketbert.command.predict import fields_of_task, predict
    from pocketbert.tasks import pipeline
    from pocketbert.tasks.records import count_records

    if not model:
        raise InputError("pass --model with a checkpoint folder or a hub name")
    answerer = pipeline(task, model=model, runtime=runtime, dtype=dtype, threads=threads)
    records = _records(texts or [], file, kind, fields_of_task(answerer))
    style = style or ("jsonl" if output is not None else "table")
    try:
        summary = predict(
            answerer,
            records,
            output=output,
            style=style,
            resume=resume,
            overwrite=overwrite,
            report=lambda line, message: typer.echo(f"line {line}: {message}", err=True),
            progress=output is not None and sys.stderr.isatty(),
            total=count_records(file, kind) if file and file != "-" else None,
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


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--option {text!r} must be NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
