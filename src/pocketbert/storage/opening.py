"""Opening files that a stranger may have put there: regular files only, and never more bytes than are asked for."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from pocketbert.errors import CheckpointError

__all__ = ["open_file", "read_bytes"]

_KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "named pipe",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFSOCK: "socket",
}


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file, or a link to one, for reading.

    A pipe or a device may have no end, or wait forever for someone who writes.

    Raises:
        CheckpointError: it is something else.
        OSError: it cannot be opened.
    """
    _check(path, os.stat(path).st_mode)  # before it is opened, which alone can make a device do something
    # it may have become a pipe since, and must not wait for who writes
    number = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        _check(path, os.fstat(number).st_mode)
        return os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise


def read_bytes(path: str | os.PathLike[str], limit: int) -> bytes:
    """Read a regular file of at most ``limit`` bytes.

    Raises:
        CheckpointError: it is absent, larger, no regular file, or cannot be read.
    """
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                raise CheckpointError(f"{path} has {size} bytes, more than the {limit} of any real file of its kind")
            return file.read(size)  # and no more, should it grow
    except FileNotFoundError as error:
        raise CheckpointError(f"no {Path(path).name} in {Path(path).parent}") from error
    except CheckpointError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise CheckpointError(f"cannot read {path}: {error}") from error


def _check(path: str | os.PathLike[str], mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "special file")
        raise CheckpointError(f"{os.fspath(path)} is a {kind}, not a regular file; nothing was read from it")
