"""Runs whose objective, trained parameters and learning rates change on the way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pocketbert import Callback
from pocketbert.settings.settings import Settings
from pocketbert.training.loop import Stopped
from pocketbert.training.phases import Phase
from pocketbert.training.session import Session
from pocketbert.training.tables import make_table


class Tokenizer:
    def save_pretrained(self, folder):
        pass


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.low, self.high = nn.Linear(2, 2), nn.Linear(2, 2)

    def save_pretrained(self, folder):
        pass


class Squares:
    """The mean square of what comes out, after one layer or both."""

    def __init__(self, name, *layers):
        self.weights = {name: 1.0}
        self.layers = layers

    def counts(self, batch):
        return dict.fromkeys(self.weights, len(batch["x"]))

    def losses(self, model, batch):
        x = batch["x"]
        for layer in self.layers:
            x = getattr(model, layer)(x)
        return dict.fromkeys(self.weights, x.square().sum())


PHASES = [
    Phase("first", 3, Squares("low", "low"), lambda step: (step + 1) / 3, lambda name: float("low" in name)),
    Phase("second", 3, Squares("both", "low", "high"), lambda _: 1.0, lambda name: 1.0 if "high" in name else 0.1),
]


def session(out, phases=PHASES, callbacks=(), **settings):
    rows = np.random.default_rng(0).normal(size=(12, 2)).tolist()
    table = make_table(({"x": row, "size": 1} for row in rows), "numbers")
    given = Settings(out=str(out), batch_size=4, learning_rate=0.1, **settings)
    return Session(
        given, Model(), Tokenizer(), phases, table,
        lambda examples, _: {"x": torch.tensor([example["x"] for example in examples])}, callbacks=callbacks,
    )  # fmt: skip


class Watch(Callback):
    def __init__(self, stop=None):
        self.stop, self.moved, self.rates = stop, [], []

    def on_start(self, run):
        self.before = {name: value.detach().clone() for name, value in run.model.named_parameters()}

    def on_step(self, run, values):
        now = {name: value.detach().clone() for name, value in run.model.named_parameters()}
        self.moved.append({name.split(".")[0] for name in now if not torch.equal(now[name], self.before[name])})
        self.before = now
        self.rates.append(values["learning_rate"])
        if run.progress.step == self.stop:
            run.stopping = 0


def test_a_phase_trains_its_own_parameters_at_its_own_rate(tmp_path):
    watch = Watch()
    done = session(tmp_path / "out", callbacks=[watch]).run()
    assert watch.moved == [{"low"}] * 3 + [{"low", "high"}] * 3
    assert watch.rates == pytest.approx([0.1 / 3, 0.2 / 3, 0.1, 0.1, 0.1, 0.1])
    assert [row["phase"] for row in done.history] == ["first"] * 3 + ["second"] * 3
    assert all(value.requires_grad for value in done.model.parameters())
    assert (tmp_path / "out" / "curves.png").exists()  # though no loss is there in all steps


def test_moments_start_afresh_and_rates_have_the_factor(tmp_path):
    """The first step of AdamW moves every weight by the learning rate, whatever the gradient."""
    moved = {}

    class First(Callback):
        def on_step(self, run, values):
            now = {name: value.detach().clone() for name, value in run.model.named_parameters()}
            if run.progress.step == 4:
                moved.update({name: (now[name] - self.before[name]).abs() for name in now})
            self.before = now

    session(tmp_path / "out", callbacks=[First()], weight_decay=0.0, epsilon=0.0).run()
    for name, change in moved.items():
        torch.testing.assert_close(change, torch.full_like(change, 0.1 if "high" in name else 0.01))


@pytest.mark.parametrize("optimizer", ["adamw", "lamb"])
def test_going_on_gives_the_same_bits_across_phases(tmp_path, optimizer):
    whole = session(tmp_path / "whole", optimizer=optimizer).run()
    for stop in (2, 3, 4):  # within a phase, at its end, and after the first step of the next
        with pytest.raises(Stopped):
            session(tmp_path / "parts", callbacks=[Watch(stop)], optimizer=optimizer).run(resume=True)
    parts = session(tmp_path / "parts", optimizer=optimizer).run(resume=True)
    for one, other in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert [row["loss"] for row in whole.history] == [row["loss"] for row in parts.history]


def test_max_steps_ends_a_run_within_a_phase(tmp_path):
    assert len(session(tmp_path / "out", max_steps=4).run().history) == 4
