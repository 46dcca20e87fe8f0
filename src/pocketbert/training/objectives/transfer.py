"""MobileBERT's losses: each layer learns from the teacher's of the same number, and words from the teacher's words.

They are those of arXiv 2004.02984 with the factors of its code, and differ from that code in two ways: statistics are
compared with those of the same layer, not with all layers' at once; and means are taken over tokens that are not
padding, so that how texts are put into batches does not weigh them.

Shapes: B batch, T tokens, H heads, D head size, W width, V vocabulary, n tokens that count.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketbert.architecture.forward import IGNORE
from pocketbert.torch.layers import Stack
from pocketbert.training.batches import Batch
from pocketbert.training.objectives.words import inputs_of

__all__ = ["FACTORS", "Transfer", "attention_transfer", "feature_transfer", "soft_words"]

FACTORS = {"feature": 100.0, "mean": 5000.0, "variance": 5.0, "attention": 1.0}
_EPS = 1e-12  # of the layer norm that feature maps are compared under


def feature_transfer(student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
    """Compare hidden states (n, W): their layer-normed values, means and variances over the width; each (n,)."""
    mine, theirs = (F.layer_norm(x, x.shape[-1:], eps=_EPS) for x in (student, teacher))
    return {
        "feature": (theirs - mine).square().mean(dim=-1),
        "mean": (teacher.mean(dim=-1) - student.mean(dim=-1)).square(),
        "variance": (teacher.var(dim=-1, correction=0) - student.var(dim=-1, correction=0)).abs(),
    }


def attention_transfer(student: Tensor, teacher: Tensor, real: Tensor) -> Tensor:
    """Return the cross-entropy of attention weights from the teacher's, a mean over heads, for each query.

    Args:
        student: scores before masking and softmax, (B, H, T, T).
        teacher: the teacher's.
        real: (B, T), False for padding, which no query sees.

    Returns:
        (B, T); what stands at queries that are padding means nothing.
    """
    unseen = ~real[:, None, None, :]
    wanted = torch.softmax(teacher.masked_fill(unseen, -torch.inf), dim=-1)
    found = torch.log_softmax(student.masked_fill(unseen, -torch.inf), dim=-1).masked_fill(unseen, 0)
    return -(wanted * found).sum(dim=-1).mean(dim=1)


def soft_words(student: Tensor, teacher: Tensor | None, labels: Tensor, share: float) -> Tensor:
    """Return the cross-entropy from a mixture of the teacher's words and the right ones.

    Args:
        student: logits (n, V).
        teacher: the teacher's; None where ``share`` is 0.
        labels: (n,).
        share: of the teacher's words in the mixture.

    Returns:
        (n,)
    """
    found = torch.log_softmax(student, dim=-1)
    loss = F.nll_loss(found, labels, reduction="none") * (1 - share)
    return loss if teacher is None else loss - share * (torch.softmax(teacher, dim=-1) * found).sum(dim=-1)


class Transfer:
    """What a MobileBERT learns from a teacher: some of its layers, its words, or both.

    Each layer's losses are divided by the number of all layers, as if the others' were switched off.

    Args:
        teacher: of the student's width, heads and layers; with a head that predicts words if ``words`` needs it.
        layers: the layers that count; where no words are learned, those above the last of them are not computed.
        words: the share of the teacher's words in what hidden words are learned from; None to learn no words.
        next_sentence: also learn whether the second text follows the first (``next_sentence_label``).
        factors: of the layers' losses.
    """

    def __init__(
        self,
        teacher: Any,
        layers: Sequence[int],
        *,
        words: float | None = None,
        next_sentence: bool = False,
        factors: Mapping[str, float] = FACTORS,
    ) -> None:
        self.teacher = teacher.eval().requires_grad_(False)
        self.layers = tuple(layers)
        count = teacher.config.num_hidden_layers
        self.weights = {name: factor / count for name, factor in factors.items()} if self.layers else {}
        self.words = words
        if words is not None:
            self.weights["words"] = 1.0
        if next_sentence:
            self.weights["next_sentence"] = 1.0
        needs_all = words is not None or next_sentence
        self.depth = count if needs_all else max(self.layers) + 1
        self.asks_teacher = bool(self.layers) or bool(words)

    def counts(self, batch: Batch) -> dict[str, int]:
        """See ``Objective``: tokens but padding, hidden words, and pairs of sentences."""
        found = dict.fromkeys(self.weights, int(batch["attention_mask"].sum()))
        own = {"words": int((batch["labels"] != IGNORE).sum()), "next_sentence": len(batch["input_ids"])}
        return found | {name: count for name, count in own.items() if name in found}

    def losses(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        """See ``Objective``."""
        real = batch["attention_mask"] > 0
        student, mine = self._run(model, batch)
        if self.asks_teacher:
            with torch.no_grad():
                teacher, theirs = self._run(self.teacher.to(batch["input_ids"].device), batch)
        losses: dict[str, Tensor] = {}
        for layer in self.layers:
            states = (encoded.hidden_states[layer + 1][real].float() for encoded in (student, teacher))
            found = feature_transfer(*states)
            found["attention"] = attention_transfer(mine[layer], theirs[layer], real)[real]
            for name, values in found.items():
                losses[name] = losses.get(name, 0) + values.sum()
        if self.words is not None:
            hidden = batch["labels"] != IGNORE
            logits = model.word_logits(student.last_hidden_state[hidden]).float()  # (n, V)
            wanted = None
            if self.words:
                with torch.no_grad():
                    wanted = self.teacher.word_logits(teacher.last_hidden_state[hidden]).float()
            losses["words"] = soft_words(logits, wanted, batch["labels"][hidden], self.words).sum()
        if "next_sentence" in self.weights:
            follows = model.cls.seq_relationship(student.pooler_output).float()  # (B, 2)
            losses["next_sentence"] = F.cross_entropy(follows, batch["next_sentence_label"], reduction="sum")
        return losses

    def _run(self, model: Any, batch: Batch) -> tuple[Any, dict[int, Tensor]]:
        """Return what the encoder gives, and the attention scores of the layers that count: (B, H, T, T) each."""
        encoder = model.base_model
        with _first_layers(encoder, self.depth), _projections(encoder, self.layers) as found:
            encoded = encoder(**inputs_of(batch), output_hidden_states=True, return_dict=True)
        heads = encoder.config.num_attention_heads
        return encoded, {layer: _scores(found[layer, 0], found[layer, 1], heads) for layer in self.layers}


@contextmanager
def _first_layers(encoder: nn.Module, count: int) -> Iterator[None]:
    """Let an encoder run only so many of its layers."""
    stack = next(module for module in encoder.modules() if isinstance(module, Stack))
    whole = stack.layer
    stack.layer = whole[:count]
    try:
        yield
    finally:
        stack.layer = whole


@contextmanager
def _projections(encoder: Any, layers: Sequence[int]) -> Iterator[dict[tuple[int, int], Tensor]]:
    """Keep the queries (0) and keys (1) of these layers: (layer, 0 or 1) -> (B, T, H*D)."""
    found: dict[tuple[int, int], Tensor] = {}

    def keep(place: tuple[int, int], _: nn.Module, __: Any, output: Tensor) -> None:
        found[place] = output

    hooks = [
        linear.register_forward_hook(partial(keep, (layer, which)))
        for layer in layers
        for which, linear in enumerate(encoder.attention_linears(layer)[:2])
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _scores(query: Tensor, key: Tensor, heads: int) -> Tensor:
    """(B, T, H*D) twice -> scaled products (B, H, T, T), in single precision."""
    q, k = (x.float().view(*x.shape[:2], heads, -1).transpose(1, 2) for x in (query, key))  # (B, H, T, D)
    scores: Tensor = (q / math.sqrt(q.shape[-1])) @ k.transpose(-1, -2)
    return scores
