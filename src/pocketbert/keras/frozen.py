"""Which parts of a model train, as data that survives saving: ``trainable`` of its layers and variables by path.

Paths are those of the parameters on disk; the model's own is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pocketbert.keras.loading import part_of, variable

__all__ = ["set_trainable", "trainable_parts"]


def _parts(model: Any) -> dict[str, Any]:
    """Return every layer and variable that can be frozen, outer ones first."""
    parts = {"": model}
    for parameter in model.parameters_on_disk():
        if parameter.tied_to is not None:
            continue
        owner, path = model, ""
        for name in parameter.name.split(".")[:-1]:
            owner, path = part_of(owner, name), f"{path}.{name}".removeprefix(".")
            if hasattr(owner, "trainable"):
                parts.setdefault(path, owner)
        parts[parameter.name] = variable(model, parameter)
    return parts


def trainable_parts(model: Any) -> dict[str, bool]:
    """Return ``trainable`` of the parts that differ from the part around them; empty where all of a model trains."""
    parts = _parts(model)
    found = {}
    for path, part in parts.items():
        outer = path
        while outer and (outer == path or outer not in parts):
            outer = outer.rpartition(".")[0]
        around = bool(parts[outer].trainable) if path else True
        if bool(part.trainable) != around:
            found[path] = bool(part.trainable)
    return found


def set_trainable(model: Any, parts: Mapping[str, bool] | bool) -> None:
    """Freeze and thaw parts as ``trainable_parts`` told, or all of a model."""
    wanted = {"": parts} if isinstance(parts, bool) else parts
    if not wanted or wanted == {"": True}:
        return
    for path, part in _parts(model).items():  # what is set on a layer holds for all inside it, so inner ones come later
        if path in wanted:
            part.trainable = wanted[path]
