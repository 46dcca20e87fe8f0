"""What can be fuzzed: a name, inputs to begin with, a way to change one, and a way to use it."""

from __future__ import annotations

import json
import random
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from helpers.mutations import damaged_json, dumped, nudged_json
from pocketbert import PocketBertError

__all__ = ["Calls", "Difference", "Target", "changed_json", "changed_value"]


class Difference(Exception):
    """Two answers that must be equal are not, or one of two refused what the other took."""


class Target(ABC):
    """A part of the library that takes what a stranger made.

    Attributes:
        name: as ``./scripts/fuzz --targets`` knows it.
        refusals: exceptions that say in words what is wrong with an input; any other is a finding.
        memory_gib: address space that its process may have.
        calls: in a run that counts calls, how many.
    """

    name: str
    refusals: tuple[type[BaseException], ...] = (PocketBertError,)
    memory_gib: float = 6
    calls: int = 400

    @abstractmethod
    def begin(self, folder: Path) -> list[bytes]:
        """Return inputs that are whole; files that ``run`` needs go into the folder, which is the target's own."""

    @abstractmethod
    def change(self, data: bytes, chance: random.Random) -> bytes:
        """Return a damaged copy of an input."""

    @abstractmethod
    def run(self, data: bytes) -> str:
        """Use an input and return what came of it, in a few words that few inputs have in common.

        Raises:
            Difference: what must be equal is not.
        """


class Calls(Target):
    """A target whose input is a list of numbers, each of which chooses a call, a change or an argument by chance."""

    def change(self, data: bytes, chance: random.Random) -> bytes:
        """Return the list with a number added, removed, moved or replaced."""
        numbers = json.loads(data)
        at = chance.randrange(len(numbers) + 1)
        kind = chance.randrange(5)
        if kind == 0 and len(numbers) > 1:
            del numbers[at % len(numbers)]
        elif kind == 1 and numbers:
            numbers[at % len(numbers)] = chance.randrange(2**32)
        elif kind == 2 and numbers:
            numbers.insert(at, numbers.pop(chance.randrange(len(numbers))))
        else:
            numbers.insert(at, chance.randrange(2**32))
        return json.dumps(numbers[:40]).encode()


def changed_json(data: bytes, chance: random.Random) -> bytes:
    """Return JSON with some of its values damaged."""
    return dumped(changed_value(json.loads(data), chance))


def changed_value(value: Any, chance: random.Random) -> Any:
    """Return a copy of a JSON value that is damaged, or has other values of the same types."""
    change = chance.choice((damaged_json, nudged_json))
    return json.loads(dumped(change(value, chance)))  # as a reader would get it
