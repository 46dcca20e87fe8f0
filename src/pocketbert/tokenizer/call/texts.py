"""Checks of a call's arguments: the texts, alone or in pairs, and what several other arguments share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

from pocketbert.errors import InputError

__all__ = ["NO_LIMIT", "Side", "Texts", "choice", "side_of", "texts_of", "whole_number"]

NO_LIMIT = int(1e30)  # model_max_length of a tokenizer whose model has none, as tokenizer_config.json writes it

Text = str | list[str]
Side = Literal["left", "right"]


@dataclass(frozen=True)
class Texts:
    """The texts of a call, per row: the first text, and the second or None.

    ``batched`` is False where the caller gave one row rather than a list of rows.
    """

    first: list[Text]
    second: list[Text | None]
    batched: bool


def side_of(name: str, value: Any) -> Side:
    """Return ``value`` if it is "left" or "right"; raise InputError with the argument's name otherwise."""
    if value not in ("left", "right"):
        raise InputError(f"{name}={value!r} is unknown; pass 'left' or 'right'")
    return cast(Side, value)


def texts_of(text: Any, pair: Any, *, split_into_words: bool) -> Texts:
    """Check the ``text`` and ``text_pair`` arguments of a call.

    Args:
        text: a text, a batch of texts, or a batch of (text, pair) tuples.
        pair: the second texts, in the form of ``text``, or None.
        split_into_words: each text is a list of words.

    Raises:
        InputError: they are anything else; the message names the row.
    """
    if _is_text(text, split_into_words):
        if pair is not None and not _is_text(pair, split_into_words):
            raise InputError(f"text_pair must be {_what(split_into_words)} as text is, not {_kind(pair)}")
        return Texts([text], [pair], batched=False)
    if not isinstance(text, (list, tuple)):
        raise InputError(f"text must be {_what(split_into_words)} or a list of them, not {_kind(text)}")
    if pair is None:
        rows = [_row(row, index, split_into_words) for index, row in enumerate(text)]
        return Texts([first for first, _ in rows], [second for _, second in rows], batched=True)
    if isinstance(pair, str) or not isinstance(pair, (list, tuple)):
        raise InputError(f"text is a batch of {len(text)}; text_pair must be a list as long, not {_kind(pair)}")
    if len(text) != len(pair):
        raise InputError(f"text has {len(text)} rows and text_pair {len(pair)}; pass as many of each")
    for name, batch in (("text", text), ("text_pair", pair)):
        for index, item in enumerate(batch):
            _check_text(item, f"{name}[{index}]", split_into_words)
    return Texts(list(text), list(pair), batched=True)


def _row(row: Any, index: int, split: bool) -> tuple[Text, Text | None]:
    """Return the first and second text of a row of a batch."""
    if not split and type(row) is str:
        return row, None
    if isinstance(row, (list, tuple)) and len(row) == 2 and _is_text(row[0], split) and _is_text(row[1], split):
        return row[0], row[1]
    _check_text(row, f"text[{index}]", split)
    return row, None


def _is_text(value: Any, split: bool) -> bool:
    if not split:
        return isinstance(value, str)
    return isinstance(value, (list, tuple)) and all(isinstance(word, str) for word in value)


def _check_text(value: Any, name: str, split: bool) -> None:
    if not _is_text(value, split):
        raise InputError(f"{name} must be {_what(split)}, not {_kind(value)}{_hint(value, split)}")


def _hint(value: Any, split: bool) -> str:
    if not split and isinstance(value, (list, tuple)) and value and all(isinstance(word, str) for word in value):
        return "; pass is_split_into_words=True if these are the words of one text"
    return ""


def _what(split: bool) -> str:
    return "a list of words" if split else "a string"


def _kind(value: Any) -> str:
    return f"{type(value).__name__} ({str(value)[:40]!r})"


def choice(name: str, value: Any, choices: dict[Any, str | None]) -> str | None:
    """Return what ``value`` stands for in ``choices``, or raise InputError with the argument's name."""
    value = getattr(value, "value", value)  # transformers also takes enums, such as PaddingStrategy.LONGEST
    if isinstance(value, (bool, str)) and value in choices:
        return choices[value]
    names = ", ".join(repr(choice) for choice in choices)
    raise InputError(f"{name}={value!r} is unknown; pass one of {names}")


def whole_number(name: str, value: Any, *, least: int) -> None:
    """Raise InputError with the argument's name unless ``value`` is an int of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name}={value!r} must be a whole number of at least {least}")
