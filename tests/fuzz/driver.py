"""Fuzzes every target in turn, each in processes of its own with limits, and counts how the calls ended.

A process that dies, a call that takes too long or too much memory, an exception that is none of ours, words on standard
output and answers that differ are findings: printed, kept with their input, and told by the exit status.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.targets import TARGETS, target
from fuzz.worker import CALLS, CURRENT, FINDINGS, keep_finding
from helpers.limits import run_limited

__all__ = ["Count", "fuzz", "main"]

_FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "fuzz"
_SLICE = 20.0  # seconds of one process
_TOO_LONG = {"SIGPROF": "a call takes too long", "SIGALRM": "a call does not end"}
_LONGER = 600  # seconds that a process may take beyond its slice, where the limits of a call have not ended it


@dataclass
class Count:
    """What came of a target's calls.

    Attributes:
        calls: how many.
        ran: those whose input was taken.
        outcomes: calls by the kind of their end.
        findings: calls that found something, by kind.
    """

    calls: int = 0
    ran: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)


def fuzz(
    names: list[str],
    folder: Path,
    counts: dict[str, Count],
    *,
    minutes: float | None = None,
    calls: int | None = None,
    seed: str = "0",
    memory: bool = True,
) -> None:
    """Run targets in turn, each for its share of the minutes, or for so many calls; ``counts`` is filled as it goes.

    Args:
        names: of the targets.
        folder: where the corpus and the findings of each lie.
        counts: of each target, to be added to.
        minutes: of all together.
        calls: of each, in place of time: the same calls in every run that begins with an empty folder. 0 is the
            target's own number.
        seed: another one gives other calls.
        memory: whether the process is limited; a sanitizer takes more addresses than there are bytes.
    """
    end = None if minutes is None else time.monotonic() + 60 * minutes
    for round_, name in ((number, name) for number in itertools.count() for name in names):
        length = ["--calls", str(calls or target(name).calls)]
        if end is not None:
            left = end - time.monotonic()
            if left <= 0:
                return
            length = ["--seconds", str(min(_SLICE, 60 * (minutes or 0) / len(names), left))]
        elif round_:
            return
        known = set(+counts[name].findings)
        _run(name, folder / name, counts[name], [*length, "--seed", f"{seed} {round_}"], memory)
        for kind in set(+counts[name].findings) - known:
            print(f"found in {name}: {kind}\n  inputs: {folder / name / FINDINGS}", flush=True)


def _run(name: str, folder: Path, count: Count, options: list[str], memory: bool) -> None:
    for left in (CURRENT, CALLS):
        (folder / left).unlink(missing_ok=True)
    argv = [sys.executable, "-m", "fuzz.worker", name, str(folder), *options]
    os.environ["PYTHONHASHSEED"] = "0"  # the same calls end in the same ways
    limit = target(name).memory_gib if memory else 2**20
    try:
        done = run_limited(argv, memory_gib=limit, seconds=_SLICE + _LONGER)
    finally:
        told = (folder / CALLS).read_text("utf-8").splitlines() if (folder / CALLS).exists() else []
        for line in told:
            outcome, finding = json.loads(line)
            count.calls += 1
            count.ran += outcome.startswith("ran: ")
            count.outcomes[outcome] += 1
            count.findings[outcome] += finding
    if done.returncode:
        kind = signal.Signals(-done.returncode).name if done.returncode < 0 else f"status {done.returncode}"
        kind = _TOO_LONG.get(kind) or f"the process died: {kind}"
        current = folder / CURRENT
        if current.exists():
            count.calls += 1
        keep_finding(folder, current.read_bytes() if current.exists() else b"", kind, done.stderr[-8000:])
        count.outcomes[kind] += 1
        count.findings[kind] += 1
    if done.stdout:
        kind = "something was printed on standard output"
        keep_finding(folder, done.stdout.encode("utf-8", "surrogateescape"), kind, done.stdout[:8000])
        count.findings[kind] += 1


def _tell(counts: dict[str, Count], folder: Path) -> None:
    print(f"{'target':20} {'calls':>9} {'ran':>9} {'refused':>9} {'outcomes':>9} {'findings':>9}")
    for name, count in counts.items():
        found = count.findings.total()
        refused = count.calls - count.ran - found
        print(f"{name:20} {count.calls:9} {count.ran:9} {refused:9} {len(count.outcomes):9} {found:9}")
    for name, count in counts.items():
        if count.findings.total():
            print(f"again: ./scripts/fuzz --again {name} {folder / name / FINDINGS}/...")


def main(argv: list[str] | None = None) -> int:
    """Fuzz as the arguments say; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="Fuzz everything that takes a stranger's input.")
    parser.add_argument("minutes", nargs="?", type=float, default=10.0)
    parser.add_argument("--targets", help="comma-separated: " + ", ".join(TARGETS))
    parser.add_argument("--folder", type=Path, default=_FOLDER, help="where corpus and findings are kept")
    parser.add_argument("--seed", default=str(time.time_ns()), help="by default another one each time")
    parser.add_argument(
        "--sanitized", action="store_true", help="no limit of memory, for an engine built with POCKETBERT_SANITIZE"
    )
    parser.add_argument("--again", nargs=2, metavar=("TARGET", "FILE"), help="run one input and show what it does")
    given = parser.parse_args(argv)
    if given.again:
        name, path = given.again
        folder = given.folder / name
        argv = [sys.executable, "-m", "fuzz.worker", name, str(folder), "--input", path]
        done = run_limited(argv, memory_gib=target(name).memory_gib, seconds=_LONGER)
        print(done.stdout + done.stderr, end="")
        return abs(done.returncode)
    names = given.targets.split(",") if given.targets else list(TARGETS)
    counts = {name: Count() for name in names}
    try:
        fuzz(names, given.folder, counts, minutes=given.minutes, seed=given.seed, memory=not given.sanitized)
    except KeyboardInterrupt:
        print("stopped")
    _tell(counts, given.folder)
    return int(any(count.findings.total() for count in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
