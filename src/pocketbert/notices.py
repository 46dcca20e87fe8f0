"""What is told to people: warnings that point at the caller's line, and text that is safe to show on a terminal."""

from __future__ import annotations

import sys
import warnings

__all__ = ["printable", "renamed", "silence", "warn"]

_silent = False


def warn(message: str, category: type[Warning] = UserWarning, *passed_over: str) -> None:
    """Warn about the line outside the package that led here, unless ``silence`` forbids it.

    Args:
        message: what to say.
        category: kind of warning.
        *passed_over: packages whose frames lie between the caller and this package, such as ``"torch"``.
    """
    if _silent and category is UserWarning:
        return
    inside = {"pocketbert", *passed_over}
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] in inside:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def renamed(old: str, new: str) -> None:
    """Warn that an argument has another name today."""
    warn(f"{old} is now {new}", FutureWarning)


def printable(text: str) -> str:
    """Return a text in one line that a terminal shows as it is: what would control it is spelt as in Python.

    Labels, tensor names, file names and texts come from others, and may hold escape sequences.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def silence(silent: bool) -> None:
    """Give no ``UserWarning`` from now on, or give them again; warnings of what will change stay."""
    global _silent
    _silent = silent
