"""Small torch models with every parameter random, and what they give."""

from __future__ import annotations

import torch

import pocketbert
from helpers.oracle import SMALL, batch, randomize


def build(family: str, head: str = "Model", **changes):
    """Return one of our models, small, all parameters random, in eval mode."""
    config = getattr(pocketbert, f"{family}Config")(**{**SMALL[family], **changes})
    model = getattr(pocketbert, f"{family}{head}")(config)
    randomize(model)
    model.tie_weights()
    return model.eval()


def first(model, inputs=None):
    with torch.no_grad():
        output = model(**(inputs or batch()))
    return output.logits if "logits" in output else output[0]
