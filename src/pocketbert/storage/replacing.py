"""Replacing files as a whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pocketbert.errors import CheckpointError

__all__ = ["replacing"]


@contextmanager
def replacing(folder: str | os.PathLike[str], stale: Iterable[str] = ()) -> Iterator[Path]:
    """Yield an empty staging folder whose files replace those of ``folder`` once the block ends well.

    Nothing in ``folder`` is touched until every staged file is complete and on disk; if the block fails (disk full,
    Ctrl-C) the old files stay as they were. If one of the final renames fails, those before it are undone.

    Args:
        folder: made if it does not exist.
        stale: glob patterns of files that the new ones supersede; matches that were not staged again are removed.

    Raises:
        CheckpointError: ``folder`` is a file or lies in one, or a folder stands where a file should go.
    """
    folder = Path(os.path.expanduser(os.fspath(folder)))
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise CheckpointError(f"{folder} is a file or lies in one; pass a folder to save into") from error
    stage = Path(tempfile.mkdtemp(prefix=".saving-", dir=folder))
    try:
        yield stage
        staged = sorted(stage.iterdir())
        mode = _usual_mode(stage)
        for path in staged:
            path.chmod(mode)  # some writers make files that only their owner can read
            with path.open("rb+") as file:  # Windows syncs only files that are open for writing
                os.fsync(file.fileno())
        _commit(staged, folder, stale, Path(tempfile.mkdtemp(dir=stage)))
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        if made and not any(folder.iterdir()):
            folder.rmdir()
        raise
    shutil.rmtree(stage, ignore_errors=True)


def _commit(staged: list[Path], folder: Path, stale: Iterable[str], attic: Path) -> None:
    """Put ``staged`` into ``folder`` and what it supersedes into ``attic``, or leave both as they were.

    Each new file takes the old one's place in one step, so that even a killed process leaves a file of either kind.
    """
    replaced = {folder / path.name for path in staged if os.path.lexists(folder / path.name)}
    for old in replaced:
        if old.is_dir():
            raise CheckpointError(f"{old} is a folder where a file should go; move it away")
    superseded = {old for pattern in stale for old in folder.glob(pattern) if not old.is_dir()} - replaced
    try:
        for old in sorted(replaced):
            _keep(old, attic / old.name)
        for path in staged:
            os.replace(path, folder / path.name)
        for old in sorted(superseded):
            os.replace(old, attic / old.name)
    except BaseException:
        _persist(lambda: _undo(staged, folder, attic))
        raise


def _keep(old: Path, copy: Path) -> None:
    """Give a file a second name; copy it where the file system knows no links."""
    try:
        os.link(old, copy, follow_symlinks=False)
    except (OSError, NotImplementedError):
        shutil.copy2(old, copy, follow_symlinks=False)


def _usual_mode(folder: Path) -> int:
    """Return the permissions that a new file gets here."""
    probe = folder / ".mode"
    probe.touch()
    mode = probe.stat().st_mode
    probe.unlink()
    return mode & 0o777


def _undo(staged: list[Path], folder: Path, attic: Path) -> None:
    """Put back what ``_commit`` moved; where each file lies now tells how far it came."""
    for path in staged:
        if not path.exists():
            os.replace(folder / path.name, path)
    for old in sorted(attic.iterdir()):
        os.replace(old, folder / old.name)


def _persist(action: Callable[[], None]) -> None:
    """Run ``action``, which may be run again after it was cut short, to its end in spite of Ctrl-C."""
    while True:
        try:
            return action()
        except KeyboardInterrupt:
            continue
