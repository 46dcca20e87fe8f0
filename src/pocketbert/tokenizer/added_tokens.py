"""Added tokens, which are matched in the text before it is split: special tokens, and those that a user adds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

from pocketbert.errors import InputError

__all__ = ["AddedToken", "AddedVocabulary", "as_added", "has_space", "refuse_taken", "refuse_vanishing"]


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


def has_space(content: str) -> bool:
    """Return whether a token holds whitespace, or nothing: then it may be found across the spaces of a text."""
    return not content or any(map(str.isspace, content))


def refuse_taken(content: str, id_: int, token: str) -> NoReturn:
    """Refuse an added token whose id another token has."""
    raise InputError(
        f"the token {content!r} would get the id {id_}, which {token!r} has: the vocabulary leaves ids out, as "
        "repeated lines of a vocab.txt do; give each of those a name of its own, such as '[unused0]'"
    )


def refuse_vanishing(tokens: Iterable[AddedToken], normalize: Callable[[str], str]) -> None:
    """Refuse an added token of which normalization leaves nothing: it would be found between any two letters.

    Raises:
        InputError: there is one.
    """
    for token in tokens:
        if token.normalized and token.content and not normalize(token.content):
            raise InputError(
                f"of the token {token.content!r} normalization leaves nothing to find in a text; pass "
                f"AddedToken({token.content!r}, normalized=False)"
            )


class AddedVocabulary:
    """The added tokens of a Python tokenizer, found in texts by the ``tokenizers`` library, as for the Fast ones.

    The leftmost match counts, and of several there the longest. Tokens that are not ``normalized`` are matched first,
    in the text as given; the others in the rest of it, once normalized.
    """

    def __init__(self, vocab: Mapping[str, int], normalize: Callable[[str], str]) -> None:
        """Add tokens to those of ``vocab``; ``normalize`` is applied to ``normalized`` ones, as it is to the text."""
        self._vocab = vocab
        # Ids of the vocabulary that an added token could get, as the number of tokens is below them.
        self._apart = {id_: token for token, id_ in vocab.items() if id_ >= len(vocab)}
        self._normalize = normalize
        self.by_id: dict[int, AddedToken] = {}
        self.ids: dict[str, int] = {}
        self.special: set[str] = set()  # the contents of special tokens
        self._last = -1  # the largest of these ids
        self._crossing: bool | None = None  # see may_cross_spaces
        self._finders: dict[tuple[bool, bool], _Finder | None] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return all but what is built from it when a text is split."""
        return {**self.__dict__, "_finders": {}}

    def add(self, tokens: Iterable[AddedToken]) -> int:
        """Add ``tokens``; one that the vocabulary has keeps its id. Return how many were not added tokens before.

        Raises:
            InputError: another token has the id that a new one would get, or normalization leaves nothing of one.
        """
        tokens = list(tokens)
        refuse_vanishing(tokens, self._normalize)
        count = 0
        for token in sorted(tokens, key=lambda token: self._id(token) is None):  # ids of new ones lie above the others
            id_ = self._id(token)
            if not token.content or (id_ is not None and self.by_id.get(id_) == token):
                continue
            count += 1
            if id_ is None:
                id_ = max(len(self._vocab), self._last + 1)
                if id_ in self._apart:
                    refuse_taken(token.content, id_, self._apart[id_])
            self._last = max(self._last, id_)
            self.ids[token.content] = id_
            self.by_id[id_] = token
            (self.special.add if token.special else self.special.discard)(token.content)
        self._crossing, self._finders = None, {}
        return count

    def _id(self, token: AddedToken) -> int | None:
        return self.ids.get(token.content, self._vocab.get(token.content))

    @property
    def may_cross_spaces(self) -> bool:
        """Whether a match may begin before a space and end after it."""
        if self._crossing is None:
            tokens = self.by_id.values()
            self._crossing = any(
                has_space(self._normalize(token.content) if token.normalized else token.content) for token in tokens
            )
        return self._crossing

    def split(self, text: str, *, normalized: bool, keep_special: bool) -> Iterator[tuple[int | None, int, int]]:
        """Split text into ``(id, start, stop)``, with id None for the text between added tokens.

        ``normalized`` tells whether the text is. Without ``keep_special``, special tokens are not matched.
        """
        kind = normalized, keep_special
        if kind not in self._finders:
            self._finders[kind] = self._finder(*kind)
        finder = self._finders[kind]
        if finder is not None:
            yield from finder.split(text)
        elif text:
            yield None, 0, len(text)

    def _finder(self, normalized: bool, keep_special: bool) -> _Finder | None:
        found: dict[str, tuple[int, AddedToken]] = {}
        for id_, token in sorted(self.by_id.items(), key=lambda item: not item[1].special):
            if token.normalized == normalized:  # of those that normalize alike, the first counts
                found.setdefault(self._normalize(token.content) if normalized else token.content, (id_, token))
        found.pop("", None)
        return _Finder(found, keep_special) if found else None


class _Finder:
    """Finds tokens in a text with the ``tokenizers`` library: for it, all text between them is one unknown word."""

    def __init__(self, tokens: Mapping[str, tuple[int, AddedToken]], keep_special: bool) -> None:
        from tokenizers import AddedToken as LibraryToken
        from tokenizers import Tokenizer, models

        self._library = Tokenizer(models.WordLevel({"": 0}, unk_token=""))
        rules = [{**token.to_dict(), "content": content, "normalized": False} for content, (_, token) in tokens.items()]
        self._library.add_tokens([LibraryToken(**rule) for rule in rules])
        self._library.encode_special_tokens = not keep_special
        self._ids = [None, *(id_ for id_, _ in tokens.values())]

    def split(self, text: str) -> Iterator[tuple[int | None, int, int]]:
        found = self._library.encode(text, add_special_tokens=False)
        for number, (start, stop) in zip(found.ids, found.offsets, strict=True):
            yield self._ids[number], start, stop
