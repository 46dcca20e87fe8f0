"""Plans for runners: of a checkpoint, or of a torch model's present parameters."""

from __future__ import annotations

import os
from typing import Any

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.checkpoint.opened import Opened, open_model
from pocketbert.errors import InputError
from pocketbert.plan import Plan, make_plan, plan_checkpoint, quantize
from pocketbert.plan.int8.folder import load_quantized

__all__ = ["check_dtype", "plan_of_checkpoint", "plan_of_model"]


def check_dtype(dtype: str | None) -> None:
    """Raise InputError unless ``dtype`` is ``"float32"``, ``"int8"`` or None."""
    if dtype not in (None, "float32", "int8"):
        raise InputError(f"dtype={dtype!r}: plans are run in float32 and int8")


def plan_of_checkpoint(source: str | os.PathLike[str] | Opened, head: str | None, dtype: str | None) -> Plan:
    """Fold a checkpoint (see ``pocketbert.plan.plan_checkpoint``), or read one that is quantized.

    The head is the checkpoint's own by default, and so is the dtype, ``"float32"`` or ``"int8"``.

    Raises:
        InputError: the dtype is neither, or is float32 and the checkpoint is in int8.
        CheckpointError, ConfigError, HubError: see ``plan_checkpoint`` and ``plan.int8.folder.load_quantized``.
    """
    check_dtype(dtype)
    opened = open_model(source)
    if opened.is_quantized:
        if dtype == "float32":
            raise InputError(
                f"dtype='float32', but {opened.folder} is in int8; leave it out, or pass the original checkpoint"
            )
        return load_quantized(opened, head)
    plan = plan_checkpoint(opened, head)
    return quantize(plan) if dtype == "int8" else plan


def plan_of_model(model: Any, head: str) -> Plan:
    """Fold a torch model's present parameters.

    Raises:
        InputError: it is no model of this library.
        CheckpointError: it has another head.
    """
    if not isinstance(getattr(model, "config", None), PretrainedConfig) or not hasattr(model, "state_dict"):
        raise InputError(f"model must be a folder, a hub name or a model of this library, not {type(model).__name__}")
    tensors = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    arrays = {name: (t.float() if t.is_floating_point() else t).numpy() for name, t in tensors.items()}
    return make_plan(model.config, head, arrays)
