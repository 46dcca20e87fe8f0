"""A file whose numbers are read piece by piece, which holds only as long as nobody changes it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pocketbert.errors import CheckpointError
from pocketbert.storage.opening import open_file

__all__ = ["WatchedFile"]


class WatchedFile:
    """A regular file that is opened several times, and refused once it is not the one that was opened first.

    What is read is copied: of a mapped file that is cut short while it is in use, the system would kill the process.

    Attributes:
        path: where it lies.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._state: tuple[int, ...] = ()

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open it.

        Raises:
            CheckpointError: it was replaced or changed since it was first opened, or is no regular file.
            OSError: it cannot be opened.
        """
        with open_file(self.path) as file:
            found = os.fstat(file.fileno())
            state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            if self._state not in ((), state):
                raise CheckpointError(f"{self.path} was changed while it was read; load it again")
            self._state = state
            yield file

    def numbers(self, dtype: DTypeLike, count: int, offset: int) -> NDArray[Any]:
        """Read ``count`` numbers from byte ``offset`` on, which the file must be known to have.

        Raises:
            CheckpointError: it was replaced, changed or cut short since it was first opened, or cannot be read.
        """
        try:
            with self.open() as file:
                return read_numbers(file, dtype, count, offset)
        except CheckpointError:
            raise
        except OSError as error:
            raise CheckpointError(f"cannot read {self.path}: {error}") from error


def read_numbers(file: BinaryIO, dtype: DTypeLike, count: int, offset: int) -> NDArray[Any]:
    """Read ``count`` numbers from byte ``offset`` on, which the file must be known to have.

    Raises:
        CheckpointError: it was cut short meanwhile.
    """
    numbers = np.empty(count, dtype)
    file.seek(offset)
    if file.readinto(numbers.view(np.uint8)) != numbers.nbytes:  # type: ignore[attr-defined]  # a BufferedReader
        raise CheckpointError(f"{file.name} was cut short while it was read; load it again")
    return numbers
