"""From a folder to a model and back: every parameter is loaded or the call is refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.checkpoint import fit, modern_name, open_checkpoint, write_checkpoint
from pocketbert.checkpoint.loading import check_stored, configure, fresh_parameters
from pocketbert.errors import CheckpointError, ConfigError, InputError
from pocketbert.storage.hub import CONFIG_FILES, HubOptions, local_folder
from pocketbert.torch.model import PreTrainedModel, initialize

__all__ = ["load", "save"]

M = TypeVar("M", bound=PreTrainedModel)


def load(
    cls: type[M],
    name: str | os.PathLike[str] | None,
    *,
    config: PretrainedConfig | str | os.PathLike[str] | None,
    state_dict: Mapping[str, Tensor] | None,
    dtype: torch.dtype | str | None,
    device: torch.device,
    ignore_mismatched_sizes: bool,
    allow_float16: bool,
    hub: HubOptions,
    overrides: dict[str, Any],
) -> tuple[M, dict[str, list[Any]]]:
    """See ``PreTrainedModel.from_pretrained``."""
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
        stored = {tensor: (found.shape, found.dtype) for tensor, found in checkpoint.tensors.items()}
        read: Callable[[str], Tensor] = checkpoint.torch_tensor
    else:
        given = {modern_name(key): value for key, value in state_dict.items()}
        stored = {key: (tuple(value.shape), str(value.dtype).removeprefix("torch.")) for key, value in given.items()}
        read = given.__getitem__
    target = _dtype(dtype, [found for _, found in stored.values()])

    with torch.device("meta"):
        model = cls(config, **options)
    model.base_model.allow_float16 = allow_float16
    model.check_precision(target)
    wanted = model._schema()
    if model.state_dict().keys() != {parameter.name for parameter in wanted}:
        raise ConfigError(f"{cls.__name__} cannot be loaded: it is no public class, or has parameters of its own")
    found = fit({key: shape for key, (shape, _) in stored.items()}, wanted, config)
    fresh = fresh_parameters(cls, found, wanted, ignore_mismatched_sizes, folder)
    for key, source in found.sources.items():
        check_stored(key, stored[source][1])

    state = {key: read(source).to(device=device, dtype=target, copy=True) for key, source in found.sources.items()}
    for parameter in fresh:
        with torch.no_grad():
            state[parameter.name] = initialize(parameter, config, target, device)
    model.load_state_dict(state, strict=False, assign=True)
    model.tie_weights()
    model.eval()
    info: dict[str, list[Any]] = {
        "missing_keys": [p.name for p in found.missing],
        "unexpected_keys": found.unused,
        "mismatched_keys": [(p.name, disk, ours) for p, disk, ours in found.misshaped],
    }
    return model, info


def save(
    model: PreTrainedModel,
    folder: str | os.PathLike[str],
    state_dict: Mapping[str, Tensor] | None,
    max_shard_size: int | str,
) -> None:
    """See ``PreTrainedModel.save_pretrained``."""
    from safetensors.torch import save_file

    wanted = model._schema()
    state = dict(model.state_dict() if state_dict is None else state_dict)
    found = fit({key: tuple(value.shape) for key, value in state.items()}, wanted, model.config)
    complaint = found.complaint()
    if complaint:
        raise CheckpointError(f"this {type(model).__name__} is not what its configuration says: {complaint}")
    tensors = {p.name: state[found.sources[p.name]] for p in wanted if p.tied_to is None}
    dtypes = {str(value.dtype).removeprefix("torch.") for value in tensors.values() if value.is_floating_point()}

    config = type(model.config).from_dict(model.config.to_dict())
    config.architectures = [type(model).__name__]
    config.torch_dtype = dtypes.pop() if len(dtypes) == 1 else None

    def write(names: Iterable[str], path: Path) -> None:
        chosen = {name: tensors[name].detach().cpu().contiguous() for name in names}
        save_file(chosen, path, metadata={"format": "pt"})

    sizes = {name: value.numel() * value.element_size() for name, value in tensors.items()}
    write_checkpoint(folder, config, sizes, write, max_shard_size)


def _dtype(dtype: torch.dtype | str | None, stored: list[str]) -> torch.dtype:
    if dtype is None:
        return torch.float32
    if dtype == "auto":
        floats = [found for found in stored if "float" in found]
        dtype = max(set(floats), key=floats.count) if floats else "float32"
    found = getattr(torch, dtype.removeprefix("torch."), None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise InputError(f"dtype {dtype!r} is no float dtype; choose float32, bfloat16, float16, float64 or 'auto'")
    return found
