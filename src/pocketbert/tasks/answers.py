"""Answer types of all tasks: plain dicts with fixed keys, and lists of them sorted best first."""

from __future__ import annotations

from typing import Any, SupportsIndex, TypedDict, TypeVar, overload

__all__ = ["Answer", "Choice", "Entity", "EntityGroup", "Fill", "Label", "NextSentence", "Ranked", "ZeroShot"]

A = TypeVar("A")


class Label(TypedDict):
    """Text classification: a label and its score (a probability; the raw value in a regression)."""

    label: str
    score: float


class Entity(TypedDict):
    """Token classification without aggregation: one token.

    ``index`` counts tokens from ``[CLS]`` = 0; ``word`` is the word piece; ``text[start:end]`` is its text.
    """

    entity: str
    score: float
    index: int
    word: str
    start: int
    end: int


class EntityGroup(TypedDict):
    """Token classification with aggregation: one entity. ``text[start:end]`` is the entity as it was written."""

    entity_group: str
    score: float
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


class Ranked(list[A]):
    """A list of answers, best first, for any ``top_k``. A string key reads the best one: ``answers["score"]``."""

    @overload
    def __getitem__(self, key: SupportsIndex, /) -> A: ...
    @overload
    def __getitem__(self, key: slice, /) -> list[A]: ...
    @overload
    def __getitem__(self, key: str, /) -> Any: ...
    def __getitem__(self, key: SupportsIndex | slice | str, /) -> Any:
        if isinstance(key, str):
            if not self:
                raise KeyError(f"{key!r}: there are no answers")
            return super().__getitem__(0)[key]  # type: ignore[index]  # every answer is a dict
        return super().__getitem__(key)
