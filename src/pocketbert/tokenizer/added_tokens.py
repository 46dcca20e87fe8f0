"""Added tokens, which are matched in the text before it is split: special tokens, and those that a user adds."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pocketbert.errors import InputError

__all__ = ["AddedToken", "AddedVocabulary", "as_added"]


@dataclass(unsafe_hash=True)
class AddedToken:
    """A token that is matched as a whole, and the rules by which it is matched.

    ``single_word``: not inside a word. ``lstrip`` and ``rstrip``: with the whitespace before and after it.
    ``normalized``: in the normalized text, rather than in the text as given; by default if it is not ``special``.
    ``special``: ``skip_special_tokens`` leaves the token out when ids are decoded.
    """

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = None  # type: ignore[assignment]  # set below
    special: bool = False

    def __post_init__(self) -> None:
        """Choose ``normalized``."""
        if self.normalized is None:
            self.normalized = not self.special

    def __repr__(self) -> str:
        """The token and its rules, as the ``tokenizers`` library writes them."""
        names = ("rstrip", "lstrip", "single_word", "normalized", "special")
        return f'AddedToken("{self.content}", {", ".join(f"{name}={getattr(self, name)}" for name in names)})'

    def __str__(self) -> str:
        """The token itself."""
        return self.content

    def to_dict(self) -> dict[str, Any]:
        """The fields as ``tokenizer_config.json`` holds them."""
        return asdict(self)


_RULES = ("single_word", "lstrip", "rstrip", "normalized", "special")


def as_added(token: Any, *, special: bool = False) -> AddedToken:
    """Return a string, an added token of the ``tokenizers`` library or a dict from a file as an :class:`AddedToken`.

    A string is matched in the text as given if it is ``special``, otherwise in the normalized text.

    Raises:
        InputError: ``token`` is none of these.
    """
    if isinstance(token, str):
        fields: Mapping[str, Any] = {"content": token}
    elif isinstance(token, Mapping):
        fields = token
    else:
        fields = {name: getattr(token, name) for name in ("content", *_RULES) if hasattr(token, name)}
    content = fields.get("content")
    rules = {name: bool(fields[name]) for name in _RULES if name in fields}
    rules["special"] = special or rules.get("special", False)
    rules.setdefault("normalized", not rules["special"])
    if not isinstance(content, str) or any("\ud800" <= char <= "\udfff" for char in content):
        raise InputError(f"a token must be a string of whole characters or an AddedToken, not {token!r}")
    return AddedToken(content, **rules)


class AddedVocabulary:
    """The added tokens of a Python tokenizer, matched as the ``tokenizers`` library matches them.

    The leftmost match counts, and of several there the longest. Tokens that are not ``normalized`` are matched first,
    in the text as given; the others in the rest of it, once normalized.
    """

    def __init__(self, vocab: Mapping[str, int], normalize: Callable[[str], str]) -> None:
        """Add tokens to those of ``vocab``; ``normalize`` is applied to ``normalized`` ones, as it is to the text."""
        self._vocab = vocab
        self._normalize = normalize
        self.by_id: dict[int, AddedToken] = {}
        self.ids: dict[str, int] = {}
        self._refresh()

    def add(self, tokens: Iterable[AddedToken]) -> int:
        """Add ``tokens``; one that the vocabulary has keeps its id. Return how many were not added tokens before."""
        count = 0
        for token in tokens:
            if not token.content or token in self.by_id.values():
                continue
            count += 1
            id_ = self.ids.get(token.content, self._vocab.get(token.content))
            if id_ is None:
                id_ = max(len(self._vocab), max(self.by_id, default=-1) + 1)
            self.ids[token.content] = id_
            self.by_id[id_] = token
        self._refresh()
        return count

    def _refresh(self) -> None:
        raw: dict[str, AddedToken] = {}
        normalized: dict[str, AddedToken] = {}
        for token in sorted(self.by_id.values(), key=lambda token: not token.special):
            if token.normalized:  # of those that normalize alike, the first counts
                normalized.setdefault(self._normalize(token.content), token)
            else:
                raw[token.content] = token
        normalized.pop("", None)
        self._raw = _pattern(raw), raw
        self._normalized = _pattern(normalized), normalized

    def split(self, text: str, *, normalized: bool, keep_special: bool) -> Iterator[tuple[int | None, int, int]]:
        """Split text into ``(id, start, stop)``, with id None for the text between added tokens.

        ``normalized`` tells whether the text is. Without ``keep_special``, special tokens are not matched.
        """
        pattern, tokens = self._normalized if normalized else self._raw
        done = 0
        for match in pattern.finditer(text) if pattern else ():
            start, stop = match.span()
            token = tokens[match.group()]
            if token.special and not keep_special:
                continue
            if token.single_word and (_is_word(text[start - 1 : start]) or _is_word(text[stop : stop + 1])):
                continue
            if token.lstrip:
                start = max(len(text[:start].rstrip()), done)
            if token.rstrip:
                stop = len(text) - len(text[stop:].lstrip())
            if done < start:
                yield None, done, start
            yield self.ids[token.content], start, stop
            done = stop
        if done < len(text):
            yield None, done, len(text)


def _pattern(contents: Iterable[str]) -> re.Pattern[str] | None:
    longest_first = sorted(contents, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


def _is_word(char: str) -> bool:
    """Return whether ``char`` is a word character by UTS #18: a letter, mark, digit, connector or joiner."""
    if not char:
        return False
    category = unicodedata.category(char)
    return char.isalnum() or category[0] == "M" or category == "Pc" or char in "\u200c\u200d"
