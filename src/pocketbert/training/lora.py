"""Low-rank adapters (LoRA, arXiv 2106.09685): a product's weight stays, and learns a difference of small rank.

``W x`` becomes ``W x + alpha / rank * B (A dropout(x))`` with A (rank, in) random and B (out, rank) zero at the start.
Files are peft's: ``adapter_config.json`` and ``adapter_model.safetensors``.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketbert.errors import CheckpointError, InputError
from pocketbert.storage.replacing import replacing
from pocketbert.storage.texts import read_json

__all__ = ["add_adapters", "load_adapters", "merge_adapters", "save_adapters"]

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."  # what peft wraps a model in
# where adapters go by default: queries and values, as in the paper (section 7.1)
TARGETS = {"distilbert": ("q_lin", "v_lin"), "bert": ("query", "value"), "mobilebert": ("query", "value")}


def add_adapters(
    model: Any, rank: int, *, alpha: float | None = None, dropout: float = 0.0, targets: Sequence[str] = ()
) -> None:
    """Put adapters beside a model's products; they, and what lies outside of the encoder, are all that is trained.

    Args:
        model: a PyTorch model of this library.
        rank: of the differences.
        alpha: their factor is ``alpha / rank``; twice the rank by default.
        dropout: of what the adapters read.
        targets: names of linear layers, as peft's ``target_modules``; queries and values by default.

    Raises:
        InputError: no layer has such a name.
    """
    targets = tuple(targets) or TARGETS[model.config.model_type]
    alpha = float(alpha or 2 * rank)
    for parameter in model.base_model.parameters():
        parameter.requires_grad_(False)
    found = list(_named(model, targets))
    missing = [name for name in targets if not any(_is(path, name) for path, _ in found)]
    if missing:
        raise InputError(f"no linear layer is named {', '.join(missing)}; lora_targets names the last part of a path")
    for _, module in found:
        a = torch.empty(rank, module.in_features, device=module.weight.device, dtype=module.weight.dtype)
        nn.init.kaiming_uniform_(a, a=math.sqrt(5))
        module.lora_A = nn.Parameter(a)
        module.lora_B = nn.Parameter(module.weight.new_zeros(module.out_features, rank))
        module.forward = partial(_adapted, module, alpha / rank, dropout)
    model.adapters = {"r": rank, "lora_alpha": alpha, "lora_dropout": dropout, "target_modules": list(targets)}


def _adapted(module: Any, factor: float, dropout: float, x: Tensor) -> Tensor:
    low = F.linear(F.dropout(x, dropout, module.training), module.lora_A)
    return F.linear(x, module.weight, module.bias) + F.linear(low, module.lora_B) * factor


def merge_adapters(model: Any) -> Any:
    """Add the differences to the weights and take the adapters away; the model is returned."""
    factor = model.adapters["lora_alpha"] / model.adapters["r"]
    with torch.no_grad():
        for module in _adapted_modules(model).values():
            module.weight += module.lora_B @ module.lora_A * factor
            del module.lora_A, module.lora_B, module.forward
    del model.adapters
    model.requires_grad_(True)
    return model


def save_adapters(model: Any, folder: str | os.PathLike[str]) -> None:
    """Write a model's adapters, and the layers outside of its encoder, as peft writes them."""
    from safetensors.torch import save_file

    tensors = {}
    for path, module in _adapted_modules(model).items():
        for letter in "AB":
            tensors[f"{_PREFIX}{path}.lora_{letter}.weight"] = getattr(module, f"lora_{letter}").detach().cpu()
    heads = _heads(model)
    for name, value in model.state_dict().items():
        if name.split(".")[0] in heads:
            tensors[_PREFIX + name] = value.detach().cpu().contiguous()
    config = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": model.name_or_path,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "modules_to_save": heads or None,
        **model.adapters,
    }
    with replacing(folder) as stage:
        (stage / _CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
        save_file({name: value.contiguous() for name, value in tensors.items()}, stage / _WEIGHTS)


def load_adapters(model: Any, folder: str | os.PathLike[str]) -> Any:
    """Put the adapters of a folder, ours or peft's, into a model; the model is returned.

    Raises:
        CheckpointError: the files are missing, or do not fit the model.
        InputError: they are of another kind than LoRA on linear layers.
    """
    from safetensors.torch import load_file

    folder = Path(folder)
    config = read_json(folder / _CONFIG)
    _check(config, folder)
    if not (folder / _WEIGHTS).is_file():
        raise CheckpointError(f"no {_WEIGHTS} in {folder}")
    targets = config["target_modules"]
    add_adapters(
        model,
        config["r"],
        alpha=config["lora_alpha"],
        dropout=float(config.get("lora_dropout") or 0.0),
        targets=sorted(targets) if isinstance(targets, list) else [targets],
    )
    state = model.state_dict()
    wanted = {n for n in state if n.endswith((".lora_A", ".lora_B"))}
    found: dict[str, Tensor] = {}
    for name, value in load_file(folder / _WEIGHTS).items():
        ours = name.removeprefix(_PREFIX).replace(".modules_to_save.default", "").replace(".default.", ".")
        ours = ours.removesuffix(".weight") if ours.endswith((".lora_A.weight", ".lora_B.weight")) else ours
        found[ours] = value
    bad = [n for n, value in found.items() if n not in state or state[n].shape != value.shape]
    if bad or wanted - found.keys():
        raise CheckpointError(
            f"the adapters in {folder} do not fit this {type(model).__name__}: "
            f"{len(wanted - found.keys())} are missing, and there is no place for {', '.join(bad[:3]) or 'none'}"
        )
    model.load_state_dict(found, strict=False)
    return model


def _check(config: Mapping[str, Any], folder: Path) -> None:
    for name, fine in (("peft_type", ("LORA",)), ("bias", ("none", None)), ("use_dora", (False, None))):
        if config.get(name) not in fine:
            raise InputError(f"{folder / _CONFIG}: {name}={config.get(name)!r} is not supported; only plain LoRA is")
    for name in ("use_rslora", "rank_pattern", "alpha_pattern", "layers_to_transform", "fan_in_fan_out"):
        if config.get(name):
            raise InputError(f"{folder / _CONFIG}: {name} is not supported; only plain LoRA is")
    if not isinstance(config.get("r"), int) or not isinstance(config.get("target_modules"), (list, str)):
        raise CheckpointError(f"{folder / _CONFIG} names no rank r or no target_modules")


def _named(model: Any, targets: Sequence[str]) -> Iterator[tuple[str, Any]]:
    for path, module in model.named_modules():
        if isinstance(module, nn.Linear) and any(_is(path, name) for name in targets):
            yield path, module


def _is(path: str, name: str) -> bool:
    return path == name or path.endswith(f".{name}")


def _adapted_modules(model: Any) -> dict[str, Any]:
    return {path: module for path, module in model.named_modules() if hasattr(module, "lora_A")}


def _heads(model: Any) -> list[str]:
    """Return the names of the modules outside of the encoder that have parameters."""
    names = (name for name, module in model.named_children() if any(True for _ in module.parameters()))
    return [name for name in names if name != model.base_model_prefix]
