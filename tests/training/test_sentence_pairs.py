"""Pairs of texts for next-sentence prediction: what follows, what is random, and how they fill a row."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.small import VOCAB
from pocketbert import BertTokenizerFast, ConfigError, InputError, pretrain
from pocketbert.training.order import random_of
from pocketbert.training.sentence_pairs import _cut, read_pairs


@pytest.fixture
def tokenizer():
    return BertTokenizerFast({token: index for index, token in enumerate(VOCAB)})


@pytest.fixture
def corpus(tmp_path):
    """Documents of one letter each, whose sentences count up from 0."""
    path = tmp_path / "corpus.txt"
    documents = ["\n".join(f"{letter} {n} {letter}" for n in range(10)) for letter in "abcdefgh"]
    path.write_text("\n\n".join(documents), "utf-8")
    return path


def examples(corpus):
    return corpus.table[list(range(len(corpus.table)))]


def test_the_second_text_follows_or_is_of_another_document(tokenizer, corpus):
    found = examples(read_pairs([corpus], tokenizer, 15, min_length=0))
    labels = [example["next_sentence_label"] for example in found]
    assert 0.3 < np.mean(labels) < 0.7
    assert {example["size"] for example in found} >= {15}
    for example in found:
        (row,), (types,) = example["rows"], example["types"]
        assert len(row) == len(types) == example["size"] <= 15
        assert types.count(0) == row.index(3) + 1
        kinds = np.array(types)[np.array(row) > 4]  # of words
        words = np.array([VOCAB[token] for token in row if token > 4])
        a, b = words[kinds == 0], words[kinds == 1]
        documents = [{word for word in text if word.isalpha()} for text in (a, b)]
        if example["next_sentence_label"] == 0:
            assert documents[0] == documents[1] or not all(documents)
            numbers = [int(word) for word in (*a, *b) if word.isdigit()]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True
        else:
            assert not documents[0] & documents[1]


def test_every_sentence_is_used(tokenizer, corpus):
    found = examples(read_pairs([corpus], tokenizer, 40, min_length=0))
    firsts = " ".join(tokenizer.decode(example["rows"][0]) for example in found)
    assert all(f"{letter} {n} {letter}" in firsts for letter in "abcdefgh" for n in range(10))


def test_a_seed_gives_the_same_pairs(tokenizer, corpus):
    def rows(seed):
        return [example["rows"] for example in examples(read_pairs([corpus], tokenizer, 15, min_length=0, seed=seed))]

    assert rows(1) == rows(1)
    assert rows(1) != rows(2)


@pytest.mark.parametrize("most", [5, 8])
@pytest.mark.parametrize("lengths", [(1, 1), (2, 9), (9, 2), (3, 3), (9, 9), (1, 30)])
def test_the_longer_text_is_shortened(most, lengths):
    a, b = (list(range(100, 100 + lengths[0])), list(range(lengths[1])))
    wanted = [*lengths]
    while sum(wanted) > most:  # as in BERT's script
        wanted[0 if wanted[0] > wanted[1] else 1] -= 1
    found = _cut(a, b, most, random_of(0))
    assert [len(text) for text in found] == wanted
    for text in found:
        assert text == list(range(text[0], text[0] + len(text)))


def test_both_heads_learn(start, corpus, tmp_path):
    options = {"corpus": corpus, "max_length": 20, "min_length": 5, "epochs": 6, "batch_size": 8, "learning_rate": 3e-3}
    done = pretrain(model=start("Bert") / "config.json", out=tmp_path / "out", next_sentence=True, **options)
    steps = [row for row in done.history if "loss" in row]
    assert type(done.model).__name__ == "BertForPreTraining"
    assert steps[-1]["loss"] == pytest.approx(steps[-1]["words"] + steps[-1]["next_sentence"])
    assert np.mean([row["words"] for row in steps[-5:]]) < 0.9 * np.mean([row["words"] for row in steps[:5]])
    assert done.model.cls.seq_relationship.bias.any()
    with pytest.raises(ConfigError, match="DistilBert has no pretraining head"):
        pretrain(model=start("DistilBert"), out=tmp_path / "none", next_sentence=True, **options)


def test_one_document_is_not_enough(start, tmp_path):
    path = tmp_path / "one.txt"
    path.write_text("the cat sat\non the mat\n", "utf-8")
    with pytest.raises(InputError, match="at least two documents; an empty line ends a document"):
        pretrain(model=start("Bert"), corpus=path, out=tmp_path / "out", next_sentence=True)
