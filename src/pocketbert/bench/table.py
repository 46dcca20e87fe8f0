"""What ``pocketbert bench`` prints for people to read."""

from __future__ import annotations

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from pocketbert.bench.bench_report import Memory, Report
from pocketbert.notices import printable

__all__ = ["print_report"]


def print_report(report: Report, console: Console) -> None:
    """Print what was measured, what was not and why, and the settings that follow."""
    console.print(
        f"{report.architecture} on {printable(report.cpu)}, {_count(report.threads)}", markup=False, highlight=False
    )
    if report.engines:
        console.print(_engines(report))
    for name, reason in report.left_out.items():
        console.print(Text.assemble((f"{name} was left out: ", "bold"), printable(reason)))
    for note in report.notes:
        console.print(printable(note), markup=False, highlight=False)
    if report.trials:
        console.print(_trials(report))
    for settings in report.recommended:
        console.print(f"\n[bold]Recommended in {settings.dtype}:[/]")
        console.print(settings.code(), markup=False, highlight=False, soft_wrap=True)
    if {settings.dtype for settings in report.recommended} == {"float32", "int8"}:
        console.print("\n`pocketbert quantize` measures what int8 costs in accuracy, and makes it load faster.")


def _engines(report: Report) -> Table:
    lengths = sorted({length for engine in report.engines for length in engine.latency})
    caption = "ms for a text of so many tokens; mixed texts/s; MB of a process; s to its answer"
    table = Table(Column("engine", no_wrap=True), caption=caption, caption_justify="left", box=SIMPLE, pad_edge=False)
    for column in (*(f"{length} tok" for length in lengths), "texts/s", "MB", "peak", "start"):
        table.add_column(column, justify="right", no_wrap=True)
    for engine in report.engines:
        milliseconds = (engine.latency[length] * 1e3 if length in engine.latency else None for length in lengths)
        table.add_row(
            engine.name,
            *(_number(value, 2) for value in milliseconds),
            _number(engine.texts_per_second),
            *_memory(engine.memory),
        )
    return table


def _memory(memory: Memory | None) -> list[str]:
    if memory is None:
        return ["", "", ""]
    sizes = [None if size is None else size / 1e6 for size in (memory.resident, memory.peak)]
    return [*map(_number, sizes), _number(memory.start, 2)]


def _trials(report: Report) -> Table:
    """Return texts per second, a row for each engine and number of threads, a column for each size of batch."""
    rates = {(t.runtime, t.dtype, t.threads, t.batch_tokens): t.texts_per_second for t in report.trials}
    batches = sorted({trial.batch_tokens for trial in report.trials})
    table = Table(Column("texts/s in batches of", no_wrap=True), box=SIMPLE)
    for tokens in batches:
        table.add_column(f"{tokens} tokens", justify="right", no_wrap=True)
    for runtime, dtype, threads in dict.fromkeys(key[:3] for key in rates):
        cells = (_number(rates[runtime, dtype, threads, tokens]) for tokens in batches)
        table.add_row(f"{runtime} {dtype}, {_count(threads)}", *cells)
    return table


def _number(value: float | None, decimals: int = 0) -> str:
    return "" if value is None else f"{value:.{decimals}f}"


def _count(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"
