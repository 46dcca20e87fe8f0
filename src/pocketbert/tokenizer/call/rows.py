"""The rows of a call: which tokens of which texts stand in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, overload

from pocketbert.errors import InputError
from pocketbert.tokenizer.call.encoding import Encoding, Part, Pieces
from pocketbert.tokenizer.call.padding import Padding, pad_row
from pocketbert.tokenizer.call.row_layout import Layout
from pocketbert.tokenizer.call.truncation import Span, Truncation, row_spans

__all__ = ["Rows", "Tokenized"]


@dataclass(frozen=True)
class Tokenized:
    """The tokens of several texts: the ids of each, and where to look up tokens, words and offsets of one."""

    ids: list[list[int]]
    pieces: Pieces


class Rows(Sequence[Encoding]):
    """A sequence with one :class:`Encoding` per row, made when the row is read.

    ``ids`` holds the ids of every row, ``samples`` the number of the text, or pair, that each row is from.
    """

    def __init__(
        self,
        tokens: Tokenized,
        members: Sequence[tuple[int, ...]],
        layouts: tuple[Layout, Layout],
        cut: Truncation | None,
        *,
        overflow: bool,
    ) -> None:
        """Cut texts and put special tokens around them.

        Args:
            tokens: the tokens of every text.
            members: the numbers of the one or two texts of each row.
            layouts: of a row of one text, and of a row of two.
            cut: how to truncate; None to leave texts whole.
            overflow: whether every window of a truncated text becomes a row, or only the first.

        Raises:
            InputError: a text cannot be truncated as asked.
        """
        self.ids: list[list[int]] = []
        self.samples: list[int] = []
        self._tokens = tokens
        self._members = members
        self._layouts = layouts
        self._spans: list[tuple[Span, ...] | None] = []  # None: whole texts
        self._lengths: list[int] = []  # of the rows before padding
        self._padding: Padding | None = None
        self._alone = all(len(texts) == 1 for texts in members)
        head, tail = layouts[0].ids
        for sample, texts in enumerate(members):
            if cut is None and len(texts) == 1:  # the usual case, spelled out for speed
                self._append(sample, None, [*head, *tokens.ids[texts[0]], *tail])
                continue
            layout = layouts[len(texts) - 1]
            ids = [tokens.ids[text] for text in texts]
            lengths = tuple(map(len, ids))
            if cut is None or (room := _room(layout, cut, overflow=overflow)) >= sum(lengths):
                self._append(sample, None, layout.fill(ids, layout.ids))
                continue
            try:
                rows = row_spans(
                    lengths, room, strategy=cut.strategy, stride=cut.stride, side=cut.side, overflow=overflow
                )
            except InputError as error:
                raise InputError(f"text {sample}: {error}") from None
            for spans in rows:
                inner = [text[start:stop] for text, (start, stop) in zip(ids, spans, strict=True)]
                self._append(sample, spans, layout.fill(inner, layout.ids))

    def pad(self, padding: Padding) -> None:
        """Pad every row to the length that ``padding`` asks for; longer rows stay as they are."""
        self._padding = padding
        length = padding.target(max(self._lengths, default=0))
        self.ids = [pad_row(ids, length, padding.id, padding.side) for ids in self.ids]

    def column(self, attribute: str) -> list[Any]:
        """Return an attribute of every row; for speed, usual columns are made without Encodings."""
        if attribute == "attention_mask":
            return [self._filled(index, 1, 0) for index in range(len(self))]
        single = self._layouts[0]
        if attribute == "type_ids" and self._alone and not any(chain(single.text_type_ids, *single.type_ids)):
            fill = self._padding.type_id if self._padding else 0
            return [self._filled(index, 0, fill) for index in range(len(self))]
        if attribute == "offsets" and self._alone and self._padding is None and not any(self._spans):
            head, tail = single.filled((0, 0))
            return [[*head, *self._tokens.pieces[text].offsets, *tail] for (text,) in self._members]
        return [getattr(row, attribute) for row in self]

    def _filled(self, index: int, value: int, fill: int) -> list[int]:
        """Return ``value`` for each token of a row and ``fill`` for its padding."""
        row = [value] * self._lengths[index]
        return pad_row(row, len(self.ids[index]), fill, self._padding.side) if self._padding else row

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Encoding: ...
    @overload
    def __getitem__(self, index: slice) -> list[Encoding]: ...

    def __getitem__(self, index: int | slice) -> Encoding | list[Encoding]:
        """A row, or a list of rows."""
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        texts = self._members[self.samples[index]]
        spans = self._spans[index] or tuple((0, len(self._tokens.ids[text])) for text in texts)
        parts = [Part(self._tokens.pieces, text, *span) for text, span in zip(texts, spans, strict=True)]
        return Encoding(self.ids[index], self._layouts[len(parts) - 1], parts, self._padding)

    def _append(self, sample: int, spans: tuple[Span, ...] | None, ids: list[int]) -> None:
        self.samples.append(sample)
        self._spans.append(spans)
        self._lengths.append(len(ids))
        self.ids.append(ids)


def _room(layout: Layout, cut: Truncation, *, overflow: bool) -> int:
    """Return how many tokens of texts fit in a row."""
    room = cut.length - layout.special_count
    if room < 0 or (room <= cut.stride and (overflow or cut.stride)):
        raise InputError(
            f"max_length={cut.length} with stride={cut.stride} leaves no room for text beside {layout.special_count} "
            f"special tokens; pass a max_length of at least {layout.special_count + cut.stride + 1}"
        )
    return room
