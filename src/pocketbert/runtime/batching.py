"""Rows in, rows out: length-sorted token-budget batches, packed without padding, results in the order that was asked.

A *row* is what the model sees at once: the tokens of a text, of a pair, or of a window of a long text. A *runner* is
anything that maps a packed batch to one array a row; this file knows nothing of how it does that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.errors import InputError, PrecisionError
from pocketbert.plan.batch import PackedBatch, Row, pack

__all__ = [
    "BATCH_TOKENS",
    "LOOKAHEAD",
    "PAUSE",
    "PackedBatch",
    "Pause",
    "Row",
    "Runner",
    "batches",
    "chunks",
    "groups",
    "pack",
    "rectangle",
    "run_rows",
]

BATCH_TOKENS = 2048  # tokens of a batch, counted as if its rows were padded to the longest
LOOKAHEAD = 256  # inputs that are read ahead of the answers, so that there is something to sort

_SLACK = 0.15  # padding that a group of rows may hold, as a share of its tokens
_MOST_TOKENS = 4096  # of a group, unless one row alone is longer; it bounds the memory of a call


class Pause(Enum):
    """Stands among the items of ``chunks`` where the next one may take long to come."""

    PAUSE = "pause"


PAUSE = Pause.PAUSE

T = TypeVar("T")
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


class Runner(Protocol):
    """What runs a model: float32 logits or states for a packed batch.

    The array of a row is what that row gives alone, whatever else is in the batch. Its shape depends on ``head``, for
    T tokens, N labels, P positions, V words and hidden size W: ``"none"`` (T, W), ``"masked_lm"`` (P, V),
    ``"sequence_classification"`` (N,), ``"multiple_choice"`` (1,), ``"next_sentence"`` (2,),
    ``"token_classification"`` (T, N), ``"question_answering"`` (T, 2): start and end.
    """

    @property
    def config(self) -> PretrainedConfig:
        """The model's configuration."""

    @property
    def head(self) -> str:
        """The head that it runs."""

    def __call__(self, batch: PackedBatch) -> Sequence[Floats]:
        """Return one array a row, in the batch's order."""


def batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Group rows of these lengths, longest first, so that rows times longest row stays within ``budget`` tokens.

    Returns:
        Indices into ``lengths``; each stands in exactly one group. A row longer than the budget is a group of its own.
    """
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])  # stable: equal lengths keep their order
    groups: list[list[int]] = []
    for row in order:
        if groups and (len(groups[-1]) + 1) * lengths[groups[-1][0]] <= budget:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def run_rows(runner: Runner, rows: Sequence[Row], budget: int = BATCH_TOKENS) -> list[Floats]:
    """Run every row in token-budget batches.

    Returns:
        One array a row, in the order of ``rows``.

    Raises:
        PrecisionError: an output is NaN or infinite.
    """
    outputs: list[Any] = [None] * len(rows)
    for group in batches([len(row) for row in rows], budget):
        found = runner(pack([rows[index] for index in group]))
        for index, array in zip(group, found, strict=True):
            if not np.isfinite(array).all():
                raise PrecisionError(
                    f"the model's output for a row of {len(rows[index])} tokens is not finite: its activations "
                    "overflow in this dtype, or its weights are damaged; try float32"
                )
            outputs[index] = array
    return outputs


def chunks(
    items: Iterable[T | Pause],
    size_of: Callable[[T], int],
    *,
    lookahead: int = LOOKAHEAD,
    limit: int,
    ramp: bool = False,
) -> Iterator[list[T]]:
    """Cut ``items`` into lists that are worth sorting, reading no further ahead than the list that is being made.

    Args:
        items: read lazily. At ``PAUSE`` a list ends, so that nothing waits for an item that is not there yet.
        size_of: the size of an item.
        lookahead: most items of a list.
        limit: a list ends with the item that brings its size to this.
        ramp: begin with lists of 1, 2, 4, ... items, so that the first answers come at once.
    """
    if isinstance(lookahead, bool) or not isinstance(lookahead, int) or lookahead < 1:
        raise InputError(f"lookahead={lookahead!r} must be a whole number of at least 1")
    count = 1 if ramp else lookahead
    chunk: list[T] = []
    size = 0
    for item in items:
        if item is not PAUSE:
            chunk.append(item)
            size += size_of(item)
        if chunk and (item is PAUSE or len(chunk) >= count or size >= limit):
            yield chunk
            chunk, size, count = [], 0, min(2 * count, lookahead)
    if chunk:
        yield chunk


def groups(lengths: Sequence[int]) -> list[list[int]]:
    """Group a batch's rows, longest first, for a runner that pads: little of a group is padding, and none is large."""
    found: list[list[int]] = []
    tokens = 0
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        tokens += lengths[row]
        area = lengths[found[-1][0]] * (len(found[-1]) + 1) if found else 0
        if found and tokens >= (1 - _SLACK) * area and area <= _MOST_TOKENS:
            found[-1].append(row)
        else:
            found.append([row])
            tokens = lengths[row]
    return found


def rectangle(batch: PackedBatch, rows: Sequence[int], typed: bool) -> dict[str, Ints]:
    """Return the inputs of a model that takes rectangles, for some rows: each (rows, longest), 0 beyond a row's end."""
    names = ("input_ids", "attention_mask", "token_type_ids")[: 3 if typed else 2]
    feed = {name: np.zeros((len(rows), int(batch.lengths[list(rows)].max())), np.int64) for name in names}
    for line, row in enumerate(rows):
        text = slice(int(batch.cu_seqlens[row]), int(batch.cu_seqlens[row + 1]))
        length = text.stop - text.start
        feed["input_ids"][line, :length] = batch.input_ids[text]
        feed["attention_mask"][line, :length] = 1
        if typed and batch.token_type_ids is not None:
            feed["token_type_ids"][line, :length] = batch.token_type_ids[text]
    return feed
