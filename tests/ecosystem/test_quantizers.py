"""The quantizers of PyTorch and ONNX Runtime on our models."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import pocketbert
from helpers.torch_models import build

pytestmark = pytest.mark.filterwarnings("ignore")
IDS = torch.tensor([[2, 5, 8, 3], [2, 9, 4, 3]])


@pytest.mark.parametrize("family", ["DistilBert", "MobileBert", "Bert"])
def test_torch_dynamic_quantization(family):
    model = build(family, "ForSequenceClassification").eval()
    small = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
    assert "DynamicQuantizedLinear" in repr(small)
    with torch.no_grad():
        found, expected = small(IDS).logits, model(IDS).logits
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=0.5 * float(expected.abs().max()))


def test_onnxruntime_dynamic_quantization(made, tmp_path):
    quantization = pytest.importorskip("onnxruntime.quantization")
    import onnxruntime

    from pocketbert.export.onnx import export_onnx

    folder = made("DistilBert", "ForSequenceClassification", num_labels=3)
    export_onnx(folder, tmp_path / "whole.onnx")
    quantization.quantize_dynamic(tmp_path / "whole.onnx", tmp_path / "small.onnx")
    assert (tmp_path / "small.onnx").stat().st_size < (tmp_path / "whole.onnx").stat().st_size
    sessions = [onnxruntime.InferenceSession(str(tmp_path / name)) for name in ("whole.onnx", "small.onnx")]
    tokenizer = pocketbert.AutoTokenizer.from_pretrained(folder)
    batch = {name: np.asarray(value) for name, value in tokenizer("the cat sat", return_tensors="np").items()}
    feeds = [{one.name: batch[one.name] for one in session.get_inputs()} for session in sessions]
    whole, small = (session.run(None, feed)[0] for session, feed in zip(sessions, feeds, strict=True))
    np.testing.assert_allclose(small, whole, atol=0.5 * np.abs(whole).max())
