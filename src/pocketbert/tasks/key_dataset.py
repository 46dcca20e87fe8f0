"""One column of a data set, as the input of a pipeline."""

from __future__ import annotations

from typing import Any

__all__ = ["KeyDataset", "KeyPairDataset"]


class KeyDataset:
    """The values under one key: ``pipe(KeyDataset(dataset, "text"))``.

    >>> from pocketbert.pipelines.pt_utils import KeyDataset
    >>> list(KeyDataset([{"text": "a"}, {"text": "b"}], "text"))
    ['a', 'b']
    """

    def __init__(self, dataset: Any, key: str) -> None:
        self.dataset = dataset
        self.key = key

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, i: int) -> Any:
        return self.dataset[i][self.key]


class KeyPairDataset:
    """The values under two keys, as pairs of texts."""

    def __init__(self, dataset: Any, key1: str, key2: str) -> None:
        self.dataset = dataset
        self.key1 = key1
        self.key2 = key2

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"text": self.dataset[i][self.key1], "text_pair": self.dataset[i][self.key2]}
