"""The ONNX Runtime runner: every head as the reference executor and the torch runner give it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("torch")


from helpers.plan_models import batch_of, make, relative, texts
from pocketbert.architecture.heads import HEADS
from pocketbert.errors import CheckpointError, InputError
from pocketbert.export.onnx import export_onnx
from pocketbert.plan import ReferenceRunner, plan_checkpoint
from pocketbert.runtime.batching import Row, pack, run_rows
from pocketbert.runtime.onnx.runner import OnnxRunner, load, open_session, wrap
from pocketbert.torch import runner as torch_runner

NEAR = 1e-5
LENGTHS = (11, 1, 5, 20, 2, 19, 19, 11)
HEADED = [
    (family, head)
    for family in ("MobileBert", "Bert", "DistilBert")
    for head in HEADS
    if head != "pretraining" and (family != "DistilBert" or head != "next_sentence")
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return ``made(family, head)``, which gives the folder of a small checkpoint."""
    folders = {}

    def write(family, head):
        if (family, head) not in folders:
            changes = {} if head == "question_answering" else {"num_labels": 3}
            model, _ = make(family, head, changes, awkward_norms=False)
            folders[family, head] = tmp_path_factory.mktemp("checkpoint")
            model.float().save_pretrained(folders[family, head])
        return folders[family, head]

    return write


def same(found, expected, limit=NEAR):
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == np.float32
        assert relative(a, b) <= limit


@pytest.mark.parametrize(("family", "head"), HEADED)
def test_every_head_from_a_folder_and_from_a_file(family, head, made, tmp_path):
    folder = made(family, head)
    batch = batch_of(texts(lengths=LENGTHS, types=0 if family == "DistilBert" else 2))
    expected = torch_runner.load(folder, head)(batch)
    same(ReferenceRunner(plan_checkpoint(folder, head))(batch), expected)
    runner = load(folder, head, threads=1)
    same(runner(batch), expected)
    assert (runner.head, runner.config.model_type, runner.int8) == (head, family.lower(), False)
    export_onnx(folder, tmp_path / "model.onnx", head)
    same(load(tmp_path / "model.onnx", head, threads=1)(batch), expected)
    for row, alone in zip(texts(lengths=LENGTHS, types=0 if family == "DistilBert" else 2), expected, strict=True):
        same(runner(batch_of([row])), [alone])


def test_words_are_computed_only_where_they_are_wanted(made, tmp_path):
    folder = made("Bert", "masked_lm")
    export_onnx(folder, tmp_path / "model.onnx")
    rows = texts(lengths=(6, 4, 9))
    asked = [[2, 0], [], [8]]
    some = pack([Row(row.input_ids, row.token_type_ids, where) for row, where in zip(rows, asked, strict=True)])
    none = pack([Row(row.input_ids, positions=[]) for row in rows])
    for source in (folder, tmp_path / "model.onnx"):
        runner = load(source, threads=1)
        whole = runner(pack(rows))
        for every, part, where in zip(whole, runner(some), asked, strict=True):
            assert part.shape == (len(where), 61)
            np.testing.assert_allclose(part, every[where], atol=1e-5)
        assert [array.shape for array in runner(none)] == [(0, 61)] * 3
        with pytest.raises(InputError, match="positions of row 0 must be within its 2 tokens"):
            runner(pack([Row([1, 2], positions=[2])]))


def test_a_pretraining_checkpoint_serves_two_heads(made, tmp_path):
    folder = made("MobileBert", "pretraining")
    export_onnx(folder, tmp_path / "model.onnx")
    batch = batch_of(texts())
    for head in ("masked_lm", "next_sentence"):
        expected = torch_runner.load(folder, head)(batch)
        same(load(folder, head, threads=1)(batch), expected)
        same(load(tmp_path / "model.onnx", head, threads=1)(batch), expected)
    for head in ("none", None, "token_classification"):
        with pytest.raises(InputError, match="load it with head masked_lm or next_sentence"):
            load(tmp_path / "model.onnx", head)
    with pytest.raises(InputError, match="load it with head masked_lm or next_sentence"):
        load(folder)


