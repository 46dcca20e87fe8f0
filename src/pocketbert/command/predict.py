"""From records to written answers: in order, with broken records reported; an interrupted run can be resumed."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pocketbert.command.writers import JsonLines, Table, finished_line
from pocketbert.errors import InputError
from pocketbert.tasks.option_checks import check_choice
from pocketbert.tasks.records import Fields, Record
from pocketbert.tasks.task import Pipeline

__all__ = ["STYLES", "Summary", "fields_of_task", "predict"]

STYLES = ("table", "jsonl")


@dataclass(frozen=True)
class Summary:
    """How many records were answered, how many were broken, and how many an earlier run had done."""

    answered: int
    broken: int
    skipped: int


def fields_of_task(task: Pipeline[Any, Any, Any]) -> Fields:
    """Return what ``read_file`` must read for a task."""
    return Fields(task.input_keys, task.optional_keys)


def predict(
    task: Pipeline[Any, Any, Any],
    records: Iterable[Record],
    *,
    output: str | os.PathLike[str] | TextIO | None = None,
    style: str = "table",
    resume: bool = False,
    overwrite: bool = False,
    report: Callable[[int, str], None] | None = None,
    progress: bool = False,
    total: int | None = None,
    **options: Any,
) -> Summary:
    """Answer records one after the other and write each answer as soon as it is there.

    Whatever ends the run early (Ctrl-C, a full disk, a lost machine), what was written stays, line by whole line.

    Args:
        task: what answers.
        records: from ``read_file``, ``read_stream`` or ``read_texts``; read lazily.
        output: a file's name, an open text file, or None for standard output.
        style: ``"table"``, or ``"jsonl"``: ``{"line": 3, "answer": ...}``, broken records as ``{"line", "error"}``.
        resume: continue after the last record that ``output`` holds; it must be a file of JSON lines.
        overwrite: replace ``output`` if it is there.
        report: is told the line and the message of every broken record.
        progress: show progress on standard error.
        total: how many records there are, for the progress.
        **options: options of the task.

    Returns:
        Counts of what was done.

    Raises:
        InputError: an option is wrong, ``output`` exists (pass ``resume`` or ``overwrite``), or cannot be continued.
    """
    check_choice("style", style, STYLES)
    path = Path(output) if isinstance(output, (str, os.PathLike)) else None
    if resume and (path is None or style != "jsonl"):
        raise InputError("resume=True needs an output file of style 'jsonl'")
    if resume and overwrite:
        raise InputError("resume=True and overwrite=True contradict each other; pass one of them")
    if path is not None and path.exists() and not resume and not overwrite:
        raise InputError(f"{path} exists; pass resume=True to continue it or overwrite=True to replace it")
    done = finished_line(path) if resume and path is not None else 0
    counts = {"answered": 0, "broken": 0, "skipped": 0}
    waiting: deque[Record] = deque()

    def items() -> Iterator[Any]:
        for record in records:
            if record.line <= done:
                counts["skipped"] += 1
            else:
                waiting.append(record)
                yield record.value

    answers = task.stream(items(), **options)  # checks the options before anything is written ...
    records = iter(records)
    records = chain(list(islice(records, 1)), records)  # ... and so does the first record, a file's header
    columns = (TextColumn("predict"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=not progress)
    shown = bar.add_task("predict", total=total)
    with _opened(path, output, resume) as file, bar:
        writer = JsonLines(file) if style == "jsonl" else Table(file, task.columns)
        for answer in answers:
            record = waiting.popleft()
            if isinstance(answer, InputError):
                counts["broken"] += 1
                writer.error(record.line, record.value, str(answer))
                if report is not None:
                    report(record.line, str(answer))
            else:
                counts["answered"] += 1
                writer.answer(record.line, record.value, answer, task.table(answer))
            bar.update(shown, completed=sum(counts.values()))
    return Summary(**counts)


@contextmanager
def _opened(path: Path | None, output: Any, resume: bool) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout if output is None else output
        return
    with path.open("a" if resume else "w", encoding="utf-8", newline="\n") as file:
        try:
            yield file
        finally:
            file.flush()
            os.fsync(file.fileno())
