"""One row that a call returns, token by token: :class:`Encoding`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from pocketbert.tokenizer.call.padding import Padding, pad_row
from pocketbert.tokenizer.call.row_layout import Layout

__all__ = ["CharSpan", "Encoding", "Offsets", "Part", "Piece", "Pieces", "TokenSpan"]

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
    """The tokens of one text, without the special tokens around it; an :class:`Encoding` says what the lists hold."""

    ids: list[int]
    tokens: list[str]
    offsets: list[Offsets]
    word_ids: list[int | None]


class Pieces(Protocol):
    """The tokens of several texts, by the number of the text."""

    def __getitem__(self, text: int, /) -> Piece: ...


class Part(NamedTuple):
    """The part of a text that stands in a row: tokens ``start`` to ``stop`` (exclusive) of ``pieces[text]``."""

    pieces: Pieces
    text: int
    start: int
    stop: int

    def filled(self, value: T) -> list[T]:
        """Return ``value`` once per token."""
        return [value] * (self.stop - self.start)


@dataclass(slots=True, eq=False, repr=False)
class Encoding:
    """One row: the tokens of one or two texts, with special tokens and padding around them.

    Lists have one entry per token of the row; all but ``ids`` are computed when they are read.

    >>> from pocketbert import BertTokenizerFast
    >>> vocab = {token: id_ for id_, token in enumerate("[UNK] [CLS] [SEP] [PAD] a dog ##s".split())}
    >>> row = BertTokenizerFast(vocab)(["a dogs"])[0]
    >>> row.tokens, row.offsets
    (['[CLS]', 'a', 'dog', '##s', '[SEP]'], [(0, 0), (0, 1), (2, 5), (5, 6), (0, 0)])
    """

    ids: list[int]
    _layout: Layout
    _parts: Sequence[Part]  # the one or two texts in the row
    _padding: Padding | None

    @property
    def tokens(self) -> list[str]:
        """Each token as the vocabulary writes it."""
        inner = [part.pieces[part.text].tokens[part.start : part.stop] for part in self._parts]
        return self._row(inner, self._layout.tokens, self._padding.token if self._padding else "")

    @property
    def type_ids(self) -> list[int]:
        """The segment of each token: 0 for the first text, 1 for the second."""
        inner = map(Part.filled, self._parts, self._layout.text_type_ids)
        return self._row(inner, self._layout.type_ids, self._padding.type_id if self._padding else 0)

    @property
    def attention_mask(self) -> list[int]:
        """1 for tokens, 0 for padding."""
        return self._row([part.filled(1) for part in self._parts], self._layout.filled(1), 0)

    @property
    def special_tokens_mask(self) -> list[int]:
        """1 for padding and special tokens of the layout, 0 for tokens of the texts."""
        return self._row([part.filled(0) for part in self._parts], self._layout.filled(1), 1)

    @property
    def offsets(self) -> list[Offsets]:
        """The characters of its text (or pre-split word) that each token covers; (0, 0) for special tokens."""
        inner = [part.pieces[part.text].offsets[part.start : part.stop] for part in self._parts]
        return self._row(inner, self._layout.filled((0, 0)), (0, 0))

    @property
    def word_ids(self) -> list[int | None]:
        """The number, in its text, of the word that each token belongs to; None for special tokens and padding."""
        inner = [part.pieces[part.text].word_ids[part.start : part.stop] for part in self._parts]
        return self._row(inner, self._layout.filled(None), None)

    words = word_ids

    @property
    def sequence_ids(self) -> list[int | None]:
        """The text, 0 or 1, that each token comes from; None for special tokens and padding."""
        return self._row(map(Part.filled, self._parts, (0, 1)), self._layout.filled(None), None)

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

    def token_to_chars(self, token: int) -> CharSpan | None:
        """The characters of a token; None for special tokens."""
        return None if self.token_to_sequence(token) is None else CharSpan(*self.offsets[token])

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

    def word_to_tokens(self, word: int, sequence: int = 0) -> TokenSpan | None:
        """The tokens of a word of text ``sequence``."""
        texts = self.sequence_ids
        tokens = [token for token, w in enumerate(self.word_ids) if w == word and texts[token] == sequence]
        return TokenSpan(tokens[0], tokens[-1] + 1) if tokens else None

    def word_to_chars(self, word: int, sequence: int = 0) -> CharSpan | None:
        """The characters of a word of text ``sequence``."""
        tokens = self.word_to_tokens(word, sequence)
        return tokens and CharSpan(self.offsets[tokens.start][0], self.offsets[tokens.end - 1][1])

    def _row(self, texts: Iterable[list[T]], specials: Iterable[list[T]], fill: T) -> list[T]:
        """Return the values of texts and special tokens as a row, and ``fill`` for its padding."""
        row = self._layout.fill(texts, specials)
        return pad_row(row, len(self.ids), fill, self._padding.side) if self._padding else row


def _at(values: list[int | None], token: int) -> int | None:
    return values[token] if 0 <= token < len(values) else None
