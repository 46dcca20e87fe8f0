"""From a folder to a Keras model and back: every parameter is assigned once or the call is refused.

Keras holds a linear weight as (in, out), a checkpoint as (out, in); a parameter's kind says how it is stored and where.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import keras
import numpy as np

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.parameters import Kind, Parameter
from pocketbert.checkpoint import fit, modern_name, open_checkpoint, write_checkpoint
from pocketbert.checkpoint.loading import check_stored, configure, fresh_parameters
from pocketbert.errors import InputError
from pocketbert.keras.model import TFPreTrainedModel
from pocketbert.storage.hub import CONFIG_FILES, HubOptions, local_folder

__all__ = ["arrays", "assign", "load", "save", "variable"]

M = TypeVar("M", bound=TFPreTrainedModel)

_ATTRIBUTES: dict[Kind, str] = {
    "linear_weight": "kernel",
    "linear_bias": "bias",
    "norm_scale": "gamma",
    "norm_bias": "beta",
    "embedding": "embeddings",
}
# names on disk that Keras uses for something else
_TAKEN = {"input": "input_", "output": "output_"}


def variable(model: TFPreTrainedModel, parameter: Parameter) -> keras.Variable:
    """Return the variable that holds a parameter."""
    owner: Any = model
    for name in parameter.name.split(".")[:-1]:
        owner = owner[int(name)] if name.isdigit() else getattr(owner, _TAKEN.get(name, name))
    return getattr(owner, _ATTRIBUTES[parameter.kind])


def assign(model: TFPreTrainedModel, parameter: Parameter, array: np.ndarray[Any, Any]) -> None:
    """Set a parameter from an array as it is on disk."""
    variable(model, parameter).assign(array.T if parameter.kind == "linear_weight" else array)


def arrays(model: TFPreTrainedModel) -> dict[str, np.ndarray[Any, Any]]:
    """Return every parameter by its name on disk, shared ones once, as they are on disk."""
    found = {}
    for parameter in model.parameters_on_disk():
        if parameter.tied_to is None:
            array = np.asarray(keras.ops.convert_to_numpy(variable(model, parameter)))
            found[parameter.name] = np.ascontiguousarray(array.T if parameter.kind == "linear_weight" else array)
    return found


def load(
    cls: type[M],
    name: str | os.PathLike[str] | None,
    *,
    config: PretrainedConfig | str | os.PathLike[str] | None,
    state_dict: Mapping[str, Any] | None,
    dtype: Any,
    ignore_mismatched_sizes: bool,
    allow_float16: bool,
    hub: HubOptions,
    overrides: dict[str, Any],
) -> tuple[M, dict[str, list[Any]]]:
    """See ``TFPreTrainedModel.from_pretrained``."""
    if name is None and (state_dict is None or config is None):
        raise InputError("without a name or folder, both config and state_dict are needed")
    folder = None
    if name is not None and (config is None or state_dict is None):
        folder = local_folder(name, CONFIG_FILES if config is None else (), weights=state_dict is None, options=hub)
    config, options = configure(cls, folder if config is None else config, overrides, hub)
    config.name_or_path = "" if name is None else str(name)
    if state_dict is None:
        assert folder is not None
        checkpoint = open_checkpoint(folder, tied=config.tie_word_embeddings)
        stored = {key: (tensor.shape, tensor.dtype) for key, tensor in checkpoint.tensors.items()}
        read: Callable[[str], np.ndarray[Any, Any]] = checkpoint.array
    else:
        given = {modern_name(key): np.asarray(value) for key, value in state_dict.items()}
        stored = {key: (value.shape, value.dtype.name) for key, value in given.items()}
        read = given.__getitem__
    model = cls(config, **options, dtype=dtype, allow_float16=allow_float16)
    wanted = model.parameters_on_disk()
    found = fit({key: shape for key, (shape, _) in stored.items()}, wanted, config)
    fresh_parameters(cls, found, wanted, ignore_mismatched_sizes, folder)
    for key, source in found.sources.items():
        check_stored(key, stored[source][1])
    for parameter in wanted:
        if parameter.name in found.sources:
            assign(model, parameter, read(found.sources[parameter.name]))
    info: dict[str, list[Any]] = {
        "missing_keys": [p.name for p in found.missing],
        "unexpected_keys": found.unused,
        "mismatched_keys": [(p.name, disk, ours) for p, disk, ours in found.misshaped],
    }
    return model, info


def save(model: TFPreTrainedModel, folder: str | os.PathLike[str], max_shard_size: int | str) -> None:
    """See ``TFPreTrainedModel.save_pretrained``."""
    from safetensors.numpy import save_file

    tensors = arrays(model)
    config = type(model.config).from_dict(model.config.to_dict())
    config.architectures = [type(model).__name__.removeprefix("TF")]
    config.torch_dtype = model.variable_dtype

    def write(names: Iterable[str], path: Path) -> None:
        save_file({name: tensors[name] for name in names}, path, metadata={"format": "pt"})

    write_checkpoint(folder, config, {name: array.nbytes for name, array in tensors.items()}, write, max_shard_size)
