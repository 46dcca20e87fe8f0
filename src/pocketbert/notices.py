"""Warnings that point at the caller's line, however deep inside the package they are given."""

from __future__ import annotations

import sys
import warnings

__all__ = ["renamed", "warn"]


def warn(message: str, category: type[Warning] = UserWarning, *passed_over: str) -> None:
    """Warn about the line outside the package that led here.

    Args:
        message: what to say.
        category: kind of warning.
        *passed_over: packages whose frames lie between the caller and this package, such as ``"torch"``.
    """
    inside = {"pocketbert", *passed_over}
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] in inside:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def renamed(old: str, new: str) -> None:
    """Warn that an argument has another name today."""
    warn(f"{old} is now {new}", FutureWarning)
