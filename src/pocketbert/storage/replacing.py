"""Replacing files as a whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pocketbert.errors import CheckpointError, PocketBertError
from pocketbert.storage.commits import Stage, finish_save, make_folder, remove_leftovers

__all__ = ["replacing"]


_stages: dict[Path, list[str]] = {}  # staging folder of a save at work -> patterns of the files that it supersedes


@contextmanager
def replacing(folder: str | os.PathLike[str], stale: Iterable[str] = ()) -> Iterator[Path]:
    """Yield an empty staging folder whose files replace those of ``folder`` once the block ends well.

    All staged files, those in subfolders too, come into place together, and other files stay; if the block or anything
    after it fails (disk full, Ctrl-C), the folder is as it was. A killed process leaves the old files, or the new ones
    for the next load or save to put in place; see ``commits``. A new file has the permissions of the one it replaces.

    Where ``folder`` is the staging folder of another save, that is yielded, and both are one save.

    Args:
        folder: made if it does not exist.
        stale: glob patterns of files that the new ones supersede; matches that were not staged again are removed.

    Raises:
        CheckpointError: ``folder`` is a file or lies in one; a folder stands where a file should go; the disk is full
            or the folder may not be written.
    """
    folder = Path(os.path.expanduser(os.fspath(folder)))
    if folder in _stages:
        _stages[folder] += stale
        yield folder
        return
    made: list[Path] = []
    try:
        make_folder(folder, made)
        finish_save(folder)
        remove_leftovers(folder)
        stage = Stage(folder)
        _stages[stage.new] = patterns = [*stale]
        try:
            yield stage.new
            stage.commit(patterns)
        finally:
            del _stages[stage.new]
            stage.discard()
    except BaseException as error:
        for path in reversed(made):
            with suppress(OSError):  # not empty
                path.rmdir()
        if (clear := _clear(error, folder)) is not None:
            raise clear from error
        raise


def _clear(error: BaseException, folder: Path) -> CheckpointError | None:
    """Return what to say instead of an error of the system or of the library that writes safetensors, else None."""
    is_system = isinstance(error, OSError) and not isinstance(error, PocketBertError)
    if not is_system and type(error).__name__ != "SafetensorError":
        return None
    reason = getattr(error, "strerror", None) or str(error)
    if name := getattr(error, "filename", None):
        reason += f": {name}"
    clear = CheckpointError(f"cannot save into {folder}, which stays as it was: {reason}")
    clear.errno = getattr(error, "errno", None)  # without strerror it is no part of the message
    return clear
