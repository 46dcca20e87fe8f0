"""What a tokenizer returns: one :class:`Encoding` a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from pocketbert.tokenizer.call.row_layout import Layout, Side

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
    """The tokens of one text, without special tokens around it."""

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
        """The word that each token belongs to."""


class Part(NamedTuple):
    """What a row shows of a text: tokens ``start`` to ``stop`` (exclusive) of piece number ``text``."""

    pieces: Callable[[int], Piece]
    text: int
    start: int
    stop: int

    @property
    def piece(self) -> Piece:
        """The text's tokens, all of them."""
        return self.pieces(self.text)

    def filled(self, value: T) -> list[T]:
        """``value`` in the place of each token."""
        return [value] * (self.stop - self.start)


class Encoding:
    """One row: the tokens of one or two texts, with special tokens and padding around them.

    Lists have one entry a token of the row; all but ``ids`` are computed when they are read.
    """

    __slots__ = ("_layout", "_padding", "_parts", "ids")

    def __init__(
        self, ids: list[int], layout: Layout, parts: Sequence[Part], padding: tuple[int, Side, str, int] | None
    ) -> None:
        """Describe the row of ``ids``.

        Args:
            ids: the row's ids, padding included.
            layout: where its special tokens are.
            parts: the one or two texts in it.
            padding: the length to which it is padded and on which side, the pad token and its segment.
        """
        self.ids = ids
        self._layout = layout
        self._parts = parts
        self._padding = padding

    @property
    def tokens(self) -> list[str]:
        """Each token as the vocabulary writes it."""
        inner = [part.piece.tokens[part.start : part.stop] for part in self._parts]
        return self._padded(self._layout.fill(inner, self._layout.tokens), self._padding[2] if self._padding else "")

    @property
    def type_ids(self) -> list[int]:
        """The segment of each token: 0 for the first text, 1 for the second."""
        inner = map(Part.filled, self._parts, self._layout.text_type_ids)
        return self._padded(self._layout.fill(inner, self._layout.type_ids), self._padding[3] if self._padding else 0)

    @property
    def attention_mask(self) -> list[int]:
        """1 for tokens, 0 for padding."""
        tokens = self._layout.special_count
        for part in self._parts:
            tokens += part.stop - part.start
        return self._padded([1] * tokens, 0)

    @property
    def special_tokens_mask(self) -> list[int]:
        """1 for padding and the special tokens that the layout added, 0 for tokens of the texts."""
        return self._constant([0, 0], 1)

    @property
    def offsets(self) -> list[Offsets]:
        """The characters of its text (or pre-split word) that each token covers; (0, 0) for special tokens."""
        inner = [part.piece.offsets[part.start : part.stop] for part in self._parts]
        return self._padded(self._layout.fill(inner, self._layout.filled((0, 0))), (0, 0))

    @property
    def word_ids(self) -> list[int | None]:
        """The word of its text that each token belongs to; None for special tokens."""
        inner = [part.piece.word_ids[part.start : part.stop] for part in self._parts]
        return self._padded(self._layout.fill(inner, self._layout.filled(None)), None)

    words = word_ids

    @property
    def sequence_ids(self) -> list[int | None]:
        """The text, 0 or 1, that each token comes from; None for special tokens."""
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
        """``texts[0]`` for tokens of the first text, ``texts[1]`` for those of the second, ``special`` elsewhere."""
        return self._padded(
            self._layout.fill(map(Part.filled, self._parts, texts), self._layout.filled(special)), special
        )

    def _padded(self, row: list[T], fill: T) -> list[T]:
        missing = len(self.ids) - len(row)
        if not missing or self._padding is None:
            return row
        return [fill] * missing + row if self._padding[1] == "left" else row + [fill] * missing


def _at(values: list[int | None], token: int) -> int | None:
    return values[token] if 0 <= token < len(values) else None
