"""What the engine refuses: each time a clear error, never a crash."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from helpers.plan_models import make, texts
from pocketbert.errors import CheckpointError, InputError, MissingExtra
from pocketbert.plan import make_plan, quantize
from pocketbert.plan.structure import Dense
from pocketbert.runtime import native
from pocketbert.runtime.batching import PackedBatch, Row, pack
from pocketbert.runtime.native import NativeRunner
from pocketbert.runtime.threads import available_threads, check_threads


@pytest.fixture(scope="module")
def program():
    model, arrays = make("MobileBert", "masked_lm", awkward_norms=False)
    return make_plan(model.config, "masked_lm", arrays)


@pytest.fixture(scope="module")
def runner(program):
    return NativeRunner(program, "none", threads=2)


def ints(*values):
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (PackedBatch(ints(1, 2), None, ints(0)), "at least one text"),
        (PackedBatch(ints(), None, ints(0, 0)), "at least one text"),
        (PackedBatch(ints(1, 2), None, ints(0, 0, 2)), "text 0 is empty"),
        (PackedBatch(ints(1, 2), None, ints(0, 1)), "end with the number of tokens"),
        (PackedBatch(ints(1, 2), None, ints(1, 2)), "begin with 0"),
        (PackedBatch(ints(1, 2, 3), None, ints(0, 5, 3)), "within the number of tokens"),
        (PackedBatch(ints(1, 2, 3), None, ints(0, -4, 3)), "within the number of tokens"),
        (PackedBatch(ints(1, 2, 3), None, ints(0, 2, 1, 3)), "empty"),
        (PackedBatch(ints(*range(21)), None, ints(0, 21)), "21 tokens exceed the model's 20 positions"),
        (PackedBatch(ints(1, 61), None, ints(0, 2)), "input_ids holds 61; the model knows 0 .. 60"),
        (PackedBatch(ints(-1), None, ints(0, 1)), "input_ids holds -1"),
        (PackedBatch(ints(2**62), None, ints(0, 1)), "input_ids holds 4611686018427387904"),
        (PackedBatch(ints(1), ints(3), ints(0, 1)), "token_type_ids holds 3; the model knows 0 .. 2"),
        (PackedBatch(ints(1), ints(0, 1), ints(0, 1)), "token_type_ids has 2 values; 1 are expected"),
        (PackedBatch(np.array([1], np.int32), None, ints(0, 1)), "input_ids must be a one-dimensional int64"),
        (PackedBatch(np.array([1.0]), None, ints(0, 1)), "input_ids must be"),
        (PackedBatch([1, 2], None, ints(0, 2)), "input_ids must be"),
        (PackedBatch(ints(1, 2)[None], None, ints(0, 2)), "input_ids must be"),
        (PackedBatch(ints(1, 2), None, np.array([0, 2], np.int32)), "cu_seqlens must be"),
        (PackedBatch(ints(1, 2), [0, 0], ints(0, 2)), "token_type_ids must be"),
    ],
)
def test_bad_batches(runner, batch, message):
    with pytest.raises(InputError, match=message):
        runner(batch)
    runner(pack([Row([1, 2])]))  # and it goes on


def test_strided_arrays_are_taken(runner):
    ids = np.arange(10, dtype=np.int64)[::2]
    batch = PackedBatch(ids, None, ints(0, 5))
    np.testing.assert_array_equal(runner(batch)[0], runner(pack([Row(ids.tolist())]))[0])


def test_bad_positions(program):
    masked = NativeRunner(program, threads=1)
    for positions in ([2], [-1]):
        with pytest.raises(InputError, match="positions of row 0 must be within its 2 tokens"):
            masked(pack([Row([1, 2], None, positions)]))
    with pytest.raises(InputError, match="1 lists of positions for 2 rows"):
        masked(replace(pack([Row([1, 2]), Row([3])]), positions=(ints(0),)))
    assert [array.shape for array in masked(pack([Row([1, 2], None, [])]))] == [(0, 61)]


@pytest.mark.parametrize("threads", [0, -1, 257, 1.5, True, "2"])
def test_bad_threads(program, threads):
    with pytest.raises(InputError, match="threads="):
        NativeRunner(program, threads=threads)


def test_bad_choices(program, monkeypatch):
    with pytest.raises(InputError, match="the plan has no next_sentence answer; it has: masked_lm"):
        NativeRunner(program, "next_sentence")
    monkeypatch.setenv("POCKETBERT_CPU", "abacus")
    with pytest.raises(InputError, match=r"POCKETBERT_CPU='abacus'.*it runs: .*portable"):
        NativeRunner(program)


def test_wide_floats_are_refused():
    model, arrays = make("Bert")
    with pytest.raises(InputError, match="this one is float64"):
        NativeRunner(make_plan(model.config, "none", arrays, np.float64))


def test_missing_extension(program, monkeypatch):
    monkeypatch.setitem(sys.modules, "pocketbert._native", None)
    with pytest.raises(MissingExtra, match="was not built"):
        NativeRunner(program)


def damaged(program, change):
    """Return the program with its second layer's first product changed."""
    layer = program.layers[1]
    ops = tuple(replace(op, **change(op)) if op is layer.ops[0] else op for op in layer.ops)
    return replace(program, layers=(program.layers[0], replace(layer, ops=ops), *program.layers[2:]))


