"""Where special tokens and windows go: the arithmetic of rows, with no tokenizer in sight.

A row is ``[CLS] A [SEP]`` for one text and ``[CLS] A [SEP] B [SEP]`` for two; a :class:`Layout` says so as data. A text
that is too long becomes windows, cut as the ``tokenizers`` library cuts them: Python and Fast forms share one rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar

from pocketbert.errors import InputError

__all__ = ["Layout", "Side", "Special", "Span", "row_spans"]

T = TypeVar("T")
Side = Literal["left", "right"]
Span = tuple[int, int]


@dataclass(frozen=True)
class Special:
    """A special token of a layout and the segment that it belongs to."""

    token: str
    id: int
    type_id: int = 0


@dataclass(frozen=True)
class Layout:
    """Special tokens around one or two texts: ``groups[0] text groups[1]`` or ``groups[0] A groups[1] B groups[2]``.

    ``text_type_ids`` holds the segment of each text.
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
        """``value`` in the place of each special token."""
        return [[value] * len(group) for group in self.groups]

    def fill(self, texts: Iterable[list[T]], specials: Iterable[list[T]]) -> list[T]:
        """One value a token: ``texts`` for the tokens of each text, ``specials`` for each group of special tokens."""
        groups = iter(specials)
        row = list(next(groups))
        for values, group in zip(texts, groups, strict=True):
            row += values
            row += group
        return row

    @classmethod
    def bare(cls, texts: int) -> Layout:
        """The layout of ``texts`` texts (1 or 2) without special tokens."""
        return cls(((),) * (texts + 1), tuple(range(texts)))

    @classmethod
    def bert(cls, texts: int, cls_token: tuple[str, int], sep_token: tuple[str, int]) -> Layout:
        """BERT's layout (Devlin et al. 2018, figure 2) of ``texts`` texts, given the tokens and their ids."""
        ends = tuple((Special(*sep_token, type_id=text),) for text in range(texts))
        return cls(((Special(*cls_token),), *ends), tuple(range(texts)))


def row_spans(
    lengths: tuple[int, ...], room: int, *, strategy: str, stride: int, side: Side, overflow: bool
) -> list[tuple[Span, ...]]:
    """Cut one or two token sequences so that together they fit into ``room`` tokens.

    Args:
        lengths: tokens of the text, or of both texts of a pair.
        room: tokens that a row has left when its special tokens are placed.
        strategy: ``"longest_first"``, ``"only_first"`` or ``"only_second"``.
        stride: tokens that neighbouring windows share.
        side: the side that is cut off the first row.
        overflow: whether to return the rows after the first.

    Returns:
        A span ``(start, stop)`` per text, per row. The first row is the truncated text; with ``overflow``, every
        other pairing of windows follows, those of the first text slowest.

    Raises:
        InputError: the strategy cannot make the texts fit, or the stride leaves a window no step.
    """
    excess = sum(lengths) - room
    if excess <= 0:
        return [tuple((0, length) for length in lengths)]
    sizes = _kept(lengths, room, strategy)
    windows = [
        list(_windows(length, size, stride, side)) if overflow else [_first_window(length, size, side)]
        for length, size in zip(lengths, sizes, strict=True)
    ]
    if len(windows) == 1:
        return [(span,) for span in windows[0]]
    first, second = windows
    later = [(a, b) for a in first[1:] for b in second]
    return [(first[0], second[0]), *later, *((first[0], b) for b in second[1:])]


def _kept(lengths: tuple[int, ...], room: int, strategy: str) -> tuple[int, ...]:
    """How many tokens of each text a row keeps."""
    if strategy == "longest_first":
        if len(lengths) == 1:
            return (room,)
        short, long = sorted(lengths)
        long = long if short > room else max(short, room - short)
        if short > room or short + long > room:
            short, long = room // 2, room - room // 2
        return (short, long) if lengths[0] <= lengths[1] else (long, short)
    cut = {"only_first": 0, "only_second": 1}[strategy]
    if cut == len(lengths):
        raise InputError("truncation='only_second' cuts a second text and there is none; pass a pair or 'only_first'")
    kept = lengths[cut] - (sum(lengths) - room)
    if kept <= 0:
        raise InputError(
            f"truncation={strategy!r} must remove {sum(lengths) - room} tokens from a text of {lengths[cut]}; "
            "pass a larger max_length or truncation='longest_first'"
        )
    return tuple(kept if text == cut else length for text, length in enumerate(lengths))


def _first_window(length: int, size: int, side: Side) -> Span:
    size = min(size, length)
    return (0, size) if side == "right" else (length - size, length)


def _windows(length: int, size: int, stride: int, side: Side) -> Iterator[Span]:
    if size >= length:
        yield 0, length
        return
    if stride >= size:
        raise InputError(
            f"stride={stride} leaves windows of {size} tokens no step; "
            f"pass a stride below {size} or a larger max_length"
        )
    for start in range(0, length, size - stride):
        stop = min(start + size, length)
        yield (start, stop) if side == "right" else (length - stop, length - start)
        if stop == length:
            return
