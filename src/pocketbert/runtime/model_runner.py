"""The runner of a framework's models, as far as it is the same in every framework.

The models take rectangles, so rows of similar length are padded together. A row's result does not depend on that:
attention does not see padding, and MobileBERT's trigram, which would see the vector of ``[PAD]`` beside the last
token, is fed word vectors that are zero there, as beyond the end of an unpadded text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.heads import BARE, head_named
from pocketbert.errors import InputError
from pocketbert.runtime.batching import PackedBatch, groups, rectangle
from pocketbert.runtime.results import answer_of, chosen_tokens, split_padded, split_tokens

__all__ = ["ModelRunner", "part_with"]

Tensor = Any


class ModelRunner:
    """Runs a model; see ``pocketbert.runtime.batching.Runner`` for what comes out.

    Args:
        model: a model of the framework.
        head: what to run, if not the model's own head: a pre-training model has two.

    Raises:
        InputError: the model has no such head.
    """

    framework: ClassVar[str] = "pt"  # or "tf"
    options: ClassVar[dict[str, Any]] = {"return_dict": True}  # of each call of a model

    def __init__(self, model: Any, head: str | None = None) -> None:
        self.model = model
        self.head: str = model.head if head is None else head
        self.config: PretrainedConfig = model.config
        self._answer = answer_of(model.head, self.head)

    def __call__(self, batch: PackedBatch) -> list[NDArray[np.float32]]:
        """Run every row; see ``pocketbert.runtime.batching.Runner``."""
        outputs: list[Any] = [None] * len(batch)
        for rows in groups(batch.lengths.tolist()):
            for row, output in zip(rows, self._run(batch, rows), strict=True):
                outputs[row] = output
        return outputs

    def _run(self, batch: PackedBatch, rows: Sequence[int]) -> list[NDArray[np.float32]]:
        """Run rows that are padded together."""
        model, answer = self.model, self._answer
        lengths = [int(length) for length in batch.lengths[list(rows)]]
        padded = rectangle(batch, rows, typed=batch.token_type_ids is not None)
        inputs = {name: self.tensor(values) for name, values in padded.items()}
        if min(lengths) == max(lengths):
            del inputs["attention_mask"]
        elif getattr(self.config, "trigram_input", False):
            words = model.get_input_embeddings()(inputs.pop("input_ids"))
            inputs["inputs_embeds"] = self.masked(words, inputs["attention_mask"][:, :, None])
        tokens = chosen_tokens(answer, lengths, batch.positions and [batch.positions[row] for row in rows])
        if answer.per == "position":  # word logits are costly, so only of the tokens that are asked for
            hidden = _encoder(model)(**inputs, **self.options).last_hidden_state
            places = np.concatenate([row * max(lengths) + places for row, places in enumerate(tokens)])
            logits = self.array(model.word_logits(self.take(hidden, places)))
            return split_tokens(answer, logits[0], [len(places) for places in tokens])
        if head_named(model.head).input_rank == 3:
            inputs = {name: value[:, None] for name, value in inputs.items()}
        output = model(**inputs, **self.options)
        return split_padded(answer, [self.array(output[field]) for field in answer.fields], tokens)

    # -- what a framework gives --------------------------------------------------------------------------------

    def tensor(self, values: NDArray[np.int64]) -> Tensor:
        """Return an input of the model."""
        return values

    def array(self, values: Tensor) -> NDArray[np.float32]:
        """Return the values of an output."""
        raise NotImplementedError

    def masked(self, words: Tensor, mask: Tensor) -> Tensor:
        """Return word vectors that are zero where ``mask``, of integers, is."""
        raise NotImplementedError

    def take(self, hidden: Tensor, places: NDArray[np.int64]) -> Tensor:
        """(rows, longest, width) -> (1, places, width); places are counted through all rows."""
        raise NotImplementedError


def part_with(model: Any, head: str) -> Any:
    """Return what of a loaded model answers as a head does: its encoder for a bare one, else the model.

    Raises:
        InputError: the model has another head.
    """
    if head == BARE:
        return _encoder(model)
    if head_named(model.head).answer(head) is None:
        raise InputError(f"this task needs a {head} head, and {type(model).__name__} has none")
    return model


def _encoder(model: Any) -> Any:
    return getattr(model, model.base_model_prefix, model)
