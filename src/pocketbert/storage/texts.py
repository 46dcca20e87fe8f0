"""Text and JSON files that may be damaged, huge or no files at all."""

from __future__ import annotations

import json
import os
from typing import Any

from pocketbert.errors import CheckpointError
from pocketbert.storage.opening import read_bytes
from pocketbert.storage.pointers import refuse_pointer

__all__ = ["parse_json", "parse_list", "read_json", "read_text"]

_LIMIT = 64 * 2**20  # bytes; the largest real files, a shard index and a multilingual tokenizer.json, are far below


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a UTF-8 file's text; every kind of line break becomes ``"\\n"``.

    Raises:
        CheckpointError: the file is absent, larger than 64 MiB, no regular file, not UTF-8, or a git-lfs pointer.
    """
    try:
        text = read_bytes(path, _LIMIT).decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not UTF-8 text: {error}") from error
    refuse_pointer(path, text)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_json(text: str, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Parse a JSON object, the text of the file ``path``.

    Raises:
        CheckpointError: it is not JSON or not an object.
    """
    content = _parsed(text, path)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, a JSON object was expected")
    return content


def parse_list(text: str, path: str | os.PathLike[str]) -> list[Any]:
    """Parse a JSON list, the text of the file ``path``.

    Raises:
        CheckpointError: it is not JSON or not a list.
    """
    content = _parsed(text, path)
    if not isinstance(content, list):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, a JSON list was expected")
    return content


def _parsed(text: str, path: str | os.PathLike[str]) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # not JSON, a number of too many digits, nested too deep
        raise CheckpointError(f"{path} is not JSON: {error}") from error


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: see ``read_text``; or it is not JSON or not an object.
    """
    return parse_json(read_text(path), path)