def with_value(array, value):
    changed = array.copy()
    changed.flat[changed.size // 2] = value
    return changed


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_must_be_finite(program, value):
    for change in (
        lambda op: {"weight": with_value(op.weight, value)},
        lambda op: {"bias": with_value(op.bias, value)},
    ):
        with pytest.raises(CheckpointError, match="holds NaN or infinity"):
            NativeRunner(damaged(program, change))
    tables = program.embeddings
    for name in ("words", "positions", "types"):
        bad = replace(tables, **{name: with_value(getattr(tables, name), value)})
        with pytest.raises(CheckpointError, match="table holds NaN or infinity"):
            NativeRunner(replace(program, embeddings=bad))
    small = quantize(program)
    op = small.layers[1].ops[0]
    assert isinstance(op, Dense)
    with pytest.raises(CheckpointError, match="scale holds NaN or infinity"):
        NativeRunner(
            damaged(small, lambda op: {"weight": replace(op.weight, scale=with_value(op.weight.scale, value))})
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda op: {"weight": op.weight[:, :-1]}, "a weight of shape"),
        (lambda op: {"weight": op.weight[:-1]}, "expected"),
        (lambda op: {"weight": op.weight.astype(np.float64)}, "float32 is expected, not float64"),
        (lambda op: {"weight": op.weight.ravel()}, "floats"),
        (lambda op: {"bias": op.bias[:-1]}, "a bias has"),
        (lambda op: {"target": replace(op.target, start=-1)}, "must ascend"),
        (lambda op: {"target": replace(op.target, stop=10**6)}, "columns"),
        (lambda op: {"target": op.source}, "overlaps its source|a weight of shape"),
        (lambda op: {"activation": "swoosh"}, "activation 'swoosh' is unknown"),
    ],
)
def test_programs_that_do_not_fit(program, change, message):
    with pytest.raises(CheckpointError, match=message):
        NativeRunner(damaged(program, change))


def test_fuzz(runner, program):
    """Random arrays of every kind: an InputError or the right shapes, and the engine stays whole."""
    generator = np.random.default_rng(0)
    good = pack(texts())
    before = runner(good)
    refused = 0
    for _ in range(3000):
        tokens, texts_count = generator.integers(0, 40), generator.integers(0, 6)
        spread = int(generator.choice([3, 61, 100, 2**40]))
        ids = generator.integers(-1 if generator.random() < 0.1 else 0, spread, tokens)
        ends = np.sort(generator.integers(0, tokens + 1, texts_count + 1))
        if generator.random() < 0.7:
            ends[0], ends[-1] = 0, tokens
        if generator.random() < 0.1:
            generator.shuffle(ends)
        kinds = None if generator.random() < 0.5 else generator.integers(0, 4, tokens)
        try:
            found = runner(PackedBatch(ids, kinds, ends))
        except InputError:
            refused += 1
            continue
        assert [len(array) for array in found] == np.diff(ends).tolist()
        assert all(np.isfinite(array).all() for array in found)
    assert 0 < refused < 3000
    for a, b in zip(before, runner(good), strict=True):
        np.testing.assert_array_equal(a, b)


def test_threads_follow_the_machine(tmp_path):
    free = available_threads(tmp_path)
    assert free >= 1
    for text, expected in (("max 100000", free), ("100000 100000", 1), ("150000 100000", min(2, free)), ("50 100", 1)):
        (tmp_path / "cpu.max").write_text(text)
        assert available_threads(tmp_path) == expected
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    for text, expected in (("-1", free), ("100000", 1), ("junk", free)):
        (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(text)
        assert available_threads(tmp_path) == expected
    assert check_threads(None) == available_threads()
    assert native.CPU_VARIABLE == "POCKETBERT_CPU"
