"""What int8 costs in each part of a model, measured with that part in int8 and all others in float32."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pocketbert.architecture.heads import BARE
from pocketbert.plan import Plan, run
from pocketbert.plan.batch import PackedBatch
from pocketbert.plan.int8.agreement import compare
from pocketbert.quantization.quantization_report import Part

__all__ = ["cosine", "part_names", "part_losses"]


def cosine(measured: dict[str, float], head: str) -> float:
    """Return the least cosine among a head's answers, or for a bare encoder that of hidden states and pooler."""
    cosines = {name: value for name, value in measured.items() if name.endswith("_cosine")}
    if head != BARE and len(cosines) > 1:
        del cosines["hidden_cosine"]
    return min(cosines.values())


def part_losses(exact: Plan, small: Plan, batch: PackedBatch) -> Iterator[Part]:
    """Measure part by part, and yield each when it is done; ``small`` is what ``narrow`` made from ``exact``."""
    truth = run(exact, batch)
    mixed = [replace(exact, embeddings=small.embeddings)]
    for i, layer in enumerate(small.layers):
        mixed.append(replace(exact, layers=(*exact.layers[:i], layer, *exact.layers[i + 1 :])))
    mixed.append(replace(exact, branches=small.branches))
    for name, plan in zip(part_names(small), mixed, strict=False):  # a bare encoder without pooler has no head
        yield Part(name, 1 - cosine(compare(truth, run(plan, batch)), exact.head))


def part_names(plan: Plan) -> list[str]:
    """Return the names of a plan's parts, in order."""
    layers = [f"layer {index}" for index in range(len(plan.layers))]
    return ["embeddings", *layers, *(["head"] if plan.branches else [])]
