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
# accelerate knows no FSDP on CPUs; torch does, and the run is told that it is one
_SHARDED = """
import accelerate, pocketbert.training.session as session
def sharded(*_):
    accelerator = accelerate.Accelerator(cpu=True)
    plugin = accelerate.FullyShardedDataParallelPlugin(
        fsdp_version=2, auto_wrap_policy="no_wrap", state_dict_type="FULL_STATE_DICT"
    )
    accelerator.state.distributed_type = accelerate.DistributedType.FSDP
    accelerator.state.fsdp_plugin = plugin
    return accelerator
session.make_accelerator = sharded
"""

_AGAIN = """
import shutil, torch
torch.distributed.barrier()
if os.environ["RANK"] == "0":
    for step in (6, 8, 10):
        shutil.rmtree(os.path.join(options["out"], "checkpoints", f"step-{step:08d}"))
torch.distributed.barrier()
again = finetune(task, **options, resume=True)
assert [row["step"] for row in again.history] == [row["step"] for row in done.history]
for name, value in done.model.state_dict().items():
    torch.testing.assert_close(again.model.state_dict()[name], value)
"""

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


def in_two(tmp_path, task, options, other, before="", after=""):
    """Make a run in two processes; return what each found, and what it says to ``other`` settings on resuming."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = tmp_path / "run.py"
    script.write_text(before + _RUN + after, "utf-8")
    arguments = [task, json.dumps(options), json.dumps(other), str(tmp_path)]
    done = subprocess.run([*command, str(script), *arguments], env={**os.environ, "OMP_NUM_THREADS": "1"},
                          capture_output=True, text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr[:3000]
    return [json.loads((tmp_path / f"{rank}.json").read_text("utf-8")) for rank in (0, 1)]


@pytest.mark.slow
def test_two_processes_make_the_steps_of_one(start, data, tmp_path):
    task, path = "token-classification", str(data("token-classification", 25))  # of which one is left over
    model = start("DistilBert", dropout=0.0, attention_dropout=0.0)  # processes have dropout of their own
    options = {**OPTIONS, "model": str(model), "train": path, "eval": path, "keep": 9}
    alone = tmp_path / "alone"
    one = finetune(task, out=alone, **options)
    both = in_two(tmp_path, task, {**options, "out": str(tmp_path / "two")}, {"out": str(alone)}, after=_AGAIN)
    assert both[0] == both[1]
    assert both[0]["scores"] == pytest.approx(one.scores)
    assert both[0]["losses"] == pytest.approx([row["loss"] for row in one.history if "loss" in row], rel=1e-4)
    assert "processes was 1, is 2" in both[0]["refused"]
    with pytest.raises(InputError, match="processes was 2, is 1"):
        finetune(task, out=tmp_path / "two", resume=True, **options)
    two = type(one.model).from_pretrained(tmp_path / "two").state_dict()
    for name, value in one.model.state_dict().items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_processes_may_hold_parts_of_the_parameters(start, data, tmp_path):
    task, path = "token-classification", str(data("token-classification", 25))
    model = start("DistilBert", dropout=0.0, attention_dropout=0.0)
    options = {**OPTIONS, "model": str(model), "train": path, "eval": path, "keep": 9}
    one = finetune(task, out=tmp_path / "alone", **options)
    two = {**options, "out": str(tmp_path / "two")}
    both = in_two(tmp_path, task, two, {"batch_size": 5}, _SHARDED, _AGAIN)
    assert both[0] == both[1]
    assert both[0]["scores"] == pytest.approx(one.scores)
    assert "batch_size was 6, is 5" in both[0]["refused"]
    found = type(one.model).from_pretrained(tmp_path / "two").state_dict()
    for name, value in one.model.state_dict().items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


def test_runs_of_one_process_may_differ_in_precision(start, data, tmp_path):
    options = {"model": start(), "train": data("text-classification", 8), "epochs": 1}
    losses = [
        finetune(out=tmp_path / precision, precision=precision, **options).history[0]["loss"]
        for precision in ("float32", "bfloat16")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert losses[1] != losses[0]
