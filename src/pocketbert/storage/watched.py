"""A file whose numbers are read piece by piece, which holds only as long as nobody changes it."""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pocketbert.errors import CheckpointError
from pocketbert.storage.opening import open_file

__all__ = ["WatchedFile"]

_windows = threading.Lock()  # which has no way to read at a place but to go there first


class WatchedFile:
    """A regular file that stays open, and is refused once somebody changes it; one that replaces it is not seen.

    What is read is copied: of a mapped file that is cut short while it is in use, the system would kill the process.
    Threads, and processes that a fork made, may read at once.

    Attributes:
        path: where it lies.
        file: it, opened for reading; closed when this object goes.

    Raises:
        CheckpointError: it is no regular file.
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = open_file(path)
        weakref.finalize(self, self.file.close)
        self._state = _state_of(self.file)

    def numbers(self, dtype: DTypeLike, count: int, offset: int) -> NDArray[Any]:
        """Read ``count`` numbers from byte ``offset`` on, which the file had when it was opened.

        Raises:
            CheckpointError: the file was changed since, or cannot be read.
        """
        numbers = np.empty(count, dtype)
        left = memoryview(numbers.view(np.uint8).data) if count else memoryview(b"")
        try:
            while left:
                done = _read_at(self.file, left, offset)
                if done == 0:
                    break
                left, offset = left[done:], offset + done
            is_whole = not left and _state_of(self.file) == self._state
        except OSError as error:
            raise CheckpointError(f"cannot read {self.path}: {error}") from error
        if not is_whole:
            raise CheckpointError(f"{self.path} was changed or cut short while it was read; load it again")
        return numbers


def _read_at(file: BinaryIO, target: memoryview, offset: int) -> int:
    """Read bytes from a place on, some or all of those that ``target`` has room for, and return how many."""
    if hasattr(os, "preadv"):
        return os.preadv(file.fileno(), [target], offset)
    with _windows:
        file.seek(offset)
        return int(file.readinto(target))  # type: ignore[attr-defined]  # BinaryIO lacks it


def _state_of(file: BinaryIO) -> tuple[int, int]:
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns
