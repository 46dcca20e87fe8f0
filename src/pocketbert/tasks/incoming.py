"""Records that someone sends at their own pace: what is there is answered, however long the next one takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from threading import Condition, Thread

from pocketbert.runtime.batching import LOOKAHEAD, PAUSE, Pause
from pocketbert.tasks.records import Record

__all__ = ["as_they_come"]

_CHARACTERS = 16 * 2**20  # about what is read ahead at most, beside one record


def as_they_come(records: Iterable[Record]) -> Iterator[Record | Pause]:
    """Read records in a thread, and yield ``PAUSE`` where the next one is not there yet.

    Without it, a partner that sends a line and waits for its answer would wait for ever: batches would wait for more.

    Args:
        records: read ahead a little; what reading raises is raised here, after the records before it.
    """
    there: deque[Record] = deque()
    changed = Condition()
    held = 0
    end: list[BaseException | None] = []  # filled once, when nothing more will come: with what was raised, or None

    def has_room() -> bool:
        return len(there) < LOOKAHEAD and held < _CHARACTERS

    def read() -> None:
        nonlocal held
        raised: BaseException | None = None
        try:
            for record in records:
                with changed:
                    changed.wait_for(has_room)
                    there.append(record)
                    held += _size(record)
                    changed.notify_all()
        except BaseException as error:  # it is the reader's, and raised where that waits
            raised = error
        with changed:
            end.append(raised)
            changed.notify_all()

    Thread(target=read, daemon=True, name="reading the input").start()
    pending = False  # whether records were yielded since the last pause
    while True:
        record = None
        with changed:
            if not there and not pending:
                changed.wait_for(lambda: there or end)
            if there:
                record = there.popleft()
                held -= _size(record)
                changed.notify_all()
            elif end:
                if end[0] is not None:
                    raise end[0]
                return
        pending = record is not None
        yield PAUSE if record is None else record


def _size(record: Record) -> int:
    return len(str(record.value))
