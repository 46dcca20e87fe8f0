"""Examples on disk: an Arrow file that is made once per data, tokenizer and settings, and read by memory mapping."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketbert.errors import InputError
from pocketbert.extras import require
from pocketbert.training.examples import Example

__all__ = ["Table", "digest", "make_table", "table_path"]

_AT_ONCE = 1000  # examples that are written together


class Table:
    """Examples by index; ``sizes`` tells how long each is.

    Args:
        path: the Arrow file.
    """

    def __init__(self, path: Path) -> None:
        datasets = require("datasets")
        self.path = path
        self.rows = datasets.Dataset.from_file(str(path))
        sizes = self.rows.data.column("size").combine_chunks()
        self.sizes: NDArray[np.int64] = np.asarray(sizes, np.int64)

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, places: list[int]) -> list[Example]:
        """Return the examples at these places."""
        columns = self.rows[places]
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def make_table(examples: Iterable[Example], key: str) -> Table:
    """Return the table of a key, and make it from ``examples`` where it does not exist yet.

    Raises:
        InputError: there are no examples.
        MissingExtra: the package ``datasets`` is not installed.
    """
    path = table_path(key)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.part")
        try:
            _write(examples, unfinished)
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
    return Table(path)


def table_path(key: str) -> Path:
    """Return where the table of a key lies, or would."""
    return Path(require("datasets").config.HF_DATASETS_CACHE) / "pocketbert" / f"{key}.arrow"


def _write(examples: Iterable[Example], path: Path) -> None:
    arrow: Any = import_module("pyarrow")
    writer = schema = None
    waiting = iter(examples)
    with path.open("wb") as file:
        while part := list(islice(waiting, _AT_ONCE)):
            if writer is None:
                schema = _schema(arrow, arrow.RecordBatch.from_pylist(part).schema)
                writer = arrow.ipc.new_stream(file, schema)
            writer.write_batch(arrow.RecordBatch.from_pylist(part, schema=schema))
        if writer is None:
            raise InputError("there is nothing to train on: no record gives an example")
        writer.close()
        file.flush()
        os.fsync(file.fileno())


def _schema(arrow: Any, found: Any) -> Any:
    """Return the columns' types, with small ones for ids: most of a corpus is ids."""
    narrow = {"rows": arrow.list_(arrow.list_(arrow.int32())), "types": arrow.list_(arrow.list_(arrow.int8()))}
    return arrow.schema([arrow.field(each.name, narrow.get(each.name, each.type)) for each in found])


def digest(*parts: Any) -> str:
    """Return a short name for what examples are made of: files by their content, everything else by its JSON."""
    total = hashlib.sha256()
    for part in parts:
        for block in _blocks(part):
            total.update(block)
        total.update(b"\0")
    return total.hexdigest()[:32]


def _blocks(part: Any) -> Iterator[bytes]:
    if not isinstance(part, Path):
        yield json.dumps(part, sort_keys=True, default=str).encode()
        return
    with part.open("rb") as file:
        yield from iter(lambda: file.read(1 << 20), b"")
