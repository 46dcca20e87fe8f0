"""``pocketbert predict``."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketbert.command.output import check_output, check_stdout, is_stdout
from pocketbert.command.streams import results, say
from pocketbert.errors import InputError

if TYPE_CHECKING:
    from pocketbert.runtime.batching import Pause
    from pocketbert.tasks.records import Fields, Record
    from pocketbert.tasks.task import Pipeline


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
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; stdout by default, as is -.")
    ] = None,
    style: Annotated[str, typer.Option("--format", help="table (to read) or jsonl (to process).")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Go on where --output ends.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --output if it is there.")] = False,
    max_record: Annotated[
        int | None, typer.Option(min=1, help="Most characters of a record of --input; by default 10 million.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help='Of the task: top_k=3, overflow=window, candidate_labels=["a", "b"].'),
    ] = None,
) -> None:
    """Answer texts: from the command line, a file or stdin; to stdout or a file.

    Order is kept. A broken record is reported with its line and the rest goes on. Ctrl-C leaves what is finished, and
    --resume continues it, with the same model, task, options and input. What is piped in is answered as it comes.
    """
    from pocketbert.command.model_files import model_files
    from pocketbert.command.predict import fields_of_task, predict
    from pocketbert.tasks import pipeline
    from pocketbert.tasks.records import MAX_RECORD, count_records

    if not model:
        raise InputError("pass --model with a checkpoint folder or a hub name")
    _check_decoded("TEXT", texts or [])
    _check_decoded("--option", option or [])
    options = _options(option or [])
    if output is not None and is_stdout(output):
        output = None
    source = (file or "-") if not texts else None
    if output is not None:
        check_output(output, [source] if source else [], resume=resume, overwrite=overwrite)
    elif source is not None:
        check_stdout(results(), source)
    answerer = pipeline(task, model=model, runtime=runtime, dtype=dtype, threads=threads)
    if output is not None:
        check_output(output, model_files(answerer.source), resume=resume, overwrite=overwrite)
    records = _records(texts or [], file, kind, fields_of_task(answerer), max_record or MAX_RECORD)
    style = style or ("jsonl" if output is not None else "table")
    progress = output is not None and sys.stderr.isatty()
    to_resume = output is not None and style == "jsonl"
    try:
        summary = predict(
            answerer,
            records,
            output=output,
            style=style,
            resume=resume,
            overwrite=overwrite,
            made_with=_made_with(answerer, dtype) if to_resume else None,
            report=lambda line, message: say(f"line {line}: {message}"),
            progress=progress,
            total=count_records(file, kind) if progress and file is not None and os.path.isfile(file) else None,
            options=options,
        )
    except KeyboardInterrupt:
        say("stopped; what is finished was written" + ("; --resume continues" if to_resume else ""))
        raise typer.Exit(130) from None
    if summary.skipped or summary.broken:
        say(f"{summary.answered} answered, {summary.broken} broken, {summary.skipped} done before")
    if summary.broken:
        raise typer.Exit(2)


def _made_with(answerer: Pipeline[Any, Any, Any], dtype: str | None) -> dict[str, str]:
    """Return what the answers depend on beside task, options and records."""
    from pocketbert.command.model_files import model_digest

    return {
        "model": model_digest(answerer.source),
        "runtime": str(answerer.loading.runtime),
        "dtype": dtype or "float32",
    }


def _records(
    texts: list[str], file: str | None, kind: str | None, fields: Fields, most: int
) -> Iterator[Record | Pause]:
    from pocketbert.tasks.incoming import as_they_come
    from pocketbert.tasks.records import kind_by_name, read_file, read_stream, read_texts

    if texts and file is not None:
        raise InputError("pass texts or --input, not both")
    if texts:
        return read_texts(texts, fields)
    plain = "txt" if fields.are_text else "jsonl"
    if file is not None and file != "-":
        if os.path.isfile(file):
            return read_file(file, fields, kind, max_record=most)
        if os.path.isdir(file) or not os.path.exists(file):
            raise InputError(f"--input {file}: " + ("it is a folder" if os.path.isdir(file) else "no such file"))
        return as_they_come(_piped(file, fields, kind or kind_by_name(file) or plain, most))
    if file is None and sys.stdin.isatty():
        raise InputError("nothing to answer: pass texts, --input FILE, or pipe text in")
    stream: Any = sys.stdin.buffer
    is_file = not isinstance(stream, io.BufferedReader) or stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    if not is_file:
        # The thread that reads it may wait for ever: Python could not close its own stream, which that would hold.
        stream = open(stream.fileno(), "rb", closefd=False)  # noqa: SIM115
    records = _named(read_stream(stream, fields, kind or plain, max_record=most), "standard input")
    return records if is_file else as_they_come(records)


def _piped(file: str, fields: Fields, kind: str, most: int) -> Iterator[Record]:
    from pocketbert.tasks.records import read_stream

    with open(file, "rb") as pipe:
        yield from _named(read_stream(pipe, fields, kind, max_record=most), file)


def _named(records: Iterable[Record], name: str) -> Iterator[Record]:
    """Yield records, and give the name of what they come from to an error in reading it."""
    try:
        yield from records
    except OSError as error:
        raise OSError(error.errno, error.strerror, name) from error


def _check_decoded(name: str, values: list[str]) -> None:
    """Refuse arguments that are not in the system's encoding: Python keeps their bytes as halves of characters."""
    for number, value in enumerate(values, 1):
        if any("\udc80" <= character <= "\udcff" for character in value):
            raise InputError(f"{name} {number} is not {sys.getfilesystemencoding().upper()}: {value[:60]!r}")


def _options(given: list[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--option {text!r} must be NAME=VALUE")
        if name in options:
            raise InputError(f"--option {name} is given twice; pass it once")
        try:
            options[name] = json.loads(value)
        except (ValueError, RecursionError):
            options[name] = value
    return options
