"""A run that was stopped anywhere and goes on ends with the same bits as one that was not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from helpers.runs import StopAfter, equal
from helpers.small import folder
from pocketbert import (
    CheckpointError,
    DistilBertConfig,
    DistilBertModel,
    InputError,
    distil_distilbert,
    finetune,
    pretrain,
)
from pocketbert.training.checkpoints import Checkpoints
from pocketbert.training.loop import Stopped

OPTIONS = {"epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "micro_batch_size": 5, "save_every": 2}


@pytest.mark.parametrize(("workers", "optimizer"), [(0, "adamw"), (2, "adamw"), (0, "lamb")])
def test_going_on_gives_the_same_bits(start, data, tmp_path, workers, optimizer):
    path = data("text-classification")
    options = {**OPTIONS, "model": start(), "train": path, "eval": path, "workers": workers}
    options["optimizer"] = optimizer
    whole = finetune(out=tmp_path / "whole", **options)
    for step in (1, 3, 5, 8):  # within and at the end of an epoch
        with pytest.raises(Stopped):
            finetune(out=tmp_path / "parts", callbacks=[StopAfter(step)], resume=True, **options)
    equal(finetune(out=tmp_path / "parts", resume=True, **options), whole)


@pytest.mark.parametrize("masking", ["bert", "distilbert"])
@pytest.mark.parametrize(("kind", "workers"), [("pretrain", 0), ("distil", 2)])
def test_going_on_hides_the_same_words(start, tmp_path, kind, workers, masking):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(f"the {word} sat on the mat and was happy" for word in ["cat", "dog"] * 10), "utf-8")
    options = {**OPTIONS, "corpus": corpus, "min_length": 5, "masking": masking, "workers": workers}
    if kind == "pretrain":
        run, options["model"] = pretrain, start() / "config.json"
    else:
        run, options["teacher"] = distil_distilbert, folder(tmp_path / "teacher", "Bert", "ForMaskedLM")
    whole = run(out=tmp_path / "whole", **options)
    for step in (1, 4):
        with pytest.raises(Stopped):
            run(out=tmp_path / "parts", callbacks=[StopAfter(step)], resume=True, **options)
    equal(run(out=tmp_path / "parts", resume=True, **options), whole)


def test_another_teacher_is_not_followed(tmp_path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("the cat sat on the mat and was happy\n" * 20, "utf-8")
    options = {**OPTIONS, "corpus": corpus, "min_length": 5, "out": tmp_path / "out"}
    one, other = (folder(tmp_path / name, "Bert", "ForMaskedLM", scale=n) for n, name in enumerate(("one", "other"), 1))
    with pytest.raises(Stopped):
        distil_distilbert(teacher=one, callbacks=[StopAfter(2)], **options)
    with pytest.raises(InputError, match="data was"):
        distil_distilbert(teacher=other, resume=True, **options)


_KILLED = """
import os, sys
from pocketbert import Callback, finetune
class Die(Callback):
    def on_step(self, run, values):
        if run.progress.step == 4:
            os.kill(os.getpid(), int(sys.argv[4]))
finetune(model=sys.argv[1], train=sys.argv[2], eval=sys.argv[2], out=sys.argv[3], callbacks=[Die()], **{options!r})
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_goes_on(start, data, tmp_path, number):
    path, folder = data("text-classification"), start()
    out = tmp_path / "killed"
    script = _KILLED.replace("{options!r}", repr(OPTIONS))
    done = subprocess.run([sys.executable, "-c", script, str(folder), str(path), str(out), str(int(number))],
                          env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == (-number if number == signal.SIGKILL else 1)
    steps = sorted(int(each.name[5:]) for each in (out / "checkpoints").iterdir())
    assert steps[-1] == (2 if number == signal.SIGKILL else 4)
    options = {**OPTIONS, "model": folder, "train": path, "eval": path}
    equal(finetune(out=out, resume=True, **options), finetune(out=tmp_path / "whole", **options))


def test_another_run_is_not_continued(start, data, tmp_path):
    path, folder = data("text-classification"), start()
    options = {**OPTIONS, "model": folder, "train": path, "out": tmp_path / "out"}
    with pytest.raises(Stopped):
        finetune(callbacks=[StopAfter(3)], **options)
    with pytest.raises(CheckpointError, match="holds a run up to step 3; pass resume"):
        finetune(**options)
    with pytest.raises(InputError, match="batch_size was 8, is 4"):
        finetune(**{**options, "batch_size": 4}, resume=True)
    with pytest.raises(InputError, match="data was"):
        finetune(**{**options, "train": data("text-classification", 24, "other")}, resume=True)
    moved = shutil.copytree(folder, tmp_path / "moved")
    with pytest.raises(Stopped):  # where things lie does not matter
        finetune(**{**options, "model": moved}, callbacks=[StopAfter(4)], resume=True)
    DistilBertModel(DistilBertConfig.from_pretrained(folder)).save_pretrained(moved)
    with pytest.raises(InputError, match="data was"):  # other weights do
        finetune(**{**options, "model": moved}, resume=True)


def test_a_damaged_history_stops_no_run(start, data, tmp_path):
    options = {**OPTIONS, "model": start(), "train": data("text-classification"), "out": tmp_path / "out"}
    with pytest.raises(Stopped):
        finetune(callbacks=[StopAfter(3)], **options)
    path = tmp_path / "out" / "history.jsonl"
    lines = path.read_text("utf-8").splitlines()
    path.write_text("\n".join([lines[0], "[]", '{"step": "x"}', lines[2][:20]]), "utf-8")
    rows = finetune(**options, resume=True).history
    assert [row["step"] for row in rows] == [1, *range(4, 11)]
    assert [json.loads(line) for line in path.read_text("utf-8").splitlines()] == rows


@pytest.mark.parametrize(
    "content",
    [
        {"best": {}},
        {"best": [1]},
        {"best": "x"},
        {"best": [0.5, float("inf")]},
        {"step": "4"},
        {"history": {}},
        {"other": 1},
    ],
)
def test_progress_that_is_none(tmp_path, content):
    checkpoints = Checkpoints(tmp_path, 1, True)
    checkpoints.path(4).mkdir(parents=True)
    (checkpoints.path(4) / "progress.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(CheckpointError, match=r"progress\.json is no progress of a run"):
        checkpoints.progress(4)
