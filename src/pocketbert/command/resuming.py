"""What made an output file, in a small file beside it: a run is continued only by one that would have written the same.

``out.jsonl.resume`` has two lines of JSON: what every answer depends on beside its record, and how far the run came,
with a digest of the records until there. The second has a fixed length and is written in place after each answer.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from pocketbert.command.output import OutputFile
from pocketbert.errors import CheckpointError, InputError
from pocketbert.runtime.batching import PAUSE, Pause
from pocketbert.storage.opening import read_bytes
from pocketbert.tasks.records import Record

__all__ = ["Resumable"]

_MAKER = "pocketbert predict"
_LARGEST = 64 * 2**20  # bytes of the file beside; long lists of labels may be among the options
_SHOWN = 60  # characters of a value in an error
_JSON = json.JSONEncoder(default=str).encode  # json.dumps with a default builds an encoder at each call
_BEGIN = b'{"line": '  # of each line of the output


class Resumable:
    """An output file of JSON lines, and the file beside it.

    Args:
        output: the file, open and locked.
        facts: what every answer depends on beside its record; what JSON cannot hold is compared as a string.
        resume: continue what the file holds; otherwise it is emptied.

    Attributes:
        done: the last line of the input whose answer is in the file, 0 for none.
        skipped: records that ``rest`` passed over.

    Raises:
        InputError: the file was made by something else, or with other facts; nothing is changed.
    """

    def __init__(self, output: OutputFile, facts: Mapping[str, Any], *, resume: bool) -> None:
        self._output = output
        self._path = output.path.with_name(output.path.name + ".resume")
        self._digest = hashlib.sha256()
        self.done = self.skipped = 0
        facts = json.loads(_JSON({"made by": _MAKER, **facts}))
        found = self._read()
        if resume and output.end:
            self._check(facts, found)
            self.done = self._finished()
        else:
            output.cut(0)
            found = None
        # the last line that an earlier run answered, and the digest until there
        self._seen = (0, self._digest.hexdigest()) if found is None else (found[1]["line"], found[1]["records"])
        self._place = self._begin(facts) if found is None else found[2]
        self._file = self._path.open("r+b", buffering=0)

    def close(self) -> None:
        """Close the file beside; the output stays open."""
        self._file.close()

    def answered(self, record: Record) -> None:
        """Note that the answer of a record was written."""
        self._add(record)
        self._file.seek(self._place)
        self._file.write(_progress(record.line, self._digest.hexdigest()))

    def rest(self, records: Iterable[Record | Pause]) -> Iterator[Record | Pause]:
        """Yield the records whose answers are not in the file.

        Raises:
            InputError: those whose answers are there are not those that it was made from.
        """
        line, digest = self._seen
        records, following = iter(records), list[Record | Pause]()
        lost = []  # an earlier run answered them, and the file has lost the answers
        state = self._digest.copy()
        for record in records:
            if record is PAUSE:
                continue
            if record.line > line:
                following = [record]
                break
            self._add(record)
            if record.line > self.done:
                lost.append(record)
            else:
                state, self.skipped = self._digest.copy(), self.skipped + 1
        if self._digest.hexdigest() != digest:
            raise self._refusal(f"it was made from another input, whose records until line {line} are different")
        self._digest = state
        yield from lost
        for record in chain(following, records):
            if record is PAUSE or record.line > self.done:
                yield record
            else:  # answered just before the earlier run was killed
                self.answered(record)
                self.skipped += 1

    def _add(self, record: Record) -> None:
        self._digest.update(_JSON([record.line, record.value]).encode() + b"\n")

    def _refusal(self, why: str) -> InputError:
        return InputError(
            f"{self._output.path} cannot be continued: {why}; pass --overwrite to begin again, or name another file"
        )

    def _read(self) -> tuple[dict[str, Any], dict[str, Any], int] | None:
        """Return both lines of the file beside, and where the second begins; None if there is none.

        Raises:
            InputError: it is something else.
        """
        foreign = InputError(f"{self._path} is in the way, and was not written by predict; move it, or name another")
        if not os.path.lexists(self._path):
            return None
        try:
            raw = read_bytes(self._path, _LARGEST)
        except CheckpointError as error:
            raise foreign from error
        if not raw:  # a run was killed before it began to write
            return None
        try:
            first, second = (json.loads(line) for line in raw.splitlines())
            if first["made by"] != _MAKER or type(second["line"]) is not int or type(second["records"]) is not str:
                raise foreign
        except (ValueError, KeyError, TypeError) as error:
            raise foreign from error
        return first, second, raw.index(b"\n") + 1

    def _begin(self, facts: Mapping[str, Any]) -> int:
        """Write the file beside, and return where its second line begins."""
        first = json.dumps(facts).encode() + b"\n"
        raw = first + _progress(*self._seen)
        with self._path.open("wb", buffering=0) as file:
            if file.write(raw) < len(raw):
                file.truncate(0)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)
            os.fsync(file.fileno())
        return len(first)

    def _check(self, facts: Mapping[str, Any], found: tuple[Mapping[str, Any], Any, Any] | None) -> None:
        if found is None:
            raise self._refusal(f"there is no {self._path.name} beside it, which says what made it")
        before = found[0]
        changes = [
            f"{name} was {_shown(before.get(name))} and is {_shown(facts.get(name))}"
            for name in dict.fromkeys([*before, *facts])
            if before.get(name) != facts.get(name)
        ]
        if changes:
            raise self._refusal("; ".join(changes))

    def _finished(self) -> int:
        """Return the last line that the output holds, and cut off one that was not finished.

        Raises:
            InputError: something else is in it; then nothing is cut.
        """
        last = end = 0
        with open(os.dup(self._output.descriptor), "rb") as file:
            file.seek(0)
            for number, raw in enumerate(file, 1):
                if not raw.endswith(b"\n") and (raw.startswith(_BEGIN) or _BEGIN.startswith(raw)):
                    break
                try:
                    line = json.loads(raw)["line"]
                except (ValueError, KeyError, TypeError, RecursionError):
                    line = None
                if not raw.endswith(b"\n") or type(line) is not int or line <= last:
                    raise self._refusal(f"its line {number} was not written by predict")
                last, end = line, end + len(raw)
        self._output.cut(end)
        return last


def _progress(line: int, digest: str) -> bytes:
    return f'{{"line": {line}, "records": "{digest}"}}'.ljust(120).encode() + b"\n"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
