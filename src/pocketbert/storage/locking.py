"""A lock between processes and threads that the system frees when its holder ends, however it ends."""

from __future__ import annotations

import errno
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["Lock", "acquire"]

# a stranger's folder may hold a link or a pipe where the lock should be: the one is refused, the other does not block
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)  # of some network file systems


class Lock:
    """A lock file that is held until ``remove``."""

    def __init__(self, path: Path, file: int) -> None:
        self._path, self._file = path, file

    @classmethod
    def take(cls, path: Path, *, wait: bool) -> Lock | None:
        """Lock a file, which is made if absent; None if another holds it or has removed it.

        Raises:
            OSError: the file cannot be opened or locked.
        """
        file = os.open(path, _FLAGS, 0o666)
        try:
            # without locks, a save that waits goes on unprotected, but nobody's file is taken for abandoned
            if acquire(file, wait=wait, without=wait) and _is_at(file, path):
                return cls(path, file)
        except BaseException:
            os.close(file)
            raise
        os.close(file)
        return None

    @property
    def mode(self) -> int:
        """The permissions of the file, which are the usual ones: only the system can apply the umask."""
        return os.fstat(self._file).st_mode & 0o777

    def remove(self) -> None:
        """Let the lock go and remove its file, as far as the system lets us; a second call does nothing."""
        file, self._file = self._file, -1
        if file < 0:
            return
        try:
            if sys.platform != "win32":
                with suppress(OSError):
                    os.unlink(self._path)
        finally:
            if sys.platform != "win32":
                fcntl.flock(file, fcntl.LOCK_UN)  # a forked child may have the file open, too
            os.close(file)
        if sys.platform == "win32":  # which removes no open file
            with suppress(OSError):  # another has opened it, and will remove it
                os.unlink(self._path)


def acquire(file: int, *, wait: bool, without: bool) -> bool:
    """Lock an open file, at its position where locks are of bytes, and return whether it is this process's.

    Args:
        file: its descriptor.
        wait: until another process lets it go.
        without: what to return where the file system has no locks.

    Raises:
        OSError: it cannot be locked.
    """
    while True:
        try:
            if sys.platform == "win32":
                msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            return True
        except (BlockingIOError, PermissionError):  # the second on Windows, whose own waiting ends after ten seconds
            if not wait:
                return False
            time.sleep(0.01)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            return without


def _is_at(file: int, path: Path) -> bool:
    """Whether an open file is still the one of this name."""
    if sys.platform == "win32":  # an open file is neither moved nor removed
        return True
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
