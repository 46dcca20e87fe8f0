"""How files of a folder are replaced together: staged inside it, committed by one rename, then put in place.

A save works in a folder of its own, which carries everything that the commit needs:

    .saving-3f9e02ab/       uncommitted: a save at work, or the leftover of a killed one, which the next save removes
        new/                the files to come, at the paths that they will have
        record.json         the paths of the files to come, and patterns of old files that they supersede
    .saving-3f9e02ab.lock   held by the process that works there
    .saving-committed/      the same, renamed once all of it is on disk: whoever finds it puts its files in place
        old/                the old files, which go with it at the end
    .saving-committed.lock  held by the process that commits, or finishes what a killed one has committed

Renaming a folder is one step. Files are then moved one by one: all old ones out, then all new ones in, and
``config.json`` is the first to go and the last to come. So a reader that does not know of the commit sees files of one
model only, and no ``config.json`` until all are there.

Nothing in a committed folder is trusted, since it may have come with a stranger's checkpoint: no path in it leaves the
folder, and no link is followed.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

from pocketbert.errors import CheckpointError, UnsafeFileError
from pocketbert.storage.locking import Lock
from pocketbert.storage.texts import read_json

__all__ = ["Stage", "check_state", "finish_save", "make_folder", "remove_leftovers", "state_of"]
__all__ += ["sync_file", "sync_folder"]

_PREFIX, _LOCK = ".saving-", ".lock"
_COMMITTED = ".saving-committed"
_LEFTOVER = re.compile(r"\.saving-[a-z0-9_]{8}")
_ENTRANCES = ("config.json", "saved_model.pb")  # no reader takes a folder without them


class Stage:
    """A save into a folder that exists.

    Attributes:
        new: where its files are written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._committed = folder, folder / _COMMITTED
        self._made: list[Path] = []  # subfolders of the target
        lock = None
        while lock is None:  # another save may take the file for a leftover before it is locked
            self._path = _fresh(folder)
            lock = _take(self._path, wait=True)
        self._lock, self.new = lock, self._path / "new"
        try:
            self.new.mkdir(parents=True)
        except BaseException:
            self.discard()
            raise

    def commit(self, stale: Iterable[str]) -> None:
        """Put the files in place, or leave all as it was.

        Raises:
            CheckpointError: a folder stands where a file should go, or a file where a folder should.
            OSError: the system refused.
        """
        files = [path.relative_to(self.new).as_posix() for path in _files(self.new)]
        for name in files:
            _finish_file(self.new / name, self._folder / name, self._lock.mode)
        if len(files) == 1 and not stale and "/" not in files[0]:
            _check_place(self._folder, files[0])
            os.replace(self.new / files[0], self._folder / files[0])
            sync_folder(self._folder)
            return
        record = self._path / "record.json"
        record.write_text(json.dumps({"files": files, "stale": [*stale]}), "utf-8")
        _finish_file(record, record, self._lock.mode)
        for path in {self._path, *((self.new / name).parent for name in files)}:
            sync_folder(path)
        with _committing(self._folder):
            _finish(self._folder)
            try:
                os.rename(self._path, self._committed)
                sync_folder(self._folder)
                _put_in_place(self._folder, self._made)
                os.rename(self._committed, self._path)
            except BaseException:
                self._undo_to_the_end()
                raise

    def discard(self) -> None:
        """Remove what is left of it."""
        _remove(self._path, self._lock)

    def _undo_to_the_end(self) -> None:
        while True:
            try:
                return self._undo()
            except KeyboardInterrupt:  # not before all is as it was
                continue
            except OSError as error:
                raise CheckpointError(
                    f"a save into {self._folder} was cut short, and the old files could not be put back: "
                    f"{error.strerror or error}; the next load or save there puts the new ones in place"
                ) from error

    def _undo(self) -> None:
        """Put everything back, as far as it had come."""
        if self._path.exists():
            return  # not yet committed, or at its end already
        new, old = self._committed / "new", self._committed / "old"
        for name in _record(self._committed)[0]:
            if not os.path.lexists(new / name) and os.path.lexists(self._folder / name):
                os.replace(self._folder / name, new / name)
        for path in _files(old):
            os.replace(path, self._folder / path.relative_to(old))
        for folder in reversed(self._made):
            with suppress(OSError):  # someone else's file is in it
                folder.rmdir()
        os.rename(self._committed, self._path)


def finish_save(folder: Path) -> None:
    """Put the files of a committed save in place, if a process was killed before it had done so; wait for a live one.

    Raises:
        CheckpointError: it cannot be finished, such as in a folder that may not be written.
    """
    while _is_folder(folder / _COMMITTED):
        try:
            with _committing(folder):
                _finish(folder)
        except CheckpointError:
            raise
        except OSError as error:
            raise CheckpointError(
                f"a save into {folder} was cut short before all its files were in place, and it cannot be finished: "
                f"{error.strerror or error}; load the folder once where it may be written, or save into it again"
            ) from error


@contextmanager
def _committing(folder: Path) -> Iterator[None]:
    """Let no other save commit or be finished."""
    lock = None
    while lock is None:
        lock = _take(folder / _COMMITTED, wait=True)
    try:
        yield
    finally:
        lock.remove()


def _finish(folder: Path) -> None:
    """Bring a committed save, if there is one, to its end: with its folder renamed, nobody will do it again."""
    if _is_folder(folder / _COMMITTED):
        _put_in_place(folder, [])
        away = _fresh(folder)
        os.rename(folder / _COMMITTED, away)
        shutil.rmtree(away, ignore_errors=True)


