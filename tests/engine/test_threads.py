"""Many Python threads, fork, exit and a busy machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from helpers import environment
from helpers.plan_models import make, texts
from pocketbert.plan import make_plan
from pocketbert.runtime.batching import pack
from pocketbert.runtime.native import NativeRunner


@pytest.fixture(scope="module")
def runner():
    model, arrays = make("MobileBert", awkward_norms=False)
    return NativeRunner(make_plan(model.config, "none", arrays), threads=3)


def same(found, expected):
    return all((a == b).all() for a, b in zip(found, expected, strict=True))


def test_many_python_threads(runner):
    batches = [pack(texts(seed=seed, lengths=lengths)) for seed, lengths in enumerate([(20,) * 9, (3,), (20, 1, 7)])]
    expected = [runner(batch) for batch in batches]
    wrong, start = [], threading.Barrier(8)

    def work(number):
        start.wait()
        for turn in range(60):
            which = (number + turn) % 3
            if not same(runner(batches[which]), expected[which]):
                wrong.append((number, turn))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_the_interpreter_runs_on(runner):
    """The GIL is released: another thread counts while a long call runs."""
    batch = pack(texts(lengths=(20,) * 4000))
    counted, stop = [0], threading.Event()

    def count():
        while not stop.is_set():
            counted[0] += 1
            time.sleep(0.0005)

    other = threading.Thread(target=count)
    other.start()
    start, before = time.perf_counter(), counted[0]
    runner(batch)
    seconds, during = time.perf_counter() - start, counted[0] - before
    stop.set()
    other.join()
    assert during >= 3 or seconds < 0.02


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_fork(runner):
    """A child works, at once and while the parent's other threads are in the engine; so does the parent after it."""
    batch = pack(texts(lengths=(20,) * 30))
    expected = runner(batch)
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            runner(batch)

    other = threading.Thread(target=busy)
    other.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                os._exit(0 if same(runner(batch), expected) and same(runner(batch), expected) else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert same(runner(batch), expected)
    finally:
        stop.set()
        other.join()


EXIT = """
import threading
from helpers import environment
from helpers.plan_models import make, texts
from pocketbert.runtime.batching import pack
from pocketbert.plan import make_plan
from pocketbert.runtime.native import NativeRunner
model, arrays = make("MobileBert", awkward_norms=False)
runner = NativeRunner(make_plan(model.config, "none", arrays), threads=3)
batch = pack(texts(lengths=(20,) * 200))
runner(batch)
def forever():
    while True:
        runner(batch)
threading.Thread(target=forever, daemon=True).start()
print("done")
"""


def test_exit_while_a_daemon_thread_runs():
    done = subprocess.run(
        [sys.executable, "-c", EXIT], env=environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr


@pytest.mark.slow
def test_yields_when_the_machine_is_busy(runner):
    """With a busy process on every CPU, calls get their share of the time, not far less."""
    batch = pack(texts(lengths=(20,) * 100))
    runner(batch)

    def median():
        times = []
        for _ in range(40):
            start = time.perf_counter()
            runner(batch)
            times.append(time.perf_counter() - start)
        return float(np.median(times))

    quiet = median()
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    spinners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cpus)]
    try:
        time.sleep(0.3)
        assert median() <= 6 * quiet + 0.02
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()
