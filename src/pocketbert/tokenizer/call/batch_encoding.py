"""The result of a tokenizer call: model inputs by name, and the rows that they were made from."""

from __future__ import annotations

import logging
from collections import UserDict
from collections.abc import Mapping, Sequence
from typing import Any

from pocketbert.errors import InputError
from pocketbert.tokenizer.call.arrays import tensor
from pocketbert.tokenizer.call.encoding import CharSpan, Encoding, TokenSpan

__all__ = ["BatchEncoding"]

logger = logging.getLogger(__name__)


class BatchEncoding(UserDict[str, Any]):
    """Model inputs by name, as a dict and as attributes; by integer, the :class:`Encoding` of a row.

    ``model(**batch)``, ``batch["input_ids"]``, ``batch.input_ids`` and ``batch[0].tokens`` all work. Methods that map
    between tokens, words and characters take ``(row, index)``, or ``(index)`` alone for the first row.

    >>> from pocketbert import BertTokenizerFast
    >>> vocab = {token: id_ for id_, token in enumerate("[UNK] [CLS] [SEP] [PAD] a dog ##s".split())}
    >>> batch = BertTokenizerFast(vocab)(["a dogs"], return_tensors="np")
    >>> batch.input_ids.shape, batch.word_ids(0), batch.char_to_token(0, 5)
    ((1, 5), [None, 0, 1, 1, None], 3)
    """

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        encoding: Encoding | Sequence[Encoding] | None = None,
        tensor_type: str | None = None,
        prepend_batch_axis: bool = False,
        n_sequences: int | None = None,
    ) -> None:
        """Hold ``data``, converted to tensors if ``tensor_type`` is "np", "pt" or "tf".

        Args:
            data: model inputs by name.
            encoding: the row or rows that they were made from.
            tensor_type: the kind of array, if any.
            prepend_batch_axis: whether ``data`` is of one row, and arrays are to be a batch of one.
            n_sequences: the number of texts in each row; by default that of ``encoding``.
        """
        super().__init__(data)
        single = encoding is not None and not isinstance(encoding, Sequence)
        self._encodings: Sequence[Encoding] | None = [encoding] if single else encoding  # type: ignore[assignment, list-item]
        self._n_sequences = n_sequences
        self.convert_to_tensors(tensor_type, prepend_batch_axis)

    def __getitem__(self, key: Any) -> Any:
        """Return the value named ``key``, or for an integer or slice the encodings of those rows."""
        if isinstance(key, str):
            return self.data[key]
        if self._encodings is None and isinstance(key, slice):
            return {name: value[key] for name, value in self.data.items()}
        if self._encodings is None:
            raise KeyError(f"{key!r}: this batch holds no encodings; its keys are {', '.join(self.data)}")
        return self._encodings[key]

    def __getattr__(self, name: str) -> Any:
        """Return the value named ``name``."""
        try:
            return self.__dict__["data"][name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no {name!r}") from None

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: the data and the rows, which hold all that the methods need."""
        return {"data": self.data, "encodings": self.encodings, "n_sequences": self._n_sequences}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Take what :meth:`__getstate__` gave."""
        self.data = state["data"]
        self._encodings = state["encodings"]
        self._n_sequences = state.get("n_sequences")

    @property
    def encodings(self) -> list[Encoding] | None:
        """The rows; None for a batch that was padded or built by hand."""
        return None if self._encodings is None else list(self._encodings)

    @property
    def is_fast(self) -> bool:
        """Whether the methods that map between tokens, words and characters work: for the result of a call."""
        return self._encodings is not None

    @property
    def n_sequences(self) -> int | None:
        """The number of texts in each row, 1 or 2; None where it is not known."""
        if self._n_sequences is None and self._encodings:
            return int(self._encodings[0].n_sequences)
        return self._n_sequences

    def convert_to_tensors(self, tensor_type: str | None = None, prepend_batch_axis: bool = False) -> BatchEncoding:
        """Turn every value into a tensor, in place; see :func:`pocketbert.tokenizer.call.arrays.tensor`."""
        if tensor_type is not None:
            for name, value in self.data.items():
                self.data[name] = tensor([value] if prepend_batch_axis else value, tensor_type, name=name)
        return self

    def to(self, device: Any, *, non_blocking: bool = False) -> BatchEncoding:
        """Move every PyTorch tensor to ``device``, in place; other values stay."""
        if not (isinstance(device, (str, int)) or type(device).__name__ == "device"):
            logger.warning("a batch moves to devices; it is not converted to %s", device)
            return self
        for name, value in self.data.items():
            if hasattr(value, "to"):
                self.data[name] = value.to(device, non_blocking=non_blocking)
        return self

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens of a row."""
        return self._row(batch_index).tokens

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """The number of the word of each token of a row; None for special tokens and padding."""
        return self._row(batch_index).word_ids

    words = word_ids

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """The text, 0 or 1, of each token of a row; None for special tokens and padding."""
        return self._row(batch_index).sequence_ids

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The text, 0 or 1, of a token."""
        row, token = self._token(batch_or_token_index, token_index)
        return row.token_to_sequence(token)

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The number of a token's word; None for special tokens."""
        row, token = self._token(batch_or_token_index, token_index)
        return row.token_to_word(token)

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """The characters that a token covers; None for special tokens."""
        row, token = self._token(batch_or_token_index, token_index)
        return row.token_to_chars(token)

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The token that covers a character; None for a character that no token covers."""
        row, char = self._split(batch_or_char_index, char_index)
        return row.char_to_token(char, sequence_index)

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The number of the word that covers a character; None for a character in no word."""
        row, char = self._split(batch_or_char_index, char_index)
        return row.char_to_word(char, sequence_index)

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """The tokens of a word."""
        row, word = self._split(batch_or_word_index, word_index)
        return row.word_to_tokens(word, sequence_index)

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan | None:
        """The characters of a word."""
        row, word = self._split(batch_or_word_index, word_index)
        return row.word_to_chars(word, sequence_index)

    @property
    def _rows(self) -> Sequence[Encoding]:
        if self._encodings is None:
            raise InputError("this batch holds no encodings; they come with a tokenizer's call, not with pad()")
        return self._encodings

    def _row(self, index: int) -> Encoding:
        rows = self._rows
        if not -len(rows) <= index < len(rows):
            raise InputError(f"row {index} of a batch of {len(rows)}")
        return rows[index]

    def _split(self, first: int, second: int | None) -> tuple[Encoding, int]:
        return (self._row(0), first) if second is None else (self._row(first), second)

    def _token(self, first: int, second: int | None) -> tuple[Encoding, int]:
        row, token = self._split(first, second)
        return row, token + len(row) if token < 0 else token
