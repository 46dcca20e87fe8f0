"""From a ``datasets.Dataset`` to a ``tf.data.Dataset`` that ``fit`` takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from pocketbert.errors import InputError

__all__ = ["Batches"]

_LABELS = {"label": "labels", "label_ids": "labels"}


class Batches:
    """What a model reads of a dataset."""

    def prepare_tf_dataset(
        self,
        dataset: Any,
        batch_size: int = 8,
        shuffle: bool = True,
        tokenizer: Any = None,
        collate_fn: Callable[..., Any] | None = None,
        collate_fn_args: dict[str, Any] | None = None,
        drop_remainder: bool | None = None,
        prefetch: bool = True,
    ) -> Any:
        """Wrap a ``datasets.Dataset`` as batches of inputs and labels; columns that the model lacks are dropped.

        Args:
            dataset: rows that a tokenizer made, with ``label`` or the names of the model's labels.
            batch_size: rows of a batch.
            shuffle: whether rows come in random order.
            tokenizer: pads each batch; without one, rows must have equal lengths.
            collate_fn: makes a batch of a list of rows, in place of the tokenizer.
            collate_fn_args: its further arguments.
            drop_remainder: whether to drop a last batch that is not full; as ``shuffle`` where None.
            prefetch: whether to make batches ahead.

        Returns:
            a ``tf.data.Dataset``.

        Raises:
            TypeError: ``dataset`` is of another kind.
            InputError: it has no column that the model takes.
        """
        if not hasattr(dataset, "to_tf_dataset"):
            raise TypeError(f"dataset must be a datasets.Dataset, not a {type(dataset).__name__}")
        taken = list(inspect.signature(type(self).call).parameters)[1:]  # type: ignore[attr-defined]
        labels = set(getattr(self, "label_names", ()))
        kept = [name for name in dataset.column_names if name in taken or (labels and name in _LABELS)]
        if not kept:
            raise InputError(
                f"dataset has none of {', '.join(taken)}; its columns are {', '.join(dataset.column_names)}"
            )
        dataset = dataset.remove_columns([name for name in dataset.column_names if name not in kept])
        collate = collate_fn or partial(_collate, tokenizer=tokenizer)
        options = collate_fn_args or {}
        made = collate([dataset[index] for index in range(min(len(dataset), 2))], **options)
        features = [name for name in made if name in taken and name not in labels]
        wanted = [name for name in made if name in labels]
        return dataset.to_tf_dataset(
            columns=features[0] if len(features) == 1 else features,
            label_cols=wanted[0] if len(wanted) == 1 else wanted,
            batch_size=batch_size,
            shuffle=shuffle,
            drop_remainder=shuffle if drop_remainder is None else drop_remainder,
            collate_fn=collate,
            collate_fn_args=options,
            prefetch=prefetch,
        )


def _collate(rows: Sequence[dict[str, Any]], tokenizer: Any) -> dict[str, Any]:
    """Make a batch of rows; ``label`` and ``label_ids`` become ``labels``."""
    rows = [{_LABELS.get(name, name): value for name, value in row.items()} for row in rows]
    if tokenizer is not None:
        return dict(tokenizer.pad(rows, return_tensors="np"))
    batch = {}
    for name in rows[0]:
        try:
            batch[name] = np.asarray([row[name] for row in rows])
        except ValueError as error:
            raise InputError(f"{name} has rows of different lengths; pass tokenizer= to pad them") from error
    return batch
