"""The native engine on a machine that is busy with something else, beside ONNX Runtime there.

    python benchmarks/contention.py [--model MobileBert] [--threads 2] [--rounds 5] [--seconds 2] [--small]

Every engine runs in a process of its own, in int8: alone; while one process, and then one per thread, keeps a CPU busy;
and beside a second process of the same engine. Situations take turns; the figures are medians of rounds. Beside as many
busy processes as threads, or its own twin, an engine has half the CPUs: a time of twice that alone is fair, and an
engine whose threads spin while they wait for one another takes longer. Needs the ``bench`` extra.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from pocketbert.bench.timing import interleaved

TOKENS, TEXTS = 128, 32
Run = Callable[[list[list[int]]], Any]


def worker(arguments: list[str]) -> None:
    """Load an engine, say so, and then measure for as many seconds as each line of the standard input says."""
    kind, path, threads = arguments[0], Path(arguments[1]), int(arguments[2])
    run = {"pocketbert": ours, "onnxruntime": onnxruntime}.get(kind, busy)(path, threads)
    generator = np.random.default_rng(0)
    one = [generator.integers(1000, 30000, TOKENS).tolist()]
    lengths = np.clip(generator.lognormal(np.log(24), 0.7, TEXTS).round().astype(int), 4, 128)
    mixed = [generator.integers(1000, 30000, length).tolist() for length in lengths]
    run(one)
    print("ready", flush=True)
    for line in sys.stdin:
        one_ms, mixed_ms = (times_of(run, texts, float(line) / 2) for texts in (one, mixed))
        figures = (np.median(one_ms), np.percentile(one_ms, 95), TEXTS * len(mixed_ms) / sum(mixed_ms) * 1e3)
        print(json.dumps([float(figure) for figure in figures]), flush=True)


def times_of(run: Run, texts: list[list[int]], seconds: float) -> list[float]:
    """Call for some seconds, and return the milliseconds of each call."""
    times: list[float] = []
    begin = time.perf_counter()
    while not times or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        run(texts)
        times.append((time.perf_counter() - start) * 1e3)
    return times


def ours(path: Path, threads: int) -> Run:
    from pocketbert.runtime.batching import Row, run_rows
    from pocketbert.runtime.native import load

    runner = load(path, "none", dtype="int8", threads=threads)
    return lambda texts: run_rows(runner, [Row(text) for text in texts])


def onnxruntime(path: Path, threads: int) -> Run:
    from peers import onnxruntime_pass, rectangles

    return rectangles(onnxruntime_pass(path / "int8.onnx", threads), sort=True)


def busy(_path: Path, _threads: int) -> Run:
    return lambda _texts: sum(range(100_000))


class Process:
    """A worker."""

    def __init__(self, kind: str, folder: Path, threads: int) -> None:
        command = [sys.executable, __file__, "--worker", kind, str(folder), str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer()

    def ask(self, seconds: float) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        assert self.process.stdout is not None
        if not (line := self.process.stdout.readline()):
            raise SystemExit(f"a worker ended with exit code {self.process.wait()}")
        return line

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def prepare(options: argparse.Namespace, folder: Path) -> None:
    """Write the checkpoint and ONNX Runtime's file of the same weights."""
    from peers import export, onnxruntime_int8, save

    from runtime import model_of

    model = model_of(options.model, options.small)
    save(model, folder)
    onnxruntime_int8(export(model, folder / "model.onnx"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="MobileBert", choices=["MobileBert", "DistilBert"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a round in one situation")
    parser.add_argument("--small", action="store_true", help="two layers, to see that it runs")
    options = parser.parse_args()
    engines = ("pocketbert", "onnxruntime")
    crowd = ["busy"] * options.threads
    situations = {
        "nothing": [],
        "one busy process": ["busy"],
        f"{options.threads} busy processes": crowd,
        "its twin": None,
    }
    processes: list[Process] = []
    figures: dict[tuple[str, str], list[list[float]]] = {}  # (situation, engine) -> the figures of each round
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(options, folder)
        try:
            started = {kind: [Process(kind, folder, options.threads) for _ in range(2)] for kind in engines}
            started["busy"] = [Process("busy", folder, 1) for _ in crowd]
            processes = [process for group in started.values() for process in group]

            def turn(situation: str, engine: str) -> None:
                others = situations[situation]
                beside = started[engine][1:] if others is None else started["busy"][: len(others)]
                together = [started[engine][0], *beside]
                for process in together:
                    process.ask(options.seconds)
                answers = [json.loads(process.answer()) for process in together]
                figures.setdefault((situation, engine), []).append(answers[0])

            turns = itertools.product(situations, engines)
            interleaved({key: partial(turn, *key) for key in turns}, options.rounds)  # the workers take the times
        finally:
            for process in processes:
                process.end()
    table = Table(title=f"{options.model}, int8, {options.threads} threads")
    for column in ("beside it", "engine", f"{TOKENS} tokens, ms", "95th percentile", "mixed, texts/s", "slower by"):
        table.add_column(column, justify="left" if column in ("beside it", "engine") else "right")
    medians = {
        key: [statistics.median(values) for values in zip(*rounds, strict=True)] for key, rounds in figures.items()
    }
    for situation, engine in itertools.product(situations, engines):
        (middle, late, rate), alone = medians[situation, engine], medians["nothing", engine]
        slower = f"{middle / alone[0]:.2f}x one text, {alone[2] / rate:.2f}x mixed"
        label = situation if engine == engines[0] else ""
        table.add_row(label, engine, f"{middle:.2f}", f"{late:.2f}", f"{rate:.0f}", slower)
    Console(width=120).print(table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2:])
    else:
        main()
