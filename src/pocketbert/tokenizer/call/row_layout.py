"""Where special tokens stand in a row: ``[CLS] A [SEP]`` for one text, ``[CLS] A [SEP] B [SEP]`` for a pair."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

__all__ = ["Layout", "Special"]

T = TypeVar("T")


@dataclass(frozen=True)
class Special:
    """A special token of a layout, its id and its segment (token type)."""

    token: str
    id: int
    type_id: int = 0


@dataclass(frozen=True)
class Layout:
    """Groups of special tokens around texts: ``groups[0] A groups[1]``, or ``groups[0] A groups[1] B groups[2]``.

    ``text_type_ids`` are the segments of the texts.
    """

    groups: tuple[tuple[Special, ...], ...]
    text_type_ids: tuple[int, ...]

    @cached_property
    def special_count(self) -> int:
        """The number of special tokens in a row."""
        return sum(map(len, self.groups))

    @cached_property
    def ids(self) -> list[list[int]]:
        """The ids of each group."""
        return [[special.id for special in group] for group in self.groups]

    @cached_property
    def type_ids(self) -> list[list[int]]:
        """The segments of each group."""
        return [[special.type_id for special in group] for group in self.groups]

    @cached_property
    def tokens(self) -> list[list[str]]:
        """The tokens of each group."""
        return [[special.token for special in group] for group in self.groups]

    def filled(self, value: T) -> list[list[T]]:
        """Return ``value`` once per special token of each group."""
        return [[value] * len(group) for group in self.groups]

    def fill(self, texts: Iterable[list[T]], specials: Iterable[list[T]]) -> list[T]:
        """Return a row: the values of each text's tokens, between the values of each group of special tokens."""
        groups = iter(specials)
        row = list(next(groups))
        for values, group in zip(texts, groups, strict=True):
            row += values
            row += group
        return row

    @classmethod
    def bare(cls, texts: int) -> Layout:
        """Return the layout of ``texts`` texts (1 or 2) without special tokens."""
        return cls(((),) * (texts + 1), tuple(range(texts)))

    @classmethod
    def bert(cls, texts: int, cls_token: tuple[str, int], sep_token: tuple[str, int]) -> Layout:
        """Return BERT's layout (Devlin et al. 2018, figure 2) of ``texts`` texts, given the tokens and their ids."""
        ends = tuple((Special(*sep_token, type_id=text),) for text in range(texts))
        return cls(((Special(*cls_token),), *ends), tuple(range(texts)))
