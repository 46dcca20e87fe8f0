"""What a training loop of one's own needs beside a model: learning-rate schedules, and batches of encoded texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

__all__ = ["DataCollatorWithPadding", "get_constant_schedule", "get_constant_schedule_with_warmup"]
__all__ += ["get_cosine_schedule_with_warmup", "get_linear_schedule_with_warmup"]


@dataclass
class DataCollatorWithPadding:
    """Pads encoded texts to one length and makes tensors of them; ``label`` and ``label_ids`` become ``labels``.

    Attributes:
        tokenizer, padding, max_length, pad_to_multiple_of, return_tensors: see the tokenizer's ``pad``.
    """

    tokenizer: Any
    padding: bool | str = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    return_tensors: str = "pt"

    def __call__(self, features: Sequence[Any]) -> Any:
        """Return the batch of some examples."""
        batch = self.tokenizer.pad(
            features,
            padding=self.padding,
            max_length=self.max_length,
            pad_to_multiple_of=self.pad_to_multiple_of,
            return_tensors=self.return_tensors,
        )
        for name in ("label", "label_ids"):
            if name in batch:
                batch["labels"] = batch.pop(name)
        return batch


def get_constant_schedule(optimizer: Optimizer, last_epoch: int = -1) -> LambdaLR:
    """Keep the learning rate."""
    return LambdaLR(optimizer, lambda _: 1.0, last_epoch)


def get_constant_schedule_with_warmup(optimizer: Optimizer, num_warmup_steps: int, last_epoch: int = -1) -> LambdaLR:
    """Raise the learning rate from 0 in so many steps, then keep it."""
    return LambdaLR(optimizer, lambda step: min(1.0, step / max(1.0, num_warmup_steps)), last_epoch)


def get_linear_schedule_with_warmup(
    optimizer: Optimizer, num_warmup_steps: int, num_training_steps: int, last_epoch: int = -1
) -> LambdaLR:
    """Raise the learning rate from 0 in ``num_warmup_steps``, then lower it to 0 at ``num_training_steps``."""

    def share(step: int) -> float:
        if step < num_warmup_steps:
            return step / max(1, num_warmup_steps)
        return max(0.0, (num_training_steps - step) / max(1, num_training_steps - num_warmup_steps))

    return LambdaLR(optimizer, share, last_epoch)


def get_cosine_schedule_with_warmup(
    optimizer: Optimizer,
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    last_epoch: int = -1,
) -> LambdaLR:
    """Raise the learning rate from 0 in ``num_warmup_steps``, then lower it along ``num_cycles`` waves of a cosine."""

    def share(step: int) -> float:
        if step < num_warmup_steps:
            return step / max(1, num_warmup_steps)
        done = (step - num_warmup_steps) / max(1, num_training_steps - num_warmup_steps)
        return max(0.0, 0.5 * (1 + math.cos(math.pi * num_cycles * 2 * done)))

    return LambdaLR(optimizer, share, last_epoch)
