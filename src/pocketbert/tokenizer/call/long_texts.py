"""Long texts: their limit, and the beginning that is enough where only a text's first tokens are wanted."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import takewhile

from pocketbert.errors import InputError
from pocketbert.tokenizer.call.encoding import Piece
from pocketbert.tokenizer.call.texts import Text
from pocketbert.tokenizer.call.truncation import Truncation

__all__ = ["LONG_TEXT", "MAX_CHARACTERS", "beginnings", "characters", "check_size"]

MAX_CHARACTERS = 5_000_000  # of a text; more than the longest novels have

LONG_TEXT = 10_000  # characters; what is shorter is tokenized as it is, whatever is wanted of it
_LONG = 64  # characters per wanted token beyond which a beginning is looked for; usual texts have about 4
_FIRST = 8  # characters per wanted token of the first beginning that is tried
_MORE = 4  # by which the next one is longer
_MOST = 1024  # characters per wanted token of the last one; what has fewer tokens is no text
_BOUNDARY = re.compile(r".*[ \n](?=\S)", re.DOTALL)


def characters(text: Text) -> int:
    """Return the characters of a text, or of all its words."""
    return len(text) if isinstance(text, str) else sum(map(len, text))


def check_size(text: Text, name: str, limit: int, expansion: float) -> None:
    """Check that a text is not too long.

    Args:
        text: the text, or its words.
        name: which text it is.
        limit: the argument ``max_characters``.
        expansion: how many characters the tokenizer's steps may make of one.

    Raises:
        InputError: it is.
    """
    size = characters(text)
    if size * expansion > limit:
        most = f", of which this tokenizer's steps may make {expansion:g} times as many" if expansion > 1 else ""
        raise InputError(
            f"{name} has {size} characters{most}; the limit is max_characters={limit}: "
            "pass parts of it, or a larger max_characters"
        )


def beginnings(
    texts: tuple[Text, ...], room: int, cut: Truncation, tokens_of: Callable[[Text], Piece], *, at_spaces: bool
) -> tuple[Text, ...]:
    """Return the text or pair of a row, with long texts shortened so that the truncated row stays the same.

    A text is shortened only where the tokens that are kept cannot depend on what is left out, and where the tokens
    that each text of a pair keeps do not depend on how long the longer one is.

    Args:
        texts: the texts of the row.
        room: how many of their tokens the row takes.
        cut: how it will be truncated.
        tokens_of: returns the tokens of a text.
        at_spaces: whether the tokens before a space never depend on what follows it.
    """
    long = [characters(text) > _LONG * room for text in texts]
    if not any(long) or cut.side != "right":
        return texts
    if len(texts) == 1:
        wanted = room + 1
    elif all(long):  # both lose tokens and share the room; if it is odd, the longer one has one more
        if cut.strategy != "longest_first" or room % 2:
            return texts
        wanted = room + 1
    else:
        others = len(tokens_of(texts[long.index(False)]).ids)
        if cut.strategy != "longest_first" and (others >= room or long[0] != (cut.strategy == "only_first")):
            return texts
        wanted = max(room, others) + 1
    return tuple(
        _beginning(text, wanted, tokens_of, at_spaces=at_spaces) if is_long else text
        for text, is_long in zip(texts, long, strict=True)
    )


def _beginning(text: Text, wanted: int, tokens_of: Callable[[Text], Piece], *, at_spaces: bool) -> Text:
    """Return a beginning of a text whose first ``wanted`` tokens are those of the whole text; else the text."""
    if isinstance(text, str) and not at_spaces:
        return text
    size = _FIRST * wanted if isinstance(text, str) else wanted
    while size * _MORE < len(text) and size <= _MOST * wanted:
        begin = text[:size]
        found = tokens_of(begin)
        if isinstance(begin, str):
            boundary = _BOUNDARY.match(begin)
            kept = _tokens_before(boundary.end() if boundary else 0, found.offsets)
        else:
            kept = len(found.ids)  # words are split one by one
        if kept >= wanted:
            return begin
        size *= _MORE
    return text


def _tokens_before(place: int, offsets: Sequence[tuple[int, int]]) -> int:
    return sum(1 for _ in takewhile(lambda span: span[1] <= place, offsets))
