"""Spans of answers against brute force over every pair of tokens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketbert.tasks.numeric import best_first, sigmoid, softmax
from pocketbert.tasks.spans import Candidate, WindowScores, best_spans, distinct, score_window

SCORES = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=14)


@given(SCORES, st.integers(1, 20), st.integers(1, 20))
def test_best_spans_are_those_of_brute_force(scores, count, most):
    start, end = (np.array(side, float) / 10 for side in zip(*scores, strict=True))
    every = [(start[s] * end[e], s, e) for s in range(len(start)) for e in range(s, min(s + most, len(start)))]
    every.sort(key=lambda span: (-span[0], span[1], span[2]))
    assert best_spans(WindowScores(start, end, 0.0), count, most) == every[:count]


def test_a_window_without_context_has_no_spans():
    assert best_spans(WindowScores(np.zeros(0), np.zeros(0), 1.0), 5, 5) == []


@given(st.integers(1, 12), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_scores_are_probabilities_over_context_and_none(context, question, seed):
    logits = np.random.default_rng(seed).normal(scale=300, size=(1 + question + context + 2, 2)).astype(np.float32)
    window = score_window(logits, np.arange(1 + question, 1 + question + context))
    for side, scores in enumerate((window.start, window.end)):
        none = np.exp(
            float(logits[0, side])
            - np.logaddexp.reduce([logits[0, side], *logits[1 + question : -2, side]], dtype=np.float64)
        )
        assert scores.sum() + none == pytest.approx(1)
    assert 0 <= window.none <= 1


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 5), st.integers(1, 3)), min_size=1, max_size=12),
    st.integers(1, 8),
)
def test_distinct_adds_up_what_reads_the_same(spans, top_k):
    context = "aAbabaAB"
    first = [Candidate(score / 10, start, start + length) for score, start, length in spans]
    every = [Candidate(0.0, s, e) for s in range(8) for e in range(s + 1, 9)]
    found = distinct(first, iter(every), context, top_k)
    sums: dict[str, float] = {}
    for candidate in first:
        text = context[candidate.start : candidate.end].lower()
        sums[text] = sums.get(text, 0.0) + candidate.score
    texts = [context[c.start : c.end].lower() for c in found]
    assert len(set(texts)) == len(texts) == min(top_k, len({context[c.start : c.end].lower() for c in every}))
    assert [c.score for c in found] == pytest.approx(
        [min(1.0, score) for score in sorted([*sums.values(), *[0.0] * 99], reverse=True)[: len(found)]]
    )


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=30), st.one_of(st.none(), st.integers(1, 40)))
def test_best_first_keeps_the_order_of_equals(values, top_k):
    expected = sorted(range(len(values)), key=lambda index: (-values[index], index))
    assert best_first(np.array(values), top_k) == expected[:top_k]


def test_scores_do_not_overflow():
    extremes = np.array([-3e38, 0.0, 3e38], np.float32)
    assert softmax(extremes).tolist() == [0.0, 0.0, 1.0]
    assert sigmoid(extremes).tolist() == [0.0, 0.5, 1.0]
    assert sigmoid(np.array([-800.0, -30.0])).tolist() == [0.0, pytest.approx(np.exp(-30), rel=1e-9)]
