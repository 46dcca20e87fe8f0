"""Span selection for question answering: from start and end logits to ranked, distinct answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketbert.tasks.numeric import best_first, softmax

__all__ = ["Candidate", "WindowScores", "best_spans", "distinct", "score_window"]


@dataclass(frozen=True)
class WindowScores:
    """Start and end probabilities of a window's context tokens, and the probability of no answer."""

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    none: float


@dataclass(frozen=True)
class Candidate:
    """An answer: its score, and its characters in the context."""

    score: float
    start: int
    end: int


def score_window(logits: NDArray[np.float32], context: NDArray[np.int64]) -> WindowScores:
    """Normalize a window's logits over its context tokens and ``[CLS]``, which represents "no answer".

    Args:
        logits: (tokens, 2), start and end; token 0 is ``[CLS]``.
        context: the tokens of the context, in order.
    """
    chosen = softmax(logits[np.concatenate([[0], context]).astype(np.int64)].T)  # (2, 1 + context)
    return WindowScores(chosen[0, 1:], chosen[1, 1:], float(chosen[0, 0] * chosen[1, 0]))


def best_spans(window: WindowScores, count: int, max_tokens: int) -> list[tuple[float, int, int]]:
    """Return the ``count`` best (score, first token, last token) of at most ``max_tokens`` tokens, best first."""
    tokens = len(window.start)
    if not tokens:
        return []
    width = min(max_tokens, tokens)
    ends = np.concatenate([window.end, np.full(width - 1, -1.0)])  # beyond the context: below every score
    band = np.lib.stride_tricks.sliding_window_view(ends, width) * window.start[:, None]  # (tokens, width)
    inside = np.arange(tokens)[:, None] + np.arange(width) < tokens
    flat = np.where(inside, band, -1.0).ravel()
    count = min(count, int(inside.sum()))
    return [(float(flat[i]), i // width, i // width + i % width) for i in best_first(flat, count)]


def distinct(first: Iterable[Candidate], more: Iterator[Candidate], context: str, top_k: int) -> list[Candidate]:
    """Return answers of different text, best first.

    Scores of ``first`` with the same text, letter case aside, are summed and capped at 1; the span of the best one
    is kept. If fewer than ``top_k`` remain, ``more`` adds new answers without changing the scores.
    """
    answers: dict[str, Candidate] = {}
    for candidate in first:
        text = context[candidate.start : candidate.end].lower()
        known = answers.get(text)
        answers[text] = candidate if known is None else Candidate(known.score + candidate.score, known.start, known.end)
    if len(answers) < top_k:
        for candidate in more:
            answers.setdefault(context[candidate.start : candidate.end].lower(), candidate)
            if len(answers) >= top_k:
                break
    ranked = sorted(answers.values(), key=lambda candidate: -candidate.score)[:top_k]
    return [Candidate(min(c.score, 1.0), c.start, c.end) for c in ranked]
