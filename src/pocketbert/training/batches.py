"""Batches of tensors: examples padded to the longest, prepared by loader processes if asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from pocketbert.architecture.forward import IGNORE
from pocketbert.errors import InputError
from pocketbert.training.examples import Example
from pocketbert.training.order import Share
from pocketbert.training.tables import Table

__all__ = ["Batch", "Collate", "Padder", "loader"]

Batch = dict[str, Tensor]
Collate = Callable[[list[Example], Share], Batch]  # a function of the examples and of its place in the run, no more


class Padder:
    """Pads examples into rectangles.

    Args:
        pad: the id of ``[PAD]``.
        together: whether an example's rows stay together: (batch, choices, tokens); else rows are laid one after the
            other, (rows, tokens).
    """

    def __init__(self, pad: int, together: bool = False) -> None:
        self.pad = pad
        self.together = together

    def __call__(self, examples: list[Example], share: Share) -> Batch:
        """Return ``input_ids``, ``attention_mask``, ``token_type_ids`` if there are types, and the labels."""
        rows = [row for example in examples for row in example["rows"]]
        longest = max(map(len, rows))
        batch = {"input_ids": _rectangle(rows, longest, self.pad)}
        lengths = torch.tensor([len(row) for row in rows])
        batch["attention_mask"] = (torch.arange(longest)[None, :] < lengths[:, None]).long()
        if "types" in examples[0]:
            batch["token_type_ids"] = _rectangle([row for e in examples for row in e["types"]], longest, 0)
        if self.together:
            counts = {len(example["rows"]) for example in examples}
            if len(counts) > 1:
                raise InputError(f"records of one run need equally many choices, not {sorted(counts)}")
            batch = {name: value.view(len(examples), -1, longest) for name, value in batch.items()}
        for name in examples[0].keys() - {"rows", "types", "size"}:
            values = [example[name] for example in examples]
            per_token = isinstance(values[0], list) and isinstance(values[0][0], int)
            batch[name] = _rectangle(values, longest, IGNORE) if per_token else torch.tensor(values)
        return batch


def _rectangle(rows: Sequence[Sequence[int]], width: int, fill: int) -> Tensor:
    out = torch.full((len(rows), width), fill, dtype=torch.long)
    for place, row in enumerate(rows):
        out[place, : len(row)] = torch.tensor(row)
    return out


class _Shares(torch.utils.data.Dataset[tuple[Share, Batch]]):
    """Makes the batch of a share; the sampler's items are the shares themselves."""

    def __init__(self, table: Table, collate: Collate) -> None:
        self.table = table
        self.collate = collate

    def __getitem__(self, share: Any) -> tuple[Share, Batch]:
        return share, self.collate(self.table[list(share.examples)], share)


def loader(table: Table, collate: Collate, shares: Iterator[Share], workers: int) -> Iterator[tuple[Share, Batch]]:
    """Yield the batch of each share, in order, made by as many processes; 0 for none but this."""
    sampler: Any = _Lazy(shares)
    return iter(
        torch.utils.data.DataLoader(_Shares(table, collate), batch_size=None, sampler=sampler, num_workers=workers)
    )


class _Lazy(torch.utils.data.Sampler[Share]):
    def __init__(self, shares: Iterator[Share]) -> None:
        self.shares = shares

    def __iter__(self) -> Iterator[Share]:
        return self.shares
