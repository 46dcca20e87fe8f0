"""The fuzzer for a fixed number of calls, which find nothing, and what it does with what it finds."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest

from fuzz import driver
from fuzz.targets import TARGETS
from helpers.limits import run_limited

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits of time and memory are those of Linux")
_NATIVE = ("engine", "builder", "plans", "plan-file", "plan-description", "sentence-folder", "tasks")


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_found(tmp_path, name):
    if name in _NATIVE:
        pytest.importorskip("pocketbert._native")
    counts = {name: driver.Count()}
    driver.fuzz([name], tmp_path, counts, calls=0)
    assert counts[name].calls > 20
    assert counts[name].ran
    assert len(counts[name].outcomes) > 2
    told = [path.read_text("utf-8") for path in (tmp_path / name).glob("findings/*.txt")]
    assert not told, "\n".join(told)


_WORKER = """
import os, sys, time
from fuzz import targets, worker
from fuzz.target import Target

class Bad(Target):
    def begin(self, folder):
        return [b"good"]
    def change(self, data, chance):
        return {data!r}
    def run(self, data):
        if data != b"good":
            {code}
        return "good"

targets.TARGETS["bad"] = ("bad", "Bad")
sys.modules["fuzz.bad"] = sys.modules["__main__"]
worker._CPU_SECONDS = 0.5
worker.main(sys.argv[1:])
"""
_BAD = {
    "crash": ("os.kill(os.getpid(), 11)", "the process died: SIGSEGV"),
    "hang": ("while True: pass", "a call takes too long"),
    "memory": ("bytearray(2**36)", "MemoryError"),
    "foreign": ("[][0]", "IndexError"),
    "printed": ("print('words')", "something was printed on standard output"),
}


@pytest.mark.parametrize("kind", _BAD)
def test_what_goes_wrong_is_told_and_kept(tmp_path, monkeypatch, capsys, kind):
    code, told = _BAD[kind]
    script = tmp_path / "script.py"
    script.write_text(_WORKER.replace("{data!r}", repr(kind.encode())).replace("{code}", code), "utf-8")
    counts = {"bad": driver.Count()}
    monkeypatch.setitem(TARGETS, "bad", ("target", "Target"))
    monkeypatch.setattr(driver, "target", lambda name: type("Bad", (), {"memory_gib": 8, "calls": 3}))
    run = run_limited
    monkeypatch.setattr(driver, "run_limited", lambda argv, **limits: run([argv[0], str(script), *argv[3:]], **limits))
    driver.fuzz(["bad"], tmp_path, counts, calls=3)
    assert any(found.startswith(told) for found in counts["bad"].findings), counts
    assert capsys.readouterr().out.startswith(f"found in bad: {told}")
    kept = sorted((tmp_path / "bad" / "findings").iterdir())
    assert kept[0].read_bytes() == (b"words\n" * 3 if kind == "printed" else kind.encode())
    assert kept[1].read_text("utf-8").startswith(told)


def test_the_end_is_counted(tmp_path):
    argv = ["-m", "fuzz.driver", "0.02", "--targets", "run-file", "--folder", str(tmp_path)]
    done = run_limited([sys.executable, *argv], memory_gib=8, seconds=120)
    assert done.returncode == 0, done.stderr
    header, line = done.stdout.splitlines()
    assert header.split() == ["target", "calls", "ran", "refused", "outcomes", "findings"]
    assert line.split()[0] == "run-file"


def test_interrupt_ends_with_the_counts(tmp_path, monkeypatch, capsys):
    def interrupted(*arguments, **options):
        folder = tmp_path / "run-file"
        folder.mkdir()
        (folder / "calls.jsonl").write_text(json.dumps(["ran: once", False]) + "\n", "utf-8")
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(driver, "run_limited", interrupted)
    assert driver.main(["1", "--targets", "run-file", "--folder", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[2].split() == ["run-file", "1", "1", "0", "1", "0"]
