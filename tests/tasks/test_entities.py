"""Grouping of tokens into entities against a brute-force reading, one token at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketbert.tasks.entities import STRATEGIES, group_entities, tags_of

BIO = ["O", "B-A", "I-A", "B-B", "I-B"]
BILOU = [*BIO, "L-A", "U-A", "L-B", "U-B"]
BIOES = ["O", "B-A", "I-A", "E-A", "S-A", "B-B", "I-B", "E-B", "S-B"]


@st.composite
def tokens(draw):
    labels = draw(st.sampled_from([BIO, BILOU, BIOES, ["NOUN", "VERB", "O"]]))
    words = [index for index in range(draw(st.integers(1, 8))) for _ in range(draw(st.integers(1, 3)))]
    seed = draw(st.integers(0, 2**32 - 1))
    scores = np.random.default_rng(seed).dirichlet(np.ones(len(labels)), len(words))
    return labels, words, scores


def brute_force(labels, words, scores, strategy):
    """Return (kind, first token, last token, scores) of each group, word by word, reading labels as strings."""
    found = []
    words = range(len(words)) if strategy == "simple" else words
    for word in dict.fromkeys(words):
        mine = [token for token, other in enumerate(words) if other == word]
        if strategy == "average":
            mean = sum(scores[token] for token in mine) / len(mine)
            best, given = max(range(len(labels)), key=mean.__getitem__), [max(mean)]
        elif strategy == "max":
            top = max(mine, key=lambda token: max(scores[token]))
            best, given = int(np.argmax(scores[top])), [max(scores[top])]
        else:
            best = int(np.argmax(scores[mine[0]]))
            given = [scores[mine[0]][best]]
        label = labels[best]
        prefix, kind = label.split("-") if "-" in label else ("", label)
        joins = (
            found
            and found[-1][0] == kind
            and prefix not in ("B", "U", "S")
            and found[-1][4] not in ("L", "E", "U", "S")
        )
        if joins:
            found[-1] = (kind, found[-1][1], mine[-1], found[-1][3] + given, prefix)
        else:
            found.append((kind, mine[0], mine[-1], given, prefix))
    return found


@given(tokens(), st.sampled_from(STRATEGIES[1:]))
def test_groups_are_those_of_brute_force(drawn, strategy):
    labels, words, scores = drawn
    expected = brute_force(labels, words, scores, strategy)
    groups = group_entities(scores, words, tags_of(labels), strategy)
    assert [(g.kind, g.first, g.last) for g in groups] == [(kind, a, b) for kind, a, b, _, _ in expected]
    assert [g.score for g in groups] == pytest.approx([np.mean(given) for _, _, _, given, _ in expected])


@given(tokens(), st.sampled_from(STRATEGIES[1:]))
def test_groups_cover_every_token_once_and_only_simple_splits_a_word(drawn, strategy):
    labels, words, scores = drawn
    groups = group_entities(scores, words, tags_of(labels), strategy)
    assert [token for g in groups for token in range(g.first, g.last + 1)] == list(range(len(words)))
    assert strategy == "simple" or all(g.first == 0 or words[g.first] != words[g.first - 1] for g in groups)


def grouped(labels: list[str], names: list[str]) -> list[tuple[str, int, int]]:
    scores = np.eye(len(names))[[names.index(label) for label in labels]]
    return [(g.kind, g.first, g.last) for g in group_entities(scores, range(len(labels)), tags_of(names), "first")]


def test_schemes():
    assert grouped(["I-A", "I-A", "B-A", "I-B"], BIO) == [("A", 0, 1), ("A", 2, 2), ("B", 3, 3)]  # IOB1
    assert grouped(["B-A", "I-A", "O", "B-A", "B-A"], BIO) == [("A", 0, 1), ("O", 2, 2), ("A", 3, 3), ("A", 4, 4)]
    assert grouped(["B-A", "L-A", "I-A", "U-A", "U-A"], BILOU) == [("A", 0, 1), ("A", 2, 2), ("A", 3, 3), ("A", 4, 4)]
    assert grouped(["S-A", "B-A", "I-A", "E-A"], BIOES) == [("A", 0, 0), ("A", 1, 3)]


def test_labels_that_only_look_like_tags():
    tags = tags_of(["E-mail", "S-Bahn", "e-mail", "X-1", "-", "B-", "O"])
    assert [tag.kind for tag in tags] == ["E-mail", "S-Bahn", "e-mail", "X-1", "-", "B-", "O"]
    assert not any(tag.starts or tag.ends for tag in tags)
