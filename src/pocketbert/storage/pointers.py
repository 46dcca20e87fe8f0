"""Git-lfs pointers: what lies in a checkout in place of a large file that was not fetched."""

from __future__ import annotations

import os
from pathlib import Path

from pocketbert.errors import CheckpointError
from pocketbert.storage.opening import open_file

__all__ = ["refuse_pointer"]

_BEGIN = b"version https://git-lfs.github.com/spec/"
_LONGEST = 1024  # bytes; what the format allows


def refuse_pointer(path: str | os.PathLike[str], text: str | None = None) -> None:
    """Check that a file, if there is one, is itself and not a pointer to it.

    Args:
        path: the file.
        text: its content, where it was read already.

    Raises:
        CheckpointError: it is a pointer; the message says how to fetch the file.
    """
    if text is None:
        try:
            with open_file(path) as file:
                begin = file.read(_LONGEST)
        except OSError:
            return  # whoever reads it says what is wrong
    else:
        begin = text[:_LONGEST].encode()
    if not begin.startswith(_BEGIN):
        return
    size = next((line[5:].decode("ascii", "replace") for line in begin.splitlines() if line.startswith(b"size ")), "?")
    where = Path(path)
    raise CheckpointError(
        f"{path} is a git-lfs pointer, not the file of {size[:20]} bytes that it stands for: run `git lfs install` and "
        f"`git lfs pull` in {where.parent}"
    )
