"""From records to written answers: in order, with broken records reported; an interrupted run can be resumed."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pocketbert.command.output import Device, OutputFile, Sink, check_output, is_device
from pocketbert.command.resuming import Resumable
from pocketbert.command.streams import results
from pocketbert.command.writers import JsonLines, Table
from pocketbert.errors import InputError
from pocketbert.runtime.batching import PAUSE, Pause
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
    records: Iterable[Record | Pause],
    *,
    output: str | os.PathLike[str] | TextIO | None = None,
    style: str = "table",
    resume: bool = False,
    overwrite: bool = False,
    made_with: Mapping[str, str] | None = None,
    report: Callable[[int, str], None] | None = None,
    progress: bool = False,
    total: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> Summary:
    """Answer records one after the other and write each answer as soon as it is there.

    Whatever ends the run early (Ctrl-C, a full disk, a lost machine), what was written stays, line by whole line.

    Args:
        task: what answers.
        records: from ``read_file``, ``read_stream``, ``read_texts`` or ``as_they_come``; read lazily.
        output: a file's name, an open text file, or None for standard output.
        style: ``"table"``, or ``"jsonl"``: ``{"line": 3, "answer": ...}``, broken records as ``{"line", "error"}``.
        resume: continue after the last record that ``output`` holds; it must be a file of JSON lines that was made
            from the same records with the same task, options and ``made_with``.
        overwrite: replace ``output`` if it is there.
        made_with: what the answers depend on beside task, options and records, by name.
        report: is told the line and the message of every broken record.
        progress: show progress on standard error.
        total: how many records there are, for the progress.
        options: options of the task.

    Returns:
        Counts of what was done.

    Raises:
        InputError: an option is wrong, ``output`` exists, cannot be continued, or is written by another process.
        OSError: ``output`` cannot be written.
    """
    check_choice("style", style, STYLES)
    path = Path(output) if isinstance(output, (str, os.PathLike)) else None
    if resume and (path is None or style != "jsonl"):
        raise InputError("--resume needs --output with a file, and --format jsonl")
    if path is not None:
        check_output(path, [], resume=resume, overwrite=overwrite)
    options = options or {}
    facts = {"task": task.name, **(made_with or {}), **task.chosen(**options)}
    counts = {"answered": 0, "broken": 0}
    waiting: deque[Record] = deque()
    failure: list[Exception] = []
    records = iter(records)
    records = chain(list(islice(records, 1)), records)  # an input without the right header fails before all else

    def items() -> Iterator[Any]:
        try:
            for record in records if resumable is None else resumable.rest(records):
                if record is not PAUSE:
                    waiting.append(record)
                yield record if record is PAUSE else record.value
        except (InputError, OSError) as error:  # what was read before is answered first
            failure.append(error)

    columns = (TextColumn("predict"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=not progress)
    shown = bar.add_task("predict", total=total)
    with _opened(path, output, style, resume, overwrite, facts) as (sink, resumable), bar:
        writer = JsonLines(sink) if style == "jsonl" else Table(sink, task.columns)
        for answer in task.stream(items(), **options):
            record = waiting.popleft()
            if isinstance(answer, InputError):
                counts["broken"] += 1
                writer.error(record.line, record.value, str(answer))
                if report is not None:
                    report(record.line, str(answer))
            else:
                counts["answered"] += 1
                writer.answer(record.line, record.value, answer, task.table(answer))
            skipped = 0
            if resumable is not None:
                resumable.answered(record)
                skipped = resumable.skipped
            bar.update(shown, completed=sum(counts.values()) + skipped)
    if failure:
        raise failure[0]
    return Summary(**counts, skipped=0 if resumable is None else resumable.skipped)


@contextmanager
def _opened(
    path: Path | None, output: Any, style: str, resume: bool, overwrite: bool, facts: Mapping[str, Any]
) -> Iterator[tuple[Sink, Resumable | None]]:
    """Open where the answers go, and what is kept beside a file that can be continued."""
    if path is None:
        yield results() if output is None else output, None
        return
    if is_device(path):
        with closing(Device(path)) as device:
            yield device, None
        return
    with closing(OutputFile(path, changes=resume or overwrite)) as file:
        if style != "jsonl":
            file.cut(0)
            yield file, None
            return
        try:
            made = Resumable(file, facts, resume=resume)
        except BaseException:
            if file.is_new:
                path.unlink()
            raise
        with closing(made):
            yield file, made
