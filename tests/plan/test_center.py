"""Subtracting any constant from a channel changes no result; centering does so, and int8 gains by it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.plan_models import IB_BERT, TINY, UNEVEN, arrays_of, batch_of, make, relative, texts
from pocketbert.plan import agreement, center, make_plan, quantize
from pocketbert.plan.check import check_plan
from pocketbert.plan.executor import run
from pocketbert.plan.int8.center import movable, shift
from pocketbert.plan.int8.channels import Channels

CASES = {
    "MobileBERT": ("MobileBert", {}),
    "no bottleneck": ("MobileBert", {"use_bottleneck": False}),
    "no trigram": ("MobileBert", {"trigram_input": False, "embedding_size": 32}),
    "relu6": ("MobileBert", {"hidden_act": "relu6"}),
    "LayerNorm": ("MobileBert", {"normalization_type": "layer_norm"}),
    "IB-BERT": ("MobileBert", IB_BERT),
    "TINY pruned": ("MobileBert", {**TINY, **UNEVEN}),
    "BERT": ("Bert", {}),
    "DistilBERT": ("DistilBert", {}),
}


def plan_of(name, dtype=np.float32):
    family, changes = CASES[name]
    head = "masked_lm" if family == "DistilBert" else "pretraining"
    model, arrays = make(family, head, changes, awkward_norms=False)
    return make_plan(model.config, head, arrays, dtype)


def everything(plan, batch):
    result = run(plan, batch, hidden_states=True)
    return [array for arrays in (*result.hidden_states, *result.branches.values(), result.pooled) for array in arrays]


@pytest.mark.parametrize("name", CASES)
def test_any_shift_is_exact(name):
    plan = plan_of(name, np.float64)
    channels = Channels(plan)
    free = movable(plan, channels)
    generator = np.random.default_rng(0)
    other = shift(plan, channels, np.where(free, generator.normal(0, 3, len(free)), 0.0))
    check_plan(other)
    assert free.any()
    batch = batch_of(texts())
    for a, b in zip(everything(plan, batch), everything(other, batch), strict=True):
        assert relative(b, a) <= 1e-12


@pytest.mark.parametrize("name", CASES)
def test_centring_in_float32_keeps_the_results(name):
    plan = plan_of(name)
    other = center(plan, batch_of(texts()))
    check_plan(other)
    batch = batch_of(texts(seed=9))
    for a, b in zip(everything(plan, batch), everything(other, batch), strict=True):
        assert relative(b, a) <= 1e-5


def test_the_middle_of_a_channel_is_taken_out():
    plan = plan_of("MobileBERT")
    batch = batch_of(texts())
    centered = center(plan, batch)
    inside = {op for layer in centered.layers for op in layer.ops}
    middles = []

    def observe(op, rows):
        if op in inside and op.source.buffer in ("x", "inner", "context"):
            middles.append(np.abs(np.median(rows, axis=0)).max())

    run(centered, batch, observe=observe)
    assert len(middles) > 10
    assert max(middles) < 1e-4


def test_int8_gains_where_all_tokens_have_much_in_common():
    model, _ = make("MobileBert", "token_classification", {"num_labels": 5}, awkward_norms=False)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "LayerNorm" in name and name.endswith("bias"):
                parameter.add_(3 * torch.sign(parameter))
    batch = batch_of(texts())
    plan = make_plan(model.config, "token_classification", arrays_of(model))
    without, with_it = (
        agreement(plan, quantize(plan, batch, center=flag), batch)["token_classification_error"]
        for flag in (False, True)
    )
    assert with_it < without / 2
