"""The native engine against its peers, on the same random weights of the real sizes.

    python benchmarks/runtime.py [--models MobileBert DistilBert] [--lengths 32 128 384] [--rounds 12] [--threads 2]
                                 [--only lengths mixed headline process] [--small]

Needs the ``bench`` extra, which brings the peers (see ``peers.py``). Batch 1 at some lengths; 256 texts of mixed
lengths (log-normal, median 24, clipped to 4 .. 128), for which peers get padded batches of 32, sorted by length or as
given, and we the texts as given in both; MobileBERT beside BERT-base on its best int8 peer; and a fresh process that
answers a text. Engines take turns; the figures are medians. A ratio is an engine's time over ours, in float32 over
float32 and else over int8: above 1, ours is faster. Errors are against torch in float64. The last table is what was
asked of the engine beside what was measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers import Run, peers, rectangles, save
from rich.console import Console
from rich.table import Table

import pocketbert
from pocketbert.bench.timing import interleaved
from pocketbert.plan import make_plan
from pocketbert.plan.int8.narrow import quantize
from pocketbert.plan.structure import Dense
from pocketbert.runtime.batching import Row, run_rows
from pocketbert.runtime.native import NativeRunner

SIZES: dict[str, dict[str, Any]] = {"DistilBert": {}, "MobileBert": {"classifier_activation": False}, "Bert": {}}
SMALL = {"DistilBert": {"n_layers": 2}, "MobileBert": {"num_hidden_layers": 2}, "Bert": {"num_hidden_layers": 2}}
CASES = ("lengths", "mixed", "headline", "process")
SORTED, GIVEN = "mixed, sorted", "mixed, as given"
OURS, EXACT = ("pocketbert", "int8"), ("pocketbert", "float32")
# what is asked: family, case -> best peer's time over ours in int8
ASKED = {
    ("MobileBert", "32 tokens"): 3.5,
    ("MobileBert", "128 tokens"): 2.3,
    ("MobileBert", "384 tokens"): 2.0,
    ("MobileBert", SORTED): 2.2,
    ("MobileBert", GIVEN): 4.0,
    ("DistilBert", "128 tokens"): 1.25,
    ("DistilBert", SORTED): 1.25,
    ("DistilBert", GIVEN): 1.25,
}
ASKED_LIMIT, ASKED_HEADLINE, ASKED_MEGABYTES, ASKED_SECONDS = 0.75, 5.5, 110, 0.6  # of MobileBERT in int8
PAUSE = 0.25  # seconds before a turn: some engines' threads spin for this long after their work
REPEATS = 3  # of a single text, per turn
PROCESS = """
import json, sys, time
from pocketbert import pipeline
options = {"dtype": sys.argv[2]} if len(sys.argv) > 2 else {}
pipeline("feature-extraction", model=sys.argv[1], runtime="native", **options)("w17 w4 w256 w3 w70 w9")
print(json.dumps([time.time(), open("/proc/self/status").read()]))
"""

Name = tuple[str, str]  # engine, precision
Times = dict[Name, list[float]]
Target = tuple[str, str, str, bool]  # what, asked, measured, reached


def model_of(family: str, small: bool = False) -> Any:
    """Return the torch encoder with every parameter random, norms and biases too."""
    torch.manual_seed(0)
    options = {} if family == "DistilBert" else {"add_pooling_layer": False}
    config = getattr(pocketbert, f"{family}Config")(**SIZES[family], **(SMALL[family] if small else {}))
    model = getattr(pocketbert, f"{family}Model")(config, **options).eval()
    for name, parameter in model.named_parameters():
        if "norm" in name.lower() and name.endswith("weight"):
            parameter.data.normal_(1, 0.1)
        elif name.endswith("bias"):
            parameter.data.normal_(0, 0.1)
    return model


def ours(model: Any, threads: int) -> tuple[dict[Name, Run], int]:
    """Return the native engine in float32 and int8, and the multiply-adds of a token outside attention."""
    plan = make_plan(model.config, "none", {name: value.numpy() for name, value in model.state_dict().items()})
    runners = {EXACT: NativeRunner(plan, threads=threads), OURS: NativeRunner(quantize(plan), threads=threads)}

    def packed(runner: NativeRunner) -> Run:
        return lambda texts: run_rows(runner, [Row(text) for text in texts])

    work = sum(op.weight.size for op in plan.dense_ops() if isinstance(op, Dense))
    return {name: packed(runner) for name, runner in runners.items()}, work


def measure(runs: dict[Name, Run], texts: list[list[int]], rounds: int) -> Times:
    """Return each engine's times in milliseconds."""
    calls = {name: partial(run, texts) for name, run in runs.items()}
    if len(texts) > 1:  # takes seconds: a few rounds are enough, without warm-up
        times = interleaved(calls, min(3, rounds), pause=PAUSE)
    else:
        times = interleaved(calls, rounds, pause=PAUSE, repeats=REPEATS)
    return {name: [seconds * 1e3 for seconds in values] for name, values in times.items()}


