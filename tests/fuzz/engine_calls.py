"""Calls of runners with batches of every kind."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path

import numpy as np

from fuzz.target import Calls, Difference
from helpers.hostile_batches import random_batch
from helpers.plan_mutations import CONFIGS, program
from pocketbert import InputError
from pocketbert.plan import quantize
from pocketbert.runtime.batching import PackedBatch, Row, pack
from pocketbert.runtime.native import NativeRunner

__all__ = ["EngineCalls"]

_HEADS = ("token_classification", "masked_lm", "sequence_classification", "question_answering")


@cache
def _runners(name: str, head: str, int8: bool) -> tuple[NativeRunner, NativeRunner]:
    plan = program(name, head)
    plan = quantize(plan) if int8 else plan
    return NativeRunner(plan, threads=1), NativeRunner(plan, threads=3)


class EngineCalls(Calls):
    """The first number chooses a model; each further one a batch. What is taken gives the same bits each time."""

    calls = 700
    memory_gib = 4

    def begin(self, folder: Path) -> list[bytes]:
        """See ``Target``."""
        return [json.dumps([number, number, number + 1]).encode() for number in range(24)]

    def run(self, data: bytes) -> str:
        """See ``Target``."""
        first, *numbers = json.loads(data) or [0]
        chance = random.Random(first)
        one, three = _runners(chance.choice([*CONFIGS]), chance.choice(_HEADS), chance.random() < 0.5)
        ended = set()
        refusal = None
        for number in numbers:
            chance = random.Random(number)
            batch = self._whole(chance) if chance.random() < 0.3 else random_batch(chance)
            try:
                found = three(batch)
            except InputError as error:
                refusal = error
                ended.add("refused")
                continue
            ended.add("taken")
            for a, b, c in zip(found, three(batch), one(batch), strict=True):
                if not (a.tobytes() == b.tobytes() == c.tobytes()) or not np.isfinite(a).all():
                    raise Difference(f"a batch gave other bits, or no finite ones, when it was run again: {batch}")
        if ended == {"refused"} and refusal is not None:
            raise refusal
        return f"{one.path} {one.head} {len(numbers)} {sorted(ended)}"

    def _whole(self, chance: random.Random) -> PackedBatch:
        lengths = [chance.choice((1, 2, 3, 17, 32, 40)) for _ in range(chance.randrange(1, 6))]
        return pack([Row([chance.randrange(31) for _ in range(length)]) for length in lengths])
