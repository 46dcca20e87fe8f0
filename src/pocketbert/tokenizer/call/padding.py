"""Padding: which length a call asks for, and rows filled up to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from pocketbert.errors import InputError
from pocketbert.tokenizer.call.texts import NO_LIMIT, Side, choice, whole_number

__all__ = ["Padding", "RowPadding", "pad_row", "padding_of"]

T = TypeVar("T")
_STRATEGIES = {True: "longest", "longest": "longest", "max_length": "max_length", False: None, "do_not_pad": None}


@dataclass(frozen=True)
class Padding:
    """Pad to ``length`` tokens (to the longest row if it is None), rounded up to a multiple of ``multiple``."""

    length: int | None
    multiple: int | None
    side: Side

    def target(self, longest: int) -> int:
        """Return the length to pad to in a batch whose longest row has ``longest`` tokens."""
        length = longest if self.length is None else self.length
        return -(-length // self.multiple) * self.multiple if self.multiple else length


class RowPadding(NamedTuple):
    """How rows were padded: the side, the pad token, its id and its segment."""

    side: Side
    token: str
    id: int
    type_id: int


def pad_row(row: list[T], length: int, value: T, side: Side) -> list[T]:
    """Return ``row`` with ``value`` added on ``side`` until it has ``length`` entries; a longer row stays as it is."""
    fill = [value] * (length - len(row))
    return fill + row if side == "left" else row + fill


def padding_of(
    padding: Any, *, max_length: int | None, multiple: Any, side: Side, model_max_length: int
) -> Padding | None:
    """Check the ``padding`` argument of a call; None for no padding.

    Raises:
        InputError: an unknown strategy, or ``"max_length"`` where neither the call nor the tokenizer has a length.
    """
    strategy = choice("padding", padding, _STRATEGIES)
    if multiple is not None:
        whole_number("pad_to_multiple_of", multiple, least=1)
    if strategy is None:
        return None
    if strategy == "longest":
        return Padding(None, multiple, side)
    length = model_max_length if max_length is None else max_length
    if length >= NO_LIMIT:
        raise InputError(
            "padding='max_length' needs a length and this tokenizer has no model_max_length; pass max_length"
        )
    return Padding(length, multiple, side)
