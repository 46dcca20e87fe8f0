"""Programs for runners: from a checkpoint folder, or from a torch model's present parameters."""

from __future__ import annotations

import os
from typing import Any

from pocketbert.config import PretrainedConfig
from pocketbert.errors import InputError
from pocketbert.plan import Program, make_plan, plan_checkpoint, quantize
from pocketbert.schema import Head

__all__ = ["check_dtype", "program_of_folder", "program_of_model"]


def check_dtype(dtype: str | None) -> str:
    """Return ``"float32"`` (the default) or ``"int8"``.

    Raises:
        InputError: it is neither.
    """
    if dtype not in (None, "float32", "int8"):
        raise InputError(f"dtype={dtype!r}: plans are run in float32 and int8")
    return dtype or "float32"


def program_of_folder(folder: str | os.PathLike[str], head: Head | None, dtype: str | None) -> Program:
    """Fold a checkpoint; see ``pocketbert.plan.plan_checkpoint``."""
    int8 = check_dtype(dtype) == "int8"
    program = plan_checkpoint(folder, head)
    return quantize(program) if int8 else program


def program_of_model(model: Any, head: Head) -> Program:
    """Fold a torch model's present parameters.

    Raises:
        InputError: it is no model of this library.
        CheckpointError: it has another head.
    """
    if not isinstance(getattr(model, "config", None), PretrainedConfig) or not hasattr(model, "state_dict"):
        raise InputError(f"model must be a folder, a hub name or a model of this library, not {type(model).__name__}")
    arrays = {name: tensor.detach().cpu().float().numpy() for name, tensor in model.state_dict().items()}
    return make_plan(model.config, head, arrays)
