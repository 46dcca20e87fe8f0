"""Where labeled records come from: files, the hub's data sets, objects of the library ``datasets``, memory.

.csv .tsv .jsonl .parquet .txt    as ``pocketbert predict`` reads them; in a cell, a list is written as JSON
.json                             a list of records, or SQuAD's nested form (1.1 and 2.0)
.conll .iob .iob2 .bio            a word a line, whose last column is its tag; an empty line between texts
name, name:config, name@split     a data set on the hub
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pocketbert.errors import HubError, InputError
from pocketbert.extras import require
from pocketbert.storage.access_token import first_line
from pocketbert.storage.connection import unreachable
from pocketbert.storage.texts import read_text
from pocketbert.tasks.records import Fields, Record, check_columns, kind_by_name, read_file

__all__ = ["Columns", "Labeled", "in_memory", "open_source", "read_columns", "source_name"]

Labeled = str | os.PathLike[str] | Iterable[Mapping[str, Any]]
Columns = Mapping[str, str]  # a field's name here -> its name in the data

_TAGGED = (".conll", ".iob", ".iob2", ".bio")
_LISTS = ("answers", "choices", "labels", "tags", "tokens")  # fields that hold a list or, of answers, an object
_DECIMAL = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?")


def open_source(source: Labeled, fields: Fields, columns: Columns | None = None) -> Iterator[Record]:
    """Yield the records of a source, each with the fields that are read or what is wrong with it.

    Args:
        source: a file, a data set's name on the hub, an object of the library ``datasets``, or records.
        fields: what is read of a record.
        columns: the names that the data has in place of some fields' own.

    Raises:
        InputError: there is no such file; the format is unknown; columns are missing.
        HubError: the hub has no such data set, or cannot be reached.
        MissingExtra: a package that the source needs is not installed.
    """
    columns = columns or {}
    if unknown := [name for name in columns if name not in fields.needed + fields.optional]:
        known = ", ".join(fields.needed + fields.optional)
        raise InputError(f"columns={unknown[0]}=...: {unknown[0]!r} is no field of this task; it reads {known}")
    theirs = Fields(*(tuple(columns.get(name, name) for name in names) for names in (fields.needed, fields.optional)))
    cells = isinstance(source, (str, os.PathLike)) and kind_by_name(source) in ("csv", "tsv")
    for record in _rows(source, theirs):
        value = record.value
        if isinstance(value, dict):
            value = {n: value[columns.get(n, n)] for n in fields.needed + fields.optional if columns.get(n, n) in value}
            value = _of_cells(value) if cells else value
        elif isinstance(value, str):  # a line of a text file
            value = {"text": value}
        yield Record(record.line, value, record.unit)


def read_columns(text: str | None) -> dict[str, str]:
    """Read ``"text=sentence,label=stars"``: fields, and their names in the data.

    Raises:
        InputError: it is written in another way, or names a field twice.
    """
    found: dict[str, str] = {}
    for part in (text or "").split(",") if text else ():
        name, equals, other = (piece.strip() for piece in part.partition("="))
        if not equals or not name or not other or name in found:
            raise InputError(f"columns={text!r}: {part!r} is not FIELD=COLUMN, each field once, such as label=stars")
        found[name] = other
    return found


def source_name(source: Labeled) -> str:
    """Return what to call a source in messages."""
    return str(source) if isinstance(source, (str, os.PathLike)) else "the data"


def in_memory(source: Any) -> Any:
    """Return a source that can be read again: records as a list, all others as they are."""
    return source if isinstance(source, (str, os.PathLike, Mapping)) or hasattr(source, "features") else list(source)


def _rows(source: Labeled, fields: Fields) -> Iterator[Record]:
    if isinstance(source, (str, os.PathLike)):
        path = Path(os.path.expanduser(source))
        if path.is_file():
            return _file(path, fields)
        if path.is_dir():
            raise InputError(f"{source} is a folder; pass one of its files")
        if isinstance(source, os.PathLike) or _is_path(source):
            raise InputError(f"{source}: no such file")
        return _table(_from_hub(source), source, fields)
    if hasattr(source, "features"):
        return _table(source, "the data set", fields)
    if isinstance(source, Mapping):
        raise InputError(f"the data is a dict of {', '.join(map(str, source))}; pass one of them")
    rows: Iterator[Record] = (
        Record(number, fields.pick(row) if isinstance(row, Mapping) else InputError(f"no dict but {row!r:.40}"))
        for number, row in enumerate(source, 1)
    )
    return rows


def _file(path: Path, fields: Fields) -> Iterator[Record]:
    suffix = path.suffix.lower()
    if suffix in _TAGGED:
        return _tagged(path, fields)
    return _json(path, fields) if suffix == ".json" else read_file(path, fields)


def _is_path(name: str) -> bool:
    """Whether a name that is no file's was meant to be one's."""
    suffix = Path(name).suffix.lower()
    known = kind_by_name(name) is not None or suffix in (*_TAGGED, ".json")
    return known or name.startswith((".", "/", "~")) or "\\" in name or name.partition("@")[0].count("/") > 1


def _of_cells(row: dict[str, Any]) -> Any:
    """Return a row of a CSV file, whose cells are texts, with lists and decimal numbers in place of some."""
    for name in row.keys() & {*_LISTS}:
        if isinstance(row[name], str):
            try:
                row[name] = json.loads(row[name])
            except (ValueError, RecursionError):
                return InputError(f"{name} must be a JSON list, not {row[name][:40]!r}")
    for name in row.keys() & {"label", "score"}:
        if _DECIMAL.fullmatch(row[name]):
            row[name] = float(row[name])
    return row


# -- tags --------------------------------------------------------------------------------------------------------------


def _tagged(path: Path, fields: Fields) -> Iterator[Record]:
    tokens: list[str] = []
    tags: list[str] = []
    start = before = 0
    broken: InputError | None = None

    def text() -> Iterator[Record]:
        if broken is not None or tokens:
            yield Record(start, broken or fields.pick({"tokens": [*tokens], "tags": [*tags]}))
        tokens.clear()
        tags.clear()

    for record in read_file(path, Fields(("text",)), "txt"):  # which leaves empty lines out
        line = record.value
        if record.line != before + 1:
            yield from text()
            broken = None
        before = record.line
        if isinstance(line, str) and (line.startswith("-DOCSTART-") or (line.startswith("# ") and "=" in line)):
            continue
        if not tokens and broken is None:
            start = record.line
        cells = [] if isinstance(line, InputError) else line.rstrip().split("\t") if "\t" in line else line.split()
        if len(cells) > 1 and cells[0] and cells[-1]:
            tokens.append(cells[0])
            tags.append(cells[-1])
        elif broken is None:
            start = record.line
            broken = line if isinstance(line, InputError) else InputError(f"no word and tag but {line[:40]!r}")
    yield from text()


# -- JSON --------------------------------------------------------------------------------------------------------------


def _json(path: Path, fields: Fields) -> Iterator[Record]:
    text = read_text(path)
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # JSON Lines under another name
            yield from read_file(path, fields, "jsonl")
            return
        raise InputError(f"{path} is not JSON: {error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    rows = found.get("data") if isinstance(found, dict) else found
    if not isinstance(rows, list):
        raise InputError(f'{path} must hold a list of records, or SQuAD\'s {{"data": [...]}}')
    if any(isinstance(row, dict) and "paragraphs" in row for row in rows):
        for number, question in enumerate(_questions(rows), 1):
            picked = question if isinstance(question, InputError) else fields.pick(question)
            yield Record(number, picked, "question")
        return
    for number, row in enumerate(rows, 1):
        picked = fields.pick(row) if isinstance(row, dict) else InputError(f"no object but {row!r:.40}")
        yield Record(number, picked, "record")


def _questions(articles: list[Any]) -> Iterator[dict[str, Any] | InputError]:
    """Yield SQuAD's questions: question, context, answers; those without an answer have an empty list."""
    for article in articles:
        for paragraph in _list(article, "paragraphs"):
            for asked in _list(paragraph, "qas"):
                answers = [] if isinstance(asked, dict) and asked.get("is_impossible") else _list(asked, "answers")
                try:
                    texts, starts = [a["text"] for a in answers], [a["answer_start"] for a in answers]
                    found = {"question": asked["question"], "context": paragraph["context"]}
                except (KeyError, TypeError) as error:
                    name = f" (id {asked['id']!r})" if isinstance(asked, dict) and "id" in asked else ""
                    yield InputError(f"no {error.args[0] if isinstance(error, KeyError) else 'object'}{name}")
                else:
                    yield found | {"answers": {"text": texts, "answer_start": starts}}


