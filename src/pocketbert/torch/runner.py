"""The runner of the PyTorch models: a packed batch goes in, a float32 array per row comes out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketbert.architecture.heads import BARE
from pocketbert.checkpoint.opened import Opened, open_model
from pocketbert.errors import InputError
from pocketbert.runtime.batching import PackedBatch
from pocketbert.runtime.model_runner import ModelRunner, part_with
from pocketbert.torch.auto import model_class
from pocketbert.torch.model import PreTrainedModel

__all__ = ["TorchRunner", "load", "wrap"]


class TorchRunner(ModelRunner):
    """Runs a PyTorch model, which is put into eval mode; see ``ModelRunner``.

    Args:
        model: any model of this library.
        head: what to run, if not the model's own head.
        threads: CPU threads of a call; PyTorch's setting by default.
    """

    def __init__(self, model: PreTrainedModel, head: str | None = None, threads: int | None = None) -> None:
        super().__init__(model.eval(), head)
        self.threads = threads

    def __call__(self, batch: PackedBatch) -> list[NDArray[np.float32]]:
        """See ``ModelRunner``."""
        with torch.inference_mode(), _threads(self.threads):
            return super().__call__(batch)

    def tensor(self, values: NDArray[np.int64]) -> Tensor:
        """See ``ModelRunner``."""
        return torch.from_numpy(values).to(self.model.device)

    def array(self, values: Tensor) -> NDArray[np.float32]:
        """See ``ModelRunner``."""
        return values.float().cpu().numpy()

    def masked(self, words: Tensor, mask: Tensor) -> Tensor:
        """See ``ModelRunner``."""
        return words * mask.to(words.dtype)

    def take(self, hidden: Tensor, places: NDArray[np.int64]) -> Tensor:
        """See ``ModelRunner``."""
        return hidden.flatten(0, 1)[None, torch.from_numpy(places)]


def load(
    source: str | os.PathLike[str] | Opened,
    head: str,
    *,
    device: str | None = None,
    dtype: str | None = None,
    threads: int | None = None,
) -> TorchRunner:
    """Load the model of a checkpoint with this head.

    Args:
        source: a folder, a hub name or an opened checkpoint, which has the head.
        head: what to run.
        device: where to put the model; the CPU by default.
        dtype: of the parameters; float32 by default.
        threads: CPU threads of a call; PyTorch's setting by default.

    Raises:
        CheckpointError: the checkpoint does not fit.
        ConfigError: the family has no such head.
    """
    opened = open_model(source)
    options: dict[str, Any] = {"device": device, "dtype": dtype}
    if head == BARE and opened.family.pooled.in_encoder:
        options["add_pooling_layer"] = False
    model = model_class(opened.config, head).from_pretrained(opened, **options)
    return TorchRunner(model, threads=threads)


def wrap(model: PreTrainedModel, head: str, *, threads: int | None = None) -> TorchRunner:
    """Return a runner of a model that is loaded already.

    Raises:
        InputError: it is no model of this library, or has another head.
    """
    if not isinstance(model, PreTrainedModel):
        raise InputError(f"model must be a folder, a hub name or a model of this library, not {type(model).__name__}")
    return TorchRunner(part_with(model, head), head, threads)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Let PyTorch use this many CPU threads inside."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if count is not None:
            torch.set_num_threads(before)
