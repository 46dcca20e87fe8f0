"""Outputs as trees, so that compilers, exporters and training loops of a framework look into them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from pocketbert.architecture.outputs import ModelOutput

__all__ = ["register_in_torch", "register_outputs"]

Names = tuple[str, ...]
Register = Callable[[type[ModelOutput], Callable[[Any], tuple[Any, Any]], Callable[[Any, Any], Any]], None]


def register_outputs(register: Register) -> None:
    """Register every kind of output.

    Args:
        register: takes a class, a function from an output to (values, names), and one from (names, values) back.
    """

    def flatten(output: ModelOutput) -> tuple[list[Any], Names]:
        return list(output.values()), tuple(output)

    def unflatten_as(kind: type[ModelOutput]) -> Callable[[Names, Iterable[Any]], ModelOutput]:
        return lambda names, values: kind(**dict(zip(names, values, strict=True)))

    for kind in ModelOutput.__subclasses__():
        register(kind, flatten, unflatten_as(kind))


@cache  # torch refuses a class that it knows
def register_in_torch() -> None:
    """Register every kind of output with PyTorch, which must be installed; a second call does nothing."""
    from torch.utils._pytree import register_pytree_node

    def register(kind: type[ModelOutput], flatten: Any, unflatten: Any) -> None:
        register_pytree_node(
            kind,
            lambda output: (flatten(output)[0], list(output)),  # names as JSON has them
            lambda values, names: unflatten(names, values),
            serialized_type_name=f"pocketbert.{kind.__name__}",
        )

    register_outputs(register)
