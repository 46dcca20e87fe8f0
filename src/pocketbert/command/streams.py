"""Where the command prints: results to standard output, which nothing else reaches, and all else to standard error."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TextIO, TypeVar

from pocketbert.notices import printable

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console", "printing_results", "results", "say", "standard_streams"]

P = ParamSpec("P")
R = TypeVar("R")

_results: TextIO | None = None  # standard output while a command runs


def results() -> TextIO:
    """Return the stream for what the user asked for."""
    return _results or sys.stdout


def say(message: str) -> None:
    """Tell something beside the results, in one line; if nobody can hear it, that is no error."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(printable(message), file=sys.stderr, flush=True)


def console(**settings: Any) -> Console:
    """Return rich's console for results; where nobody reads them any more, it raises what any stream does."""
    from rich.console import Console

    class Results(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE), "standard output")

    return Results(file=results(), **settings)


def printing_results(command: Callable[P, R]) -> Callable[P, R]:
    """Wrap a command so that what libraries print to standard output goes to standard error; see ``results``."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        global _results
        before = sys.stdout
        _results, sys.stdout = before, sys.stderr
        try:
            return command(*args, **kwargs)
        finally:
            _results, sys.stdout = None, before

    return run


@contextmanager
def standard_streams() -> Iterator[None]:
    """Make the standard streams safe to use.

    Some libraries print from native code: file descriptor 1 becomes that of standard error, and ``sys.stdout`` gets
    another one. A stream that the caller closed is opened such that its use fails; else the next file that is opened
    would be taken for it. At the end everything is flushed, so that an error comes here and not when Python ends.
    """
    for number, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest number that is free, which is this one
    before = sys.stdin, sys.stdout, sys.stderr
    own = os.dup(1)
    utf8: dict[str, Any] = {"encoding": "utf-8", "closefd": False}
    sys.stdin = sys.stdin or open(0, **utf8)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", errors="backslashreplace", **utf8)  # noqa: SIM115
    if sys.platform == "win32" and isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(encoding="utf-8")  # pipes and files there have a code page without most characters
    encoding = "utf-8" if sys.platform == "win32" or sys.stdout is None else sys.stdout.encoding
    if sys.stdout is not None:
        sys.stdout.flush()
    os.dup2(2, 1)
    out = _Stdout(open(own, "wb"), encoding, "backslashreplace", line_buffering=os.isatty(own))  # noqa: SIM115
    sys.stdout = out
    try:
        yield
        out.flush()
    finally:
        os.dup2(own, 1)
        with suppress(OSError):  # where it cannot be written, that was said already
            out.close()
        sys.stdin, sys.stdout, sys.stderr = before


class _Stdout(io.TextIOWrapper):
    """Standard output, whose errors say that it is.

    What it wraps must be of native code: Ctrl-C between a write and the note of it would have the text written twice.
    """

    def write(self, text: str, /) -> int:
        with _naming_stdout():
            return super().write(text)

    def flush(self) -> None:
        with _naming_stdout():
            super().flush()


@contextmanager
def _naming_stdout() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from None
