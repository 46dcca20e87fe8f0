"""Pieces of the models by themselves."""

from __future__ import annotations

import pytest
import torch

from pocketbert.torch.layers import drop


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(probability):
    torch.manual_seed(0)
    x = torch.ones(300, 1001, dtype=torch.float64)
    dropped = drop(x, probability)
    share = (dropped == 0).double().mean().item()
    assert abs(share - probability) < 5 * (probability * (1 - probability) / x.numel()) ** 0.5
    kept = dropped[dropped != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - probability)), rtol=1e-4, atol=0)
    rows, columns = (dropped == 0).double().mean(1), (dropped == 0).double().mean(0)
    assert rows.std() < 0.03  # no row or column is favored
    assert columns.std() < 0.05


def test_dropout_follows_the_seed_and_masks_the_gradient():
    x = torch.randn(7, 13, requires_grad=True)
    torch.manual_seed(3)
    first = drop(x, 0.3)
    torch.manual_seed(3)
    assert torch.equal(first, drop(x, 0.3))
    assert not torch.equal(first, drop(x, 0.3))
    first.sum().backward()
    assert torch.equal(x.grad == 0, first == 0)


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_dropout_of_nothing_and_of_everything(probability):
    x = torch.randn(5, 6)
    assert torch.equal(drop(x, probability), x * (1 - probability))
