"""The simulated rounding is the engine's, and a model that was trained with it loses less in int8."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.plan_models import arrays_of, make
from pocketbert import finetune
from pocketbert.plan import make_plan, run
from pocketbert.plan.int8.narrow import int8_weight, narrow
from pocketbert.runtime.batching import Row, pack
from pocketbert.training import simulated_int8
from pocketbert.training.simulated_int8 import rounded, simulating_int8

ROWS = [[2, 9, 31, 44, 3], [2, 17, 3], [2, 50, 8, 8, 21, 60, 5, 3]]


def test_weights_are_rounded_as_in_a_plan():
    weight = torch.randn(13, 40, generator=torch.Generator().manual_seed(0))
    exact = int8_weight(weight.numpy(), np.zeros(0, np.int64))
    np.testing.assert_allclose(rounded(weight).numpy(), exact.values * exact.scale[:, None], rtol=1e-6)
    weight.requires_grad_()
    rounded(weight).sum().backward()
    assert torch.equal(weight.grad, torch.ones_like(weight))


@pytest.mark.parametrize("family", ["Bert", "DistilBert"])
@pytest.mark.parametrize("head", ["none", "masked_lm"])
def test_a_simulated_model_gives_what_its_plan_gives(family, head, monkeypatch):
    model, _ = make(family, head, awkward_norms=False, dtype=torch.float32)
    plan = make_plan(model.config, head, arrays_of(model), np.float32)
    batch = pack([Row(ids, positions=range(len(ids)) if head == "masked_lm" else None) for ids in ROWS])
    neutral = lambda rows, weight: simulated_int8._Columns(  # noqa: E731  # a plan that is neither centered nor equalized
        *(weight.new_full((weight.shape[1],), value) for value in (0.0, 1.0, 1.0))
    )
    monkeypatch.setattr(simulated_int8, "_columns", neutral)
    inputs = [{"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids))} for ids in ROWS]
    result = run(narrow(plan, batch, outliers=False), batch)
    small = result.hidden if head == "none" else result.branches[head]
    with torch.no_grad(), simulating_int8(model, inputs):
        ours = [model(**each)[0][0].numpy() for each in inputs]
    exact = [model(**each)[0][0].detach().numpy() for each in inputs]
    for mine, theirs, plain in zip(ours, small, exact, strict=True):
        error = np.abs(plain - theirs).mean()
        assert np.abs(mine - theirs).mean() < error / 5  # a value on the edge of a step may be rounded the other way


def test_nothing_of_it_stays(start, data, tmp_path):
    options = {"model": start(), "train": data("text-classification"), "epochs": 1, "batch_size": 8}
    done = finetune(out=tmp_path / "out", int8=True, **options)
    assert not any("forward" in vars(module) for module in done.model.modules())
    plain = finetune(out=tmp_path / "plain", **options)
    assert done.model.state_dict().keys() == plain.model.state_dict().keys()
    assert not torch.equal(done.model.classifier.weight, plain.model.classifier.weight)
