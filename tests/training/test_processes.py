"""Two processes on CPUs make the steps and the scores that one makes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from pocketbert import InputError, finetune

OPTIONS = {"epochs": 2, "batch_size": 6, "learning_rate": 1e-3, "save_every": 2}
_RUN = """
import json, os, sys
from pocketbert import InputError, finetune
task, options, other = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
done = finetune(task, **options)
try:
    finetune(task, **{**options, **other}, resume=True)
    refused = ""
except InputError as error:
    refused = str(error)
found = {"scores": done.scores, "losses": [row["loss"] for row in done.history if "loss" in row], "refused": refused}
open(os.path.join(sys.argv[4], os.environ["RANK"] + ".json"), "w").write(json.dumps(found))
"""


def in_two(tmp_path, task, options, other):
    """Make a run in two processes; return what each found, and what it says to ``other`` settings on resuming."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = tmp_path / "run.py"
    script.write_text(_RUN, "utf-8")
    arguments = [task, json.dumps(options), json.dumps(other), str(tmp_path)]
    done = subprocess.run([*command, str(script), *arguments], env={**os.environ, "OMP_NUM_THREADS": "1"},
                          capture_output=True, text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((tmp_path / f"{rank}.json").read_text("utf-8")) for rank in (0, 1)]


@pytest.mark.slow
def test_two_processes_make_the_steps_of_one(start, data, tmp_path):
    task, path = "token-classification", str(data("token-classification", 25))  # of which one is left over
    model = start("DistilBert", dropout=0.0, attention_dropout=0.0)  # processes have dropout of their own
    options = {**OPTIONS, "model": str(model), "train": path, "eval": path}
    alone = tmp_path / "alone"
    one = finetune(task, out=alone, **options)
    both = in_two(tmp_path, task, {**options, "out": str(tmp_path / "two")}, {"out": str(alone)})
    assert both[0] == both[1]
    assert both[0]["scores"] == pytest.approx(one.scores)
    assert both[0]["losses"] == pytest.approx([row["loss"] for row in one.history if "loss" in row], rel=1e-4)
    assert "processes was 1, is 2" in both[0]["refused"]
    with pytest.raises(InputError, match="processes was 2, is 1"):
        finetune(task, out=tmp_path / "two", resume=True, **options)
    two = type(one.model).from_pretrained(tmp_path / "two").state_dict()
    for name, value in one.model.state_dict().items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5)


def test_runs_of_one_process_may_differ_in_precision(start, data, tmp_path):
    options = {"model": start(), "train": data("text-classification", 8), "epochs": 1}
    losses = [
        finetune(out=tmp_path / precision, precision=precision, **options).history[0]["loss"]
        for precision in ("float32", "bfloat16")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert losses[1] != losses[0]
