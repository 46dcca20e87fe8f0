"""Metrics of answers; each is 1 at best."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pocketbert.tasks.answers import EntityGroup
from pocketbert.tasks.entities import Tag

__all__ = [
    "Entity",
    "answer_exact",
    "answer_f1",
    "class_f1",
    "entities",
    "hit_share",
    "is_chunked",
    "pearson",
    "places",
]
__all__ += ["set_f1", "share", "spearman", "words_of"]

Entity = tuple[str, int, int]  # kind, first character, last character + 1; correct only if all three are
T = TypeVar("T")


def share(hits: Iterable[bool]) -> float:
    """Return the share of true values."""
    return float(np.mean(list(hits)))


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Return Spearman's rank correlation; ties get their mean rank. It is 0 where one side is constant."""
    return pearson(_ranks(a), _ranks(b))


def pearson(a: ArrayLike, b: ArrayLike) -> float:
    """Return Pearson's correlation; it is 0 where one side is constant."""
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    x, y = x - x.mean(), y - y.mean()
    size = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / size if size else 0.0


def _ranks(values: ArrayLike) -> NDArray[np.float64]:
    _, place, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((2 * ends - counts - 1) / 2)[place]


# -- words -----------------------------------------------------------------------------------------------------


def places(words: Sequence[str]) -> list[tuple[int, int]]:
    """Return where each word begins and ends in ``" ".join(words)``."""
    starts = np.cumsum([0, *(len(word) + 1 for word in words)]).tolist()
    return [(start, start + len(word)) for start, word in zip(starts, words, strict=False)]


def is_chunked(labels: Iterable[str]) -> bool:
    """Whether labels mark entities (``B-``, ``I-``) rather than single words."""
    return any(label.startswith(("B-", "I-")) for label in labels)


def entities(tags: Sequence[Tag], spans: Sequence[tuple[int, int]]) -> set[Entity]:
    """Return the entities that a text's tags mark, as seqeval reads them."""
    found: list[Entity] = []
    before = None
    for tag, (start, end) in zip(tags, spans, strict=True):
        if before is not None and tag.kind == before.kind and not tag.starts and not before.ends:
            found[-1] = (tag.kind, found[-1][1], end)
        else:
            found.append((tag.kind, start, end))
        before = tag
    return {entity for entity in found if entity[0] != "O"}


def hit_share(found: Sequence[Set[T]], gold: Sequence[Set[T]]) -> float:
    """Return the share of what is found that is right: precision; with the arguments exchanged, recall."""
    total = sum(map(len, found))
    return sum(len(mine & theirs) for mine, theirs in zip(found, gold, strict=True)) / total if total else 0.0


def set_f1(found: Sequence[Set[T]], gold: Sequence[Set[T]]) -> float:
    """Return micro-averaged F1 over all texts, of entities or labels; 1 where nothing is found and nothing is right."""
    right = sum(len(mine & theirs) for mine, theirs in zip(found, gold, strict=True))
    total = sum(map(len, found)) + sum(map(len, gold))
    return 2 * right / total if total else 1.0


def class_f1(found: Sequence[Set[T]], gold: Sequence[Set[T]]) -> dict[T, float]:
    """Return each class's F1, in order; ``found`` and ``gold`` hold the classes of every text."""
    kinds: set[T] = set().union(*found, *gold)
    return {
        kind: set_f1([{kind} & each for each in found], [{kind} & each for each in gold])
        for kind in sorted(kinds, key=str)
    }


def words_of(groups: Iterable[EntityGroup], spans: Sequence[tuple[int, int]]) -> list[str | None]:
    """Return the kind of each word from groups in the order of the text; None for a word outside of all groups."""
    kinds: list[str | None] = [None] * len(spans)
    for group in groups:
        for index, (start, end) in enumerate(spans):
            if group["start"] < end and start < group["end"]:
                kinds[index] = group["entity_group"]
    return kinds


# -- answers, scored like SQuAD's evaluation script (arXiv 1606.05250) ----------------------------------------------


def answer_exact(answer: str, right: Sequence[str]) -> float:
    """Return 1 if an answer equals a right one after normalization, or is empty where there is no right one."""
    return float(any(_plain(answer) == _plain(other) for other in right or [""]))


def answer_f1(answer: str, right: Sequence[str]) -> float:
    """Return the largest F1 over words between an answer and a right one."""
    return max(_f1(_plain(answer).split(), _plain(other).split()) for other in right or [""])


def _f1(found: list[str], gold: list[str]) -> float:
    if not found or not gold:
        return float(found == gold)
    common = sum((Counter(found) & Counter(gold)).values())
    return 2 * common / (len(found) + len(gold))


def _plain(text: str) -> str:
    """Normalize as SQuAD does: lower case, without punctuation and articles."""
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())
