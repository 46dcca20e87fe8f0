"""Padding: which length a call asks for, and rows filled up to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from pocketbert.tokenizer.call.texts import Side

__all__ = ["PADDINGS", "Padding", "pad_row"]

T = TypeVar("T")
PADDINGS = {True: "longest", "longest": "longest", "max_length": "max_length", False: None, "do_not_pad": None}


@dataclass(frozen=True)
class Padding:
    """Pad to ``length`` tokens (to the longest row if it is None), rounded up to a multiple of ``multiple``.

    ``token``, ``id`` and ``type_id`` are the pad token, its id and its segment.
    """

    length: int | None
    multiple: int | None
    side: Side
    token: str
    id: int
    type_id: int

    def target(self, longest: int) -> int:
        """Return the length to pad to in a batch whose longest row has ``longest`` tokens."""
        length = longest if self.length is None else self.length
        return -(-length // self.multiple) * self.multiple if self.multiple else length


def pad_row(row: list[T], length: int, value: T, side: Side) -> list[T]:
    """Return ``row`` with ``value`` added on ``side`` until it has ``length`` entries; a longer row stays as it is."""
    fill = [value] * (length - len(row))
    return fill + row if side == "left" else row + fill
