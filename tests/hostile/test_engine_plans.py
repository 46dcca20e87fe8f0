"""Plans that do not hold together: the engine refuses what the check of plans refuses, and repeats what it runs."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from helpers.plan_mutations import changed, is_refused, mutated, program
from pocketbert.errors import CheckpointError, PocketBertError
from pocketbert.plan import check_plan, load_plan, quantize, save_plan
from pocketbert.runtime import native
from pocketbert.runtime.batching import Row, pack
from pocketbert.runtime.native import NativeRunner

pytest.importorskip("pocketbert._native")
BATCH = pack([Row([1, 2, 3]), Row(list(range(30))), Row([7])])


@pytest.fixture(scope="module", params=["float32", "int8"])
def whole(request):
    found = program()
    return quantize(found) if request.param == "int8" else found


def repeats(plan, runner) -> None:
    """Check that a text gets the same bits after another text, and in a runner of its own."""
    first = runner(BATCH)
    runner(pack([Row([5, 6, 7, 8, 9] * 7)]))
    for once, again, anew in zip(first, runner(BATCH), NativeRunner(plan, threads=2)(BATCH), strict=True):
        assert once.tobytes() == again.tobytes() == anew.tobytes()


@pytest.mark.parametrize("rounds", [300, pytest.param(5000, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore")
def test_the_engine_refuses_what_the_check_refuses(whole, rounds):
    chance = random.Random(rounds)
    refused = ran = 0
    for number in range(rounds):
        plan = mutated(whole, chance, number)
        try:
            runner = NativeRunner(plan, threads=1)
        except PocketBertError:
            refused += 1
            continue
        assert not is_refused(plan)
        repeats(plan, runner)
        ran += 1
    assert refused > rounds / 2
    assert ran > rounds / 50


def test_whatever_the_engine_alone_accepts_it_repeats(whole, monkeypatch):
    """With an operation left out, or two in each other's place: it checks for itself that no read comes first."""
    monkeypatch.setattr(native, "_check", lambda plan: None)
    refused = 0
    for index, layer in enumerate(whole.layers):
        count = len(layer.ops)
        orders = [[n for n in range(count) if n != left] for left in range(count)]
        for first in range(count - 1):
            orders.append([*range(first), first + 1, first, *range(first + 2, count)])
        for order in orders:
            ops = tuple(layer.ops[n] for n in order)
            plan = changed(whole, ("layers", index), lambda layer, ops=ops: replace(layer, ops=ops))
            try:
                runner = NativeRunner(plan, threads=1)
            except CheckpointError:
                refused += 1
                continue
            repeats(plan, runner)
    assert refused > 5


def builder(positions: int = 4, width: int = 8):
    """Return the engine's builder with a stream, one other buffer and embeddings."""
    extension = native._extension()
    made = extension.Builder("portable")
    stream, other = made.buffer(width), made.buffer(width)
    table = np.ones((5, width), np.float32)
    made.embeddings(extension.Weight.floats(table), np.ones((positions, width), np.float32), None, False, None, None)
    return extension, made, (stream, 0, width), (other, 0, width)


def product(extension, made, source, target) -> None:
    width = source[2] - source[1]
    weight = extension.Weight.floats(np.eye(width, dtype=np.float32))
    made.dense(source, target, weight, np.zeros(width, np.float32), "linear", None, None, None)


def test_reads_of_what_no_one_wrote_are_refused_in_every_segment():
    extension, made, stream, other = builder()
    product(extension, made, other, stream)
    with pytest.raises(ValueError, match="buffer 1 is read before it is written"):
        made.finish()
    extension, made, stream, other = builder()
    third = (made.buffer(8), 0, 8)
    made.attention(stream, stream, stream, third, 2)
    product(extension, made, other, stream)  # behind the attention
    with pytest.raises(ValueError, match="buffer 1 is read before it is written"):
        made.finish()
    extension, made, stream, other = builder()
    for _ in range(2):
        made.branch()
    product(extension, made, other, stream)
    with pytest.raises(ValueError, match="a branch has no product"):
        made.finish()


def test_a_branch_knows_nothing_of_another():
    extension, made, stream, other = builder()
    made.branch()
    product(extension, made, stream, other)
    made.branch()
    product(extension, made, other, stream)
    with pytest.raises(ValueError, match="buffer 1 is read before it is written"):
        made.finish()


