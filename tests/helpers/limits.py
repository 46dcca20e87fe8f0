"""Code that might take all memory or never end, run in a process of its own with limits on both."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

__all__ = ["run_limited"]

_TESTS = Path(__file__).resolve().parents[1]
# Limits itself and becomes the command; a function that runs after a fork would meet the threads of other libraries.
_LAUNCHER = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
os.execvp(sys.argv[2], sys.argv[2:])
"""


def run_limited(
    code_or_argv: str | Sequence[str],
    *,
    memory_gib: float,
    seconds: float,
    input: str | None = None,  # as in subprocess.run
) -> subprocess.CompletedProcess[str]:
    """Run Python code, or a command, and return its status and what it wrote; the test fails if it takes too long.

    Args:
        code_or_argv: a Python program, which can import ``helpers``, or the arguments of a command.
        memory_gib: the most address space that the process may have, in GiB; beyond it, allocations fail. PyTorch and
            the threads of numpy take some GiB of addresses before they use any memory.
        seconds: the most time that it may take.
        input: what it reads from stdin; by default nothing.
    """
    argv = [sys.executable, "-c", code_or_argv] if isinstance(code_or_argv, str) else list(code_or_argv)
    launcher = [sys.executable, "-S", "-c", _LAUNCHER, str(int(memory_gib * 2**30))]
    paths = [str(_TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "2"}
    try:
        return subprocess.run(
            [*launcher, *argv],
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
            timeout=seconds,
            env={**os.environ, **threads, "PYTHONPATH": os.pathsep.join(paths)},
        )
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"not done after {seconds} s; it wrote {error.stdout!r} and {error.stderr!r}")
