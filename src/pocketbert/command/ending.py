"""How a run of the command ends: whatever stops it is told in one line, and gives a status."""

from __future__ import annotations

import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import typer

from pocketbert.command.streams import say
from pocketbert.errors import PocketBertError

__all__ = ["status_of"]

_STOPPED = 128  # and the number of the signal, as shells count
_received: list[int] = []  # the signals that ended this run


def status_of(run: Callable[[], object], *, debug: bool = False) -> int:
    """Run the command and return its status: 0, 1 for an error, 2 for wrong usage, 128 and more for a signal.

    Args:
        run: the command.
        debug: print the traceback of what stops it, too.
    """
    try:
        with _signals(), warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: say(f"warning: {message}")
            run()
    except typer.Exit as ending:  # the command itself chose a status and told why
        stopped = ending.exit_code == _STOPPED + signal.SIGINT and _received
        return _STOPPED + _received[0] if stopped else ending.exit_code
    except BaseException as error:  # not only Exception: what native code panics with is none
        if debug:
            for line in "".join(traceback.format_exception(error)).splitlines():
                say(line)
        line, status = _told(error)
        if line:
            say(line)
        return status
    return 0


def _told(error: BaseException) -> tuple[str, int]:
    """Return one line about an error, and the status; no line where all was told."""
    if hasattr(error, "format_message"):  # wrong usage; where its class is depends on the version of typer
        message = error.format_message()  # none where the help was printed instead
        return f"error: {message}" if message else "", int(getattr(error, "exit_code", 2))
    if isinstance(error, SystemExit):
        return ("stopped", error.code) if isinstance(error.code, int) else (f"error: {error.code}", 1)
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return "stopped", _STOPPED + (_received[0] if _received else signal.SIGINT)
    if isinstance(error, BrokenPipeError):
        return f"stopped: nobody reads {error.filename or 'the output'} any more", _STOPPED + 13  # SIGPIPE
    if isinstance(error, PocketBertError):
        return f"error: {error}", 1
    if isinstance(error, MemoryError):
        return f"error: out of memory{_first_line(error, ': ')}", 1
    if isinstance(error, OSError) and error.strerror:
        return f"error: {f'{error.filename}: ' if error.filename else ''}{error.strerror}", 1
    if isinstance(error, RecursionError):
        return "error: the input is nested too deep; --debug shows where", 1
    return f"error: {type(error).__name__}{_first_line(error, ': ')}; --debug shows where", 1


def _first_line(error: BaseException, before: str) -> str:
    lines = str(error).strip().splitlines()
    return before + lines[0] if lines else ""


@contextmanager
def _signals() -> Iterator[None]:
    """End at SIGTERM and SIGHUP as at Ctrl-C, so that files are left whole; a signal that is ignored stays so."""
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [number for name in names if signal.getsignal(number := getattr(signal, name)) == signal.SIG_DFL]
    _received.clear()
    for number in numbers:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _stop(number: int, _: FrameType | None) -> None:
    _received.append(number)
    raise KeyboardInterrupt
