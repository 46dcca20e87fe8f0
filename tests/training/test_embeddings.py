"""Embeddings: the losses as numpy writes them, runs that learn, and the folder that they leave."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from helpers.training_data import records
from pocketbert import InputError, finetune, pipeline
from pocketbert.checkpoint.sentence_transformers import write_sentences
from pocketbert.training.objectives.pairs import CosineLoss, InBatchNegatives

LABELED = records("text-classification", 24)
SCORED = [
    {"sentence1": one["text"], "sentence2": other["text"], "score": 5.0 * (one["label"] == other["label"])}
    for one, other in zip(LABELED, LABELED[1:] + LABELED[:1], strict=True)
] + [{"text": row["text"], "text_pair": row["text"].replace("the ", "a "), "label": 5} for row in LABELED]
POSITIVES = [
    {"anchor": f"the {thing} was here", "positive": f"a {thing} lives in paris"}
    for thing in ("cat", "dog", "movie", "music", "city", "river", "mat", "wolf")
]


class States(torch.nn.Module):
    """Gives the same states to every call."""

    def __init__(self, states):
        super().__init__()
        self.states = states

    def forward(self, input_ids, attention_mask):
        return type("Output", (), {"last_hidden_state": self.states})


@pytest.fixture
def batch():
    random = np.random.default_rng(0)
    states = random.normal(size=(6, 5, 4))
    mask = np.arange(5)[None, :] < np.array([5, 2, 3, 4, 1, 5])[:, None]
    vectors = np.stack([rows[real].mean(axis=0) for rows, real in zip(states, mask, strict=True)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    tensors = {"input_ids": torch.zeros(6, 5, dtype=torch.long), "attention_mask": torch.tensor(mask).long()}
    tensors["labels"] = torch.tensor([0.2, 1.0, 0.5])
    return States(torch.tensor(states)), tensors, vectors[::2], vectors[1::2]


def test_scores_are_learned_by_the_square_of_what_cosines_lack(batch):
    model, tensors, first, second = batch
    expected = ((np.sum(first * second, axis=1) - [0.2, 1.0, 0.5]) ** 2).mean()
    loss = CosineLoss()
    assert loss.losses(model, tensors)["loss"].item() / loss.counts(tensors)["loss"] == pytest.approx(
        expected, rel=1e-5
    )


def test_a_partner_is_told_from_those_of_others(batch):
    model, tensors, first, second = batch
    likeness = 20 * first @ second.T
    expected = np.mean(np.log(np.exp(likeness).sum(axis=1)) - np.diag(likeness))
    loss = InBatchNegatives()
    assert loss.losses(model, tensors)["loss"].item() / loss.counts(tensors)["loss"] == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("family", ["DistilBert", "Bert"])
def test_embeddings_are_learned_and_the_folder_gives_vectors(start, tmp_path, family):
    out, options = tmp_path / "out", {"epochs": 10, "learning_rate": 3e-3, "batch_size": 8, "eval_every": 20}
    done = finetune("embeddings", model=start(family), train=SCORED, eval=SCORED, out=out, **options)
    assert list(done.scores) == ["Spearman of cosines", "Pearson of cosines"]
    assert done.scores["Spearman of cosines"] > 0.8
    encode = pipeline("feature-extraction", model=out)
    texts = ["the cat was good", "a dog"]
    mean = [pipeline("feature-extraction", model=out, pooling=None)(text)[0].mean(axis=0) for text in texts]
    np.testing.assert_allclose(np.stack(encode(texts)), mean, rtol=1e-4, atol=1e-5)
    assert [module["path"] for module in json.loads((out / "modules.json").read_text())] == ["", "1_Pooling"]
    assert encode.options.max_length == 64


def test_a_folder_of_vectors_keeps_what_it_says_or_is_refused(start, tmp_path):
    folder, out = start(), tmp_path / "out"
    write_sentences(folder, 32, 17)
    (folder / "config_sentence_transformers.json").write_text('{"prompts": {"query": "ask: "}}')
    finetune("embeddings", model=folder, train=POSITIVES, out=out, epochs=1)
    encode = pipeline("feature-extraction", model=out)
    assert (encode.options.max_length, encode.sentences.prompts) == (17, {"query": "ask: "})
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
    with pytest.raises(InputError, match=r"come from Pooling\(modes=\('cls',\).*means over tokens only"):
        finetune("embeddings", model=folder, train=POSITIVES, out=tmp_path / "cls")


def test_partners_are_found_without_scores(start, tmp_path):
    options = {"epochs": 30, "learning_rate": 3e-3, "batch_size": 8, "max_steps": 30}
    done = finetune("embeddings", model=start(), train=POSITIVES, out=tmp_path / "out", **options)
    losses = [row["loss"] for row in done.history]
    assert losses[-1] < 0.2 < np.log(8) / 2 < losses[0]


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ([*POSITIVES, {"text": "a", "text_pair": "b", "label": 1}], {}, "of 9 pairs 1 have a score; all need one"),
        (POSITIVES, {"batch_size": 1}, "batch_size=1 leaves no other pair"),
        (POSITIVES, {"micro_batch_size": 1}, "micro_batch_size=1 leaves no other pair"),
        (SCORED, {"top_score": 4.0}, r"the score 5\.0 is not between -4 and 4"),
        (SCORED, {"top_score": 0.0}, r"top_score=0\.0 must be above 0"),
        ([{"text": "a"}], {}, r"line 1: no field 'text_pair' \(or 'sentence2' or 'positive'\)"),
        (SCORED, {"eval": POSITIVES}, r"line 1: no field 'label' \(or 'score'\)"),
    ],
)
def test_pairs_that_cannot_be_learned(start, tmp_path, rows, settings, message):
    with pytest.raises(InputError, match=message):
        finetune("embeddings", model=start(), train=rows, out=tmp_path / "out", **settings)


def test_embeddings_in_simulated_int8(start, tmp_path):
    done = finetune("embeddings", model=start(), train=POSITIVES, out=tmp_path / "out", epochs=1, int8=True)
    assert np.isfinite(done.history[0]["loss"])
