"""Checks of a call's arguments: the texts, alone or in pairs, and what several other arguments share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, cast

from pocketbert.errors import InputError

__all__ = ["NO_LIMIT", "Side", "Text", "Texts", "choice", "replace_surrogates", "side_of", "texts_of", "whole_number"]

NO_LIMIT = int(1e30)  # model_max_length of a tokenizer whose model has none, as tokenizer_config.json writes it

Text = str | list[str]
Side = Literal["left", "right"]
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Texts:
    """The texts of a call: rows of one text or two; not ``batched`` if the caller gave one row, not a list of rows."""

    rows: list[tuple[Text, ...]]
    batched: bool


def side_of(name: str, value: Any) -> Side:
    """Return ``value`` if it is "left" or "right"; raise InputError with the argument's name otherwise."""
    return cast(Side, choice(name, value, {"left": "left", "right": "right"}))


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
        return Texts([(text,) if pair is None else (text, pair)], batched=False)
    if not isinstance(text, (list, tuple)):
        raise InputError(f"text must be {_what(split_into_words)} or a list of them, not {_kind(text)}")
    if pair is None:
        return Texts([_row(row, index, split_into_words) for index, row in enumerate(text)], batched=True)
    if isinstance(pair, str) or not isinstance(pair, (list, tuple)):
        raise InputError(f"text is a batch of {len(text)}; text_pair must be a list as long, not {_kind(pair)}")
    if len(text) != len(pair):
        raise InputError(f"text has {len(text)} rows and text_pair {len(pair)}; pass as many of each")
    for name, batch in (("text", text), ("text_pair", pair)):
        for index, item in enumerate(batch):
            _check_text(item, f"{name}[{index}]", split_into_words)
    return Texts(list(zip(text, pair, strict=True)), batched=True)


def _row(row: Any, index: int, split: bool) -> tuple[Text, ...]:
    """Return the text or texts of a row of a batch."""
    if not split and type(row) is str:
        return (row,)
    if isinstance(row, (list, tuple)) and len(row) == 2 and _is_text(row[0], split) and _is_text(row[1], split):
        return row[0], row[1]
    _check_text(row, f"text[{index}]", split)
    return (row,)


def _is_text(value: Any, split: bool) -> bool:
    if not split:
        return isinstance(value, str)
    return isinstance(value, (list, tuple)) and all(isinstance(word, str) for word in value)


def _check_text(value: Any, name: str, split: bool) -> None:
    if not _is_text(value, split):
        words = _is_text(value, split=True) and value
        hint = "; pass is_split_into_words=True if these are the words of one text" if words else ""
        raise InputError(f"{name} must be {_what(split)}, not {_kind(value)}{hint}")


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


def replace_surrogates(text: str) -> str:
    """Replace each lone surrogate, which no UTF-8 text holds, by U+FFFD, one by one, so that offsets stay."""
    return _SURROGATE.sub("\ufffd", text)
