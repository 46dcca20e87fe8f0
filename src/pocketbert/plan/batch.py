"""Texts laid end to end, without padding: what a plan runs on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.errors import InputError

__all__ = ["PackedBatch", "Row", "check_batch", "pack"]

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Row:
    """One sequence of tokens, special tokens included.

    Attributes:
        input_ids: the tokens.
        token_type_ids: the segment of each token; None if all are 0.
        positions: the tokens whose word logits are wanted, for a runner with a masked-language-model head.
    """

    input_ids: Sequence[int]
    token_type_ids: Sequence[int] | None = None
    positions: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(frozen=True)
class PackedBatch:
    """Rows laid end to end, without padding.

    Attributes:
        input_ids: (tokens,) int64, the rows one after the other.
        token_type_ids: (tokens,) int64, or None if all are 0.
        cu_seqlens: (rows + 1,) int64; row r is ``input_ids[cu_seqlens[r] : cu_seqlens[r + 1]]``.
        positions: (n,) int64 per row: the tokens whose word logits are wanted, counted from the row's start; None for
            every token of every row.
    """

    input_ids: Ints
    token_type_ids: Ints | None
    cu_seqlens: Ints
    positions: tuple[Ints, ...] | None = None

    @property
    def lengths(self) -> Ints:
        """(rows,) tokens of each row."""
        return np.diff(self.cu_seqlens)

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.cu_seqlens) - 1


def pack(rows: Sequence[Row]) -> PackedBatch:
    """Lay ``rows`` end to end."""
    ends = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    types: Ints | None = None
    if any(row.token_type_ids is not None for row in rows):
        types = np.fromiter(
            chain.from_iterable(row.token_type_ids or [0] * len(row) for row in rows), np.int64, int(ends[-1])
        )
    positions = None
    if any(row.positions is not None for row in rows):
        positions = tuple(
            np.asarray(range(len(row)) if row.positions is None else row.positions, np.int64) for row in rows
        )
    ids = np.fromiter(chain.from_iterable(row.input_ids for row in rows), np.int64, int(ends[-1]))
    return PackedBatch(ids, types, ends, positions)


def check_batch(config: PretrainedConfig, batch: PackedBatch, *, typed: bool) -> None:
    """Check a batch against a model, its token types only if the model is ``typed``.

    Raises:
        InputError: there is no row, a row is empty or longer than the model's positions, or an id or a type is out of
            range.
    """
    limit = config.max_position_embeddings
    if len(batch) == 0 or batch.lengths.min() < 1:
        raise InputError("a batch needs at least one row, and every row at least one token")
    if batch.lengths.max() > limit:
        raise InputError(f"{batch.lengths.max()} tokens exceed the model's {limit} positions; cut or window the text")
    ranges = [("input_ids", batch.input_ids, config.vocab_size)]
    if typed and batch.token_type_ids is not None:
        ranges.append(("token_type_ids", batch.token_type_ids, config.type_vocab_size))
    for name, values, count in ranges:
        outside = values[(values < 0) | (values >= count)]
        if outside.size:
            raise InputError(f"{name} holds {outside[0]}; the model knows 0 .. {count - 1}")
