"""``pocketbert quantize``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pocketbert.command.common_options import Folder, Head, Json
from pocketbert.command.streams import console, results, say
from pocketbert.errors import InputError
from pocketbert.notices import printable


def quantize_command(
    folder: Folder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; made if absent.")],
    data: Annotated[Path | None, typer.Option(help="Labeled records: compare the task's metric on them.")] = None,
    texts: Annotated[
        Path | None, typer.Option(help="Typical texts, one per line, to calibrate and compare on.")
    ] = None,
    max_loss: Annotated[float, typer.Option(help="Most that the metric, or without data the cosine, may lose.")] = 0.01,
    head: Head = None,
    as_json: Json = False,
) -> None:
    """Write a checkpoint in int8, a quarter of the size, and say what that costs; refused above --max-loss."""
    from rich.console import Console
    from rich.markup import escape

    from pocketbert.command.tables import print_quantization
    from pocketbert.quantization import quantize

    lines = None if texts is None else _lines(texts)
    before = ""

    def watch(what: str, done: int, total: int) -> None:
        nonlocal before
        if status.console.is_terminal:
            status.update(escape(printable(f"{what}: {done} of {total}" if total > 1 else what)))
        elif what != before:
            say(what)
        before = what

    with Console(stderr=True).status("reading the checkpoint") as status:
        try:
            report = quantize(folder, out, data=data, texts=lines, max_loss=max_loss, head=head, progress=watch)
        except KeyboardInterrupt:
            say("stopped; nothing was written")
            raise typer.Exit(130) from None
    if as_json:
        typer.echo(json.dumps(report.to_dict(), indent=2), file=results())
    else:
        print_quantization(report, console())


def _lines(path: Path) -> list[str]:
    from pocketbert.tasks.records import Fields, read_file

    if not path.is_file():
        raise InputError(f"--texts {path}: no such file")
    lines = []
    for record in read_file(path, Fields(("text",)), "txt"):
        if isinstance(record.value, InputError):
            raise InputError(f"--texts {path} line {record.line}: {record.value}")
        lines.append(record.value)
    return lines