def test_finish_may_be_called_again_after_it_refused():
    """Buffers that a segment needs of an earlier one are listed once, however often it was tried."""
    results = []
    for tries in (0, 3):
        extension, made, stream, other = builder()
        third = (made.buffer(8), 0, 8)
        product(extension, made, stream, third)
        made.attention(stream, stream, stream, other, 2)
        product(extension, made, third, stream)  # of the segment before
        made.branch()
        for _ in range(tries):
            with pytest.raises(ValueError, match="a branch has no product"):
                made.finish()
        product(extension, made, stream, other)
        engine = made.finish()
        out = np.zeros((2, 8), np.float32)
        rows = np.array([0, 3])
        engine.run(np.array([0, 1, 2, 3]), None, np.array([0, 2, 4]), 0, rows, 1, out)
        results.append(out)
        with pytest.raises(ValueError, match="the model was built already"):
            made.finish()
    np.testing.assert_array_equal(*results)
    assert results[0].any()


@pytest.mark.parametrize("norm", [(None, np.ones(8, np.float32), 1e-5), (np.ones(8, np.float32), None, 1e-5)])
def test_a_norm_without_an_array_is_refused(norm):
    extension, made, stream, other = builder()
    weight = extension.Weight.floats(np.eye(8, dtype=np.float32))
    with pytest.raises(ValueError, match=r"a norm's (scale|bias) is None"):
        made.dense(stream, other, weight, np.zeros(8, np.float32), "linear", None, None, norm)


def test_int8_weights_are_checked_by_the_engine():
    extension = native._extension()

    def run(values, scale=(1.0, 1.0), outliers=()):
        made = builder(width=2)
        weight = extension.Weight.int8(
            np.array(values, np.int8), np.array(scale, np.float32), np.array(outliers, np.int64),
            np.ones((2, len(outliers)), np.float32),
        )  # fmt: skip
        made[1].dense(made[2], made[3], weight, np.zeros(2, np.float32), "linear", None, None, None)
        return made[1].finish()

    run([[1, 0], [2, 0]], outliers=[1])
    for arguments, message in (
        ({"values": [[1, -128], [0, 0]]}, "holds -128"),
        ({"values": [[1, 0], [2, 0]], "scale": [1, -1]}, "scale is negative"),
        ({"values": [[1, 0], [2, 3]], "outliers": [1]}, "not 0 in an outlier column"),
        ({"values": [[1, 0], [2, 0]], "outliers": [1, 1]}, "must ascend"),
    ):
        with pytest.raises(ValueError, match=message):
            run(**arguments)


# -- descriptions that ask for more than they bring ------------------------------------------------------------


def rewritten(path, change) -> None:
    """Change the description of a plan in its file."""
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    plan = json.loads(metadata["plan"])
    save_file(load_file(path), path, metadata | {"plan": json.dumps(change(plan) or plan)})


def test_hundreds_of_thousands_of_buffers(tmp_path, whole):
    path = tmp_path / "plan.safetensors"
    save_plan(whole, path)
    rewritten(path, lambda plan: plan["buffers"].update({str(n): 1 for n in range(200_000)}))
    with pytest.raises(CheckpointError, match=r"20000\d buffers, at most 256 are allowed"):
        load_plan(path)
    save_plan(whole, path)
    rewritten(path, lambda plan: plan["buffers"].update({str(n): 2**20 for n in range(9)}))
    with pytest.raises(CheckpointError, match=r"the buffers have \d+ columns, at most 1048576 are allowed"):
        load_plan(path)


def test_one_weight_for_thousands_of_products(tmp_path, whole):
    path = tmp_path / "plan.safetensors"
    save_plan(whole, path)

    def repeat(plan) -> None:
        layer = plan["layers"][0]
        layer["ops"] += [op for op in layer["ops"] if op["kind"] == "Dense"][-1:] * 5000

    rewritten(path, repeat)
    with pytest.raises(CheckpointError, match=r"operations use \d+ numbers, and the weights have \d+"):
        load_plan(path)


def test_a_read_across_layers_is_refused(whole):
    """What a layer wrote is gone in the next, whatever the engine keeps."""
    first, second = whole.layers
    plan = replace(whole, layers=(first, replace(second, ops=second.ops[1:])))
    for check in (check_plan, NativeRunner):
        with pytest.raises(CheckpointError, match="before it is written"):
            check(plan)
