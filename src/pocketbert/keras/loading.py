"""From a folder to a Keras model and back: every parameter is assigned once or the call is refused.

Keras holds a linear weight as (in, out), a checkpoint as (out, in); a parameter's kind says how it is stored and where.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pocketbert.architecture.families import family_of
from pocketbert.architecture.parameters import Kind, Parameter
from pocketbert.checkpoint import write_checkpoint
from pocketbert.checkpoint.loading import Source

__all__ = ["ATTRIBUTES", "arrays", "assign", "describe", "load", "owner_of", "part_of", "save", "variable"]

ATTRIBUTES: dict[Kind, str] = {
    "linear_weight": "kernel",
    "linear_bias": "bias",
    "norm_scale": "gamma",
    "norm_bias": "beta",
    "embedding": "embeddings",
}
# names on disk that Keras uses for something else
_TAKEN = {"input": "input_", "output": "output_"}


def part_of(owner: Any, name: str) -> Any:
    """Return the part of a layer, or of a list of layers, that has a name on disk."""
    return owner[int(name)] if name.isdigit() else getattr(owner, _TAKEN.get(name, name))


def owner_of(model: Any, parameter: Parameter) -> Any:
    """Return the layer that holds a parameter."""
    words = family_of(model.config).words
    # one bias has two names on disk, and Keras holds it in the decoder
    path = f"{words.decoder}.bias" if parameter.name == words.bias else parameter.name
    owner: Any = model
    for name in path.split(".")[:-1]:
        owner = part_of(owner, name)
    return owner


def variable(model: Any, parameter: Parameter) -> keras.Variable:
    """Return the variable that holds a parameter."""
    return getattr(owner_of(model, parameter), ATTRIBUTES[parameter.kind])


def assign(model: Any, parameter: Parameter, array: np.ndarray[Any, Any]) -> None:
    """Set a parameter from an array as it is on disk."""
    variable(model, parameter).assign(array.T if parameter.kind == "linear_weight" else array)


def arrays(model: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Return every parameter by its name on disk, shared ones once, as they are on disk."""
    out = {}
    for parameter in model.parameters_on_disk():
        if parameter.tied_to is None:
            array = np.asarray(keras.ops.convert_to_numpy(variable(model, parameter)))
            out[parameter.name] = np.ascontiguousarray(array.T if parameter.kind == "linear_weight" else array)
    return out


def describe(array: Any) -> tuple[tuple[int, ...], str]:
    """Return an array's shape and the name of its dtype, such as ``"float32"``."""
    array = np.asarray(array)
    return array.shape, array.dtype.name


def load(
    source: Source, *, dtype: Any, ignore_mismatched_sizes: bool, allow_float16: bool
) -> tuple[Any, dict[str, list[Any]]]:
    """Return a model and its loading info; see ``TFPreTrainedModel.from_pretrained``."""
    model = source.cls(source.config, **source.options, dtype=dtype, allow_float16=allow_float16)
    wanted = model.parameters_on_disk()
    matched = source.match(wanted, ignore_mismatched_sizes=ignore_mismatched_sizes)
    read = source.tensors.__getitem__ if source.weights is None else source.weights.array
    for parameter in wanted:
        if parameter.name in matched.sources:
            assign(model, parameter, np.asarray(read(matched.sources[parameter.name])))
    return model, matched.info


def save(model: Any, folder: str | os.PathLike[str], max_shard_size: int | str, variant: str | None) -> None:
    """See ``TFPreTrainedModel.save_pretrained``."""
    from safetensors.numpy import save_file

    tensors = arrays(model)
    config = type(model.config).from_dict(model.config.to_dict())
    config.architectures = [type(model).__name__.removeprefix("TF")]
    config.dtype = model.variable_dtype

    def write(names: Iterable[str], path: Path) -> None:
        save_file({name: tensors[name] for name in names}, path, metadata={"format": "pt"})

    sizes = {name: array.nbytes for name, array in tensors.items()}
    write_checkpoint(folder, config, sizes, write, max_shard_size, variant)
