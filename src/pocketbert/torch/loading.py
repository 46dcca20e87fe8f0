"""From a folder to a model and back: every parameter is loaded or the call is refused."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.parameters import Parameter
from pocketbert.architecture.sinusoids import sinusoids
from pocketbert.checkpoint import fit, write_checkpoint
from pocketbert.checkpoint.loading import Source
from pocketbert.errors import CheckpointError, ConfigError, InputError

__all__ = ["describe", "initialize", "load", "save"]


def describe(tensor: Tensor) -> tuple[tuple[int, ...], str]:
    """Return a tensor's shape and the name of its dtype, such as ``"float32"``."""
    return tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")


def load(
    source: Source,
    *,
    dtype: torch.dtype | str | None,
    device: torch.device,
    ignore_mismatched_sizes: bool,
    allow_float16: bool,
) -> tuple[Any, dict[str, list[Any]]]:
    """Return a model and its loading info; see ``PreTrainedModel.from_pretrained``."""
    target = _dtype(dtype, [stored for _, stored in source.stored.values()])
    with torch.device("meta"):
        model = source.cls(source.config, **source.options)
    model.base_model.allow_float16 = allow_float16
    model.check_precision(target)
    wanted = model.parameters_on_disk()
    if model.state_dict().keys() != {parameter.name for parameter in wanted}:
        name = source.cls.__name__
        raise ConfigError(f"{name} cannot be loaded: it is no public class, or has parameters of its own")
    matched = source.match(wanted, ignore_mismatched_sizes=ignore_mismatched_sizes)
    read = source.tensors.__getitem__ if source.weights is None else source.weights.torch_tensor
    state = {name: read(key).to(device=device, dtype=target, copy=True) for name, key in matched.sources.items()}
    with torch.no_grad():
        state |= {p.name: initialize(p, source.config, target, device) for p in matched.fresh}
    model.load_state_dict(state, strict=False, assign=True)
    model.tie_weights()
    return model.eval(), matched.info


def initialize(
    parameter: Parameter, config: PretrainedConfig, dtype: torch.dtype, device: torch.device | str
) -> Tensor:
    """Return fresh weights: normal with ``initializer_range``, zero biases, unit norms, a zero row for padding."""
    if parameter.kind == "norm_scale":
        return torch.ones(parameter.shape, dtype=dtype, device=device)
    if parameter.kind in ("norm_bias", "linear_bias"):
        return torch.zeros(parameter.shape, dtype=dtype, device=device)
    if parameter.name.endswith("position_embeddings.weight") and getattr(config, "sinusoidal_pos_embds", False):
        return torch.from_numpy(sinusoids(*parameter.shape)).to(dtype=dtype, device=device)
    fresh = torch.empty(parameter.shape, dtype=dtype, device=device).normal_(0.0, config.initializer_range)
    if parameter.name.endswith("word_embeddings.weight") and config.pad_token_id is not None:
        fresh[config.pad_token_id] = 0
    return fresh


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
    whole = fit({key: tuple(value.shape) for key, value in state.items()}, wanted, model.config)
    if complaint := whole.complaint():
        raise CheckpointError(f"this {type(model).__name__} is not what its configuration says: {complaint}")
    tensors = {p.name: state[whole.sources[p.name]] for p in wanted if p.tied_to is None}
    dtypes = {describe(value)[1] for value in tensors.values() if value.is_floating_point()}

    config = type(model.config).from_dict(model.config.to_dict())
    config.architectures = [type(model).__name__]
    config.dtype = dtypes.pop() if len(dtypes) == 1 else None

    def write(names: Iterable[str], path: Path) -> None:
        chosen = {name: tensors[name].detach().cpu().contiguous() for name in names}
        save_file(chosen, path, metadata={"format": "pt"})

    sizes = {name: value.numel() * value.element_size() for name, value in tensors.items()}
    write_checkpoint(folder, config, sizes, write, max_shard_size, variant)


def _dtype(dtype: torch.dtype | str | None, stored: list[str]) -> torch.dtype:
    if dtype is None:
        return torch.float32
    if dtype == "auto":
        floats = [name for name in stored if "float" in name]
        dtype = max(set(floats), key=floats.count) if floats else "float32"
    chosen = getattr(torch, dtype.removeprefix("torch."), None) if isinstance(dtype, str) else dtype
    if not isinstance(chosen, torch.dtype) or not chosen.is_floating_point:
        raise InputError(f"dtype {dtype!r} is no float dtype; choose float32, bfloat16, float16, float64 or 'auto'")
    return chosen
