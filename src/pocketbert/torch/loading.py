"""From a folder to a model and back: every parameter of the library's own is loaded, or the call is refused."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pocketbert.architecture.parameters import Parameter
from pocketbert.checkpoint import fit, write_checkpoint
from pocketbert.checkpoint.loading import Source
from pocketbert.errors import ConfigError, InputError
from pocketbert.notices import warn
from pocketbert.torch.initializing import building, start_afresh

__all__ = ["describe", "float_dtype", "load", "parameters_of", "save"]


def describe(tensor: Tensor) -> tuple[tuple[int, ...], str]:
    """Return a tensor's shape and the name of its dtype, such as ``"float32"``."""
    return tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")


def load(
    source: Source,
    arguments: Sequence[Any] = (),
    *,
    dtype: torch.dtype | str | None,
    device: torch.device,
    ignore_mismatched_sizes: bool,
    allow_float16: bool,
) -> tuple[Any, dict[str, list[Any]]]:
    """Return a model and its loading info; see ``PreTrainedModel.from_pretrained``."""
    target = float_dtype("float32" if dtype is None else dtype, [stored for _, stored in source.stored.values()])
    with building():
        model = source.cls(source.config, *arguments, **source.options)
    if not model.state_dict():
        raise ConfigError(
            f"{source.cls.__name__} cannot be loaded: it is no public class, and has no layers of its own"
        )
    model.tie_weights()
    model.base_model.allow_float16 = allow_float16
    model.check_precision(target)
    matched = source.match(model.parameters_on_disk(), ignore_mismatched_sizes=ignore_mismatched_sizes)
    start_afresh(model, [p.name for p in matched.fresh], [p.name for p in matched.fresh if p.kind != "own"])
    read = source.tensors.__getitem__ if source.weights is None else source.weights.torch_tensor
    for name, places in _names_of_each(model).items():
        if stored := matched.sources.get(name):
            _put(model, places, read(stored), target, device)
    model.to(device=device, dtype=target)
    model.tie_weights()
    for module in model.modules():
        module._is_hf_initialized = True  # a later init_weights() leaves what was loaded
    return model.eval(), matched.info


def parameters_of(model: Any) -> list[Parameter]:
    """List a model's parameters as they are on disk, and its persistent buffers.

    Those that the library knows come as the schema has them, unless the model gave them another shape; all others are
    the user's own. What stands under several names is stored under the first, the library's if there is one.
    """
    known = {parameter.name: parameter for parameter in model.library_parameters()}
    held = {name: value for name, value in model.state_dict(keep_vars=True).items() if isinstance(value, Tensor)}
    order = [*(name for name in known if name in held), *(name for name in held if name not in known)]
    first: dict[int, str] = {}
    for name in order:
        if known.get(name) is None or known[name].tied_to is None:
            first.setdefault(id(held[name]), name)
    listed = []
    for name in order:
        parameter, shape = known.get(name), tuple(held[name].shape)
        if parameter is None or parameter.shape != shape:
            parameter = Parameter(name, shape, "own", "own")
        if parameter.tied_to is None and (source := first.get(id(held[name]), name)) != name:
            parameter = replace(parameter, tied_to=source)
        listed.append(parameter)
    return listed


def _names_of_each(model: Any) -> dict[str, list[str]]:
    """Return, for every name of a tensor of the model, all names that this tensor has."""
    held = {name: value for name, value in model.state_dict(keep_vars=True).items() if isinstance(value, Tensor)}
    groups: dict[int, list[str]] = {}
    for name, value in held.items():
        groups.setdefault(id(value), []).append(name)
    return {name: groups[id(value)] for name, value in held.items()}


def _put(model: Any, places: list[str], value: Tensor, dtype: torch.dtype, device: torch.device) -> None:
    """Put a copy of a tensor into the model, under all its names."""
    value = value.to(device=device, dtype=dtype if value.is_floating_point() else None, copy=True)
    for place in places:
        path, _, leaf = place.rpartition(".")
        owner = model.get_submodule(path)
        old = getattr(owner, leaf)
        if isinstance(old, nn.Parameter) and not isinstance(value, nn.Parameter):
            value = nn.Parameter(value, requires_grad=old.requires_grad)
        setattr(owner, leaf, value)


def save(
    model: Any,
    folder: str | os.PathLike[str],
    state_dict: Mapping[str, Tensor] | None,
    max_shard_size: int | str,
    variant: str | None,
) -> None:
    """See ``PreTrainedModel.save_pretrained``."""
    from safetensors.torch import save_file

    wanted = model.parameters_on_disk()
    state = dict(model.state_dict() if state_dict is None else state_dict)
    stored = {key: describe(value) for key, value in state.items() if isinstance(value, Tensor)}
    _warn_of_what_does_not_fit(model, stored)
    whole = fit(stored, wanted, model.config)
    found = {p.name: whole.sources.get(p.name) for p in wanted if p.tied_to is None}
    tensors = {name: state[source] for name, source in found.items() if source is not None}
    tied = {p.name for p in wanted if p.tied_to is not None}
    tensors |= {n: state[n] for n in stored if n not in whole.sources.values() and n not in tied}
    for name in model._keys_to_ignore_on_save or ():
        tensors.pop(name, None)
    dtypes = {describe(value)[1] for value in tensors.values() if value.is_floating_point()}

    model.config.architectures = [type(model).__name__]
    config = type(model.config).from_dict(model.config.to_dict())
    config.dtype = dtypes.pop() if len(dtypes) == 1 else None

    def write(names: Iterable[str], path: Path) -> None:
        save_file(_apart({name: tensors[name] for name in names}), path, metadata={"format": "pt"})

    sizes = {name: value.numel() * value.element_size() for name, value in tensors.items()}
    write_checkpoint(folder, config, sizes, write, max_shard_size, variant)


def _warn_of_what_does_not_fit(model: Any, stored: Mapping[str, tuple[tuple[int, ...], str]]) -> None:
    """Say so where a class of this library holds other parameters than its configuration gives."""
    if type(model).__module__.partition(".")[0] != __name__.partition(".")[0]:
        return
    name = type(model).__name__
    if complaint := fit(stored, model.library_parameters(), model.config).of_the_library().complaint():
        warn(
            f"this {name} is not what its configuration says: {complaint}; it is saved as it is, and "
            f"{name}.from_pretrained will refuse it: write a class of your own for it"
        )


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors on the CPU, none of which shares memory with another."""
    apart: dict[str, Tensor] = {}
    used: set[int] = set()
    for name, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        place = value.untyped_storage().data_ptr()
        apart[name] = value.clone() if place in used else value
        used.add(place)
    return apart


def float_dtype(dtype: torch.dtype | str, stored: Sequence[str] = ()) -> torch.dtype:
    """Return a dtype that parameters can have; ``"auto"`` is the one that most of the stored ones have.

    Raises:
        InputError: there is none of that name, or it is no float.
    """
    if dtype == "auto":
        floats = [name for name in stored if "float" in name]
        dtype = max(set(floats), key=floats.count) if floats else "float32"
    chosen = getattr(torch, dtype.removeprefix("torch."), None) if isinstance(dtype, str) else dtype
    if not isinstance(chosen, torch.dtype) or not chosen.is_floating_point:
        raise InputError(f"dtype {dtype!r} is no float dtype; choose float32, bfloat16, float16, float64 or 'auto'")
    return chosen
