"""Inputs of a task from texts, files and streams: one record at a time, numbered by line; a broken one is an error."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from pocketbert.errors import InputError
from pocketbert.storage.pointers import refuse_pointer
from pocketbert.tasks.parquet import count_rows, open_rows

__all__ = ["FORMATS", "MAX_RECORD", "Fields", "Record"]
__all__ += ["check_columns", "count_records", "kind_by_name", "read_file", "read_stream", "read_texts"]

MAX_RECORD = 10_000_000  # of a record; a thick book has a million
FORMATS = ("txt", "csv", "tsv", "jsonl", "parquet")
_SUFFIXES = {f".{kind}": kind for kind in FORMATS} | {".text": "txt", ".ndjson": "jsonl", ".pq": "parquet"}
_LISTS = ("choices", "tokens")  # fields that hold a list; in a cell it is written as JSON


@dataclass(frozen=True)
class Record:
    """One input: the line where it starts, and the input or what is wrong with it.

    Attributes:
        line: its number, from 1.
        value: the input, or an error.
        unit: what ``line`` counts where lines are of no use: rows of a Parquet file, say.
    """

    line: int
    value: Any
    unit: str = "line"


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

    @property
    def are_text(self) -> bool:
        """Whether a text is enough."""
        return self.needed in ((), ("text",))

    def text_only(self, kind: str) -> None:
        """Refuse a format of plain lines if the task needs more than a text.

        Raises:
            InputError: it does.
        """
        if not self.are_text:
            raise InputError(
                f"{kind} holds one text a line, and this task needs {', '.join(self.needed)}; "
                "pass csv, jsonl or parquet"
            )


def read_texts(texts: Iterable[str], fields: Fields) -> Iterator[Record]:
    """Number texts from 1; where the task needs more than a text, each is a JSON object."""
    parse = str if fields.are_text else partial(_parsed, fields=fields)
    return (Record(number, parse(text)) for number, text in enumerate(texts, 1))


def read_file(
    path: str | os.PathLike[str], fields: Fields, kind: str | None = None, *, max_record: int = MAX_RECORD
) -> Iterator[Record]:
    """Read a file lazily.

    Args:
        path: the file.
        fields: what to read of each record.
        kind: one of ``FORMATS``; by default what the file's name ends in.
        max_record: most characters of a record; a longer one is an error, and memory never holds all of it.

    Raises:
        InputError: the format is unknown, or has no place for what the task needs; the file is damaged.
        OSError: the file cannot be read, or is a git-lfs pointer.
        MissingExtra: it is a Parquet file and pyarrow is not installed.
    """
    kind = _kind(path, kind)
    refuse_pointer(path)
    if kind == "parquet":
        return _parquet(path, fields, max_record)
    if kind == "txt":
        fields.text_only("a txt file")
    Path(path).open("rb").close()  # so that a file that cannot be read is refused now, not at its first record
    return _opening(Path(path), fields, kind, max_record)


def read_stream(
    stream: BinaryIO, fields: Fields, kind: str = "txt", *, max_record: int = MAX_RECORD
) -> Iterator[Record]:
    """Read an open binary stream, such as ``sys.stdin.buffer``; see ``read_file``.

    Raises:
        InputError: the format is unknown, cannot be streamed, or has no place for what the task needs.
    """
    if kind not in FORMATS or kind == "parquet":
        raise InputError(f"a stream of {kind!r} cannot be read; choose from {', '.join(FORMATS[:-1])}")
    if kind == "txt":
        fields.text_only("a txt file")
        return _lines(stream, str, max_record)
    if kind == "jsonl":
        return _lines(stream, partial(_parsed, fields=fields), max_record)
    return _csv(stream, fields, "\t" if kind == "tsv" else ",", max_record)


def count_records(path: str | os.PathLike[str], kind: str | None = None) -> int:
    """Return about how many records a file holds, for a progress bar: lines, or rows of a Parquet file."""
    if _kind(path, kind) == "parquet":
        return count_rows(path)
    with Path(path).open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def kind_by_name(path: str | os.PathLike[str]) -> str | None:
    """Return the format that a file's name ends in, None if it ends in none."""
    return _SUFFIXES.get(Path(path).suffix.lower())


def _kind(path: str | os.PathLike[str], kind: str | None) -> str:
    suffix = Path(path).suffix.lower()
    found = kind or kind_by_name(path)
    if found not in FORMATS:
        raise InputError(
            f"{path}: cannot tell its format from {suffix or 'its name'!r}; name one of {', '.join(FORMATS)}"
        )
    return found


