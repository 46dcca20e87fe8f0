"""What int8 costs in each part of a model: run with that part in int8 and all others in float32."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pocketbert.architecture.parameters import Head
from pocketbert.plan import Program, run
from pocketbert.plan.int8.weights import compare
from pocketbert.quantization.report import Part
from pocketbert.runtime.batching import PackedBatch

__all__ = ["cosine", "part_names", "part_losses"]


def cosine(measured: dict[str, float], head: Head) -> float:
    """Return the least cosine of the results that a model is there for: its heads', or else its hidden states'."""
    found = {name: value for name, value in measured.items() if name.endswith("_cosine")}
    if head != "none" and len(found) > 1:
        del found["hidden_cosine"]
    return min(found.values())


def part_losses(exact: Program, small: Program, batch: PackedBatch) -> Iterator[Part]:
    """Yield the parts in order, each as soon as it is measured.

    Args:
        exact: the float32 program that was narrowed, equalised if it was.
        small: what ``plan.quantize.narrow`` made of it.
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


def part_names(program: Program) -> list[str]:
    """Return the names of a program's parts, in order."""
    layers = [f"layer {index}" for index in range(len(program.layers))]
    return ["embeddings", *layers, *(["head"] if program.branches else [])]
