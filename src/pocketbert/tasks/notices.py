"""Warnings that point at the caller's line, however deep inside the package they are given."""

from __future__ import annotations

import sys
import warnings

__all__ = ["depth", "renamed", "warn"]


def depth() -> int:
    """Return the ``stacklevel`` at which a warning from the caller's frame names the first line outside the package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "pocketbert":
        level, frame = level + 1, frame.f_back
    return level


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn about the line outside the package that led here."""
    warnings.warn(message, category, stacklevel=depth())


def renamed(old: str, new: str) -> None:
    """Warn that an argument has another name today."""
    warn(f"{old} is now {new}", FutureWarning)
