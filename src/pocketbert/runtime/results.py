"""From what a model computed for padded or packed rows to one array per row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pocketbert.architecture.heads import BARE, Answer, head_named
from pocketbert.errors import InputError

__all__ = ["answer_of", "check_positions", "chosen_tokens", "split_padded", "split_tokens"]

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def answer_of(has: str, wanted: str) -> Answer:
    """Return the answer with which a model with the head ``has`` serves the head ``wanted``; all give hidden states.

    Raises:
        InputError: it does not serve it. A head with several answers is served by none of them alone.
    """
    answer = head_named(BARE if wanted == BARE else has).answer(wanted)
    if answer is None:
        serves = " or ".join(answer.name for answer in head_named(has).answers)
        raise InputError(f"this model has no {wanted} answer; load it with head {serves}")
    return answer


def check_positions(lengths: Sequence[int], positions: Sequence[Ints]) -> None:
    """Check that positions lie within their rows.

    Raises:
        InputError: one does not, or their number is another than that of the rows.
    """
    if len(positions) != len(lengths):
        raise InputError(f"{len(positions)} lists of positions for {len(lengths)} rows")
    for row, (places, length) in enumerate(zip(positions, lengths, strict=True)):
        if places.size and (places.min() < 0 or places.max() >= length):
            raise InputError(f"positions of row {row} must be within its {length} tokens")


def chosen_tokens(answer: Answer, lengths: Sequence[int], positions: Sequence[Ints] | None) -> list[Ints]:
    """Return the tokens of each row, counted from its start, that get an answer.

    For an answer per position, ``positions`` are the tokens that are asked for; None for all.

    Raises:
        InputError: see ``check_positions``.
    """
    if answer.per == "text":
        return [np.zeros(1, np.int64) for _ in lengths]
    if answer.per == "token" or positions is None:
        return [np.arange(length) for length in lengths]
    check_positions(lengths, positions)
    return list(positions)


def split_tokens(answer: Answer, values: Floats, counts: Sequence[int]) -> list[Floats]:
    """Split values (chosen tokens of all rows, width) by the chosen tokens of each row.

    Returns:
        (width,) per row for an answer per text, else (chosen tokens of the row, width).
    """
    return list(values) if answer.per == "text" else np.split(values, np.cumsum(counts)[:-1])


def split_padded(answer: Answer, values: Sequence[Floats], tokens: Sequence[Ints]) -> list[Floats]:
    """Split the fields of a model that ran on rows padded to one length; the result is as that of ``split_tokens``.

    Args:
        answer: whose fields they are.
        values: one per field: (rows, width) for an answer per text; (rows, longest, width), or (rows, longest) where
            several fields share the width.
        tokens: from ``chosen_tokens``.
    """
    joined = values[0] if len(values) == 1 else np.stack(values, axis=-1)
    if answer.per == "text":
        return list(joined)
    return [joined[row, places] for row, places in enumerate(tokens)]
