"""Truncation: what a call asks for, and where a long text is cut into windows, one per row.

The cuts are those of the ``tokenizers`` library, here in Python so that the Python and Fast tokenizers share them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pocketbert.errors import InputError
from pocketbert.tokenizer.call.texts import NO_LIMIT, Side, choice, whole_number

__all__ = ["STRATEGIES", "Span", "Truncation", "row_spans", "truncation_of"]

Span = tuple[int, int]  # tokens of a text: start, exclusive end
STRATEGIES: dict[Any, str | None] = {
    True: "longest_first",
    "longest_first": "longest_first",
    "only_first": "only_first",
    "only_second": "only_second",
    False: None,
    "do_not_truncate": None,
}


@dataclass(frozen=True)
class Truncation:
    """Cut rows to ``length`` tokens by ``strategy``, on ``side``; neighboring windows share ``stride`` tokens."""

    strategy: str
    length: int
    stride: int
    side: Side


def truncation_of(
    truncation: Any, *, max_length: Any, stride: Any, side: Side, model_max_length: int, padding: Any
) -> Truncation | None:
    """Check the ``truncation`` argument of a call; None for no truncation, or where there is no length to truncate to.

    ``max_length`` given with neither ``padding`` nor ``truncation`` truncates, as in ``transformers``.

    Raises:
        InputError: an unknown strategy, or a length or stride that is no whole number.
    """
    if max_length is not None:
        whole_number("max_length", max_length, least=1)
    whole_number("stride", stride, least=0)
    if truncation is None:
        truncation = max_length is not None and padding is False
    strategy = choice("truncation", truncation, STRATEGIES)
    length = model_max_length if max_length is None else max_length
    return None if strategy is None or length >= NO_LIMIT else Truncation(strategy, length, stride, side)


def row_spans(
    lengths: tuple[int, ...], room: int, *, strategy: str, stride: int, side: Side, overflow: bool
) -> list[tuple[Span, ...]]:
    """Cut one text, or a pair of texts, of more than ``room`` tokens, so that each row fits into them.

    Args:
        lengths: the number of tokens of the text, or of each text of the pair.
        room: the number of tokens that fit in a row beside its special tokens.
        strategy: ``"longest_first"``, ``"only_first"`` or ``"only_second"``.
        stride: the number of tokens that neighboring windows share.
        side: the side on which the first row loses tokens.
        overflow: whether to return the other rows too.

    Returns:
        Per row, a span ``(start, stop)`` per text. The first row is the truncated text; with ``overflow``, rows of
        all other pairs of windows follow, the window of the second text changing fastest.

    Raises:
        InputError: the strategy cannot make the texts fit, or the stride is as long as a window.
    """
    sizes = zip(lengths, _kept(lengths, room, strategy), strict=True)
    first, *others = [_windows(length, size, stride, side, overflow=overflow) for length, size in sizes]
    if not others:
        return [(span,) for span in first]
    (second,) = others
    later = [(a, b) for a in first[1:] for b in second]
    return [(first[0], second[0]), *later, *((first[0], b) for b in second[1:])]


def _kept(lengths: tuple[int, ...], room: int, strategy: str) -> tuple[int, ...]:
    """Return how many tokens of each text fit in a row."""
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


def _windows(length: int, size: int, stride: int, side: Side, *, overflow: bool) -> list[Span]:
    """Return the windows of a text, or without ``overflow`` the first of them."""
    starts = range(1)
    if overflow and size < length:
        if stride >= size:
            raise InputError(
                f"stride={stride} leaves windows of {size} tokens no step; "
                f"pass a stride below {size} or a larger max_length"
            )
        starts = range(0, length - stride, size - stride)
    spans = [(start, min(start + size, length)) for start in starts]
    return spans if side == "right" else [(length - stop, length - start) for start, stop in spans]
