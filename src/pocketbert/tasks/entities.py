"""Group token scores into entities: one label per word, IOB1, BIO or BILOU tags, adjacent words merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["STRATEGIES", "Group", "Tag", "group_entities", "tags_of"]

STRATEGIES = ("none", "simple", "first", "average", "max")


@dataclass(frozen=True)
class Tag:
    """A parsed label: the entity type, and whether an entity starts or ends here."""

    kind: str
    starts: bool = False
    ends: bool = False


@dataclass(frozen=True)
class Group:
    """An entity: its kind, its score, and its tokens ``first`` to ``last`` (inclusive)."""

    kind: str
    score: float
    first: int
    last: int


def tags_of(labels: Sequence[str]) -> list[Tag]:
    """Parse the labels of a model.

    ``B-`` starts an entity and ``I-`` continues one (or starts it, as in IOB1). ``L-`` or ``E-`` ends one, ``U-`` or
    ``S-`` is one by itself, if the labels also hold ``B-`` or ``I-`` of that kind. Any other label is a kind itself.
    """
    known = set(labels)
    tags = []
    for label in labels:
        prefix, dash, kind = label.partition("-")
        chunked = f"B-{kind}" in known or f"I-{kind}" in known
        if not dash or not kind or not (prefix in ("B", "I") or (prefix in ("L", "E", "U", "S") and chunked)):
            tags.append(Tag(label))
        else:
            tags.append(Tag(kind, starts=prefix in "BUS", ends=prefix in "LEUS"))
    return tags


def group_entities(
    scores: NDArray[np.float64], words: Sequence[Any], tags: Sequence[Tag], strategy: str
) -> list[Group]:
    """Label each word and merge adjacent words of one entity.

    Args:
        scores: (tokens, labels) probabilities.
        words: the word of each token; tokens of one word are adjacent.
        tags: the parsed labels.
        strategy: how the tokens of a word agree on its label. ``"simple"`` and ``"first"``: the first token's;
            ``"average"``: the best of the averaged scores; ``"max"``: that of the token with the highest score. The
            score of an entity is the mean over its words, or for ``"simple"`` over its tokens.

    Returns:
        Every run of words of one entity, words outside entities too.
    """
    runs: list[tuple[list[float], int, int, Tag]] = []
    for _, members in groupby(range(len(words)), key=words.__getitem__):
        tokens = list(members)
        label, votes = _vote(scores[tokens[0] : tokens[-1] + 1], tags, strategy)
        tag = tags[label]
        if runs and runs[-1][3].kind == tag.kind and not tag.starts and not runs[-1][3].ends:
            runs[-1] = (runs[-1][0] + votes, runs[-1][1], tokens[-1], tag)
        else:
            runs.append((votes, tokens[0], tokens[-1], tag))
    return [Group(tag.kind, float(np.mean(votes)), first, last) for votes, first, last, tag in runs]


def _vote(scores: NDArray[np.float64], tags: Sequence[Tag], strategy: str) -> tuple[int, list[float]]:
    """Return a word's label and its contribution to the entity's list of scores."""
    deciding = scores[0]
    if strategy == "average":
        deciding = scores.mean(axis=0)
    elif strategy == "max":
        deciding = scores[scores.max(axis=1).argmax()]
    label = int(deciding.argmax())
    if strategy != "simple":
        return label, [float(deciding[label])]
    own = [index if tags[index].kind == tags[label].kind else label for index in scores.argmax(axis=1)]
    return label, [float(row[index]) for row, index in zip(scores, own, strict=True)]
