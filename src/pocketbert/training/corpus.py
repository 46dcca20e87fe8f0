"""Unlabeled text: a line is a text, and a row of ids; a long one is divided into several.

Neither the texts nor the rows are ever in memory as a whole: they go from the files into a table on disk. How often
each token occurs is counted on the way, and kept beside the table.
"""

from __future__ import annotations

import glob
import gzip
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketbert.errors import InputError
from pocketbert.tasks.records import Fields, Record, kind_by_name, read_file, read_stream
from pocketbert.training.examples import Example, fingerprint
from pocketbert.training.tables import Table, digest, make_table, table_path

__all__ = [
    "Corpus",
    "corpus_files",
    "counted",
    "documents_of",
    "is_kept",
    "no_row",
    "read_corpus",
    "texts_of",
]

_CHARACTERS = 1 << 20  # that are tokenized in one call, about
_TEXTS = 1000  # and no more texts than that
_LINES = 1000  # of a document that are held together; a longer one counts as several
_FIELDS = Fields(("text",))


@dataclass(frozen=True)
class Corpus:
    """Rows of ids.

    Attributes:
        table: the rows; a row begins with ``[CLS]`` and ends with ``[SEP]``.
        counts: how often each token of the vocabulary occurs in them.
        key: a name for their content.
    """

    table: Table
    counts: NDArray[np.int64]
    key: str


def corpus_files(names: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Return the files that names and patterns such as ``"texts/*.txt.gz"`` stand for, sorted within a pattern.

    Raises:
        InputError: there are none, or a name stands for none.
    """
    found: list[Path] = []
    for name in [os.fspath(name) for name in names]:
        files = [name] if os.path.exists(name) else sorted(glob.glob(name, recursive=True))
        if not files:
            raise InputError(f"corpus: {name} is no file, and no file fits it as a pattern")
        found += [Path(each) for each in files]
    if folders := [str(path) for path in found if path.is_dir()]:
        raise InputError(f"corpus: {folders[0]} is a folder; name its files, such as '{folders[0]}/*.txt'")
    return list(dict.fromkeys(found))


def read_corpus(
    names: Sequence[str | os.PathLike[str]],
    tokenizer: Any,
    max_length: int,
    min_length: int = 12,
    most_unknown: float = 0.5,
) -> Corpus:
    """Return the rows of text files, as DistilBERT's recipe makes them.

    Args:
        names: files in plain text, a text a line, or any other format that ``pocketbert predict`` reads (with a field
            ``text``); all may be compressed as ``.gz``. Or patterns; see ``corpus_files``.
        tokenizer: the model's tokenizer.
        max_length: most tokens of a row; a longer text is divided into rows of that length and the rest.
        min_length: shorter rows are left out.
        most_unknown: rows in which ``[UNK]`` is this share of the tokens, or more, are left out.

    Raises:
        InputError: a file is missing or broken (it is named, with the line), or no row is left.
    """
    files = corpus_files(names)
    key = digest("corpus", *files, fingerprint(tokenizer), max_length, min_length, most_unknown)

    def rows() -> Iterator[Example]:
        for row in _rows(texts_of(files), tokenizer, max_length):
            if is_kept(row, tokenizer, min_length, most_unknown):
                yield {"rows": [row], "size": len(row)}

    return counted(rows(), key, len(tokenizer), no_row(files, min_length, most_unknown))


def is_kept(row: Sequence[int], tokenizer: Any, min_length: int, most_unknown: float) -> bool:
    """Whether a row is long enough, and known enough."""
    return len(row) >= min_length and row.count(tokenizer.unk_token_id) < most_unknown * len(row)


def no_row(files: Sequence[Path], min_length: int, most_unknown: float) -> str:
    """Return what to say where no row of any file is kept."""
    return (
        f"no line of {', '.join(map(str, files[:3]))} gives a row of at least {min_length} tokens, fewer than "
        f"{most_unknown:.0%} of them unknown; lower min_length={min_length}, or pass other text"
    )


def counted(examples: Iterable[Example], key: str, vocabulary: int, complaint: str) -> Corpus:
    """Return the corpus of a key, and make it of examples of one row where it does not exist yet.

    Raises:
        InputError: there are no examples, as the complaint says.
    """
    path = table_path(key).with_suffix(".counts.npy")

    def watched() -> Iterator[Example]:
        counts = np.zeros(vocabulary, np.int64)
        for example in examples:
            counts += np.bincount(example["rows"][0], minlength=vocabulary)
            yield example
        if not counts.any():
            raise InputError(complaint)
        unfinished = path.with_suffix(f".{os.getpid()}.npy")
        np.save(unfinished, counts)  # before the table is complete, so that no table is without them
        os.replace(unfinished, path)

    table = make_table(watched(), key)
    return Corpus(table, np.load(path), key)


def texts_of(files: Sequence[Path]) -> Iterator[str]:
    """Yield the texts of files.

    Raises:
        InputError: a file is broken; it is named, with the line.
    """
    for path in files:
        for record in _checked(path):
            yield record.value


def documents_of(files: Sequence[Path]) -> Iterator[list[str]]:
    """Yield the lines of each document; a document ends at an empty line, or with its file. See ``texts_of``."""
    for path in files:
        lines: list[str] = []
        before = 0
        for record in _checked(path):
            if lines and (record.line > before + 1 or len(lines) == _LINES):
                yield lines
                lines = []
            lines.append(record.value)
            before = record.line
        if lines:
            yield lines


def _checked(path: Path) -> Iterator[Record]:
    """Yield the texts of a file, without the spaces around them."""
    try:
        for record in _records(path):
            if isinstance(record.value, InputError):
                raise InputError(f"{path}, line {record.line}: {record.value}")
            text = record.value["text"] if isinstance(record.value, dict) else record.value
            yield Record(record.line, text.strip())
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path} is not whole, or no gzip file: {error}") from error


def _records(path: Path) -> Iterator[Record]:
    if path.suffix != ".gz":
        yield from read_file(path, _FIELDS)
        return
    with gzip.open(path, "rb") as stream:
        yield from read_stream(stream, _FIELDS, kind_by_name(path.stem) or "txt")  # type: ignore[arg-type]


def _rows(texts: Iterable[str], tokenizer: Any, max_length: int) -> Iterator[list[int]]:
    """Yield ``[CLS] ... [SEP]``, at most ``max_length`` tokens at a time."""
    first, last, most = tokenizer.cls_token_id, tokenizer.sep_token_id, max_length - 2
    for part in _parts(texts):
        for ids in tokenizer(part, add_special_tokens=False, verbose=False)["input_ids"]:
            for start in range(0, len(ids), most):
                yield [first, *ids[start : start + most], last]


def _parts(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield texts in groups that are neither long nor many."""
    part: list[str] = []
    size = 0
    for text in texts:
        part.append(text)
        size += len(text)
        if size >= _CHARACTERS or len(part) == _TEXTS:
            yield part
            part, size = [], 0
    if part:
        yield part
