"""Metrics against scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pytest

from pocketbert.evaluation import metrics

reference = pytest.importorskip("sklearn.metrics")
stats = pytest.importorskip("scipy.stats")
RANDOM = np.random.default_rng(0)


def test_correlations():
    a = RANDOM.normal(size=50)
    b = np.round(a + RANDOM.normal(size=50), 1)  # with ties
    assert metrics.pearson(a, b) == pytest.approx(stats.pearsonr(a, b)[0])
    assert metrics.spearman(a, b) == pytest.approx(stats.spearmanr(a, b)[0])
    assert metrics.pearson([1, 1], [1, 2]) == 0


def test_f1_of_classes():
    found, gold = (RANDOM.integers(6, size=40).tolist() for _ in range(2))
    gold = [each if each != 5 else 4 for each in gold]  # a class that is only found
    each = metrics.class_f1([{one} for one in found], [{one} for one in gold])
    expected = reference.f1_score(gold, found, average=None, labels=sorted({*found, *gold}), zero_division=0)
    assert list(each.values()) == pytest.approx(expected.tolist())
    assert 5 in each
    assert metrics.set_f1([{one} for one in found], [{one} for one in gold]) == pytest.approx(
        reference.f1_score(gold, found, average="micro")
    )


def test_f1_of_several_labels():
    found, gold = (RANDOM.random((30, 4)) < 0.4 for _ in range(2))
    sets = [[{*np.flatnonzero(row).tolist()} for row in side] for side in (found, gold)]
    assert metrics.set_f1(*sets) == pytest.approx(reference.f1_score(gold, found, average="micro"))
    assert sum(metrics.class_f1(*sets).values()) / 4 == pytest.approx(reference.f1_score(gold, found, average="macro"))
    assert metrics.hit_share(*sets) == pytest.approx(reference.precision_score(gold, found, average="micro"))
    assert metrics.hit_share(*sets[::-1]) == pytest.approx(reference.recall_score(gold, found, average="micro"))
    assert metrics.hit_share([set()], [{1}]) == 0
