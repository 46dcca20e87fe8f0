"""The runner of the Keras models: a packed batch goes in, a float32 array per row comes out.

As with PyTorch, rows of similar length are padded together and a row's result does not depend on that: attention does
not see padding, and MobileBERT's trigram is fed word vectors that are zero there, as beyond the end of an unpadded
text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.heads import BARE, head_named
from pocketbert.checkpoint.opened import Opened, open_model
from pocketbert.errors import InputError
from pocketbert.keras.auto import model_class
from pocketbert.keras.model import TFPreTrainedModel
from pocketbert.runtime.batching import PackedBatch, groups, rectangle
from pocketbert.runtime.results import answer_of, chosen_tokens, split_padded, split_tokens

__all__ = ["KerasRunner", "load", "wrap"]

_DTYPES = ("float32", "float64", "bfloat16", "float16", "mixed_bfloat16", "mixed_float16")


class KerasRunner:
    """Runs a Keras model; see ``pocketbert.runtime.batching.Runner`` for what comes out.

    Args:
        model: any Keras model of this library.
        head: what to run, if not the model's own head: a pre-training model has two.
        device: where to run it, as Keras names devices; where Keras puts it by default.

    Raises:
        InputError: the model has no such head.
    """

    def __init__(self, model: TFPreTrainedModel, head: str | None = None, device: str | None = None) -> None:
        self.model: Any = model
        self.head: str = model.head if head is None else head
        self.config: PretrainedConfig = model.config
        self.device = device
        self._answer = answer_of(model.head, self.head)

    def __call__(self, batch: PackedBatch) -> list[NDArray[np.float32]]:
        """Run every row; see ``pocketbert.runtime.batching.Runner``."""
        outputs: list[Any] = [None] * len(batch)
        with _on(self.device):
            for rows in groups(batch.lengths.tolist()):
                for row, output in zip(rows, self._run(batch, rows), strict=True):
                    outputs[row] = output
        return outputs

    def _run(self, batch: PackedBatch, rows: Sequence[int]) -> list[NDArray[np.float32]]:
        """Run rows that are padded together."""
        model, answer = self.model, self._answer
        lengths = [int(length) for length in batch.lengths[list(rows)]]
        inputs: dict[str, Any] = dict(rectangle(batch, rows, typed=batch.token_type_ids is not None))
        if min(lengths) == max(lengths):
            del inputs["attention_mask"]
        elif getattr(self.config, "trigram_input", False):
            words = model.get_input_embeddings()(inputs.pop("input_ids"))
            inputs["inputs_embeds"] = words * ops.cast(inputs["attention_mask"][:, :, None], words.dtype)
        tokens = chosen_tokens(answer, lengths, batch.positions and [batch.positions[row] for row in rows])
        if answer.per == "position":  # word logits are costly, so only of the tokens that are asked for
            hidden = model.get_base_model()(**inputs, return_dict=True, training=False).last_hidden_state
            places = np.concatenate([row * max(lengths) + places for row, places in enumerate(tokens)])
            chosen = ops.take(ops.reshape(hidden, (1, -1, hidden.shape[-1])), places, axis=1)
            return split_tokens(answer, _numpy(model.word_logits(chosen))[0], [len(places) for places in tokens])
        if head_named(model.head).input_rank == 3:
            inputs = {name: value[:, None] for name, value in inputs.items()}
        output = model(**inputs, return_dict=True, training=False)
        return split_padded(answer, [_numpy(output[field]) for field in answer.fields], tokens)


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
    if head == BARE:
        return KerasRunner(model.get_base_model())
    if head_named(model.head).answer(head) is None:
        raise InputError(f"this task needs a {head} head, and {type(model).__name__} has none")
    return KerasRunner(model, head)


def _on(device: str | None) -> Any:
    return nullcontext() if device is None else keras.device(device)


def _numpy(values: Any) -> NDArray[np.float32]:
    return np.asarray(ops.convert_to_numpy(ops.cast(values, "float32")))
