"""The runner of the PyTorch models: a packed batch goes in, one float32 array a row comes out.

The models take rectangles, so rows of similar length are padded together. No row notices: attention does not see
padding, and MobileBERT's trigram, which would see ``[PAD]``'s vector beside the last token, is fed word vectors that
are zero there, as beyond the end of an unpadded text.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.errors import InputError
from pocketbert.runtime.batching import PackedBatch, groups, rectangle
from pocketbert.torch import auto
from pocketbert.torch.heads import Task
from pocketbert.torch.model import PreTrainedModel

__all__ = ["TorchRunner", "load", "wrap"]


_AUTO: dict[str, type[auto.AutoModel]] = {
    "none": auto.AutoModel,
    "masked_lm": auto.AutoModelForMaskedLM,
    "next_sentence": auto.AutoModelForNextSentencePrediction,
    "sequence_classification": auto.AutoModelForSequenceClassification,
    "multiple_choice": auto.AutoModelForMultipleChoice,
    "token_classification": auto.AutoModelForTokenClassification,
    "question_answering": auto.AutoModelForQuestionAnswering,
}


class TorchRunner:
    """Runs a PyTorch model; see ``pocketbert.runtime.batching.Runner`` for what comes out.

    Args:
        model: any model of this library; it is put into eval mode.
        head: what to run, if not the model's own head: a pre-training model has two.
    """

    def __init__(self, model: PreTrainedModel, head: str | None = None) -> None:
        self.model: Any = model.eval()
        self.head: str = model.head if head is None else head
        self.config: PretrainedConfig = model.config

    def __call__(self, batch: PackedBatch) -> list[NDArray[np.float32]]:
        """Run every row; see ``pocketbert.runtime.batching.Runner``."""
        outputs: list[Any] = [None] * len(batch)
        with torch.inference_mode():
            for rows in groups(batch.lengths.tolist()):
                for row, output in zip(rows, self._run(batch, rows), strict=True):
                    outputs[row] = output.float().cpu().numpy()
        return outputs

    def _run(self, batch: PackedBatch, rows: Sequence[int]) -> list[Tensor]:
        """Run rows that are padded together."""
        lengths = [int(length) for length in batch.lengths[list(rows)]]
        padded = rectangle(batch, rows, typed=batch.token_type_ids is not None)
        inputs: dict[str, Any] = {name: torch.from_numpy(x).to(self.model.device) for name, x in padded.items()}
        if min(lengths) == max(lengths):
            inputs["attention_mask"] = None
        elif getattr(self.config, "trigram_input", False):
            words = self.model.get_input_embeddings()(inputs.pop("input_ids"))
            inputs["inputs_embeds"] = words * inputs["attention_mask"][:, :, None].to(words.dtype)
        return self._outputs(inputs, lengths, None if batch.positions is None else [batch.positions[r] for r in rows])

    def _outputs(
        self, inputs: dict[str, Any], lengths: list[int], positions: list[NDArray[np.int64]] | None
    ) -> list[Tensor]:
        model = self.model
        if self.head == "masked_lm":
            hidden = model.base_model(**inputs, return_dict=True).last_hidden_state
            chosen = [hidden[r, :n] if positions is None else hidden[r, positions[r]] for r, n in enumerate(lengths)]
            return list(model.word_logits(torch.cat(chosen)).split([len(rows) for rows in chosen]))
        if self.head == "multiple_choice":
            inputs = {name: None if value is None else value[:, None] for name, value in inputs.items()}
        output = model(**inputs, return_dict=True)
        if self.head == "none":
            return [output.last_hidden_state[r, :n] for r, n in enumerate(lengths)]
        if self.head == "question_answering":
            spans = torch.stack([output.start_logits, output.end_logits], dim=-1)  # (B, T, 2)
            return [spans[r, :n] for r, n in enumerate(lengths)]
        if self.head == "next_sentence" and model.head == "pretraining":
            return list(output.seq_relationship_logits)
        if self.head == "token_classification":
            return [output.logits[r, :n] for r, n in enumerate(lengths)]
        return list(output.logits)


def load(
    folder: str | os.PathLike[str], head: str, *, device: str | None = None, dtype: str | None = None
) -> TorchRunner:
    """Load the model of a folder with this head.

    Args:
        folder: a checkpoint that was found to have the head.
        head: what to run.
        device: where to put the model; the CPU by default.
        dtype: of the parameters; float32 by default.

    Raises:
        CheckpointError: the checkpoint does not fit.
    """
    cls = _AUTO[head]
    options: dict[str, Any] = {"device": device, "dtype": dtype}
    if head == "none":
        from pocketbert.architecture.config import AutoConfig

        if AutoConfig.from_pretrained(folder).model_type != "distilbert":
            options["add_pooling_layer"] = False
    return TorchRunner(cls.from_pretrained(folder, **options))


def wrap(model: PreTrainedModel, head: str) -> TorchRunner:
    """Return a runner of a model that is already there.

    Raises:
        InputError: it is no model of this library, or has another head.
    """
    if not isinstance(model, PreTrainedModel):
        raise InputError(f"model must be a folder, a hub name or a model of this library, not {type(model).__name__}")
    if head == "none":
        return TorchRunner(model.base_model)
    if model.head != head and not (model.head == "pretraining" and head in ("masked_lm", "next_sentence")):
        raise InputError(f"this task needs a {head} head, and {type(model).__name__} has none")
    assert isinstance(model, Task)
    return TorchRunner(model, head)
