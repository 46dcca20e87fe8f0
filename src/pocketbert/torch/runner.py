"""The runner of the PyTorch models: a packed batch goes in, a float32 array per row comes out.

The models take rectangles, so rows of similar length are padded together. A row's result does not depend on that:
attention does not see padding, and MobileBERT's trigram, which would see the vector of ``[PAD]`` beside the last
token, is fed word vectors that are zero there, as beyond the end of an unpadded text.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.heads import BARE, head_named
from pocketbert.checkpoint.opened import Opened, open_model
from pocketbert.errors import InputError
from pocketbert.runtime.batching import PackedBatch, groups, rectangle
from pocketbert.runtime.results import answer_of, chosen_tokens, split_padded, split_tokens
from pocketbert.torch.auto import model_class
from pocketbert.torch.model import PreTrainedModel

__all__ = ["TorchRunner", "load", "wrap"]


class TorchRunner:
    """Runs a PyTorch model; see ``pocketbert.runtime.batching.Runner`` for what comes out.

    Args:
        model: any model of this library; it is put into eval mode.
        head: what to run, if not the model's own head: a pre-training model has two.
        threads: CPU threads of a call; PyTorch's setting by default.

    Raises:
        InputError: the model has no such head.
    """

    def __init__(self, model: PreTrainedModel, head: str | None = None, threads: int | None = None) -> None:
        self.model: Any = model.eval()
        self.head: str = model.head if head is None else head
        self.config: PretrainedConfig = model.config
        self.threads = threads
        self._answer = answer_of(model.head, self.head)

    def __call__(self, batch: PackedBatch) -> list[NDArray[np.float32]]:
        """Run every row; see ``pocketbert.runtime.batching.Runner``."""
        outputs: list[Any] = [None] * len(batch)
        with torch.inference_mode(), _threads(self.threads):
            for rows in groups(batch.lengths.tolist()):
                for row, output in zip(rows, self._run(batch, rows), strict=True):
                    outputs[row] = output
        return outputs

    def _run(self, batch: PackedBatch, rows: Sequence[int]) -> list[NDArray[np.float32]]:
        """Run rows that are padded together."""
        model, answer = self.model, self._answer
        lengths = [int(length) for length in batch.lengths[list(rows)]]
        padded = rectangle(batch, rows, typed=batch.token_type_ids is not None)
        inputs: dict[str, Any] = {name: torch.from_numpy(x).to(model.device) for name, x in padded.items()}
        if min(lengths) == max(lengths):
            inputs["attention_mask"] = None
        elif getattr(self.config, "trigram_input", False):
            words = model.get_input_embeddings()(inputs.pop("input_ids"))
            inputs["inputs_embeds"] = words * inputs["attention_mask"][:, :, None].to(words.dtype)
        tokens = chosen_tokens(answer, lengths, batch.positions and [batch.positions[row] for row in rows])
        if answer.per == "position":  # word logits are costly, so only of the tokens that are asked for
            hidden = model.base_model(**inputs, return_dict=True).last_hidden_state
            chosen = torch.cat([hidden[row, places] for row, places in enumerate(tokens)])
            return split_tokens(answer, _numpy(model.word_logits(chosen)), [len(places) for places in tokens])
        if head_named(model.head).input_rank == 3:
            inputs = {name: None if value is None else value[:, None] for name, value in inputs.items()}
        output = model(**inputs, return_dict=True)
        return split_padded(answer, [_numpy(output[field]) for field in answer.fields], tokens)


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
    if head == BARE:
        return TorchRunner(model.base_model, threads=threads)
    if head_named(model.head).answer(head) is None:
        raise InputError(f"this task needs a {head} head, and {type(model).__name__} has none")
    return TorchRunner(model, head, threads)


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


def _numpy(values: Tensor) -> NDArray[np.float32]:
    return values.float().cpu().numpy()
