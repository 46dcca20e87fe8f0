"""captum and shap on our models."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import pocketbert

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("family", ["DistilBert", "MobileBert", "Bert"])
def test_captum(family, made):
    attr = pytest.importorskip("captum.attr")
    model = pocketbert.AutoModelForSequenceClassification.from_pretrained(made(family, "ForSequenceClassification"))
    layer = model.base_model.embeddings
    ids, baseline = torch.tensor([[2, 9, 8, 7, 3]]), torch.tensor([[2, 0, 0, 0, 3]])
    gradients = attr.LayerIntegratedGradients(lambda x: model(x).logits[:, 1], layer)
    found, gap = gradients.attribute(ids, baseline, n_steps=200, return_convergence_delta=True)
    assert found.shape[:2] == (1, 5)
    with torch.no_grad():
        change = (model(ids).logits - model(baseline).logits)[0, 1]
    np.testing.assert_allclose(found.sum().item() + gap.item() * -1, change.item(), atol=0.05 + abs(gap.item()))
    assert found[0, 1:4].abs().sum() > 0


def test_shap(made):
    shap = pytest.importorskip("shap")
    folder = made("DistilBert", "ForSequenceClassification", num_labels=2)
    classify = pocketbert.pipeline("text-classification", model=folder, top_k=None, runtime="torch")

    def scores(texts):
        found = classify([str(text) for text in texts])
        return np.array([[one["score"] for one in sorted(row, key=lambda one: one["label"])] for row in found])

    masker = shap.maskers.Text(pocketbert.AutoTokenizer.from_pretrained(folder))
    values = shap.Explainer(scores, masker, output_names=["LABEL_0", "LABEL_1"])(["the cat sat in paris"])
    np.testing.assert_allclose(
        values.base_values[0] + values[0].values.sum(0), scores(["the cat sat in paris"])[0], atol=1e-3
    )
