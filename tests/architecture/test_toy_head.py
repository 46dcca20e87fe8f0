"""A head that is not in the library, declared in one record and one class, works everywhere a built-in one does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.oracle import SMALL, randomize
from pocketbert import AutoModel, DistilBertConfig
from pocketbert.architecture import families, heads, outputs
from pocketbert.architecture.heads import Answer, Head
from pocketbert.checkpoint.opened import open_model
from pocketbert.command.inspection import inspect_checkpoint
from pocketbert.export.onnx import export_onnx
from pocketbert.plan import plan_checkpoint
from pocketbert.runtime.batching import Row, pack
from pocketbert.runtime.onnx.runner import load as load_onnx
from pocketbert.runtime.registry import load_runner

TOY = Head(
    "toy",
    "ForToy",
    (Answer("toy", ("logits",), "token", lambda _: 2, "toy_outputs", "toy head"),),
    ("labels",),
    outputs.TokenClassifierOutput,
    "token-classification",
)
ROWS = [Row([2, 7, 9, 3]), Row([2, 5, 3]), Row([2, 8, 6, 4, 11, 3])]


@pytest.fixture
def toy():
    """Declare the head for DistilBERT, with its class; everything is as before afterwards."""
    from pocketbert.torch import auto
    from pocketbert.torch.calls import DistilBertCall
    from pocketbert.torch.distilbert import DistilBertTask

    registries = (heads.HEADS, families.FAMILIES, auto._registered)
    before = [dict(registry) for registry in registries]
    families.register_head(TOY, "distilbert")

    class DistilBertForToy(DistilBertCall, DistilBertTask):
        head = "toy"

    class AutoModelForToy(AutoModel):
        head = "toy"

    AutoModelForToy.register(DistilBertConfig, DistilBertForToy)
    yield DistilBertForToy, AutoModelForToy
    for registry, content in zip(registries, before, strict=True):
        registry.clear()
        registry.update(content)


def test_a_toy_head_works_everywhere(toy, tmp_path):
    cls, auto = toy
    torch.manual_seed(0)
    model = cls(DistilBertConfig(**SMALL["DistilBert"]))
    randomize(model)
    model.eval().save_pretrained(tmp_path / "toy")

    found = inspect_checkpoint(tmp_path / "toy")
    assert (found.architecture, found.head, found.complete) == ("DistilBertForToy", "toy", True)
    assert dict(found.parts)["toy head"] == 2 * model.config.dim + 2
    opened = open_model(tmp_path / "toy")
    assert opened._head_of_weights() == "toy"  # also where no architecture is named

    loaded = auto.from_pretrained(tmp_path / "toy")
    assert type(loaded) is cls
    expected = []
    for row in ROWS:
        with torch.no_grad():
            expected.append(loaded(torch.tensor([row.input_ids])).logits[0].numpy())
    labels = torch.tensor([[0, 1, -100, 1]])
    assert torch.isfinite(loaded(torch.tensor([ROWS[0].input_ids]), labels=labels).loss)

    assert plan_checkpoint(opened).branches[0].name == "toy"
    export_onnx(opened, tmp_path / "toy.onnx")
    pytest.importorskip("pocketbert._native")
    runners = [load_runner(opened, "toy", runtime) for runtime in ("native", "onnx", "torch")]
    for runner in (*runners, load_onnx(tmp_path / "toy.onnx")):
        for result, wanted in zip(runner(pack(ROWS)), expected, strict=True):
            assert result.shape == (len(wanted), 2)
            np.testing.assert_allclose(result, wanted, rtol=1e-4, atol=1e-4)
