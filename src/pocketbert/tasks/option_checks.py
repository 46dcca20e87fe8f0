"""Checks of task options and inputs; each error states the value, the limit and the fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pocketbert.errors import InputError

__all__ = ["check_choice", "check_flag", "check_number", "check_text", "check_whole", "fields_of", "kind", "suggest"]


def kind(value: Any) -> str:
    """Describe a value that is of the wrong type."""
    return f"{type(value).__name__} ({str(value)[:40]!r})"


def suggest(name: object, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'top_k'?"``, or nothing."""
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    """Require one of ``choices``."""
    known = list(choices)
    if not isinstance(value, str) or value not in known:
        raise InputError(f"{name}={value!r} is unknown; choose from {', '.join(map(repr, known))}")


def check_flag(name: str, value: Any) -> None:
    """Require a bool."""
    if not isinstance(value, bool):
        raise InputError(f"{name}={value!r} must be True or False")


def check_whole(name: str, value: Any, least: int, *, none: str | None = None) -> None:
    """Require an integer >= ``least``; None is allowed if ``none`` describes what it means."""
    if value is None and none:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        also = f", or None for {none}" if none else ""
        raise InputError(f"{name}={value!r} must be a whole number of at least {least}{also}")


def check_number(name: str, value: Any) -> None:
    """Require a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < float("inf"):
        raise InputError(f"{name}={value!r} must be a number")


def check_text(name: str, value: Any) -> str:
    """Return ``value`` if it is a string."""
    if isinstance(value, str):
        return value
    cure = "; pass a list to have several texts answered" if isinstance(value, (tuple, list)) else ""
    raise InputError(f"{name} must be a string, not {kind(value)}{cure}")


def fields_of(item: Mapping[Any, Any], needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> list[Any]:
    """Return the values of a dict's keys, None for optional ones that are absent.

    Raises:
        InputError: a key is missing, or is not one of these.
    """
    takes = ", ".join([*map(repr, needed), *(f"{name!r} (optional)" for name in optional)])
    for name in needed:
        if name not in item:
            raise InputError(f"the input has no key {name!r}; it takes {takes}, got {', '.join(map(repr, item))}")
    for name in item:
        if name not in needed and name not in optional:
            raise InputError(
                f"the input has an unknown key {name!r}{suggest(name, needed + optional)}; it takes {takes}"
            )
    return [item.get(name) for name in needed + optional]
