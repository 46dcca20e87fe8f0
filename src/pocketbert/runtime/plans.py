"""Programs for runners: from a checkpoint folder, or from a torch model's present parameters."""

from __future__ import annotations

import os
from typing import Any

from pocketbert.architecture.config import AutoConfig, PretrainedConfig
from pocketbert.architecture.config.quantization import is_quantized
from pocketbert.architecture.parameters import Head
from pocketbert.errors import InputError
from pocketbert.plan import Plan, make_plan, plan_checkpoint, quantize
from pocketbert.plan.int8.folder import load_quantized
from pocketbert.storage.hub import CONFIG_FILES, local_folder

__all__ = ["check_dtype", "program_of_folder", "program_of_model"]


def check_dtype(dtype: str | None) -> str | None:
    """Return ``"float32"``, ``"int8"`` or None.

    Raises:
        InputError: it is none of them.
    """
    if dtype not in (None, "float32", "int8"):
        raise InputError(f"dtype={dtype!r}: plans are run in float32 and int8")
    return dtype


def program_of_folder(folder: str | os.PathLike[str], head: Head | None, dtype: str | None) -> Plan:
    """Fold a checkpoint (see ``pocketbert.plan.plan_checkpoint``), or read one that is quantized.

    Args:
        folder: a checkpoint folder, or a hub name.
        head: the head that is wanted; the checkpoint's own by default.
        dtype: ``"float32"`` or ``"int8"``; what the checkpoint is in by default.

    Raises:
        InputError: the dtype is neither, or is float32 and the checkpoint is in int8.
        CheckpointError, ConfigError, HubError: see ``plan_checkpoint`` and ``plan.int8.folder.load_quantized``.
    """
    check_dtype(dtype)
    folder = local_folder(folder, CONFIG_FILES, weights=True)
    if is_quantized(AutoConfig.from_pretrained(folder)):
        if dtype == "float32":
            raise InputError(f"dtype='float32', but {folder} is in int8; leave it out, or pass the original checkpoint")
        return load_quantized(folder, head)
    program = plan_checkpoint(folder, head)
    return quantize(program) if dtype == "int8" else program


def program_of_model(model: Any, head: Head) -> Plan:
    """Fold a torch model's present parameters.

    Raises:
        InputError: it is no model of this library.
        CheckpointError: it has another head.
    """
    if not isinstance(getattr(model, "config", None), PretrainedConfig) or not hasattr(model, "state_dict"):
        raise InputError(f"model must be a folder, a hub name or a model of this library, not {type(model).__name__}")
    arrays = {name: tensor.detach().cpu().float().numpy() for name, tensor in model.state_dict().items()}
    return make_plan(model.config, head, arrays)
