"""A plan in one safetensors file: arrays as tensors, all else as JSON in its header. Nothing in it is trusted.

The JSON mirrors the dataclasses of ``structure``: an object's ``kind`` is its class, and ``{"array": name}`` is a
tensor. An array that occurs twice, such as a word table that a decoder shares, is stored once.
"""

from __future__ import annotations

import json
import os
import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from pocketbert.architecture.config import AutoConfig, PretrainedConfig
from pocketbert.errors import CheckpointError, ConfigError
from pocketbert.plan.check import check_plan
from pocketbert.plan.structure import Array, Plan
from pocketbert.storage.replacing import replacing
from pocketbert.storage.safetensors_header import read_tensors

__all__ = ["VERSION", "load_plan", "save_plan"]

VERSION = 2  # of the format; files of other versions are refused
_FORMAT = "pocketbert plan"
_JSON_LIMIT = 2**24  # characters; a real plan has far below a million
_TENSORS_LIMIT = 2**18

_hints = cache(get_type_hints)  # the types of a dataclass's fields, which are slow to resolve


def save_plan(plan: Plan, path: str | os.PathLike[str]) -> None:
    """Write a float or int8 plan; an older file stays as it was if anything fails."""
    from safetensors.numpy import save_file

    path = Path(path)
    tensors: dict[str, Array] = {}
    names: dict[int, str] = {}

    def store(where: str, array: Array) -> str:
        if id(array) not in names:
            names[id(array)] = where
            tensors[where] = np.ascontiguousarray(array)
        return names[id(array)]

    text = json.dumps(_encode(plan, "", store), allow_nan=False)
    metadata = {"format": _FORMAT, "version": str(VERSION), "plan": text}
    with replacing(path.parent) as stage:
        save_file(tensors, stage / path.name, metadata)


def load_plan(path: str | os.PathLike[str]) -> Plan:
    """Read a plan and check it.

    Raises:
        CheckpointError: there is no such file; it is damaged, no plan, or of another version; or its operations and
            arrays don't fit together.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no plan at {path}")
    metadata, tensors = read_tensors(path)
    try:
        text = _description(metadata)
        if len(tensors) > _TENSORS_LIMIT:
            raise CheckpointError(f"it has {len(tensors)} tensors")
        unused = set(tensors)

        def read(name: str) -> Array:
            if name not in tensors:
                raise CheckpointError(f"its tensor {name!r} is missing")
            unused.discard(name)
            return tensors[name]

        plan: Plan = _decode(Plan, json.loads(text), "plan", read)
        if unused:
            raise CheckpointError(f"it has tensors that no operation uses: {', '.join(sorted(unused)[:8])}")
        check_plan(plan)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (ConfigError, ValueError, RecursionError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged or no plan: {error}") from error
    return plan


def _description(metadata: dict[str, str]) -> str:
    """Return the JSON of a plan, after a check of format and version."""
    if metadata.get("format") != _FORMAT:
        raise CheckpointError("it is a safetensors file, but no plan; pass a checkpoint to plan_checkpoint")
    version = metadata.get("version", "")
    if version != str(VERSION):
        raise CheckpointError(f"it has version {version!r} and this library reads {VERSION}; make it again")
    text = metadata.get("plan", "")
    if len(text) > _JSON_LIMIT:
        raise CheckpointError(f"its description has {len(text)} characters, more than {_JSON_LIMIT}")
    return text


# -- dataclasses <-> JSON --------------------------------------------------------------------------------------


def _encode(value: Any, where: str, store: Callable[[str, Array], str]) -> Any:
    if isinstance(value, np.ndarray):
        return {"array": store(where, value)}
    if isinstance(value, PretrainedConfig):
        return json.loads(value.to_json_string())
    if is_dataclass(value) and not isinstance(value, type):
        prefix = f"{where}." if where else ""
        content = {f.name: _encode(getattr(value, f.name), prefix + f.name, store) for f in fields(value)}
        return {"kind": type(value).__name__, **content}
    if isinstance(value, tuple):
        return [_encode(item, f"{where}.{index}", store) for index, item in enumerate(value)]
    return value


def _decode(hint: Any, value: Any, where: str, read: Callable[[str], Array]) -> Any:
    """Return ``value`` as the type ``hint``; an error names the place."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        for option in arguments:
            if _is_kind(option, value):
                return _decode(option, value, where, read)
    elif origin is np.ndarray and isinstance(value, dict) and set(value) == {"array"}:
        if isinstance(value["array"], str):
            return read(value["array"])
    elif origin is tuple and isinstance(value, list):
        return tuple(_decode(arguments[0], item, f"{where}.{i}", read) for i, item in enumerate(value))
    elif origin is dict and isinstance(value, dict):
        return {name: _decode(arguments[1], item, f"{where}.{name}", read) for name, item in value.items()}
    elif origin is Literal and isinstance(value, str) and value in arguments:
        return value
    elif hint is PretrainedConfig:
        if isinstance(value, dict) and value.get("model_type") in AutoConfig.classes:
            return AutoConfig.classes[value["model_type"]].from_dict(value)
    elif is_dataclass(hint):
        return _decode_object(hint, value, where, read)
    elif (hint is type(None) and value is None) or type(value) is hint or (hint is float and type(value) is int):
        return value
    raise CheckpointError(f"{where} is {str(value)[:60]!r}")


def _decode_object(hint: Any, value: Any, where: str, read: Callable[[str], Array]) -> Any:
    hints = _hints(hint)
    if not _is_kind(hint, value) or set(value) != {"kind", *hints}:
        raise CheckpointError(f"{where} is no {hint.__name__}: {str(value)[:60]!r}")
    return hint(**{name: _decode(hints[name], value[name], f"{where}.{name}", read) for name in hints})


def _is_kind(hint: Any, value: Any) -> bool:
    """Whether a value says that it is None, an array or an object of a dataclass, whichever ``hint`` is."""
    if hint is type(None):
        return value is None
    if get_origin(hint) is np.ndarray:
        return isinstance(value, dict) and "array" in value
    return isinstance(value, dict) and value.get("kind") == hint.__name__
