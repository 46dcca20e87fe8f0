"""Runs one target for a while, in a process of its own that may die: ``python -m fuzz.worker TARGET FOLDER ...``.

Beside the target's own files, ``FOLDER`` holds ``corpus/``, inputs each of which was the first to end in its way;
``findings/``, each an input and a text that says what it did; ``current``, the input that is being run; and
``calls.jsonl``, how each call of this process ended.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import hashlib
import json
import random
import re
import signal
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fuzz.target import Target
from fuzz.targets import target

__all__ = ["CALLS", "CORPUS", "CURRENT", "FINDINGS", "keep_finding", "main"]

CALLS, CORPUS, CURRENT, FINDINGS = "calls.jsonl", "corpus", "current", "findings"
_CPU_SECONDS, _SECONDS = 30, 300  # of one call
_MOST_INPUTS = 3000  # of a corpus
_SAME_FINDINGS = 3  # that are kept


def keep_finding(folder: Path, data: bytes, kind: str, told: str) -> None:
    """Write a finding, unless enough of its kind are there."""
    name = _digest(kind.encode())
    for number in range(_SAME_FINDINGS):
        path = folder / FINDINGS / f"{name}-{number}"
        if path.exists() and path.read_bytes() == data:
            return
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.with_suffix(".txt").write_text(f"{kind}\n\n{told}", "utf-8", "backslashreplace")
            return


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _outcome(error: BaseException) -> str:
    """Say what kind of message an error is: where it and its causes were raised, and its words."""
    places = []
    cause: BaseException | None = error
    while cause is not None:
        frames = [frame for frame, _ in traceback.walk_tb(cause.__traceback__)]
        ours = [f.f_code for f in frames if "/pocketbert/" in f.f_code.co_filename]
        where = f" {Path(ours[-1].co_filename).name}:{ours[-1].co_qualname}" if ours else ""
        places.append(type(cause).__name__ + where)
        words = str(cause)
        cause = cause.__cause__
    plain = re.sub(r"""'[^']*'|"[^"]*"|\S*[/\\_.0-9]\S*""", " ", words)
    return " < ".join(places) + ": " + " ".join(re.findall(r"[a-zA-Z]{2,}", plain)[:6])


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """End the process, with a traceback on stderr, if a call takes too long."""
    signal.setitimer(signal.ITIMER_PROF, _CPU_SECONDS)
    signal.setitimer(signal.ITIMER_REAL, _SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


class _Worker:
    def __init__(self, target: Target, folder: Path) -> None:
        self.target, self.folder = target, folder
        self.corpus = folder / CORPUS
        self.inputs: list[bytes] = []
        self.calls = (folder / CALLS).open("w", buffering=1, encoding="utf-8")

    def begin(self) -> None:
        self.corpus.mkdir(parents=True, exist_ok=True)
        kept = [path.read_bytes() for path in sorted(self.corpus.iterdir())]
        for data in self.target.begin(self.folder):
            self.inputs.append(data)
            if not kept:
                self.call(data)
        self.inputs += kept

    def next(self, chance: random.Random) -> bytes:
        """Return a new input; the newest of the corpus are chosen more often."""
        data = chance.choice(self.inputs[-20:] if chance.random() < 0.3 else self.inputs)
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            data = self.target.change(data, chance)
        return data

    def call(self, data: bytes) -> None:
        (self.folder / CURRENT).write_bytes(data)
        finding = False
        try:
            with _limited():
                outcome = "ran: " + self.target.run(data)
        except KeyboardInterrupt:
            raise
        except self.target.refusals as error:
            outcome = _outcome(error)
        except BaseException as error:
            outcome, finding = _outcome(error), True
            keep_finding(self.folder, data, outcome, traceback.format_exc())
        (self.folder / CURRENT).unlink()
        self.calls.write(json.dumps([outcome, finding]) + "\n")
        path = self.corpus / _digest(outcome.encode())
        if not finding and len(self.inputs) < _MOST_INPUTS and not path.exists():
            path.write_bytes(data)
            self.inputs.append(data)


def main(argv: list[str] | None = None) -> None:
    """Run calls until their number or the time is reached, or run one input and show what it does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--calls", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--input", type=Path)
    given = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    given.folder.mkdir(parents=True, exist_ok=True)
    chosen = target(given.target)
    if given.input:
        chosen.begin(given.folder)
        print(chosen.run(given.input.read_bytes()))
        return
    for number in (signal.SIGPROF, signal.SIGALRM):
        faulthandler.register(number, chain=True)
    worker = _Worker(chosen, given.folder)
    with contextlib.suppress(KeyboardInterrupt):
        worker.begin()
        chance = random.Random(f"{chosen.name} {given.seed}")
        end = None if given.seconds is None else time.monotonic() + given.seconds
        done = 0
        while (given.calls is None or done < given.calls) and (end is None or time.monotonic() < end):
            worker.call(worker.next(chance))
            done += 1


if __name__ == "__main__":
    main()
