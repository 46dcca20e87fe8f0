"""Rows of Parquet files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from pocketbert.errors import InputError, PocketBertError
from pocketbert.extras import require

__all__ = ["count_rows", "open_rows"]

_ROWS = 256  # read at once


def open_rows(path: str | os.PathLike[str], wanted: Iterable[str]) -> tuple[list[str], Iterator[dict[str, Any]]]:
    """Return the names of a file's columns, and its rows with those that are wanted, read lazily.

    Raises:
        InputError: the file is damaged, now or at a row.
        OSError: it cannot be read.
        MissingExtra: pyarrow is not installed.
    """
    with _refusing(path):
        file = _opened(path)
        names = list(file.schema_arrow.names)

    def rows() -> Iterator[dict[str, Any]]:
        with _refusing(path), file:
            for batch in file.iter_batches(_ROWS, columns=[name for name in wanted if name in names]):
                yield from batch.to_pylist()

    return names, rows()


def count_rows(path: str | os.PathLike[str]) -> int:
    """Return the number of a file's rows; see ``open_rows`` for what is raised."""
    with _refusing(path):
        return int(_opened(path).metadata.num_rows)


def _opened(path: str | os.PathLike[str]) -> Any:
    require("pyarrow")
    return import_module("pyarrow.parquet").ParquetFile(path)


@contextmanager
def _refusing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what pyarrow raises at a damaged file into our error; what the system says of a file has a number."""
    try:
        yield
    except (PocketBertError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{path} is not Parquet, or is damaged: {lines[0]}") from error
