"""The arguments of a tokenizer call, checked: what comes in is a person's, what goes out can be relied on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from pocketbert.errors import InputError
from pocketbert.tokenizer.call.row_layout import Side

__all__ = ["NO_LIMIT", "Padding", "Texts", "Truncation", "padding_of", "side_of", "texts_of", "truncation_of"]

NO_LIMIT = int(1e30)  # model_max_length of a tokenizer whose model has none, as tokenizer_config.json writes it
_PADDING = {True: "longest", "longest": "longest", "max_length": "max_length", False: None, "do_not_pad": None}
_TRUNCATION = {
    True: "longest_first",
    "longest_first": "longest_first",
    "only_first": "only_first",
    "only_second": "only_second",
    False: None,
    "do_not_truncate": None,
}

Text = str | list[str]


@dataclass(frozen=True)
class Padding:
    """Pad to ``length`` tokens, or to the longest row if it is None, rounded up to ``multiple``, on ``side``."""

    length: int | None
    multiple: int | None
    side: Side


@dataclass(frozen=True)
class Truncation:
    """Cut rows to ``length`` tokens by ``strategy``, losing ``side``; windows share ``stride`` tokens."""

    strategy: str
    length: int
    stride: int
    side: Side


@dataclass(frozen=True)
class Texts:
    """The texts of a call: ``first`` of each row, ``second`` too where the row is a pair.

    ``batched`` says whether the caller gave a batch rather than one row.
    """

    first: list[Text]
    second: list[Text | None]
    batched: bool


def padding_of(
    padding: Any, *, max_length: int | None, multiple: Any, side: Side, model_max_length: int
) -> Padding | None:
    """Return what ``padding`` asks for; None for no padding.

    Raises:
        InputError: an unknown strategy, or ``"max_length"`` with no length known.
    """
    strategy = _choice("padding", padding, _PADDING)
    if multiple is not None:
        _whole("pad_to_multiple_of", multiple, least=1)
    if strategy is None:
        return None
    if strategy == "longest":
        return Padding(None, multiple, side)
    length = model_max_length if max_length is None else max_length
    if length >= NO_LIMIT:
        raise InputError(
            "padding='max_length' needs a length and this tokenizer has no model_max_length; pass max_length"
        )
    return Padding(length, multiple, side)


def truncation_of(
    truncation: Any, *, max_length: Any, stride: Any, side: Side, model_max_length: int, padding: Any
) -> Truncation | None:
    """Return what ``truncation`` asks for; None for no truncation, or no length to truncate to.

    A ``max_length`` with neither ``padding`` nor ``truncation`` truncates, as it always has.

    Raises:
        InputError: an unknown strategy, or a length or stride that is no whole number.
    """
    if max_length is not None:
        _whole("max_length", max_length, least=1)
    _whole("stride", stride, least=0)
    if truncation is None:
        truncation = max_length is not None and padding is False
    strategy = _choice("truncation", truncation, _TRUNCATION)
    length = model_max_length if max_length is None else max_length
    return None if strategy is None or length >= NO_LIMIT else Truncation(strategy, length, stride, side)


def side_of(name: str, value: Any) -> Side:
    """Return ``value`` if it is "left" or "right"."""
    if value not in ("left", "right"):
        raise InputError(f"{name}={value!r} is unknown; pass 'left' or 'right'")
    return cast(Side, value)


def texts_of(text: Any, pair: Any, *, split_into_words: bool) -> Texts:
    """Sort out one text or a batch, alone or in pairs.

    Args:
        text: a text, a batch of texts, or a batch of (text, pair) tuples.
        pair: None, or what ``text`` is, for the second texts.
        split_into_words: texts are lists of words.

    Raises:
        InputError: anything else; the message names the row.
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
    """One row of a batch: a text, or a pair of them."""
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


def _choice(name: str, value: Any, choices: dict[Any, str | None]) -> str | None:
    value = getattr(value, "value", value)  # an enum of the same names
    if isinstance(value, (bool, str)) and value in choices:
        return choices[value]
    names = ", ".join(repr(choice) for choice in choices)
    raise InputError(f"{name}={value!r} is unknown; pass one of {names}")


def _whole(name: str, value: Any, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name}={value!r} must be a whole number of at least {least}")
