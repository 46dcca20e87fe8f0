"""Reading JSON from strangers and replacing files as a whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pocketbert.errors import CheckpointError

__all__ = ["read_json", "replacing"]

_JSON_LIMIT = 64 * 2**20  # bytes; the largest real file, a shard index, is far below


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: the file is absent, larger than 64 MiB, not UTF-8, not JSON or not an object.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > _JSON_LIMIT:
            raise CheckpointError(f"{path} has {size} bytes, more than the {_JSON_LIMIT} of any real file of its kind")
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"no {path.name} in {path.parent}") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from error
    except OSError as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"cannot read {path}: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, a JSON object was expected")
    return content


@contextmanager
def replacing(folder: str | os.PathLike[str], stale: Iterable[str] = ()) -> Iterator[Path]:
    """Yield an empty staging folder whose files replace those of ``folder`` once the block ends well.

    Nothing in ``folder`` is touched until every staged file is complete and on disk; if the block fails (disk full,
    Ctrl-C) the old files stay as they were. Ctrl-C during the final renames is held back until they are done.

    Args:
        folder: made if it does not exist.
        stale: glob patterns of files that the new ones supersede; matches that were not staged again are removed.

    Raises:
        CheckpointError: ``folder`` is a file.
    """
    folder = Path(os.path.expanduser(os.fspath(folder)))
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"{folder} is a file; pass a folder to save into")
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=".saving-", dir=folder))
    try:
        yield stage
        staged = sorted(path for path in stage.iterdir())
        for path in staged:
            with path.open("rb") as file:
                os.fsync(file.fileno())
        _commit(staged, folder, stale)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        if made and not any(folder.iterdir()):
            folder.rmdir()
        raise
    shutil.rmtree(stage, ignore_errors=True)


def _commit(staged: list[Path], folder: Path, stale: Iterable[str]) -> None:
    names = {path.name for path in staged}
    interrupt: KeyboardInterrupt | None = None
    while True:
        try:
            for path in staged:
                if path.exists():
                    os.replace(path, folder / path.name)
            for pattern in stale:
                for old in folder.glob(pattern):
                    if old.name not in names:
                        old.unlink(missing_ok=True)
            break
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt
