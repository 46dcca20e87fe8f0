"""A lock between processes and threads that the system frees when its holder ends, however it ends."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["Lock"]

# a stranger's folder may hold a link or a pipe where the lock should be: the one is refused, the other does not block
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)  # of some network file systems


class Lock:
    """A lock file that is held until ``release``."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._identity = _identity(os.fstat(file))

    @classmethod
    def take(cls, path: Path, *, wait: bool) -> Lock | None:
        """Lock a file, which is made if absent; None if another holds it or has removed it.

        Raises:
            OSError: the file cannot be opened or locked.
        """
        file = os.open(path, _FLAGS, 0o666)
        try:
            lock = cls(file)
            if _acquire(file, wait) and lock.is_at(path):
                return lock
        except BaseException:
            os.close(file)
            raise
        os.close(file)
        return None

    def is_at(self, path: Path) -> bool:
        """Whether ``path`` is the file that was locked, which may have been moved or removed since."""
        try:
            return _identity(os.stat(path)) == self._identity
        except OSError:
            return False

    def release(self) -> None:
        """Let the lock go; a second call does nothing."""
        file, self._file = self._file, -1
        if file >= 0:
            if sys.platform != "win32":
                fcntl.flock(file, fcntl.LOCK_UN)  # a forked child may have the file open, too
            os.close(file)


def _acquire(file: int, wait: bool) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(file, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except (BlockingIOError, PermissionError):  # the second on Windows
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return wait  # unprotected, but nobody's file is taken for abandoned
    return True


def _identity(facts: os.stat_result) -> tuple[int, int]:
    return facts.st_dev, facts.st_ino
