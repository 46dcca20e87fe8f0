"""The command, run in this process: its status, and what it wrote to either stream."""

from __future__ import annotations

import sys
from typing import NamedTuple

import pytest

from pocketbert.command.cli import main

__all__ = ["Ran", "run_main"]


class Ran(NamedTuple):
    """How a run ended."""

    status: int
    out: str
    err: str


def run_main(capfd: pytest.CaptureFixture[str], *arguments: object) -> Ran:
    """Run the command; ``capfd`` catches what native code writes, too."""
    capfd.readouterr()
    before = sys.argv
    sys.argv = ["pocketbert", *map(str, arguments)]
    try:
        main()
    except SystemExit as ending:
        return Ran(ending.code, *capfd.readouterr())
    finally:
        sys.argv = before
    raise AssertionError("the command must end with a status")
