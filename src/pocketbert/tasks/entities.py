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
    """A parsed label: the entity type, whether an entity starts or ends here, and the name that an answer shows."""

    kind: str
    starts: bool = False
    ends: bool = False
    shown: str = ""


@dataclass(frozen=True)
class Group:
    """An entity: its kind, the name to show, its score, and its tokens ``first`` to ``last`` (inclusive)."""

    kind: str
    shown: str
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
            tags.append(Tag(label, shown=label.split("-", 1)[-1]))
        else:
            tags.append(Tag(kind, starts=prefix in "BUS", ends=prefix in "LEUS", shown=kind))
    return tags


def group_entities(
    scores: NDArray[np.float64], words: Sequence[Any], tags: Sequence[Tag], strategy: str
) -> list[Group]:
    """Label each word and merge adjacent words of one entity.

    Args:
        scores: (tokens, labels) probabilities.
        words: the word of each token; tokens of one word are adjacent.
        tags: the parsed labels.
        strategy: how the tokens of a word agree on its label. ``"simple"``: not at all, each token counts as a word;
            ``"first"``: the first token's; ``"average"``: the best of the averaged scores; ``"max"``: that of the token
            with the highest score. The score of an entity is the mean over its words.

    Returns:
        Every run of words of one entity, words outside entities too.
    """
    if strategy == "simple":
        words = range(len(words))
    runs: list[tuple[list[float], int, int, Tag]] = []
    for _, members in groupby(range(len(words)), key=words.__getitem__):
        tokens = list(members)
        label, vote = _vote(scores[tokens[0] : tokens[-1] + 1], strategy)
        tag = tags[label]
        if runs and runs[-1][3].kind == tag.kind and not tag.starts and not runs[-1][3].ends:
            runs[-1] = ([*runs[-1][0], vote], runs[-1][1], tokens[-1], tag)
        else:
            runs.append(([vote], tokens[0], tokens[-1], tag))
    return [Group(tag.kind, tag.shown, float(np.mean(votes)), first, last) for votes, first, last, tag in runs]


def _vote(scores: NDArray[np.float64], strategy: str) -> tuple[int, float]:
    """Return a word's label and its score."""
    deciding = scores[0]
    if strategy == "average":
        deciding = scores.mean(axis=0)
    elif strategy == "max":
        deciding = scores[scores.max(axis=1).argmax()]
    label = int(deciding.argmax())
    return label, float(deciding[label])