def test_a_file_has_one_head(made, tmp_path):
    export_onnx(made("DistilBert", "question_answering"), tmp_path / "model.onnx")
    with pytest.raises(InputError, match="this model has no masked_lm answer; load it with head question_answering"):
        load(tmp_path / "model.onnx", "masked_lm")
    assert load(tmp_path / "model.onnx").config.name_or_path == str(tmp_path)


def test_a_loaded_model_is_wrapped(made):
    ours = torch_runner.load(made("Bert", "token_classification"), "token_classification")
    batch = batch_of(texts())
    same(wrap(ours.model, "token_classification")(batch), ours(batch))
    with pytest.raises(CheckpointError, match="missing"):
        wrap(ours.model, "masked_lm")
    with pytest.raises(InputError, match="not dict"):
        wrap({}, "none")


def test_int8(made, tmp_path):
    folder = made("MobileBert", "token_classification")
    batch = batch_of(texts(lengths=LENGTHS))
    exact = load(folder, threads=1)(batch)
    export_onnx(folder, tmp_path / "model.onnx", int8=True)
    for runner in (load(folder, dtype="int8", threads=1), load(tmp_path / "model.onnx", dtype="int8", threads=1)):
        assert runner.int8
        for found, expected in zip(runner(batch), exact, strict=True):
            assert 1e-6 < relative(found, expected) < 0.1
    with pytest.raises(InputError, match=r"dtype='float32', but .*model.onnx is in int8; leave it out"):
        load(tmp_path / "model.onnx", dtype="float32")
    with pytest.raises(InputError, match="dtype='bfloat16': plans are run in float32 and int8"):
        load(folder, dtype="bfloat16")


def test_devices_and_threads(made):
    folder = made("Bert", "none")
    batch = batch_of(texts())
    same(load(folder, device="cpu", threads=2)(batch), load(folder, threads=1)(batch))
    with pytest.raises(InputError, match=r"device='tpu': this onnxruntime runs on cpu"):
        load(folder, device="tpu")
    with pytest.raises(InputError, match=r"threads=0 must be a whole number"):
        load(folder, threads=0)


def test_many_callers_share_a_runner(made):
    runner = load(made("MobileBert", "none"), threads=1)
    batches = [batch_of(texts(lengths=(seed % 7 + 1, 12), seed=seed)) for seed in range(24)]
    expected = [runner(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        for found, wanted in zip(pool.map(runner, batches), expected, strict=True):
            same(found, wanted, limit=0)


def test_what_a_row_may_be(made):
    runner = load(made("Bert", "none"), threads=1)
    for rows, message in (
        ([Row([])], "at least one token"),
        ([Row([1] * 21)], "21 tokens exceed the model's 20 positions"),
        ([Row([1, 61])], r"input_ids holds 61; the model knows 0 .. 60"),
        ([Row([1, 2], [0, -1])], r"token_type_ids holds -1; the model knows 0 .. 1"),
    ):
        with pytest.raises(InputError, match=message):
            runner(pack(rows))


def test_types_are_left_out_where_the_model_has_none(made):
    runner = load(made("DistilBert", "none"), threads=1)
    same(runner(pack([Row([4, 5], [0, 1])])), runner(pack([Row([4, 5])])), limit=0)


def test_through_the_batcher(made):
    runner = load(made("DistilBert", "sequence_classification"), threads=1)
    rows = texts(lengths=(3, 20, 7, 1, 12) * 4, types=0)
    for row, found in zip(rows, run_rows(runner, rows, 40), strict=True):
        same([found], runner(pack([row])))


def test_content_that_cannot_run():
    with pytest.raises(CheckpointError, match="ONNX Runtime cannot run this graph"):
        open_session(b"nothing")
    with pytest.raises(CheckpointError, match="damaged, or no ONNX file"):
        OnnxRunner(b"nothing")