def _opening(path: Path, fields: Fields, kind: str, most: int) -> Iterator[Record]:
    with path.open("rb") as file:
        yield from read_stream(file, fields, kind, max_record=most)


def _capped(stream: BinaryIO, most: int) -> Iterator[bytes | None]:
    """Each line, or None in place of one of more bytes than ``most`` characters can have."""
    size = 4 * most + len("\ufeff\r\n".encode())  # no character has more bytes in UTF-8
    while raw := stream.readline(size + 1):
        if len(raw) <= size:
            yield raw
            continue
        while not raw.endswith(b"\n") and (raw := stream.readline(1 << 20)):
            pass
        yield None


def _too_long(most: int) -> InputError:
    return InputError(f"the record has more than {most:,} characters; split it, or raise max_record")


def _lines(stream: BinaryIO, parse: Callable[[str], Any], most: int) -> Iterator[Record]:
    """What each line holds, without its end; empty lines are skipped."""
    for number, raw in enumerate(_capped(stream, most), 1):
        if raw is None:
            yield Record(number, _too_long(most))
            continue
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            yield Record(number, InputError(f"not UTF-8: {error.reason} at byte {error.start}"))
            continue
        if len(line) > most:
            yield Record(number, _too_long(most))
        elif line.strip():
            yield Record(number, parse(line))


def _parsed(line: str, fields: Fields) -> Any:
    try:
        value = json.loads(line, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        return InputError(f"not JSON: {error}")
    if isinstance(value, dict):
        return fields.pick(value)
    if isinstance(value, str) and fields.are_text:
        return value
    return InputError(f"a JSON object was expected, not {line[:40]!r}")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"an object has the key {_repeated([name for name, _ in pairs])[0]!r} twice")
    return found


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def check_columns(names: Sequence[str], fields: Fields, begin: str) -> None:
    """Refuse columns that lack what a task needs, or have it twice; ``begin`` says where they are."""
    read = fields.needed + fields.optional
    if not {*fields.needed} <= {*names} or not {*read} & {*names}:
        wanted = ", ".join(fields.needed) or " or ".join(fields.optional)
        raise InputError(f"{begin} the columns {wanted}; it has {', '.join(names) or 'none'}")
    if twice := [name for name in _repeated(names) if name in read]:
        raise InputError(f"{begin} each column once; it has {', '.join(map(repr, twice))} twice: rename one")


def _csv(stream: BinaryIO, fields: Fields, delimiter: str, most: int) -> Iterator[Record]:
    """Rows under a header that names the fields; a row may span lines inside quotes.

    A row that is too long ends the reading: what follows may be its rest, a quote that was never closed.
    """
    csv.field_size_limit(2**31 - 1)  # the module's own limit, 128 KiB, is below a long text
    line = left = 0  # where the row began, and the characters that it may still have

    def texts() -> Iterator[str]:
        nonlocal left
        for number, raw in enumerate(_capped(stream, most)):
            text = "" if raw is None else raw.decode("utf-8-sig" if number == 0 else "utf-8", "surrogateescape")
            left -= len(text)
            if raw is None or left < 0:
                raise InputError(f"line {line}: {_too_long(most)}; if quotes are not closed, close them")
            yield text

    reader = csv.reader(texts(), delimiter=delimiter, strict=True)
    line, left = 1, most + 2  # and the end of its line
    header = [name.strip() for name in next(reader, [])]
    check_columns(header, fields, "the first line must name")
    while True:
        line, left = reader.line_num + 1, most + 2
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
            except (ValueError, RecursionError):
                return InputError(f"{name} must be a JSON list, not {row[name][:40]!r}")
    for name in fields.optional:
        if row.get(name) == "":
            del row[name]
    return fields.pick(row)


def _parquet(path: str | os.PathLike[str], fields: Fields, most: int) -> Iterator[Record]:
    names, rows = open_rows(path, fields.needed + fields.optional)
    check_columns(names, fields, f"{path} must have")
    return (Record(number, _short(fields.pick(row), most), "row") for number, row in enumerate(rows, 1))


def _short(found: Any, most: int) -> Any:
    """Return the fields of a row, or an error if they are too long."""
    size = 0 if isinstance(found, InputError) else sum(map(_characters, found.values()))
    return _too_long(most) if size > most else found


def _characters(value: Any) -> int:
    if isinstance(value, list):
        return sum(map(_characters, value))
    return len(value) if isinstance(value, str) else 0
