"""Measures the engines that are installed, on one checkpoint."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from pocketbert.architecture.families import class_name
from pocketbert.architecture.heads import head_named
from pocketbert.bench.bench_report import EngineResult, Report, Settings, Trial, best_trial, fastest
from pocketbert.bench.engines import ENGINES, Engine, load, mixed_lengths, rows, with_threads
from pocketbert.bench.memory import measure_memory
from pocketbert.bench.timing import interleaved, medians
from pocketbert.checkpoint.opened import open_model
from pocketbert.errors import InputError, MissingExtra, PocketBertError
from pocketbert.runtime.batching import BATCH_TOKENS, Row, Runner, pack, run_rows
from pocketbert.runtime.threads import available_threads, check_threads
from pocketbert.tasks.selection import TASKS, task_class

__all__ = ["LENGTHS", "SECONDS", "TEXTS", "bench"]

LENGTHS = (32, 128, 384)  # tokens of the texts whose latency is measured
SECONDS = 20.0  # of measuring, by default
TEXTS = 256  # of mixed lengths, unless the machine is too slow for them
BATCHES = (512, BATCH_TOKENS, 8192)  # sizes of batches that are tried

_FEWEST_TEXTS = 16
_MEMORY_TOKENS = 128
_SHARES = {"latency": 0.35, "mixed": 0.35, "trials": 0.3}  # of the seconds; memory takes what loading takes

Watch = Callable[[str, Report], None] | None


def bench(
    folder: str | os.PathLike[str],
    *,
    threads: int | None = None,
    seconds: float = SECONDS,
    lengths: Sequence[int] = LENGTHS,
    watch: Watch = None,
) -> Report:
    """Measure every installed engine on a checkpoint: latency, throughput on texts of mixed lengths, and memory.

    All engines are loaded and take turns; then each answers a text in a process of its own, whose memory is read; then
    numbers of threads and sizes of batches are tried with the fastest. Texts are pseudo-random words, so that neither a
    tokenizer nor data is needed.

    Args:
        folder: a checkpoint folder, or a hub name.
        threads: CPU threads of an engine; by default as many as the process may use, and one is tried too.
        seconds: about how long to measure; loading comes on top.
        lengths: tokens of the single texts; those beyond the model's positions are left out with a note.
        watch: called before each step, with what comes next and the report so far.

    Raises:
        CheckpointError: there is no checkpoint, or no engine can run it.
        MissingExtra: no engine is installed.
        InputError: ``threads``, ``seconds`` or ``lengths`` is out of range.
        HubError: the hub has no such name.
    """
    return _Bench(folder, threads, seconds, lengths, watch).run()


class _Bench:
    """The steps of one benchmark, and the report that they fill."""

    def __init__(
        self, folder: str | os.PathLike[str], threads: int | None, seconds: float, lengths: Sequence[int], watch: Watch
    ) -> None:
        self.threads = check_threads(threads)
        if not seconds > 0:
            raise InputError(f"seconds={seconds!r} must be more than 0")
        if not lengths or min(lengths) < 1:
            raise InputError(f"lengths={list(lengths)!r} must be one or more whole numbers of at least 1")
        self.opened = opened = open_model(folder)
        self.folder, self.name, self.watch = str(opened.folder), os.fspath(folder), watch
        self.counts = sorted({1, self.threads}) if threads is None else [self.threads]
        self.head = head_named(opened.head).answers[0].name
        self.task = next(name for name in TASKS if task_class(name).head == self.head)
        self.shares = {step: share * seconds for step, share in _SHARES.items()}
        self.lengths = lengths
        self.runners: dict[Engine, Runner] = {}
        self.report = Report(self.name, class_name(opened.config, opened.head), _cpu(), self.threads, 0, (), {})

    def run(self) -> Report:
        self._load()
        self._latency()
        self._mixed()
        self._memory()
        for result in fastest(self.report.engines):
            self._try_settings(result)
        return self.report

    # -- steps -------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        problems: dict[Engine, PocketBertError] = {}
        for engine in ENGINES:
            self._next(f"loading {' '.join(engine)}")
            try:
                self.runners[engine] = load(self.opened, self.head, engine, self.threads)
            except PocketBertError as error:
                problems[engine] = error
                left_out = {**self.report.left_out, " ".join(engine): str(error)}
                self.report = replace(self.report, left_out=left_out)
        if not self.runners:
            raise min(problems.values(), key=lambda error: isinstance(error, MissingExtra))
        config = next(iter(self.runners.values())).config
        self.vocabulary, self.positions = config.vocab_size, config.max_position_embeddings
        self._put(EngineResult(*engine, {}) for engine in self.runners)

    def _latency(self) -> None:
        fit = [length for length in self.lengths if length <= self.positions]
        for length in sorted(set(self.lengths) - set(fit)):
            self._note(f"{length} tokens are left out: the model has {self.positions} positions")
        for length in fit:
            self._next(f"latency at {length} tokens")
            batch = pack(self._rows([length]))
            calls = {engine: partial(runner, batch) for engine, runner in self.runners.items()}
            seconds = self.shares["latency"] / len(fit)
            times = medians(interleaved(calls, 20, repeats=3, fewest=2, seconds=seconds))
            self._put(replace(one, latency={**one.latency, length: times[one.engine]}) for one in self.report.engines)

    def _mixed(self) -> None:
        self._next("texts of mixed lengths")
        few = self._rows(mixed_lengths(_FEWEST_TEXTS, self.positions))
        calls = {engine: partial(run_rows, runner, few) for engine, runner in self.runners.items()}
        pace = medians(interleaved(calls, 1, repeats=2))  # seconds that each engine takes for these few
        affordable = int(self.shares["mixed"] / (3 * sum(pace.values())) * _FEWEST_TEXTS)
        self.texts = self._rows(mixed_lengths(max(_FEWEST_TEXTS, min(TEXTS, affordable)), self.positions))
        if len(self.texts) < TEXTS:
            self._note(f"{len(self.texts)} texts of mixed lengths instead of {TEXTS}, to keep to the time")
        calls = {engine: partial(run_rows, runner, self.texts) for engine, runner in self.runners.items()}
        times = medians(interleaved(calls, 10, fewest=2, seconds=self.shares["mixed"]))
        self.report = replace(self.report, texts=len(self.texts))
        self._put(replace(one, texts_per_second=len(self.texts) / times[one.engine]) for one in self.report.engines)
        self._recommend()

    def _memory(self) -> None:
        tokens = min(_MEMORY_TOKENS, self.positions)
        for result in self.report.engines:
            self._next(f"memory of {result.name}")
            try:
                memory = measure_memory(self.folder, self.head, result.engine, self.threads, tokens)
            except PocketBertError as error:
                self._note(str(error))
            else:
                self._put(replace(one, memory=memory) if one is result else one for one in self.report.engines)

    def _try_settings(self, result: EngineResult) -> None:
        """Try numbers of threads and sizes of batches with one engine."""
        self._next(f"threads and batches of {result.name}")
        engine = result.engine
        runners = {count: with_threads(self.runners[engine], self.opened, engine, count) for count in self.counts}
        calls = {
            (count, budget): partial(run_rows, runner, self.texts, budget)
            for count, runner in runners.items()
            for budget in BATCHES
        }
        seconds = self.shares["trials"] / len(fastest(self.report.engines))
        times = medians(interleaved(calls, 10, fewest=2, seconds=seconds))
        trials = [Trial(*engine, *setting, len(self.texts) / median) for setting, median in times.items()]
        self.report = replace(self.report, trials=(*self.report.trials, *trials))
        self._recommend()

    # -- the report --------------------------------------------------------------------------------------------

    def _next(self, step: str) -> None:
        if self.watch is not None:
            self.watch(step, self.report)

    def _put(self, results: Iterable[EngineResult]) -> None:
        self.report = replace(self.report, engines=tuple(results))

    def _note(self, text: str) -> None:
        self.report = replace(self.report, notes=(*self.report.notes, text))

    def _recommend(self) -> None:
        settings = []
        for result in fastest(self.report.engines):
            trials = [t for t in self.report.trials if (t.runtime, t.dtype) == result.engine]
            threads, batch_tokens = best_trial(trials, self.threads)
            chosen = None if threads == available_threads() else threads
            settings.append(Settings(self.name, self.task, self.head, *result.engine, chosen, batch_tokens))
        self.report = replace(self.report, recommended=tuple(settings))

    def _rows(self, lengths: Sequence[int]) -> list[Row]:
        return rows(lengths, self.vocabulary, self.head)


def _cpu() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
