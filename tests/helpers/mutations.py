"""Damage for files, the same on every run: bytes changed at random, and JSON values replaced by awkward ones."""

from __future__ import annotations

import copy
import json
import random

AWKWARD = [
    None, True, False, 0, 1, -1, 3, 2**31, 2**63, -(2**63), 10**30, 0.5, 1e-300, 1e308, float("nan"), float("inf"),
    "", "x", "gelu", "0", "\x00", "\ud800", "../../etc/passwd", "a" * 300, [], [0], [[]], ["a", None], {}, {"a": 1},
    {"": {"": []}},
]  # fmt: skip


def damaged_bytes(content: bytes, chance: random.Random) -> bytes:
    """Return ``content`` cut, with bytes flipped, removed, repeated or inserted; the front is hit more often."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8))):
        at = min(chance.randrange(len(data) + 1), chance.randrange(len(data) + 1))
        kind = chance.randrange(6)
        if kind == 0:
            del data[at:]
        elif kind == 1 and at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 2:
            del data[at : at + chance.choice((1, 4, 64))]
        elif kind == 3:
            data[at:at] = data[at : at + chance.choice((1, 8, 64))] * chance.choice((1, 3))
        elif kind == 4:
            data[at:at] = chance.randbytes(chance.choice((1, 8, 64)))
        else:
            data[at : at + 8] = chance.choice((b"\xff" * 8, b"\x00" * 8, b"[[[[[[[[", b'"', b"\\ud800", b"-1e999"))
    return bytes(data)


def damaged_json(value: object, chance: random.Random) -> object:
    """Return a copy of a JSON value with one to three of its parts replaced, removed, moved or added."""
    root = [copy.deepcopy(value)]
    for _ in range(chance.choice((1, 1, 2, 3))):
        holder, key = chance.choice(list(_places(root)))
        kind = chance.randrange(4)
        if kind == 0 and holder is not root:
            del holder[key]
        elif kind == 1:
            other, place = chance.choice(list(_places(root)))
            holder[key] = copy.deepcopy(other[place])
        elif kind == 2 and isinstance(holder[key], dict):
            holder[key][chance.choice(("", "type", "x", "0"))] = copy.deepcopy(chance.choice(AWKWARD))
        else:
            holder[key] = copy.deepcopy(chance.choice(AWKWARD))
    return root[0]


def nudged_json(value: object, chance: random.Random) -> object:
    """Return a copy of a JSON value with one to three of its parts replaced by others of the same type."""
    root = [copy.deepcopy(value)]
    for _ in range(chance.choice((1, 1, 2, 3))):
        places = list(_places(root))
        holder, key = chance.choice(places)
        old = holder[key]
        if isinstance(old, list):
            again = chance.choice((old, old[1:], old[:-1], old * 2))
            holder[key] = copy.deepcopy(chance.sample(again, len(again)))
        elif isinstance(old, bool):
            holder[key] = not old
        elif isinstance(old, (int, float)):
            holder[key] = chance.choice(
                (old + 1, old - 1, 2 * old, old // 2 if isinstance(old, int) else old / 2, -old)
            )
        else:
            alike = [other[place] for other, place in places if type(other[place]) is type(old)]
            holder[key] = copy.deepcopy(chance.choice(alike))
    return root[0]


def dumped(value: object) -> bytes:
    """Return a JSON value as a file's content, as someone careless would write it."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _places(holder):
    for key, inner in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
        yield holder, key
        if isinstance(inner, (dict, list)):
            yield from _places(inner)
