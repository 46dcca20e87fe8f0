"""The engine's door: whatever arrays, programs and calls come, an error in words or the right result, never a crash.

Needs neither a framework nor a compiler, so every built wheel is tested with it.
"""

from __future__ import annotations

import random

import numpy as np
import pytest

from helpers.hostile_batches import random_batch
from helpers.plan_mutations import CONFIGS, changed, damage, places, program
from pocketbert import PocketBertError
from pocketbert.errors import CheckpointError, InputError
from pocketbert.plan import ReferenceRunner, quantize
from pocketbert.runtime.batching import PackedBatch, Row, pack
from pocketbert.runtime.native import NativeRunner, native_paths

BATCH = pack([Row([1, 2, 3]), Row(list(range(30))), Row([7])])


@pytest.fixture(scope="module", params=["float32", "int8"])
def whole(request):
    found = program()
    return quantize(found) if request.param == "int8" else found


@pytest.mark.parametrize("head", ["masked_lm", "sequence_classification", "question_answering"])
@pytest.mark.parametrize("name", CONFIGS)
def test_results_are_the_reference(name, head, path):
    made = program(name, head)
    expected = np.concatenate([array.ravel() for array in ReferenceRunner(made)(BATCH)])
    for plan, tolerance in ((made, 1e-5), (quantize(made), 0.1)):
        runner = NativeRunner(plan, threads=2)
        assert runner.path == path
        found = np.concatenate([array.ravel() for array in runner(BATCH)])
        assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


def test_batches_of_every_kind(path, whole):
    runner = NativeRunner(whole, threads=3)
    before = runner(BATCH)
    chance = random.Random(0)
    taken = refused = 0
    for _ in range(2000):
        batch = random_batch(chance)
        try:
            found = runner(batch)
        except InputError:
            refused += 1
            continue
        taken += 1
        assert [len(array) for array in found] == np.diff(batch.cu_seqlens).tolist()
    assert taken > 20
    assert refused > 200
    for one, other in zip(before, runner(BATCH), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("value", [-1, -(2**63), 6, 2**63 - 1])
def test_ends_out_of_range(path, whole, value):
    """Also those whose distance from the end before is no 64-bit number."""
    for ends in ([0, value, 5], [0, 3, value, 5], [0, value, value, 5]):
        with pytest.raises(InputError, match="cu_seqlens must stay within the number of tokens"):
            NativeRunner(whole, threads=2)(PackedBatch(np.arange(5), None, np.array(ends), None))


@pytest.mark.parametrize("threads", [0, -1, 257, 2**40, 1.0, True, "2", float("nan")])
def test_threads(threads):
    with pytest.raises(InputError, match="threads="):
        NativeRunner(program(), threads=threads)


def test_programs_of_every_kind(path, whole):
    """Changed in one place, a program is refused, or what it says is done: no crash, and no array read past its end."""
    chance = random.Random(1)
    everywhere = list(places(whole))
    refused = 0
    for _ in range(400):
        name = chance.choice(everywhere)
        with np.errstate(all="ignore"):
            try:
                other = changed(whole, name, damage(chance))
                NativeRunner(other, threads=2)(BATCH)
            except PocketBertError:
                refused += 1
    assert refused > 200
    assert len(NativeRunner(whole, threads=2)(BATCH)) == 3


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_weight_may_be_infinite(whole, value):
    for name in places(whole):
        found = whole
        for part in name:
            found = found[part] if isinstance(part, int) else getattr(found, part)
        if not isinstance(found, np.ndarray) or found.dtype.kind != "f" or not found.size:
            continue
        if name[0] == "embeddings_to_hidden" or ("to_hidden" in name and name[:2] != ("layers", len(whole.layers) - 1)):
            continue  # of hidden states before the last, which the engine does not give
        bad = found.copy()
        bad.flat[0] = value
        with pytest.raises(CheckpointError, match="holds NaN or infinity"):
            NativeRunner(changed(whole, name, lambda _, bad=bad: bad))


def test_every_path_is_tested():
    assert native_paths()[-1] == "portable"
