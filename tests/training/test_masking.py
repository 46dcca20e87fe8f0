"""Which words are hidden: shares, chances, and that nothing but the seed and the place decides it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from helpers.small import VOCAB
from pocketbert import DistilBertTokenizerFast
from pocketbert.training.batches import Padder
from pocketbert.training.masking import Masker, by_batch, by_row, rarity
from pocketbert.training.order import Share, random_of

SPECIAL = range(5)


@pytest.fixture
def tokenizer():
    return DistilBertTokenizerFast({token: index for index, token in enumerate(VOCAB)})


def examples(lengths):
    ids = np.random.default_rng(0).integers(5, len(VOCAB), size=(len(lengths), max(lengths)))
    return [{"rows": [[2, *row[: n - 2].tolist(), 3]], "size": n} for row, n in zip(ids, lengths, strict=True)]


def test_bert_hides_a_share_of_each_row(tokenizer):
    lengths = [3, 10, 20, 40]
    rows = examples(lengths)
    batch = Masker(Padder(0), tokenizer, seed=1)(rows, Share(0, (0, 1, 2, 3), True))
    labels = batch["labels"].numpy()
    assert (labels != -100).sum(axis=1).tolist() == [max(1, round(0.15 * n)) for n in lengths]
    for row, wanted, ids in zip(rows, labels, batch["input_ids"].numpy(), strict=True):
        before = np.array(row["rows"][0] + [0] * (40 - row["size"]))
        assert not np.isin(before[wanted != -100], SPECIAL).any()
        assert (wanted[wanted != -100] == before[wanted != -100]).all()
        assert (ids[wanted == -100] == before[wanted == -100]).all()


def test_distilbert_hides_a_share_of_the_batch_and_rare_words_more(tokenizer):
    lengths = [7, 10, 20, 40]
    counts = np.arange(len(VOCAB)) ** 2
    weights = rarity(counts, list(SPECIAL))
    np.testing.assert_allclose(weights[5:], np.maximum(counts[5:], 1) ** -0.7)
    assert not weights[:5].any()
    hide = Masker(Padder(0), tokenizer, 1, "distilbert", weights=weights)
    labels = hide(examples(lengths), Share(0, (0, 1, 2, 3), True))["labels"].numpy()
    assert (labels != -100).sum() == math.ceil(0.15 * sum(lengths))
    assert not np.isin(labels[labels != -100], SPECIAL).any()
    few = rarity(np.ones(len(VOCAB), int), list(range(len(VOCAB) - 1)))  # only one token may be hidden
    labels = Masker(Padder(0), tokenizer, 1, "distilbert", weights=few)(
        [{"rows": [[2, 7, len(VOCAB) - 1, *[8] * 40, 3]], "size": 44}], Share(0, (0,), True)
    )["labels"]
    assert (labels != -100).sum() == 1


def test_chances_are_in_proportion_to_the_weights():
    weights = np.array([[1.0, 2.0, 0.0, 5.0]])
    drawn = sum(
        by_batch(weights, weights >= 0, 0.25, lambda _, n=n: random_of(3, n)).ravel().astype(int) for n in range(4000)
    )
    np.testing.assert_allclose(drawn / 4000, [1 / 8, 2 / 8, 0, 5 / 8], atol=0.025)


def test_hidden_words_become_masks_random_words_or_stay(tokenizer):
    row = examples([60000])
    hide = Masker(Padder(0), tokenizer, 2)
    batch = hide(row, Share(0, (0,), True))
    labels, ids = batch["labels"].numpy(), batch["input_ids"].numpy()
    chosen = labels != -100
    masked, kept = ids[chosen] == VOCAB.index("[MASK]"), ids[chosen] == labels[chosen]
    assert masked.mean() == pytest.approx(0.8, abs=0.02)
    assert kept.mean() == pytest.approx(0.1, abs=0.02)
    random = ids[chosen][~masked & ~kept]
    assert len(np.unique(random)) > 0.95 * len(VOCAB)


def test_seed_step_and_example_decide_and_nothing_else(tokenizer):
    rows = examples([30, 30, 30, 30])
    hide = Masker(Padder(0), tokenizer, seed=1)

    def labels(share, each=rows, masker=hide):
        return masker(each, share)["labels"].tolist()

    whole = labels(Share(7, (3, 8, 2, 5), True))
    assert labels(Share(7, (3, 8, 2, 5), True)) == whole
    assert labels(Share(7, (3, 8), True), rows[:2]) + labels(Share(7, (2, 5), True), rows[2:]) == whole  # in two parts
    assert labels(Share(8, (3, 8, 2, 5), True)) != whole
    assert labels(Share(7, (4, 9, 1, 6), True)) != whole
    assert labels(Share(7, (3, 8, 2, 5), True), masker=Masker(Padder(0), tokenizer, seed=2)) != whole


def test_no_share_hides_nothing(tokenizer):
    rows = examples([30])
    batch = Masker(Padder(0), tokenizer, 1, share=0)(rows, Share(0, (0,), True))
    assert (batch["labels"] == -100).all()
    assert batch["input_ids"].tolist() == rows[0]["rows"]
    assert by_row(np.zeros((1, 3)), np.ones((1, 3), bool), 0.5, lambda _: random_of(0)).sum() == 0
