"""Answer types of all tasks: plain dicts with fixed keys."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

__all__ = ["Answer", "Choice", "Entity", "EntityGroup", "Fill", "Label", "NextSentence", "ZeroShot"]


class Label(TypedDict):
    """Text classification: a label and its score (a probability; the raw value in a regression)."""

    label: str
    score: float


class Entity(TypedDict):
    """Token classification without aggregation: one token.

    ``index`` counts tokens from ``[CLS]`` = 0; ``word`` is the word piece; ``text[start:end]`` is its text.
    """

    entity: str
    score: np.float32
    index: int
    word: str
    start: int
    end: int


class EntityGroup(TypedDict):
    """Token classification with aggregation: one entity. ``text[start:end]`` is the entity as it was written."""

    entity_group: str
    score: np.float32
    word: str
    start: int
    end: int


class Answer(TypedDict):
    """Question answering: ``context[start:end] == answer``; an empty one (0, 0, "") means that there is no answer."""

    score: float
    start: int
    end: int
    answer: str


class Fill(TypedDict):
    """Fill-mask: a word for a mask, its id, and the text with it in place."""

    score: float
    token: int
    token_str: str
    sequence: str


class ZeroShot(TypedDict):
    """Zero-shot classification: the candidate labels and their scores, best first."""

    sequence: str
    labels: list[str]
    scores: list[float]


class Choice(TypedDict):
    """Multiple choice: a choice's index in the input list, its text and its probability."""

    choice: int
    text: str
    score: float


class NextSentence(TypedDict):
    """Next-sentence prediction: whether the second text continues the first, and the probability that it does."""

    is_next: bool
    score: float
