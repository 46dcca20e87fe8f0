"""sentence-transformers and SetFit around one of our encoders."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import pocketbert
from helpers.small import TEXTS

sentence_transformers = pytest.importorskip("sentence_transformers")
models = pytest.importorskip("sentence_transformers.models")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("family", ["DistilBert", "MobileBert", "Bert"])
def test_an_encoder_inside(family, made, tmp_path):
    folder = str(made(family, "Model"))
    theirs = sentence_transformers.SentenceTransformer(
        modules=[
            transformer := models.Transformer(folder),
            models.Pooling(transformer.get_word_embedding_dimension()),
        ],
        device="cpu",
    )
    expected = theirs.encode(TEXTS)
    transformer.auto_model = pocketbert.AutoModel.from_pretrained(folder)
    transformer.processor = pocketbert.AutoTokenizer.from_pretrained(folder)
    np.testing.assert_allclose(theirs.encode(TEXTS), expected, atol=1e-5)
    theirs.save(str(tmp_path / "saved"))
    again = sentence_transformers.SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    np.testing.assert_allclose(again.encode(TEXTS), expected, atol=1e-5)
    features = theirs.tokenize(TEXTS[:2])
    loss = theirs(features)["sentence_embedding"].square().sum()
    loss.backward()
    assert transformer.auto_model.get_input_embeddings().weight.grad.abs().sum() > 0


def test_setfit(made):
    setfit = pytest.importorskip("setfit")
    folder = str(made("DistilBert", "Model"))
    transformer = models.Transformer(folder)
    transformer.auto_model = pocketbert.AutoModel.from_pretrained(folder)
    transformer.processor = pocketbert.AutoTokenizer.from_pretrained(folder)
    pooling = models.Pooling(transformer.get_word_embedding_dimension())
    body = sentence_transformers.SentenceTransformer(modules=[transformer, pooling], device="cpu")
    from sklearn.linear_model import LogisticRegression

    model = setfit.SetFitModel(model_body=body, model_head=LogisticRegression())
    model.fit(TEXTS[:4], [0, 1, 0, 1], num_epochs=1)
    assert set(np.asarray(model.predict(TEXTS)).tolist()) <= {0, 1}
    assert torch.is_grad_enabled()


def test_our_losses_and_folders_are_theirs(made):
    losses = pytest.importorskip("sentence_transformers.losses")
    from pocketbert.checkpoint.sentence_transformers import write_sentences
    from pocketbert.training.objectives.pairs import CosineLoss, InBatchNegatives

    folder = made("DistilBert", "Model")
    model = pocketbert.AutoModel.from_pretrained(folder).eval()
    write_sentences(folder, model.config.dim, 16)
    theirs = sentence_transformers.SentenceTransformer(str(folder), device="cpu").eval()
    ours = pocketbert.pipeline("feature-extraction", model=folder)
    np.testing.assert_allclose(theirs.encode(TEXTS), np.stack(ours(TEXTS)), atol=1e-5)
    first, second, scores = TEXTS[:2], TEXTS[1:3], torch.tensor([0.2, 1.0])
    texts = [text for pair in zip(first, second, strict=True) for text in pair]
    batch = {**pocketbert.AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")}
    batch = {name: batch[name] for name in ("input_ids", "attention_mask")} | {"labels": scores}
    for mine, name, labels in (
        (CosineLoss(), "CosineSimilarityLoss", scores),
        (InBatchNegatives(), "MultipleNegativesRankingLoss", None),
    ):
        features = [theirs.tokenize(first), theirs.tokenize(second)]
        expected = getattr(losses, name)(theirs)(features, labels)
        torch.testing.assert_close(mine.losses(model, batch)["loss"] / 2, expected)
