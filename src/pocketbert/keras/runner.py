"""The runner of the Keras models: a packed batch goes in, a float32 array per row comes out."""

from __future__ import annotations

import os
import re
from contextlib import nullcontext
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from pocketbert.architecture.heads import BARE
from pocketbert.checkpoint.opened import Opened, open_model
from pocketbert.errors import InputError
from pocketbert.keras.auto import model_class
from pocketbert.keras.layers import Tensor
from pocketbert.keras.model import TFPreTrainedModel
from pocketbert.runtime.batching import PackedBatch
from pocketbert.runtime.model_runner import ModelRunner, part_with

__all__ = ["KerasRunner", "load", "wrap"]

_DTYPES = ("float32", "float64", "bfloat16", "float16", "mixed_bfloat16", "mixed_float16")


class KerasRunner(ModelRunner):
    """Runs a Keras model; see ``ModelRunner``.

    Args:
        model: any Keras model of this library.
        head: what to run, if not the model's own head.
        device: where to run it, as Keras names devices; where Keras puts it by default.
    """

    framework = "tf"
    options = ModelRunner.options | {"training": False}

    def __init__(self, model: TFPreTrainedModel, head: str | None = None, device: str | None = None) -> None:
        super().__init__(model, head)
        self.device = device

    def __call__(self, batch: PackedBatch) -> list[NDArray[np.float32]]:
        """See ``ModelRunner``."""
        with _on(self.device):
            return super().__call__(batch)

    def array(self, values: Tensor) -> NDArray[np.float32]:
        """See ``ModelRunner``."""
        return np.asarray(ops.convert_to_numpy(ops.cast(values, "float32")))

    def masked(self, words: Tensor, mask: Tensor) -> Tensor:
        """See ``ModelRunner``."""
        return words * ops.cast(mask, words.dtype)

    def take(self, hidden: Tensor, places: NDArray[np.int64]) -> Tensor:
        """See ``ModelRunner``."""
        return ops.take(ops.reshape(hidden, (1, -1, hidden.shape[-1])), places, axis=1)


def load(
    source: str | os.PathLike[str] | Opened,
    head: str,
    *,
    device: str | None = None,
    dtype: str | None = None,
    threads: int | None = None,
) -> KerasRunner:
    """Load the model of a checkpoint with this head.

    Args:
        source: a folder, a hub name or an opened checkpoint, which has the head.
        head: what to run.
        device: where the model lies and runs: ``"cpu"`` or ``"gpu"``, or with a number as ``"gpu:1"``.
        dtype: Keras's dtype policy; float32 by default.
        threads: must be None: Keras leaves threads to its backend.

    Raises:
        CheckpointError: the checkpoint does not fit.
        ConfigError: it is BERT's, which has no Keras models.
        InputError: there is no such device or dtype, or ``threads`` was given.
    """
    if device is not None and not re.fullmatch(r"(cpu|gpu)(:\d+)?", device):
        raise InputError(f"device {device!r} is none of Keras's; pass 'cpu', 'gpu' or one with a number, as 'gpu:1'")
    if dtype is not None and dtype not in _DTYPES:
        raise InputError(f"dtype {dtype!r} is none that Keras runs; choose from {', '.join(_DTYPES)}")
    _check_threads(threads)
    opened = open_model(source)
    options: dict[str, Any] = {"dtype": dtype or "float32"}
    if head == BARE and opened.family.pooled.in_encoder:
        options["add_pooling_layer"] = False
    with _on(device):
        model = model_class(opened.config, head).from_pretrained(opened, **options)
    return KerasRunner(model, device=device)


def _check_threads(threads: int | None) -> None:
    if threads is not None:
        raise InputError(
            f"threads={threads}: Keras leaves threads to its backend; set them there before its first use, as with "
            "tf.config.threading.set_intra_op_parallelism_threads, or choose another runtime"
        )


def wrap(model: TFPreTrainedModel, head: str, *, threads: int | None = None) -> KerasRunner:
    """Return a runner of a model that is loaded already.

    Raises:
        InputError: it is no Keras model of this library, or has another head.
    """
    _check_threads(threads)
    if not isinstance(model, TFPreTrainedModel):
        raise InputError(f"model must be a Keras model of this library, not {type(model).__name__}")
    return KerasRunner(part_with(model, head), head)


def _on(device: str | None) -> Any:
    return nullcontext() if device is None else keras.device(device)
