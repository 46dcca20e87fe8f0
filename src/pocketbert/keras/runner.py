"""The runner of the Keras models: a packed batch goes in, one float32 array a row comes out.

As with PyTorch, rows of similar length are padded together and no row notices: attention does not see padding, and
MobileBERT's trigram is fed word vectors that are zero there, as beyond the end of an unpadded text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from pocketbert.architecture import families
from pocketbert.architecture.config import AutoConfig, PretrainedConfig
from pocketbert.errors import ConfigError, InputError
from pocketbert.keras.heads import Task
from pocketbert.keras.model import TFPreTrainedModel
from pocketbert.runtime.batching import PackedBatch, groups, rectangle

__all__ = ["KerasRunner", "load", "wrap"]

_DTYPES = ("float32", "float64", "bfloat16", "float16", "mixed_bfloat16", "mixed_float16")


class KerasRunner:
    """Runs a Keras model; see ``pocketbert.runtime.batching.Runner`` for what comes out.

    Args:
        model: any Keras model of this library.
        head: what to run, if not the model's own head: a pre-training model has two.
        device: where to run it, as Keras names devices; where Keras puts it by default.
    """

    def __init__(self, model: TFPreTrainedModel, head: str | None = None, device: str | None = None) -> None:
        self.model: Any = model
        self.head: str = model.head if head is None else head
        self.config: PretrainedConfig = model.config
        self.device = device

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
        lengths = [int(length) for length in batch.lengths[list(rows)]]
        inputs: dict[str, Any] = dict(rectangle(batch, rows, typed=batch.token_type_ids is not None))
        if min(lengths) == max(lengths):
            del inputs["attention_mask"]
        elif getattr(self.config, "trigram_input", False):
            words = self.model.get_input_embeddings()(inputs.pop("input_ids"))
            inputs["inputs_embeds"] = words * ops.cast(inputs["attention_mask"][:, :, None], words.dtype)
        return self._outputs(inputs, lengths, None if batch.positions is None else [batch.positions[r] for r in rows])

    def _outputs(
        self, inputs: dict[str, Any], lengths: list[int], positions: list[NDArray[np.int64]] | None
    ) -> list[NDArray[np.float32]]:
        model = self.model
        if self.head == "masked_lm":
            hidden = model.get_base_model()(**inputs, return_dict=True, training=False).last_hidden_state
            chosen = [np.arange(n) if positions is None else positions[r] for r, n in enumerate(lengths)]
            places = np.concatenate([r * max(lengths) + rows for r, rows in enumerate(chosen)])
            picked = ops.take(ops.reshape(hidden, (1, -1, hidden.shape[-1])), places, axis=1)
            return np.split(_numpy(model.word_logits(picked))[0], np.cumsum([len(rows) for rows in chosen])[:-1])
        if self.head == "multiple_choice":
            inputs = {name: value[:, None] for name, value in inputs.items()}
        output = model(**inputs, return_dict=True, training=False)
        if self.head == "none":
            return _cut(output.last_hidden_state, lengths)
        if self.head == "question_answering":
            return _cut(ops.stack([output.start_logits, output.end_logits], axis=-1), lengths)  # (B, T, 2)
        if self.head == "next_sentence" and model.head == "pretraining":
            return list(_numpy(output.seq_relationship_logits))
        if self.head == "token_classification":
            return _cut(output.logits, lengths)
        return list(_numpy(output.logits))


def load(
    folder: str | os.PathLike[str], head: str, *, device: str | None = None, dtype: str | None = None
) -> KerasRunner:
    """Load the model of a folder with this head.

    Args:
        folder: a checkpoint that was found to have the head.
        head: what to run.
        device: where the model lies and runs: ``"cpu"`` or ``"gpu"``, or with a number as ``"gpu:1"``.
        dtype: Keras's dtype policy; float32 by default.

    Raises:
        CheckpointError: the checkpoint does not fit.
        ConfigError: it is BERT's, which has no Keras models.
        InputError: there is no such device or dtype.
    """
    if device is not None and not re.fullmatch(r"(cpu|gpu)(:\d+)?", device):
        raise InputError(f"device {device!r} is none of Keras's; pass 'cpu', 'gpu' or one with a number, as 'gpu:1'")
    if dtype is not None and dtype not in _DTYPES:
        raise InputError(f"dtype {dtype!r} is none that Keras runs; choose from {', '.join(_DTYPES)}")
    config = AutoConfig.from_pretrained(folder)
    if config.model_type == "bert":
        raise ConfigError(f"{folder} is a BERT, and Keras models are DistilBERT and MobileBERT; choose another runtime")
    options: dict[str, Any] = {"dtype": dtype or "float32"}
    if head == "none" and config.model_type == "mobilebert":
        options["add_pooling_layer"] = False
    cls = getattr(import_module(f"pocketbert.keras.{config.model_type}"), "TF" + families.class_name(config, head))
    with _on(device):
        model = cls.from_pretrained(folder, **options)
    return KerasRunner(model, device=device)


def wrap(model: TFPreTrainedModel, head: str) -> KerasRunner:
    """Return a runner of a model that is already there.

    Raises:
        InputError: it is no Keras model of this library, or has another head.
    """
    if not isinstance(model, TFPreTrainedModel):
        raise InputError(f"model must be a Keras model of this library, not {type(model).__name__}")
    if head == "none":
        return KerasRunner(model.get_base_model())
    if model.head != head and not (model.head == "pretraining" and head in ("masked_lm", "next_sentence")):
        raise InputError(f"this task needs a {head} head, and {type(model).__name__} has none")
    assert isinstance(model, Task)
    return KerasRunner(model, head)


def _on(device: str | None) -> Any:
    return nullcontext() if device is None else keras.device(device)


def _numpy(value: Any) -> NDArray[np.float32]:
    return np.asarray(ops.convert_to_numpy(ops.cast(value, "float32")))


def _cut(value: Any, lengths: list[int]) -> list[NDArray[np.float32]]:
    """Return each row's part of (B, T, ...)."""
    rows = _numpy(value)
    return [rows[r, :n] for r, n in enumerate(lengths)]
