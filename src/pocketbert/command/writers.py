"""Answers on their way out: JSON lines for programs, or a table to read."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.cells import set_cell_size

from pocketbert.command.output import Sink
from pocketbert.errors import InputError
from pocketbert.notices import printable

__all__ = ["JsonLines", "Table"]

_INPUT = 40  # cells of a table that show the input
# What JSON may hold as it is, but has no UTF-8, ends a line for some readers, or controls a terminal.
_ESCAPED = re.compile("[\\x7f-\\x9f\\u2028\\u2029\\ud800-\\udfff]")


class JsonLines:
    """One object per record: ``{"line": 3, "answer": ...}``, or ``{"line": 3, "error": "..."}``."""

    def __init__(self, file: Sink) -> None:
        self._file = file
        is_utf8 = codecs.lookup(getattr(file, "encoding", None) or "utf-8").name == "utf-8"
        self._json = json.JSONEncoder(ensure_ascii=not is_utf8).encode

    def answer(self, line: int, item: Any, answer: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the answer of a record."""
        self._write({"line": line, "answer": _plain(answer)})

    def error(self, line: int, item: Any, message: str) -> None:
        """Write that a record has no answer."""
        self._write({"line": line, "error": message})

    def _write(self, record: dict[str, Any]) -> None:
        text = self._json(record)
        text = _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
        self._file.write(text + "\n")
        self._file.flush()


class Table:
    """Columns of fixed width, so that rows can be written as they come."""

    def __init__(self, file: Sink, columns: Sequence[str]) -> None:
        self._file = file
        self._columns = columns
        self._begun = False

    def answer(self, line: int, item: Any, answer: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the rows of an answer."""
        for number, row in enumerate(rows or [{}]):
            cells = [_cell(row.get(name, "-"), _width(name)) for name in self._columns]
            head = (str(line), _excerpt(item)) if number == 0 else ("", "")
            self._write(*head, "  ".join(cells))

    def error(self, line: int, item: Any, message: str) -> None:
        """Write that a record has no answer."""
        self._write(str(line), _excerpt(item), f"error: {printable(message)}")

    def _write(self, line: str, item: str, rest: str) -> None:
        if not self._begun:
            self._begun = True
            names = "  ".join(_cell(name, _width(name)) for name in self._columns)
            self._write("line", "input", names)
        self._file.write(f"{line:>6}  {set_cell_size(item, _INPUT)}  {rest}".rstrip() + "\n")
        self._file.flush()


def _plain(value: Any) -> Any:
    """Turn arrays and numbers of numpy into plain ones, of their shortest decimals."""
    if isinstance(value, np.ndarray):
        return _plain(list(value)) if value.ndim > 1 else [float(str(number)) for number in value]
    if isinstance(value, np.floating):
        return float(str(value))
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


def _width(name: str) -> int:
    return {"score": 8, "start": 7, "end": 7, "is_next": 7, "choice": 6, "shape": 10}.get(name, 24)


def _cell(value: Any, width: int) -> str:
    text = f"{value:.4f}" if isinstance(value, (float, np.floating)) else printable(str(value))
    return set_cell_size(text, width)


def _excerpt(item: Any) -> str:
    if isinstance(item, Mapping):
        item = next(iter(item.values()), "")
    if isinstance(item, (list, tuple)):
        item = " ".join(map(str, item))
    return "" if isinstance(item, InputError) else printable(str(item)[: 2 * _INPUT])
