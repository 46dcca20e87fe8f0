"""The file that answers go to: one process writes it, and it holds whole lines, whatever ends the run."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TextIO

from pocketbert.errors import InputError
from pocketbert.storage.locking import acquire

__all__ = ["Device", "OutputFile", "Sink", "check_output", "check_stdout", "is_device", "is_stdout"]


class Sink(Protocol):
    """Takes text: a text stream, or an ``OutputFile``."""

    def write(self, text: str, /) -> object:
        """Write text."""

    def flush(self) -> None:
        """Let others see what was written."""


def is_stdout(path: Path) -> bool:
    """Whether a name stands for standard output."""
    return str(path) in ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def check_output(path: Path, sources: Iterable[str | Path], *, resume: bool, overwrite: bool) -> None:
    """Refuse a file that cannot or must not be written, before anything is touched.

    Args:
        path: the file.
        sources: the files that are read; ``"-"`` is standard input.
        resume: the file is to be continued.
        overwrite: the file is to be replaced.

    Raises:
        InputError: it is a folder, or in none; it is what is read; it exists, and is not to be changed.
    """
    if resume and overwrite:
        raise InputError("--resume and --overwrite contradict each other; pass one of them")
    if path.is_dir():
        raise InputError(f"--output {path} is a folder; name a file")
    if not path.parent.is_dir():
        raise InputError(f"--output {path}: there is no folder {path.parent}; make it first")
    if os.path.lexists(path):
        if path.exists() and any(_same(path.stat(), source) for source in sources):
            raise InputError(f"--output {path} is what is read, and would be lost; name another file")
        if not (resume or overwrite) and not is_device(path):
            raise InputError(f"{path} exists; pass --resume to continue it or --overwrite to replace it")
    if resume and is_device(path):
        raise InputError(f"--resume needs an output file, and {path} is none")


def check_stdout(stream: TextIO, source: str) -> None:
    """Refuse to read what is written: it would never end.

    Raises:
        InputError: the input is the file that standard output was sent to.
    """
    try:
        output = os.fstat(stream.fileno())
    except (OSError, ValueError):  # it has no descriptor, or is closed
        return
    if _same(output, source):
        raise InputError("standard output goes to the input, which would never end; send it to another file")


def _same(output: os.stat_result, source: str | Path) -> bool:
    """Whether an output is the regular file that is read; ``"-"`` is standard input."""
    with suppress(OSError):  # it is not there, or closed: whoever reads it says so
        there = os.fstat(0) if source == "-" else os.stat(source)
        return stat.S_ISREG(there.st_mode) and os.path.samestat(there, output)
    return False


def is_device(path: Path) -> bool:
    """Whether it is there and no regular file, such as /dev/null: there is nothing in it to lose or to continue."""
    return path.exists() and not path.is_file()


class OutputFile:
    """A regular file that this process alone writes; what it is told to write is there as a whole or not at all.

    Attributes:
        path: its name.
        descriptor: reads and writes it.
        end: its size.
        is_new: it was not there before.
    """

    def __init__(self, path: Path, *, changes: bool) -> None:
        """Open it, and lock it until it is closed.

        Args:
            path: its name.
            changes: it may be there already; it is left as it is.

        Raises:
            InputError: it is there and must not be, or another process writes it.
        """
        self.path, self.is_new = path, True
        flags = os.O_RDWR | getattr(os, "O_BINARY", 0)
        try:
            self.descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            if not changes:
                raise InputError(f"{path} exists; pass --resume to continue it or --overwrite to replace it") from None
            self.descriptor, self.is_new = os.open(path, flags), False
        try:
            if sys.platform == "win32":
                os.lseek(self.descriptor, 2**62, os.SEEK_SET)  # there, others may still read what is in the file
            if not acquire(self.descriptor, wait=False, without=True):
                raise InputError(f"another process writes {path}; wait for it, or name another file")
            self.end = os.fstat(self.descriptor).st_size
        except BaseException:
            os.close(self.descriptor)
            raise

    def write(self, text: str, /) -> None:
        """Write text at the end.

        Raises:
            OSError: it could not be written, and nothing of it is in the file.
        """
        left = memoryview(text.encode("utf-8", "backslashreplace"))
        size = len(left)
        try:
            os.lseek(self.descriptor, self.end, os.SEEK_SET)
            while left:
                left = left[os.write(self.descriptor, left) :]
        except BaseException as error:
            self.cut(self.end)
            if isinstance(error, OSError):
                raise OSError(error.errno, f"{error.strerror}; what was written before stays", self.path) from error
            raise
        self.end += size

    def flush(self) -> None:
        """Do nothing: what is written is in the file already."""

    def cut(self, size: int) -> None:
        """Make the file so short."""
        os.ftruncate(self.descriptor, size)
        self.end = size

    def close(self) -> None:
        """Wait until all of it is on the disk, and let others write it."""
        try:
            os.fsync(self.descriptor)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.path) from error
        finally:
            os.close(self.descriptor)


class Device:
    """Something else that takes text, such as /dev/null or a pipe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb", buffering=0)

    def write(self, text: str, /) -> None:
        """Write text."""
        left = memoryview(text.encode("utf-8", "backslashreplace"))
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._path) from error

    def flush(self) -> None:
        """Do nothing: what is written is on its way already."""

    def close(self) -> None:
        """Write no more."""
        self._file.close()
