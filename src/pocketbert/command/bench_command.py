"""``pocketbert bench``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from pocketbert.command.common_options import Folder, Json
from pocketbert.command.streams import console, results, say
from pocketbert.notices import printable


def bench_command(
    folder: Folder,
    threads: Annotated[int | None, typer.Option(help="CPU threads; by default all, and one is tried too.")] = None,
    seconds: Annotated[float, typer.Option(help="About how long to measure; loading comes on top.")] = 20.0,
    as_json: Json = False,
) -> None:
    """Measure this machine: latency, texts per second and memory of every installed runtime, and what to use.

    Ctrl-C prints what is measured so far.
    """
    from rich.console import Console
    from rich.markup import escape

    from pocketbert.bench import Report, bench
    from pocketbert.bench.table import print_report

    report: Report | None = None

    def watch(step: str, so_far: Report) -> None:
        nonlocal report
        report = so_far
        if status.console.is_terminal:
            status.update(escape(printable(step)))
        else:
            say(step)

    stopped = False
    with Console(stderr=True).status("reading the checkpoint") as status:
        try:
            report = bench(folder, threads=threads, seconds=seconds, watch=watch)
        except KeyboardInterrupt:
            stopped = True
    if report is not None and as_json:
        typer.echo(json.dumps(report.to_dict(), indent=2), file=results())
    elif report is not None:
        print_report(report, console())
    if stopped:
        say("stopped; the rest was not measured")
        raise typer.Exit(130)
