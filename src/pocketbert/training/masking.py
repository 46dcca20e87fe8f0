"""Masked words: which tokens of a batch are hidden, and what stands in their place.

All of it is a function of the seed, the step and the examples, so a run that goes on hides the same words as one that
was never stopped, however many processes make its batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pocketbert.architecture.forward import IGNORE
from pocketbert.training.batches import Batch, Padder
from pocketbert.training.examples import Example
from pocketbert.training.order import Share, random_of

__all__ = ["MASKINGS", "Masker", "by_batch", "by_row", "rarity"]

_MASKS = 0x6D61736B  # tells these random numbers from those of other purposes
_HIDDEN, _KEPT = 0.8, 0.1  # of the chosen tokens: become [MASK], stay; the rest become random tokens

Random = Callable[[int], np.random.Generator]


def rarity(counts: NDArray[np.int64], special: list[int], smoothing: float = 0.7) -> NDArray[np.float64]:
    """Return the weight of each token of the vocabulary: ``max(count, 1) ** -smoothing``, and 0 for special tokens.

    >>> rarity(np.array([5, 0, 1, 100]), [0], 0.5)
    array([0. , 1. , 1. , 0.1])
    """
    weights: NDArray[np.float64] = np.maximum(counts, 1).astype(np.float64) ** -smoothing
    weights[special] = 0
    return weights


def by_row(weights: NDArray[np.float64], real: NDArray[np.bool_], share: float, random: Random) -> NDArray[np.bool_]:
    """Choose a share of each row's tokens, at least one (BERT).

    Args:
        weights: (rows, tokens), how likely each token is relative to the others; 0 for never.
        real: (rows, tokens), False for padding.
        share: of the tokens that are not padding.
        random: gives the generator of a row.
    """
    chosen = np.zeros(weights.shape, bool)
    for row, (each, count) in enumerate(zip(weights, real.sum(axis=1), strict=True)):
        chosen[row] = _draw(each, max(1, round(share * int(count))), random(row))
    return chosen


def by_batch(weights: NDArray[np.float64], real: NDArray[np.bool_], share: float, random: Random) -> NDArray[np.bool_]:
    """Choose a share of the tokens of a whole batch (DistilBERT); see ``by_row``."""
    return _draw(weights.ravel(), math.ceil(share * int(real.sum())), random(0)).reshape(weights.shape)


MASKINGS = {"bert": by_row, "distilbert": by_batch}


def _draw(weights: NDArray[np.float64], count: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """Draw places without replacement, each time with chances in proportion to the weights that are left."""
    # the places of the smallest of independent exponential times whose rates are the weights: the same distribution
    times = np.full(weights.shape, np.inf)
    np.divide(random.standard_exponential(weights.shape), weights, out=times, where=weights > 0)
    count = min(count, int((weights > 0).sum()))
    chosen = np.zeros(weights.shape, bool)
    chosen[np.argsort(times, kind="stable")[:count]] = True
    return chosen


class Masker:
    """Makes padded batches and hides words in them; ``labels`` are the words that were hidden, -100 elsewhere.

    Of the chosen tokens 80% become ``[MASK]``, 10% a random token, and 10% stay.

    Args:
        pad: makes batches.
        tokenizer: knows ``[MASK]``, the special tokens and how many tokens there are.
        seed: of the run.
        masking: a name in ``MASKINGS``.
        share: of the tokens to choose; 0 for none.
        weights: how likely each token of the vocabulary is; see ``rarity``. All alike but for special tokens, if None.
    """

    def __init__(
        self,
        pad: Padder,
        tokenizer: Any,
        seed: int,
        masking: str = "bert",
        share: float = 0.15,
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        self.pad = pad
        self.seed = seed
        self.choose = MASKINGS[masking]
        self.share = share
        self.mask_token = tokenizer.mask_token_id
        self.size = len(tokenizer)
        self.weights = rarity(np.ones(self.size, np.int64), tokenizer.all_special_ids) if weights is None else weights

    def __call__(self, examples: list[Example], share: Share) -> Batch:
        """Return the batch of ``Padder``, with hidden words and ``labels``."""
        batch = self.pad(examples, share)
        ids = batch["input_ids"].numpy()
        labels = np.full_like(ids, IGNORE)
        if self.share:
            real = batch["attention_mask"].numpy() > 0

            def random(row: int, purpose: int = 0) -> np.random.Generator:
                return random_of(self.seed, _MASKS + purpose, share.step, share.examples[row])

            chosen = self.choose(np.where(real, self.weights[ids], 0.0), real, self.share, random)
            labels[chosen] = ids[chosen]
            for row in np.flatnonzero(chosen.any(axis=1)).tolist():
                self._hide(ids[row], np.flatnonzero(chosen[row]), random(row, 1))
        return batch | {"input_ids": torch.from_numpy(ids), "labels": torch.from_numpy(labels)}

    def _hide(self, ids: NDArray[np.int64], places: NDArray[np.int64], random: np.random.Generator) -> None:
        """Replace the tokens at these places of a row."""
        fate = random.random(len(places))
        others = random.integers(self.size, size=len(places))
        ids[places] = np.where(fate < _HIDDEN, self.mask_token, np.where(fate < _HIDDEN + _KEPT, ids[places], others))
