"""Runs that are stopped, and whether two runs came to the same."""

from __future__ import annotations

import torch

from pocketbert import Callback


class StopAfter(Callback):
    def __init__(self, step):
        self.step = step

    def on_step(self, run, values):
        if run.progress.step == self.step:
            run.stopping = 0


def equal(one, other):
    assert one.history[-1]["step"] == other.history[-1]["step"]
    for (name, mine), theirs in zip(one.model.state_dict().items(), other.model.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), name
    kept = [
        [{name: value for name, value in row.items() if name != "seconds"} for row in each.history]
        for each in (one, other)
    ]
    assert kept[0] == kept[1]
