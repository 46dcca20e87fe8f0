"""The results of a benchmark, and the settings that follow from them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pocketbert.runtime.batching import BATCH_TOKENS

__all__ = ["EngineResult", "Memory", "Report", "Settings", "Trial", "best_trial", "fastest"]

_CLEAR = 1.05  # a setting other than the default must be this much faster: less may be the machine's noise


@dataclass(frozen=True)
class Memory:
    """A fresh process that loads the model and answers one text.

    Attributes:
        resident: bytes of memory that it holds after the answer; None where the system does not tell.
        peak: most bytes that it held, while it loaded too; None likewise.
        start: seconds from the start of the process to the answer.
    """

    resident: int | None
    peak: int | None
    start: float


@dataclass(frozen=True)
class EngineResult:
    """One engine; what has not been measured is absent.

    Attributes:
        runtime: ``"native"``, ``"onnx"`` or ``"torch"``.
        dtype: ``"float32"`` or ``"int8"``.
        latency: tokens of a text -> median seconds for it alone.
        texts_per_second: of texts of mixed lengths, in sorted batches.
        memory: of a process of its own.
    """

    runtime: str
    dtype: str
    latency: dict[int, float]
    texts_per_second: float | None = None
    memory: Memory | None = None

    @property
    def engine(self) -> tuple[str, str]:
        """Runtime and dtype."""
        return self.runtime, self.dtype

    @property
    def name(self) -> str:
        """Runtime and dtype, to read."""
        return f"{self.runtime} {self.dtype}"


@dataclass(frozen=True)
class Trial:
    """Throughput on texts of mixed lengths with one number of threads and one batch size."""

    runtime: str
    dtype: str
    threads: int
    batch_tokens: int
    texts_per_second: float


@dataclass(frozen=True)
class Settings:
    """How to run a checkpoint.

    Attributes:
        folder: the checkpoint.
        task: what it is for.
        head: the head that the task needs.
        runtime: see ``EngineResult``.
        dtype: see ``EngineResult``.
        threads: None for as many as the process may use.
        batch_tokens: tokens of a batch.
    """

    folder: str
    task: str
    head: str
    runtime: str
    dtype: str
    threads: int | None
    batch_tokens: int

    def code(self) -> str:
        """Return the lines of Python that make a pipeline with these settings."""
        options: dict[str, Any] = {"model": self.folder, "runtime": self.runtime, "dtype": self.dtype}
        if self.threads is not None:
            options["threads"] = self.threads
        if self.batch_tokens != BATCH_TOKENS:
            options["batch_tokens"] = self.batch_tokens
        given = ", ".join(f"{name}={value!r}" for name, value in options.items())
        return f"from pocketbert import pipeline\nanswer = pipeline({self.task!r}, {given})"


@dataclass(frozen=True)
class Report:
    """What has been measured so far.

    Attributes:
        folder: the checkpoint.
        architecture: name of its class.
        cpu: the processor's name.
        threads: CPU threads of an engine in all but the trials.
        texts: number of texts of mixed lengths.
        engines: in the order in which they were loaded.
        left_out: engine -> why it was not measured, and the cure where there is one.
        notes: what was asked for but not measured.
        trials: numbers of threads and batch sizes tried with the recommended engines.
        recommended: the fastest settings first; where these are int8, the fastest in float32 follow.
    """

    folder: str
    architecture: str
    cpu: str
    threads: int
    texts: int
    engines: tuple[EngineResult, ...]
    left_out: dict[str, str]
    notes: tuple[str, ...] = ()
    trials: tuple[Trial, ...] = ()
    recommended: tuple[Settings, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values, each recommended setting with its ``code``."""
        plain = asdict(self)
        for settings, found in zip(plain["recommended"], self.recommended, strict=True):
            settings["code"] = found.code()
        return plain


def fastest(engines: tuple[EngineResult, ...]) -> list[EngineResult]:
    """Return the fastest engine on mixed lengths and, where it is int8, the fastest in float32."""
    measured = [engine for engine in engines if engine.texts_per_second is not None]
    found = []
    for choice in (measured, [engine for engine in measured if engine.dtype == "float32"]):
        best = max(choice, key=lambda engine: engine.texts_per_second or 0, default=None)
        if best is not None and best not in found:
            found.append(best)
    return found


def best_trial(trials: list[Trial], threads: int) -> tuple[int, int]:
    """Return the threads and batch tokens to use: the default unless another is clearly faster."""
    default = (threads, BATCH_TOKENS)
    rates = {(trial.threads, trial.batch_tokens): trial.texts_per_second for trial in trials}
    best = max(rates, key=lambda setting: rates[setting], default=default)
    return best if rates.get(best, 0) > _CLEAR * rates.get(default, 0) else default