def _list(row: Any, name: str) -> list[Any]:
    found = row.get(name) if isinstance(row, dict) else None
    return found if isinstance(found, list) else [None]  # which is then named as broken


# -- data sets ---------------------------------------------------------------------------------------------------------


def _from_hub(name: str) -> Any:
    datasets = require("datasets")
    from huggingface_hub import constants

    place, _, split = name.partition("@")
    repository, _, config = place.partition(":")
    cure = "pass a file, or check the name and the connection"
    if not constants.HF_HUB_OFFLINE and (why := unreachable()):
        raise HubError(
            f"{name} is no file, and the hub is not there for a data set of this name: {why}; {cure}. "
            "With HF_HUB_OFFLINE=1 the cache is used"
        )
    try:
        found = datasets.load_dataset(repository, config or None, split=split or None)
    except Exception as error:  # of many kinds, as the data set's files are
        reason = first_line(error)
        raise HubError(f"{name} is no file, and no data set that can be loaded: {reason}; {cure}") from error
    if isinstance(found, Mapping):
        if len(found) > 1:
            raise InputError(f"{name} has the splits {', '.join(found)}; name one, such as {place}@{next(iter(found))}")
        found = next(iter(found.values()))
    return found


def _table(table: Any, name: str, fields: Fields) -> Iterator[Record]:
    """Yield the rows of a data set, classes by name."""
    names = list(table.features or ())
    check_columns(names, fields, f"{name} must have")
    read = [column for column in names if column in fields.needed + fields.optional]
    decoders = {column: decoder for column in read if (decoder := _decoder(table.features[column]))}
    for number, row in enumerate(table.select_columns(read), 1):
        try:
            decoded = {n: decoders[n](v) if n in decoders and v is not None else v for n, v in row.items()}
        except InputError as error:
            yield Record(number, error, "row")
        else:
            yield Record(number, fields.pick(decoded), "row")


def _decoder(feature: Any) -> Callable[[Any], Any] | None:
    """Return what turns a column's class numbers, or lists of them, into names; None where there are none."""
    names = getattr(feature, "names", None)
    if names is not None:

        def named(value: Any) -> Any:
            if not isinstance(value, int) or not 0 <= value < len(names):
                raise InputError(f"class {value!r} has no name, as where labels are withheld; there are {len(names)}")
            return names[value]

        return named
    inner = feature[0] if isinstance(feature, list) else getattr(feature, "feature", None)
    each = _decoder(inner) if inner is not None and not isinstance(inner, dict) else None
    return None if each is None else lambda values: [each(value) for value in values]
