"""Whatever happens while a run writes a checkpoint, the run can go on from a whole one."""

from __future__ import annotations

import sys

import pytest
import torch
from safetensors.torch import load_file

from helpers.faults import outcomes, put, tree, visible
from pocketbert.training.checkpoints import Checkpoints, Progress

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process with threads may not fork")


@pytest.mark.parametrize("best", [None, (0.5, 2)], ids=["the latest", "the latest and the best"])
def test_a_run_goes_on_from_a_whole_checkpoint(tmp_path, best):
    torch.set_num_threads(1)  # threads do not survive a fork
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    folder = tmp_path / "run"
    checkpoints = Checkpoints(folder, keep=1, writes=True)

    def save_step(step):
        torch.manual_seed(step)
        model(torch.randn(4, 3)).sum().backward()
        optimizer.step()
        checkpoints.save(model, optimizer, Progress(step=step, best=best))

    save_step(2)
    old = tree(folder)
    found = outcomes(lambda: save_step(4), folder, old)
    assert {fault for fault, *_ in found} == {"interrupt", "refuse", "fill", "kill"}
    for fault, point, _, left in found:
        put(left, folder)
        where = f"{fault} at point {point}"
        steps = checkpoints.steps()
        assert steps, where
        assert best is None or 2 in steps, where
        for step in steps:
            assert checkpoints.progress(step).step == step, where
            assert load_file(checkpoints.path(step) / "model.safetensors").keys() == {"weight", "bias"}, where
            moments = load_file(checkpoints.path(step) / "optimizer.safetensors")
            assert {name.split("/")[1] for name in moments} == {"step", "exp_avg", "exp_avg_sq"}, where
    checkpoints.save(model, optimizer, Progress(step=6, best=best))
    assert checkpoints.steps() == ([2, 6] if best else [6])
    assert not [name for name in visible(tree(folder)) if ".unfinished" in name]
