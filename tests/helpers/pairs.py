"""Pairs of models, PyTorch's and Keras's, with the same random parameters, and how their outputs are compared."""

from __future__ import annotations

import numpy as np
import torch
from keras import ops

import pocketbert
from helpers.oracle import HEADS, SMALL, batch, labels_for, randomize

FAMILIES = ("DistilBert", "MobileBert")
CLASSES = [(family, head) for family in FAMILIES for head in ["Model", *HEADS[family]]]
EVERYTHING = {"output_hidden_states": True, "output_attentions": True}


def torch_model(family: str, head: str = "Model", changes: dict | None = None, **options):
    """Return one of the PyTorch models, small, all parameters random, in eval mode."""
    config = getattr(pocketbert, f"{family}Config")(**{**SMALL[family], **(changes or {})})
    model = getattr(pocketbert, f"{family}{head}")(config, **options)
    randomize(model)
    model.tie_weights()
    return model.eval()


def keras_twin(model, **options):
    """Return the Keras model with a PyTorch model's parameters."""
    kind = getattr(pocketbert, f"TF{type(model).__name__}")
    return kind.from_pretrained(None, config=model.config, state_dict=model.state_dict(), **options)


def pair(family: str, head: str = "Model", changes: dict | None = None):
    """Return (PyTorch's, Keras's) with equal random parameters."""
    model = torch_model(family, head, changes)
    return model, keras_twin(model)


def three_labels(head: str) -> dict:
    """Return changes of a configuration for heads that count labels."""
    return {} if head in ("Model", "ForQuestionAnswering") else {"num_labels": 3}


def inputs_for(head: str) -> dict[str, torch.Tensor]:
    """Return a padded batch that suits a head."""
    return batch(choices=2 if head == "ForMultipleChoice" else None)


def call_both(one, other, inputs: dict, labels: dict | None = None, **options):
    """Return both outputs for the same inputs; Keras gets numpy arrays, and its own name of a label."""
    labels = labels or {}
    renamed = {"labels": "next_sentence_label"} if "NextSentence" in type(one).__name__ else {}
    with torch.no_grad():
        expected = one(**inputs, **labels, **options)
    given = {
        renamed.get(n, n): v.numpy() if isinstance(v, torch.Tensor) else v for n, v in {**inputs, **labels}.items()
    }
    got = other(**given, **options)
    if labels and isinstance(got, dict):  # one loss by text or in a row; what fit minimizes is the scalar
        wanted = {name: given[name] for name in other.label_names if name in given}
        got["loss"] = other.own_loss(other.labels_of(None, wanted), got, None)
    return got, expected


def assert_close(got, expected, rtol: float = 1e-5) -> None:
    """Compare every tensor of two outputs, relative to the largest value of each."""
    assert list(got) == list(expected)
    for key in expected:
        mine, other = (x if isinstance(x, tuple) else (x,) for x in (got[key], expected[key]))
        assert len(mine) == len(other), key
        for index, (a, b) in enumerate(zip(mine, other, strict=True)):
            a, b = ops.convert_to_numpy(a), b.numpy()
            assert a.shape == b.shape, (key, index)
            error = np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)
            assert error <= rtol, f"{key}[{index}] differs by {error:.2e}"


def arrays(inputs: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Return inputs as numpy arrays."""
    return {name: value.numpy() for name, value in inputs.items()}


__all__ = [
    "CLASSES", "EVERYTHING", "FAMILIES", "arrays", "assert_close", "batch", "call_both", "inputs_for", "keras_twin",
    "labels_for", "pair", "three_labels", "torch_model",
]  # fmt: skip