def state_of(folder: Path) -> tuple[int, ...]:
    """Return what tells one ``config.json`` of a folder from another: every save writes a new file."""
    try:
        facts = os.stat(folder / "config.json")
    except OSError:
        return ()
    return facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_size


def check_state(folder: Path, before: tuple[int, ...]) -> None:
    """Refuse weights that were opened after another configuration than theirs was read.

    Raises:
        CheckpointError: ``config.json`` has changed since ``state_of`` was ``before``.
    """
    if state_of(folder) != before:
        raise CheckpointError(f"{folder} was saved into while it was loaded: config.json has changed; load it again")


def remove_leftovers(folder: Path) -> None:
    """Remove what killed saves left in a folder; saves that are still at work keep theirs."""
    for name in {path.name.removesuffix(_LOCK) for path in folder.iterdir() if path.name.startswith(_PREFIX)}:
        path = folder / name
        is_leftover = _LEFTOVER.fullmatch(name) and (_is_folder(path) or not os.path.lexists(path))
        is_lock = name == _COMMITTED and os.path.lexists(folder / (name + _LOCK))
        if is_leftover or is_lock:
            with suppress(OSError):  # not ours to remove
                if lock := _take(path, wait=False):
                    _remove(path, lock) if is_leftover else lock.remove()


def _take(path: Path, *, wait: bool) -> Lock | None:
    """Lock a save's folder; None if another process has it."""
    return Lock.take(path.with_name(path.name + _LOCK), wait=wait)


def _remove(path: Path, lock: Lock) -> None:
    """Remove a save's folder, and let its lock go."""
    try:
        shutil.rmtree(path, ignore_errors=True)
    finally:
        lock.remove()


def _fresh(folder: Path) -> Path:
    return folder / f"{_PREFIX}{secrets.token_hex(4)}"


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path) and not path.is_symlink()  # false, too, for a name that is too long


def _put_in_place(folder: Path, made: list[Path]) -> None:
    """Move the old files of a committed save out and its new ones in; what was moved before is left as it is.

    Args:
        folder: the target.
        made: subfolders that are made are added to it.
    """
    committed = folder / _COMMITTED
    new, old = committed / "new", committed / "old"
    files, patterns = _record(committed)
    coming = sorted((name for name in files if os.path.lexists(new / name)), key=_is_entrance)
    stale = {path.relative_to(folder).as_posix() for pattern in patterns for path in folder.glob(pattern)} - {*files}
    leaving = sorted({*coming, *(name for name in stale if not (folder / name).is_dir())}, key=_is_entrance)
    for root in (new, old):
        if root.is_symlink():
            raise UnsafeFileError(f"{root} is a link, and is not followed")
    for name in leaving:
        for root in (folder, new, old):
            _check_place(root, name)
    for name in reversed(leaving):
        if os.path.lexists(folder / name):
            (old / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(folder / name, old / name)
    for name in coming:
        make_folder((folder / name).parent, made)
        os.replace(new / name, folder / name)
    for path in {folder, *((folder / name).parent for name in files)}:
        sync_folder(path)


def make_folder(folder: Path, made: list[Path]) -> None:
    """Make a folder and its parents; those that were not there are added to ``made``, the outermost first.

    Raises:
        CheckpointError: it is a file or lies in one.
        OSError: it may not be made.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent, made)
    with suppress(FileExistsError):  # by another process, this moment
        folder.mkdir()
        made.append(folder)
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is a file or lies in one; pass a folder to save into")


def _record(committed: Path) -> tuple[list[str], list[str]]:
    """Return the paths of a committed save's files, and the patterns of those that they supersede."""
    path = committed / "record.json"
    record = read_json(path)
    files, stale = record.get("files"), record.get("stale")
    if not _are_names(files) or not _are_names(stale):
        raise CheckpointError(f"{path} does not list the files of a save; remove the folder {committed}")
    for name in (*files, *stale):
        if set("\\:\x00") & {*name} or not name or name.startswith("/") or ".." in PurePosixPath(name).parts:
            raise UnsafeFileError(f"{path} names {name[:60]!r}, which leaves its folder")
    return files, stale


def _are_names(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _check_place(root: Path, name: str) -> None:
    """Refuse a path below ``root`` that is a folder, or leads through anything but folders."""
    for parent in [*PurePosixPath(name).parents][-2::-1]:
        inner = root / parent
        if inner.is_symlink() or (inner.exists() and not inner.is_dir()):
            raise CheckpointError(f"{inner} is a link or a file where a folder should be; move it away")
    if (path := root / name).is_dir() and not path.is_symlink():
        raise CheckpointError(f"{path} is a folder where a file should go; move it away")


def _is_entrance(name: str) -> bool:
    return name.rpartition("/")[2] in _ENTRANCES


def _files(folder: Path) -> list[Path]:
    """Return every file below a folder, in order; links to folders are not followed."""
    return sorted(Path(where, name) for where, _, names in os.walk(folder) for name in names)


def _finish_file(path: Path, replaced: Path, usual: int) -> None:
    """Bring a file to the disk, with the permissions of the file that it replaces, or else the usual ones."""
    sync_file(path)
    try:
        mode = replaced.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):  # or another save has just moved it away
        mode = 0
    # without this, some writers' files could be read only by their owner
    path.chmod(mode & 0o777 if stat.S_ISREG(mode) else usual)


def sync_file(path: Path) -> None:
    """Bring a file to the disk."""
    with path.open("rb+") as file:  # Windows syncs only files that are open for writing
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    if sys.platform == "win32":  # which has no such call
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system without such a call
            raise
    finally:
        os.close(handle)
