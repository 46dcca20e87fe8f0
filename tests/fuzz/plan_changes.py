"""Plans that are changed in one place after the other: what the engine takes the check takes, too, and it repeats."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path

from fuzz.target import Calls, Difference
from helpers.plan_mutations import CONFIGS, is_refused, mutated, program
from pocketbert import PocketBertError
from pocketbert.plan import Plan, quantize
from pocketbert.runtime import native
from pocketbert.runtime.batching import Row, pack
from pocketbert.runtime.native import NativeRunner

__all__ = ["PlanChanges"]

_BATCH = pack([Row([1, 2, 3]), Row(list(range(30))), Row([7])])
_OTHER = pack([Row([5, 6, 7, 8, 9] * 7)])


@cache
def _plan(name: str, head: str, int8: bool) -> Plan:
    plan = program(name, head)
    return quantize(plan) if int8 else plan


class PlanChanges(Calls):
    """The first number chooses a plan; each further one a change."""

    calls = 500
    memory_gib = 4

    def begin(self, folder: Path) -> list[bytes]:
        """See ``Target``."""
        return [json.dumps([number]).encode() for number in range(12)]

    def run(self, data: bytes) -> str:
        """See ``Target``."""
        first, *numbers = json.loads(data) or [0]
        chance = random.Random(first)
        head = chance.choice(("token_classification", "masked_lm"))
        plan = _plan(chance.choice([*CONFIGS]), head, chance.random() < 0.5)
        for number in numbers[:8]:
            try:
                plan = mutated(plan, random.Random(number), number)
            except (AttributeError, IndexError, LookupError, TypeError, ValueError):
                break  # an earlier change left nothing to change in this way
        self._engine_alone(plan)
        refused = is_refused(plan)
        runner = NativeRunner(plan, threads=1)
        if refused:
            raise Difference("the engine takes what the check of plans refuses")
        self._repeats(plan, runner)
        return f"{plan.head} {len(plan.layers)} layers, {len(plan.buffers)} buffers, {len(numbers[:8])} changes"

    def _engine_alone(self, plan: Plan) -> None:
        """Build and run without the check: what ``finish`` takes it can run, and repeat."""
        check = native._check
        native._check = lambda plan: None
        try:
            self._repeats(plan, NativeRunner(plan, threads=1))
        except PocketBertError:
            pass
        finally:
            native._check = check

    def _repeats(self, plan: Plan, runner: NativeRunner) -> None:
        found = [array.tobytes() for array in runner(_BATCH)]
        runner(_OTHER)
        again = [array.tobytes() for array in runner(_BATCH)]
        anew = [array.tobytes() for array in NativeRunner(plan, threads=2)(_BATCH)]
        if not found == again == anew:
            raise Difference("a plan that was taken gave two answers for the same text")
