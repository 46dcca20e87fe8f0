"""LAMB against its formulas (arXiv 1904.00962 without bias correction), and what is exempt from its decay."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pocketbert.settings.settings import Settings
from pocketbert.training.optimizers import Lamb, make_optimizer
from pocketbert.training.phases import Phase


def lamb(weight, gradients, lr, decay, adapted, b1=0.9, b2=0.999, eps=1e-6):
    m = v = np.zeros_like(weight)
    for gradient in gradients:
        m, v = b1 * m + (1 - b1) * gradient, b2 * v + (1 - b2) * gradient**2
        update = m / (np.sqrt(v) + eps) + decay * weight
        size, change = np.linalg.norm(weight), np.linalg.norm(update)
        weight = weight - lr * (size / change if adapted and size and change else 1) * update
    return weight


@pytest.mark.parametrize("decay", [0.01, 0.0])
@pytest.mark.parametrize("adapted", [True, False])
@pytest.mark.parametrize("scale", [1.0, 0.0])  # of the first weights: a norm of 0 has the ratio 1
def test_lamb_follows_its_formulas(decay, adapted, scale):
    random = np.random.default_rng(0)
    start, gradients = scale * random.normal(size=(4, 3)), random.normal(size=(5, 4, 3))
    weight = nn.Parameter(torch.tensor(start))
    optimizer = Lamb([weight], lr=0.02, weight_decay=decay, adapted=adapted)
    for gradient in gradients:
        weight.grad = torch.tensor(gradient)
        optimizer.step()
    np.testing.assert_allclose(weight.detach(), lamb(start, gradients, 0.02, decay, adapted), rtol=1e-12)


@pytest.mark.parametrize("decay", [0.01, 0.0])
def test_biases_and_norms_are_neither_decayed_nor_adapted(decay):
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    phases = [Phase("", 1, None, lambda _: 1.0)]
    optimizer, _ = make_optimizer(model, Settings(optimizer="lamb", weight_decay=decay), phases)
    of = {id(value): group for group in optimizer.param_groups for value in group["params"]}
    for name, value in model.named_parameters():
        matrix = name == "0.weight"
        assert of[id(value)]["adapted"] is matrix
        assert of[id(value)]["weight_decay"] == (decay if matrix else 0.0)
