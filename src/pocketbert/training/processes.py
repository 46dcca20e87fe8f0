"""The processes of a run, as ``torchrun`` and ``accelerate launch`` start them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

from pocketbert.extras import require

__all__ = ["from_main", "is_main", "make_accelerator", "whole_model"]


def is_main() -> bool:
    """Return whether this process is the one that speaks; asked before and after a run, too."""
    return os.environ.get("RANK", "0") == "0"


def make_accelerator(precision: str, some_unused: bool, trackers: Sequence[str], folder: Path) -> Any:
    """Return accelerate's object, which knows processes, devices and precision.

    Args:
        precision: ``"float32"`` or ``"bfloat16"``.
        some_unused: whether some parameters have no gradient in some steps.
        trackers: names of trackers that hear of the run.
        folder: the run's, in which a tracker that writes files has ``logs``.
    """
    accelerate = require("accelerate")
    waiting = accelerate.DistributedDataParallelKwargs(find_unused_parameters=some_unused)
    # without this, accelerate takes each process that torchrun starts on CPUs for the only one
    on_cpus = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.accelerator.is_available()
    mixed = {"float32": "no", "bfloat16": "bf16"}[precision]
    import_module("accelerate.state").AcceleratorState._reset_state()  # the precision of an earlier run
    return accelerate.Accelerator(
        mixed_precision=mixed,
        kwargs_handlers=[waiting],
        cpu=on_cpus,
        log_with=list(trackers) or None,
        project_dir=str(folder / "logs"),
    )


def whole_model(accelerator: Any, model: Any) -> Callable[[Any], Any]:
    """Return what gives the whole model of a prepared one; call it before that, and its result in every process.

    Where processes hold parts of the parameters (FSDP), a copy gets all of them; else it is the model itself.
    """
    if "FSDP" not in str(accelerator.distributed_type):
        return lambda _: model
    copy = deepcopy(model)

    def gathered(prepared: Any) -> Any:
        weights: Any = get_model_state_dict(prepared, options=StateDictOptions(full_state_dict=True))
        copy.load_state_dict({name.removeprefix("model."): value for name, value in weights.items()})
        return copy

    return gathered


def from_main(accelerator: Any, *values: Any) -> list[Any]:
    """Return the main process's values in every process."""
    if accelerator.num_processes == 1:
        return list(values)
    found: list[Any] = import_module("accelerate.utils").broadcast_object_list(list(values))
    return found
