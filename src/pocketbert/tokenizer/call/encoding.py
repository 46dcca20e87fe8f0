"""One row that a call returns, token by token: :class:`Encoding`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from pocketbert.tokenizer.call.padding import RowPadding, pad_row
from pocketbert.tokenizer.call.row_layout import Layout

__all__ = ["CharSpan", "Encoding", "Offsets", "Part", "Piece", "TokenSpan"]

T = TypeVar("T")
Offsets = tuple[int, int]


class CharSpan(NamedTuple):
    """Characters ``start`` to ``end`` (exclusive) of a text."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens ``start`` to ``end`` (exclusive) of a row."""

    start: int
    end: int


class Piece(Protocol):
    """The tokens of one text, without the special tokens around it; lists have one entry per token."""

    @property
    def ids(self) -> list[int]:
        """The id of each token."""

    @property
    def tokens(self) -> list[str]:
        """Each token as the vocabulary writes it."""

    @property
    def offsets(self) -> list[Offsets]:
        """The characters of the text (or of the pre-split word) that each token covers."""

    @property
    def word_ids(self) -> list[int | None]:
        """The number of the word that each token belongs to."""


class Part(NamedTuple):
    """The part of a text that stands in a row: tokens ``start`` to ``stop`` (exclusive) of ``pieces(text)``."""

    pieces: Callable[[int], Piece]
    text: int
    start: int
    stop: int

    @property
    def piece(self) -> Piece:
        """All tokens of the text."""
        return self.pieces(self.text)

    def filled(self, value: T) -> list[T]:
        """Return ``value`` once per token."""
        return [value] * (self.stop - self.start)


class Encoding:
    """One row: the tokens of one or two texts, with special tokens and padding around them.

    Lists have one entry per token of the row; all but ``ids`` are computed when they are read.

    >>> from pocketbert import BertTokenizerFast
    >>> vocab = {token: id_ for id_, token in enumerate("[UNK] [CLS] [SEP] [PAD] a dog ##s".split())}
    >>> row = BertTokenizerFast(vocab)(["a dogs"])[0]
    >>> row.tokens, row.offsets
    (['[CLS]', 'a', 'dog', '##s', '[SEP]'], [(0, 0), (0, 1), (2, 5), (5, 6), (0, 0)])
    """

    __slots__ = ("_layout", "_padding", "_parts", "ids")

    def __init__(self, ids: list[int], layout: Layout, parts: Sequence[Part], padding: RowPadding | None) -> None:
        """Describe the row of ``ids``.

        Args:
            ids: the row's ids, padding included.
            layout: where its special tokens stand.
            parts: the one or two texts in it.
            padding: how it is padded; None if it is not.
        """
        self.ids = ids
        self._layout = layout
        self._parts = parts
        self._padding = padding

    @property
    def tokens(self) -> list[str]:
        """Each token as the vocabulary writes it."""
        inner = [part.piece.tokens[part.start : part.stop] for part in self._parts]
        return self._padded(self._layout.fill(inner, self._layout.tokens), self._padding.token if self._padding else "")

    @property
    def type_ids(self) -> list[int]:
        """The segment of each token: 0 for the first text, 1 for the second."""
        inner = map(Part.filled, self._parts, self._layout.text_type_ids)
        row = self._layout.fill(inner, self._layout.type_ids)
        return self._padded(row, self._padding.type_id if self._padding else 0)

    @property
    def attention_mask(self) -> list[int]:
        """1 for tokens, 0 for padding."""
        tokens = self._layout.special_count
        for part in self._parts:
            tokens += part.stop - part.start
        return self._padded([1] * tokens, 0)

    @property
    def special_tokens_mask(self) -> list[int]:
        """1 for padding and special tokens of the layout, 0 for tokens of the texts."""
        return self._constant([0, 0], 1)

    @property
    def offsets(self) -> list[Offsets]:
        """The characters of its text (or pre-split word) that each token covers; (0, 0) for special tokens."""
        inner = [part.piece.offsets[part.start : part.stop] for part in self._parts]
        return self._padded(self._layout.fill(inner, self._layout.filled((0, 0))), (0, 0))

    @property
    def word_ids(self) -> list[int | None]:
        """The number, in its text, of the word that each token belongs to; None for special tokens and padding."""
        inner = [part.piece.word_ids[part.start : part.stop] for part in self._parts]
        return self._padded(self._layout.fill(inner, self._layout.filled(None)), None)

    words = word_ids

    @property
    def sequence_ids(self) -> list[int | None]:
        """The text, 0 or 1, that each token comes from; None for special tokens and padding."""
        return self._constant([0, 1], None)

    @property
    def n_sequences(self) -> int:
        """The number of texts in the row."""
        return len(self._parts)

    def __len__(self) -> int:
        """The number of tokens, padding included."""
        return len(self.ids)

    def __repr__(self) -> str:
        """A short description."""
        return f"Encoding(num_tokens={len(self)}, tokens={self.tokens})"

    def token_to_sequence(self, token: int) -> int | None:
        """The text, 0 or 1, of a token."""
        return _at(self.sequence_ids, token)

    def token_to_word(self, token: int) -> int | None:
        """The word of a token."""
        return _at(self.word_ids, token)

    def token_to_chars(self, token: int) -> Offsets | None:
        """The characters of a token; None for special tokens."""
        return None if self.token_to_sequence(token) is None else self.offsets[token]

    def char_to_token(self, char: int, sequence: int = 0) -> int | None:
        """The first token of text ``sequence`` that covers character ``char``."""
        texts = self.sequence_ids
        for token, (start, end) in enumerate(self.offsets):
            if start <= char < end and texts[token] == sequence:
                return token
        return None

    def char_to_word(self, char: int, sequence: int = 0) -> int | None:
        """The word of text ``sequence`` that covers character ``char``."""
        token = self.char_to_token(char, sequence)
        return None if token is None else self.token_to_word(token)

    def word_to_tokens(self, word: int, sequence: int = 0) -> Offsets | None:
        """The tokens (start, exclusive end) of a word of text ``sequence``."""
        texts = self.sequence_ids
        tokens = [token for token, w in enumerate(self.word_ids) if w == word and texts[token] == sequence]
        return (tokens[0], tokens[-1] + 1) if tokens else None

    def word_to_chars(self, word: int, sequence: int = 0) -> Offsets | None:
        """The characters (start, exclusive end) of a word of text ``sequence``."""
        tokens = self.word_to_tokens(word, sequence)
        return tokens and (self.offsets[tokens[0]][0], self.offsets[tokens[1] - 1][1])

    def _constant(self, texts: Sequence[T], special: T) -> list[T]:
        """Return ``texts[0]`` for tokens of the first text, ``texts[1]`` for the second, ``special`` elsewhere."""
        return self._padded(
            self._layout.fill(map(Part.filled, self._parts, texts), self._layout.filled(special)), special
        )

    def _padded(self, row: list[T], fill: T) -> list[T]:
        return pad_row(row, len(self.ids), fill, self._padding.side) if self._padding else row


def _at(values: list[int | None], token: int) -> int | None:
    return values[token] if 0 <= token < len(values) else None
