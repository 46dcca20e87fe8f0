"""The PyTorch models: for training, research, and as the reference that every other backend is measured against."""

from __future__ import annotations

from typing import Any

from pocketbert.extras import require

require("torch")

from torch.utils._pytree import register_pytree_node  # noqa: E402

from pocketbert.architecture import outputs  # noqa: E402


def _register(kind: type[outputs.ModelOutput]) -> None:
    """Let torch.compile, torch.export and data parallelism look into an output."""

    def flatten(output: outputs.ModelOutput) -> tuple[list[Any], list[str]]:
        return list(output.values()), list(output.keys())

    def unflatten(values: Any, names: list[str]) -> outputs.ModelOutput:
        return kind(**dict(zip(names, values, strict=True)))

    register_pytree_node(kind, flatten, unflatten, serialized_type_name=f"pocketbert.{kind.__name__}")


for _kind in outputs.ModelOutput.__subclasses__():
    _register(_kind)
