"""Small data of every task, and a small checkpoint to fine-tune."""

from __future__ import annotations

import json

import pytest

import pocketbert

datasets = pytest.importorskip("datasets")
pytest.importorskip("accelerate")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    """Let every test make its examples afresh."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "examples")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "examples"))


@pytest.fixture
def data(tmp_path):
    """Return ``data(task)``, the path of a JSON Lines file."""

    from helpers.training_data import records

    def write(task: str, count: int = 40, name: str = "train"):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in records(task, count)), "utf-8")
        return path

    return write


# chance plays in a run, where the models of other tests have none
DROPOUT = {
    "DistilBert": {"dropout": 0.1, "attention_dropout": 0.1},
    "MobileBert": {"attention_probs_dropout_prob": 0.1},
}


@pytest.fixture
def start(tmp_path):
    """Return ``start(family)``, the folder of a small encoder as training starts it, with a tokenizer."""

    def make(family: str = "DistilBert", **fields):
        import torch

        from helpers.oracle import SMALL
        from helpers.small import VOCAB

        config = getattr(pocketbert, f"{family}Config")(
            **{
                **SMALL[family],
                "vocab_size": len(VOCAB),
                "max_position_embeddings": 64,
                "initializer_range": 0.2,
                **fields,
            }
        )
        torch.manual_seed(0)
        folder = tmp_path / family
        getattr(pocketbert, f"{family}Model")(config).save_pretrained(folder)
        (folder / "vocab.txt").write_text("\n".join(VOCAB) + "\n", "utf-8")
        return folder

    return make


@pytest.fixture
def corpus(tmp_path):
    """Return the path of sentences that a small model can learn."""
    path = tmp_path / "corpus.txt"
    animals, places = ["cat", "dog", "wolf"], ["mat", "river", "city", "street"]
    lines = [f"the {animal} sat on the {place} and was happy" for animal in animals for place in places]
    path.write_text("\n".join(lines), "utf-8")
    return path
