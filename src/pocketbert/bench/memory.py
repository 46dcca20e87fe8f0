"""The memory of one engine, in a process of its own, because engines in one process share memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from pocketbert.bench.bench_report import Memory
from pocketbert.bench.engines import Engine, load, rows
from pocketbert.errors import PocketBertError
from pocketbert.runtime.batching import pack

__all__ = ["main", "measure_memory"]

_CODE = "from pocketbert.bench.memory import main; main()"
_STATUS = Path("/proc/self/status")


def measure_memory(folder: str | os.PathLike[str], head: str, engine: Engine, threads: int, tokens: int) -> Memory:
    """Start a process that loads an engine and runs one text.

    Raises:
        PocketBertError: the process failed; the message is the last line of its standard error.
    """
    request = json.dumps([os.fspath(folder), head, engine, threads, tokens])
    start = time.time()
    done = subprocess.run([sys.executable, "-c", _CODE, request], capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise PocketBertError(f"measuring the memory of {' '.join(engine)} failed: {said[-1]}")
    answered, resident, peak = json.loads(done.stdout)
    return Memory(resident, peak, answered - start)


def main() -> None:
    """Load and run what the command line says; print when it was answered, and the sizes in bytes."""
    folder, head, engine, threads, tokens = json.loads(sys.argv[1])
    runner = load(folder, head, tuple(engine), threads)
    runner(pack(rows([tokens], runner.config.vocab_size, head)))
    print(json.dumps([time.time(), *_sizes()]))


def _sizes() -> list[int | None]:
    """Return this process's resident and peak bytes; None where this system does not tell them."""
    if _STATUS.exists():  # Linux, where getrusage's peak may be the parent's: it outlives exec
        fields = dict(line.split(":", 1) for line in _STATUS.read_text("utf-8").splitlines() if ":" in line)
        return [int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM")]
    if sys.platform == "darwin":
        import resource

        return [None, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]
    return [None, None]
