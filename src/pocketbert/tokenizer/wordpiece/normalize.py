"""BERT's text normalisation, each step as the ``tokenizers`` library does it, with the origin of every character.

Where the library and the original Python code (``transformers``' slow tokenizers) disagree, this follows the library,
whose ids the users of released checkpoints see. The disagreements:

- unassigned code points stay (the original drops them as controls);
- marks and punctuation newer than Unicode 7 are letters, and capitals newer than Python's tables are lowercased;
- U+2B820 to U+2B91F are no Chinese characters;
- a final sigma is lowercased as any other: the original makes it a final small sigma;
- text that keeps its accents is not composed (NFC) first;
- lone surrogates, which the library cannot take at all, count as U+FFFD and are dropped by cleaning.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from pocketbert.tokenizer.wordpiece.unicode_tables import (
    CHINESE,
    CLASSED,
    LATER_LOWER,
    MARKS,
    PUNCTUATION,
    REMOVED,
    UNDECOMPOSED,
    WHITESPACE,
)

__all__ = ["Aligned", "Normalizer", "replace_surrogates", "split_punctuation", "split_whitespace"]

_SURROGATE = re.compile("[\ud800-\udfff]")


class Aligned(NamedTuple):
    """A text made from another, and for each character the index of the one that it was made from."""

    text: str
    origins: list[int]

    def cut(self, start: int, stop: int) -> Aligned:
        """The characters ``start`` to ``stop`` (exclusive)."""
        return Aligned(self.text[start:stop], self.origins[start:stop])

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """The characters of the other text that characters ``start`` to ``stop`` (exclusive) were made from."""
        return self.origins[start], self.origins[stop - 1] + 1


@dataclass(frozen=True)
class Normalizer:
    """The steps that are switched on: cleaning and spacing first, then folding accents and case."""

    clean_text: bool
    chinese: bool
    strip_accents: bool
    lowercase: bool

    def __call__(self, text: str) -> str:
        """The text after every step."""
        return self.fold(self.clean(text)).text

    def clean(self, text: str, start: int = 0) -> Aligned:
        """Drop controls, make blanks spaces and put spaces around Chinese characters; origins count from ``start``."""
        if not (self.clean_text or self.chinese):
            return Aligned(text, list(range(start, start + len(text))))
        made = [_cleaned(char, self.clean_text, self.chinese) for char in text]
        return Aligned("".join(made), [origin for origin, part in enumerate(made, start) for _ in part])

    def fold(self, aligned: Aligned) -> Aligned:
        """Strip accents and lowercase."""
        if self.strip_accents and not aligned.text.isascii():
            aligned = _without_accents(aligned)
        if self.lowercase:
            made = [_lower(char) for char in aligned.text]
            return Aligned("".join(made), [o for o, part in zip(aligned.origins, made, strict=True) for _ in part])
        return aligned


def replace_surrogates(text: str) -> str:
    """Replace each lone surrogate, which no UTF-8 can hold, by U+FFFD, so that offsets stay."""
    return _SURROGATE.sub("\ufffd", text)


def split_whitespace(aligned: Aligned) -> Iterator[Aligned]:
    """The stretches between blanks."""
    yield from _split(aligned, _is_blank, keep=False)


def split_punctuation(aligned: Aligned) -> Iterator[Aligned]:
    """The stretches between punctuation characters, and each of these by itself."""
    yield from _split(aligned, _is_punctuation, keep=True)


def _split(aligned: Aligned, separates: Callable[[str], bool], *, keep: bool) -> Iterator[Aligned]:
    start = 0
    for index, char in enumerate(aligned.text):
        if separates(char):
            if start < index:
                yield aligned.cut(start, index)
            if keep:
                yield aligned.cut(index, index + 1)
            start = index + 1
    if start < len(aligned.text):
        yield aligned.cut(start, len(aligned.text))


@lru_cache(maxsize=2**14)
def _cleaned(char: str, clean_text: bool, chinese: bool) -> str:
    if clean_text and char in REMOVED:
        return ""
    if clean_text and char in WHITESPACE:
        return " "
    return f" {char} " if chinese and char in CHINESE else char


@lru_cache(maxsize=2**14)
def _lower(char: str) -> str:
    return LATER_LOWER.get(char) or char.lower()


@lru_cache(maxsize=2**14)
def _is_blank(char: str) -> bool:
    return char in WHITESPACE


@lru_cache(maxsize=2**14)
def _is_punctuation(char: str) -> bool:
    return char in PUNCTUATION


@lru_cache(maxsize=2**14)
def _decomposed(char: str) -> list[tuple[int, str, bool]]:
    """The characters of the canonical decomposition: combining class, character, whether it is the first."""
    text = char if char in UNDECOMPOSED else unicodedata.normalize("NFD", char)
    return [(unicodedata.combining(c) if c in CLASSED else 0, c, i == 0) for i, c in enumerate(text)]


def _without_accents(aligned: Aligned) -> Aligned:
    """Decompose canonically and drop nonspacing marks.

    Origins are dealt out as the library deals them: a first character takes the next one, another shares the last, and
    that in the order that canonical ordering leaves, so that marks that change places may swap origins.
    """
    parts = [part for char in aligned.text for part in _decomposed(char)]
    start = 0
    for index in range(1, len(parts) + 1):  # sort marks between letters by class; the sort is stable
        if index == len(parts) or parts[index][0] == 0:
            if index - start > 1:
                parts[start:index] = sorted(parts[start:index], key=lambda part: part[0])
            start = index
    text: list[str] = []
    origins: list[int] = []
    taken = 0
    for _, char, first in parts:
        taken += first
        if char not in MARKS:
            text.append(char)
            origins.append(aligned.origins[max(taken - 1, 0)])
    return Aligned("".join(text), origins)