def best_peer(times: Times, precision: str = "") -> tuple[float, str]:
    """Return the time and the name of the fastest peer, of all or of those whose precision begins so."""
    found = {name: statistics.median(values) for name, values in times.items() if name[0] != "pocketbert"}
    chosen = {name: value for name, value in found.items() if name[1].startswith(precision)}
    name = min(chosen, key=lambda each: chosen[each])
    return chosen[name], " ".join(name)


def int8_limit(threads: int) -> float:
    """Return the int8 product's operations per second on all threads at once; needs cmake and a C++20 compiler."""
    root = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as build:
        options = ["-DPOCKETBERT_MODULE=OFF", "-DPOCKETBERT_CHECK=ON"]
        for command in (
            ["cmake", "-S", str(root / "src/pocketbert/engine"), "-B", build, *options],
            ["cmake", "--build", build, "--target", "int8_limit"],
        ):
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        command = [f"{build}/int8_limit", str(threads)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def errors(model: Any, runs: dict[Name, Run], texts: list[list[int]]) -> dict[Name, float]:
    """Return each engine's relative error (norm of the difference over the norm) against float64."""
    exact = model.double()
    with torch.inference_mode():
        truth = np.concatenate([exact(torch.tensor([text])).last_hidden_state[0].numpy() for text in texts])
    model.float()
    return {
        name: float(np.linalg.norm(np.concatenate([run([text])[0] for text in texts]) - truth) / np.linalg.norm(truth))
        for name, run in runs.items()
    }


def words(generator: np.random.Generator, count: int) -> list[int]:
    return generator.integers(1000, 30000, count).tolist()


def compare(family: str, options: argparse.Namespace, folder: Path, console: Console) -> list[Target]:
    """Print the table of one model, and return what was asked of it."""
    generator = np.random.default_rng(0)
    model = model_of(family, options.small)
    own, work = ours(model, options.threads)
    passes = peers(model, folder, options.threads)
    runs = {
        order: own | {name: rectangles(run, sort=order == SORTED) for name, run in passes.items()}
        for order in (SORTED, GIVEN)
    }
    cases: dict[str, list[list[int]]] = {}
    if "lengths" in options.only:
        cases |= {f"{count} tokens": [words(generator, count)] for count in options.lengths}
    if "mixed" in options.only:
        lengths = np.clip(np.exp(generator.normal(np.log(24), 0.7, 256)).round().astype(int), 4, 128)
        texts = [words(generator, int(length)) for length in lengths]
        cases |= {SORTED: texts, GIVEN: texts}
    wrong = errors(model, runs[GIVEN], [words(generator, 40), words(generator, 9)])
    limit = int8_limit(options.threads)
    found = {case: measure(runs.get(case, runs[GIVEN]), texts, options.rounds) for case, texts in cases.items()}

    table = Table(title=f"{family}, {options.threads} threads, milliseconds")
    for column in ("engine", "precision", "error", *cases):
        table.add_column(column, justify="left" if column in ("engine", "precision") else "right")
    for name in runs[GIVEN]:
        cells = []
        for times in found.values():
            middle = statistics.median(times[name])
            ratio = middle / statistics.median(times[EXACT if name[1] == "float32" else OURS])
            cells.append(f"{middle:.2f} ({f'min {min(times[name]):.2f}' if name in own else f'{ratio:.2f}x'})")
        table.add_row(*name, f"{wrong[name]:.1e}", *cells)
    console.print(table)

    targets = []
    for case, times in found.items():
        mine = {name: statistics.median(times[name]) for name in (OURS, EXACT)}
        rate = 2 * work * sum(map(len, cases[case])) / (min(times[OURS]) / 1e3)
        share = f"{100 * rate / limit:.0f}% of the int8 product alone ({limit / 1e9:.0f} GOP/s)"
        console.print(f"{family}, {case}: dense work at {rate / 1e9:.0f} GOP/s in the best run, {share}", markup=False)
        if (family, case) in ASKED:
            targets.append(ratio_target(f"{family} int8, {case}", ASKED[family, case], best_peer(times), mine[OURS]))
        if (family, case) == ("MobileBert", "128 tokens"):
            name = "MobileBert int8, 128 tokens, share of the int8 product"
            targets.append((name, f"{ASKED_LIMIT:.0%}", share, rate >= ASKED_LIMIT * limit))
        targets.append(ratio_target(f"{family} float32, {case}", 1.0, best_peer(times, "float32"), mine[EXACT]))
    return targets


def ratio_target(what: str, asked: float, peer: tuple[float, str], mine: float) -> Target:
    ratio = peer[0] / mine
    return f"{what}, best peer / ours", f"{asked:.2f}x", f"{ratio:.2f}x ({peer[1]}, {peer[0]:.2f} ms)", ratio >= asked


def headline(options: argparse.Namespace, folder: Path, console: Console) -> list[Target]:
    """Time MobileBERT in int8 here and BERT-base on its int8 peers, in turn."""
    mobile, _ = ours(model_of("MobileBert", options.small), options.threads)
    passes = peers(model_of("Bert", options.small), folder, options.threads, ("int8",))
    runs = {OURS: mobile[OURS]} | {name: rectangles(run, sort=True) for name, run in passes.items()}
    times = measure(runs, [words(np.random.default_rng(0), 128)], options.rounds)
    for name, values in times.items():
        which = "MobileBert" if name == OURS else "Bert"
        console.print(f"{which}, 128 tokens, {' '.join(name)}: {statistics.median(values):.2f} ms", markup=False)
    what = "BERT-base's best int8 peer over MobileBert int8, 128 tokens"
    return [ratio_target(what, ASKED_HEADLINE, best_peer(times), statistics.median(times[OURS]))]


def process(options: argparse.Namespace, folder: Path, console: Console) -> list[Target]:
    """Start processes that load MobileBERT in int8 and answer a text."""
    source, small = folder / "float32", folder / "int8"
    save(model_of("MobileBert", options.small), source)
    command = [sys.executable, "-m", "pocketbert", "quantize", str(source), str(small), "--max-loss", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    arguments = [str(small)]
    if done.returncode:
        console.print(f"pocketbert quantize failed, so each process quantizes by itself: {done.stderr}", markup=False)
        arguments = [str(source), "int8"]
    found = []
    for _ in range(5):
        start = time.time()
        output = subprocess.run([sys.executable, "-c", PROCESS, *arguments], capture_output=True, text=True, check=True)
        answered, status = json.loads(output.stdout)
        fields = dict(line.split(":", 1) for line in status.splitlines())
        found.append((answered - start, *(int(fields[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM"))))
    seconds, resident, peak = (statistics.median(values) for values in zip(*found, strict=True))
    return [
        (
            "MobileBert int8, memory of a fresh process",
            f"{ASKED_MEGABYTES} MB",
            f"{resident:.0f} MB (peak {peak:.0f} MB)",
            resident <= ASKED_MEGABYTES,
        ),
        (
            "MobileBert int8, start of a process to its first answer",
            f"{ASKED_SECONDS} s",
            f"{seconds:.2f} s",
            seconds <= ASKED_SECONDS,
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["MobileBert", "DistilBert"], choices=list(SIZES))
    parser.add_argument("--lengths", nargs="+", type=int, default=[32, 128, 384])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", default=CASES, choices=CASES)
    parser.add_argument("--small", action="store_true", help="two layers, to see that it runs")
    options = parser.parse_args()
    console = Console(width=160)
    targets: list[Target] = []
    with tempfile.TemporaryDirectory() as name:
        folders = iter(Path(name) / str(number) for number in range(99))
        if {"lengths", "mixed"} & set(options.only):
            for family in options.models:
                (folder := next(folders)).mkdir()
                targets += compare(family, options, folder, console)
        for case, step in (("headline", headline), ("process", process)):
            if case in options.only:
                (folder := next(folders)).mkdir()
                targets += step(options, folder, console)
    table = Table(title="asked and measured" + (" (small models: the figures say nothing)" if options.small else ""))
    for column in ("what", "asked", "measured", "reached"):
        table.add_column(column)
    for what, asked, measured, reached in targets:
        table.add_row(what, asked, measured, "yes" if reached else "no")
    console.print(table)


if __name__ == "__main__":
    main()
