"""A checkpoint is opened once, whatever asks for it."""

from __future__ import annotations

import os
import sys
from collections import Counter
from unittest.mock import patch

import pytest
import safetensors

from pocketbert import AutoModel, pipeline
from pocketbert.checkpoint.opened import Opened, open_model
from pocketbert.runtime.plans import plan_of_checkpoint

OPENED: Counter[str] = Counter()
WATCHED: list[str] = []


def _audit(event, arguments):
    if event == "open" and WATCHED and isinstance(arguments[0], (str, bytes, os.PathLike)):
        path = os.fsdecode(arguments[0])
        if path.startswith(WATCHED[-1]):
            OPENED[os.path.basename(path)] += 1


@pytest.fixture(scope="module", autouse=True)
def audited():
    sys.addaudithook(_audit)  # it stays for the life of the process, and does nothing outside these tests
    yield
    WATCHED.clear()


def opens(folder, action):
    """Count what an action opens in a folder, by Python and by safetensors' own reader."""
    OPENED.clear()
    WATCHED.append(str(folder))
    real = safetensors.safe_open

    def counted(file, *args, **kwargs):
        OPENED[os.path.basename(file)] += 1
        return real(file, *args, **kwargs)

    try:
        with patch.object(safetensors, "safe_open", counted):
            action()
    finally:
        WATCHED.pop()
    return dict(OPENED)


@pytest.mark.parametrize("runtime", ["native", "onnx", "torch"])
def test_pipeline_opens_each_file_once(made, runtime):
    if runtime == "native":
        pytest.importorskip("pocketbert._native")
    folder = made("MobileBert", "ForTokenClassification")
    AutoModel.from_pretrained(folder, add_pooling_layer=False)  # whatever is imported first is not counted
    found = opens(folder, lambda: pipeline(model=folder, runtime=runtime)("the cat"))
    for name in sorted(os.listdir(folder)):
        limit = 1 if name in ("config.json", "tokenizer.json", "model.safetensors") else found.get(name, 0)
        assert found.get(name, 0) == limit, found
    assert all(count == 1 for count in found.values()), found


def test_an_int8_checkpoint_is_opened_once(made, tmp_path):
    from pocketbert import quantize

    quantize(made("DistilBert", "ForTokenClassification"), tmp_path / "int8", max_loss=1)
    pytest.importorskip("pocketbert._native")
    found = opens(tmp_path / "int8", lambda: pipeline(model=tmp_path / "int8")("the cat"))
    assert found["config.json"] == found["model.safetensors"] == 1, found


def test_what_is_opened_is_handed_on(made):
    opened = open_model(made("DistilBert", "ForTokenClassification"))
    assert isinstance(opened, Opened)
    assert open_model(opened) is opened
    assert opens(opened.folder, lambda: plan_of_checkpoint(opened, None, None)) == {"model.safetensors": 1}
    assert opens(opened.folder, lambda: plan_of_checkpoint(opened, None, None)) == {}
