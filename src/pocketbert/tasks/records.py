"""Inputs of a task from texts, files and streams: one record at a time, numbered by line; a broken one is an error."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from pocketbert.errors import InputError
from pocketbert.extras import require
from pocketbert.storage.pointers import refuse_pointer

__all__ = ["FORMATS", "Fields", "Record", "count_records", "read_file", "read_stream", "read_texts"]

FORMATS = ("txt", "csv", "tsv", "jsonl", "parquet")
_SUFFIXES = {f".{kind}": kind for kind in FORMATS} | {".text": "txt", ".ndjson": "jsonl", ".pq": "parquet"}
_LISTS = ("choices", "tokens")  # fields that hold a list; in a cell it is written as JSON


@dataclass(frozen=True)
class Record:
    """One input: the line where it starts (its row in a Parquet file), and the input or what is wrong with it."""

    line: int
    value: Any


@dataclass(frozen=True)
class Fields:
    """The fields that a task reads of a record; all others are ignored.

    Attributes:
        needed: must be there.
        optional: may be there; if nothing is needed, one of them must.
    """

    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()

    def pick(self, row: Mapping[str, Any]) -> Any:
        """Return the fields of a row, as an input of the task, or an error."""
        found = {n: row[n] for n in self.needed + self.optional if row.get(n) is not None}
        missing = [name for name in self.needed if name not in found]
        if missing or not found:
            names = ", ".join(map(repr, missing)) if missing else " or ".join(map(repr, self.optional))
            return InputError(f"no field {names}; the record has {', '.join(map(repr, row)) or 'no fields'}")
        return found

    def text_only(self, kind: str) -> None:
        """Refuse a format of plain lines if the task needs more than a text.

        Raises:
            InputError: it does.
        """
        if self.needed not in ((), ("text",)):
            raise InputError(
                f"{kind} holds one text a line, and this task needs {', '.join(self.needed)}; "
                "pass csv, jsonl or parquet"
            )


def read_texts(texts: Iterable[str], fields: Fields) -> Iterator[Record]:
    """Number texts from 1."""
    fields.text_only("the command line")
    return (Record(number, text) for number, text in enumerate(texts, 1))


def read_file(path: str | os.PathLike[str], fields: Fields, kind: str | None = None) -> Iterator[Record]:
    """Read a file lazily.

    Args:
        path: the file.
        fields: what to read of each record.
        kind: one of ``FORMATS``; by default what the file's name ends in.

    Raises:
        InputError: the format is unknown, or has no place for what the task needs.
        OSError: the file cannot be read, or is a git-lfs pointer.
        MissingExtra: it is a Parquet file and pyarrow is not installed.
    """
    kind = _kind(path, kind)
    refuse_pointer(path)
    if kind == "parquet":
        return _parquet(path, fields)
    if kind == "txt":
        fields.text_only("a txt file")
    Path(path).open("rb").close()  # so that a file that cannot be read is refused now, not at its first record
    return _opening(Path(path), fields, kind)


def read_stream(stream: BinaryIO, fields: Fields, kind: str = "txt") -> Iterator[Record]:
    """Read an open binary stream, such as ``sys.stdin.buffer``; see ``read_file``.

    Raises:
        InputError: the format is unknown, cannot be streamed, or has no place for what the task needs.
    """
    if kind not in FORMATS or kind == "parquet":
        raise InputError(f"a stream of {kind!r} cannot be read; choose from {', '.join(FORMATS[:-1])}")
    if kind == "txt":
        fields.text_only("a txt file")
        return _lines(stream, str)
    if kind == "jsonl":
        return _lines(stream, partial(_parsed, fields=fields))
    return _csv(stream, fields, "\t" if kind == "tsv" else ",")


def count_records(path: str | os.PathLike[str], kind: str | None = None) -> int:
    """Return about how many records a file holds, for a progress bar: lines, or rows of a Parquet file."""
    if _kind(path, kind) == "parquet":
        return int(_parquet_file(path).metadata.num_rows)
    with Path(path).open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def _kind(path: str | os.PathLike[str], kind: str | None) -> str:
    suffix = Path(path).suffix.lower()
    found = kind or _SUFFIXES.get(suffix)
    if found not in FORMATS:
        raise InputError(
            f"{path}: cannot tell its format from {suffix or 'its name'!r}; name one of {', '.join(FORMATS)}"
        )
    return found


def _opening(path: Path, fields: Fields, kind: str) -> Iterator[Record]:
    with path.open("rb") as file:
        yield from read_stream(file, fields, kind)


def _lines(stream: BinaryIO, parse: Callable[[str], Any]) -> Iterator[Record]:
    """What each line holds, without its end; empty lines are skipped."""
    for number, raw in enumerate(stream, 1):
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            yield Record(number, InputError(f"not UTF-8: {error.reason} at byte {error.start}"))
            continue
        if line.strip():
            yield Record(number, parse(line))


def _parsed(line: str, fields: Fields) -> Any:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return InputError(f"not JSON: {error}")
    if isinstance(value, dict):
        return fields.pick(value)
    if isinstance(value, str) and fields.needed in ((), ("text",)):
        return value
    return InputError(f"a JSON object was expected, not {line[:40]!r}")


def _csv(stream: BinaryIO, fields: Fields, delimiter: str) -> Iterator[Record]:
    """Rows under a header that names the fields; a row may span lines inside quotes."""
    csv.field_size_limit(2**31 - 1)  # the module's own limit, 128 KiB, is below a long text
    text = (raw.decode("utf-8-sig" if number == 0 else "utf-8", "surrogateescape") for number, raw in enumerate(stream))
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    header = [name.strip() for name in next(reader, [])]
    if not {*fields.needed} <= {*header} or not {*fields.needed, *fields.optional} & {*header}:
        wanted = ", ".join(fields.needed) or " or ".join(fields.optional)
        raise InputError(f"the first line must name the columns {wanted}; it holds {', '.join(header) or 'nothing'}")
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Record(line, InputError(f"not CSV: {error}"))
            continue
        if cells:
            yield Record(line, _row(cells, header, fields))


def _row(cells: list[str], header: list[str], fields: Fields) -> Any:
    if len(cells) != len(header):
        return InputError(f"{len(cells)} cells under a header of {len(header)}")
    if any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
        return InputError("not UTF-8")
    row: dict[str, Any] = dict(zip(header, cells, strict=True))
    for name in _LISTS:
        if name in row:
            try:
                row[name] = json.loads(row[name])
            except ValueError:
                return InputError(f"{name} must be a JSON list, not {row[name][:40]!r}")
    for name in fields.optional:
        if row.get(name) == "":
            del row[name]
    return fields.pick(row)


def _parquet(path: str | os.PathLike[str], fields: Fields) -> Iterator[Record]:
    file = _parquet_file(path)
    names = [name for name in fields.needed + fields.optional if name in file.schema_arrow.names]
    if not {*fields.needed} <= {*names} or not names:
        wanted = ", ".join(fields.needed) or " or ".join(fields.optional)
        raise InputError(f"{path} must have the columns {wanted}; it has {', '.join(file.schema_arrow.names)}")

    def read() -> Iterator[Record]:
        with file:
            rows = (row for batch in file.iter_batches(256, columns=names) for row in batch.to_pylist())
            for number, row in enumerate(rows, 1):
                yield Record(number, fields.pick(row))

    return read()


def _parquet_file(path: str | os.PathLike[str]) -> Any:
    require("pyarrow")
    return import_module("pyarrow.parquet").ParquetFile(path)
