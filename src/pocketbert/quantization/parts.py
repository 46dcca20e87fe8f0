"""What int8 costs in each part of a model, measured with that part in int8 and all others in float32."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pocketbert.architecture.parameters import Head
from pocketbert.plan import Plan, run
from pocketbert.plan.batch import PackedBatch
from pocketbert.plan.int8.agreement import compare
from pocketbert.quantization.report import Part

__all__ = ["cosine", "part_names", "part_losses"]


def cosine(measured: dict[str, float], head: Head) -> float:
    """Return the least cosine among a head's answers, or for a bare encoder that of hidden states and pooler."""
    cosines = {name: value for name, value in measured.items() if name.endswith("_cosine")}
    if head != "none" and len(cosines) > 1:
        del cosines["hidden_cosine"]
    return min(cosines.values())


def part_losses(exact: Plan, small: Plan, batch: PackedBatch) -> Iterator[Part]:
    """Measure part by part, and yield each when it is done.

    Args:
        exact: the float32 plan.
        small: the int8 plan that ``plan.int8.weights.narrow`` made from it.
        batch: the texts.
    """
    truth = run(exact, batch)
    for name in part_names(small):
        kind, _, number = name.partition(" ")
        if kind == "layer":
            index = int(number)
            layers = (*exact.layers[:index], small.layers[index], *exact.layers[index + 1 :])
            mixed = replace(exact, layers=layers)
        elif kind == "head":
            mixed = replace(exact, branches=small.branches)
        else:
            mixed = replace(exact, embeddings=small.embeddings)
        yield Part(name, 1 - cosine(compare(truth, run(mixed, batch)), exact.head))


def part_names(plan: Plan) -> list[str]:
    """Return the names of a plan's parts, in order."""
    layers = [f"layer {index}" for index in range(len(plan.layers))]
    return ["embeddings", *layers, *(["head"] if plan.branches else [])]
