"""A run's checkpoints: weights, optimizer and progress, each whole or not there.

``OUT/checkpoints/step-00000120/`` holds ``model.safetensors``, ``optimizer.safetensors`` and ``progress.json``. A
checkpoint is written under another name and renamed when all of it is on disk; only then is the oldest deleted.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from pocketbert.errors import CheckpointError
from pocketbert.storage.commits import sync_file, sync_folder
from pocketbert.storage.texts import read_json

__all__ = ["Checkpoints", "Progress"]

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        step: steps that are done.
        made_of: what the run is made of, by name: settings, data, processes. Another run can't go on from here.
        best: the best value of the deciding metric so far, and its step.
        best_scores: all metrics of that step.
        since_best: evaluations since then.
    """

    step: int = 0
    made_of: dict[str, Any] = field(default_factory=dict)
    best: tuple[float, int] | None = None
    best_scores: dict[str, float] = field(default_factory=dict)
    since_best: int = 0


class Checkpoints:
    """The checkpoints of a run.

    Args:
        folder: the run's output folder.
        keep: how many of the latest to keep; the best is kept besides.
        writes: whether this process is the one that writes.
    """

    def __init__(self, folder: Path, keep: int, writes: bool) -> None:
        self.folder = folder / "checkpoints"
        self.keep = keep
        self.writes = writes

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        """Write a checkpoint; every process calls this, since each may hold a part.

        Raises:
            CheckpointError: the disk is full, or the folder can no longer be written.
        """
        weights: Any = get_model_state_dict(model, options=_WHOLE)
        state: Any = get_optimizer_state_dict(model, optimizer, options=_WHOLE)
        if not self.writes:
            return
        from safetensors import SafetensorError

        try:
            self._write(weights, state, progress)
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            kept = f"; step {steps[-1]} is kept, to go on from with resume" if (steps := self.steps()) else ""
            raise CheckpointError(f"{self.folder}: step {progress.step} cannot be written: {reason}{kept}") from error

    def _write(self, weights: Mapping[str, Any], state: Mapping[str, Any], progress: Progress) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.glob(".unfinished-*"):
            shutil.rmtree(left, ignore_errors=True)
        target = self.folder / f"step-{progress.step:08d}"
        part = self.folder / f".unfinished-{target.name}"
        part.mkdir()
        _write_tensors(weights, part / "model.safetensors")
        _write_tensors(_flat(state["state"]), part / "optimizer.safetensors")
        (part / "progress.json").write_text(json.dumps(asdict(progress), indent=1), "utf-8")
        for path in part.iterdir():
            sync_file(path)
        sync_folder(part)
        if target.exists():  # the same step of the same run
            self._remove(target)
        os.replace(part, target)
        sync_folder(self.folder)
        kept = {progress.best[1]} if progress.best else set()
        for step in self.steps()[: -self.keep]:
            if step not in kept:
                self._remove(self.path(step))

    def _remove(self, path: Path) -> None:
        """Remove a checkpoint, which is none from the first moment on."""
        away = self.folder / f".unfinished-old-{path.name}"
        os.replace(path, away)
        shutil.rmtree(away)

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, in order."""
        names = (re.fullmatch(r"step-(\d+)", path.name) for path in self.folder.glob("step-*"))
        return sorted(int(name[1]) for name in names if name)

    def path(self, step: int) -> Path:
        """Return where the checkpoint of a step lies."""
        return self.folder / f"step-{step:08d}"

    def progress(self, step: int) -> Progress:
        """Return how far the run had come at a step.

        Raises:
            CheckpointError: the file is damaged.
        """
        path = self.path(step) / "progress.json"
        try:
            found = Progress(**read_json(path))
            for name, default in asdict(Progress()).items():
                value = getattr(found, name)
                if name != "best" and type(value) is not type(default):
                    raise TypeError(f"{name} is {type(value).__name__}, not {type(default).__name__}")
            found.best = None if found.best is None else (float(found.best[0]), int(found.best[1]))
        except (TypeError, ValueError, LookupError, ArithmeticError) as error:
            raise CheckpointError(f"{path} is no progress of a run: {error}") from error
        return found

    def load_model(self, model: nn.Module, step: int) -> None:
        """Put the weights of a step into the model; every process calls this."""
        weights: Any = _read_tensors(self.path(step) / "model.safetensors", model)
        set_model_state_dict(model, weights, options=_WHOLE)

    def load_optimizer(self, model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Put the optimizer's state of a step back; every process calls this."""
        from safetensors.torch import load_file

        flat = load_file(self.path(step) / "optimizer.safetensors")
        groups = get_optimizer_state_dict(model, optimizer)["param_groups"]  # whole ones are in the main process only
        state: dict[str, Any] = {}
        for name, value in flat.items():
            parameter, _, what = name.rpartition("/")
            state.setdefault(parameter, {})[what] = value
        set_optimizer_state_dict(model, optimizer, {"state": state, "param_groups": groups}, options=_WHOLE)


def _flat(state: Mapping[str, Any]) -> dict[str, Tensor]:
    return {
        f"{parameter}/{name}": value if isinstance(value, Tensor) else torch.tensor(value)
        for parameter, values in state.items()
        for name, value in values.items()
    }


def _write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors; of those that share memory, the first."""
    from safetensors.torch import save_file

    own: dict[int, str] = {}
    kept = {}
    for name, value in tensors.items():
        if value.numel() and own.setdefault(value.data_ptr(), name) != name:
            continue
        kept[name] = value.contiguous()
    save_file(kept, path)


def _read_tensors(path: Path, model: nn.Module) -> dict[str, Tensor]:
    """Read tensors; names that the file lacks share memory with one that it has."""
    from safetensors.torch import load_file

    found = load_file(path)
    places: dict[int, str] = {}
    held: Any = get_model_state_dict(model)
    for name, value in held.items():
        if name in found:
            places[value.data_ptr()] = name
    return {name: found[name if name in found else places[value.data_ptr()]] for name, value in held.items()}
