"""Whether a run's folder can take what the run will write, asked before it starts."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from pocketbert.errors import CheckpointError

__all__ = ["check_room"]

_MOMENTS = 2  # that an optimizer keeps of every parameter that is trained


def check_room(folder: Path, model: Any, keep: int) -> None:
    """Make the folder, and refuse one that cannot be written or is too full.

    Args:
        folder: the run's.
        model: what is trained.
        keep: how many checkpoints stay, beside the best and the one that is being written.

    Raises:
        CheckpointError: see above; the message names the folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise CheckpointError(f"out={str(folder)!r} cannot be written: {error.strerror or error}") from error
    sizes = [(value.numel() * value.element_size(), value.requires_grad) for value in model.parameters()]
    weights = sum(size for size, _ in sizes)
    checkpoint = weights + _MOMENTS * sum(size for size, trained in sizes if trained)
    needed = weights + (keep + 2) * checkpoint
    if free < needed:
        raise CheckpointError(
            f"out={str(folder)!r} has room for {free / 1e6:,.0f} MB, and a run with keep={keep} writes about "
            f"{needed / 1e6:,.0f} MB; make room or choose another folder"
        )
