"""The engine's results: torch's for each text alone, the same bits in any batch, with any threads, on any path."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.plan_models import IB_BERT, TINY, UNEVEN, make, relative, texts, torch_outputs
from pocketbert.plan import make_plan, quantize
from pocketbert.plan.executor import ReferenceRunner
from pocketbert.plan.executor import run as reference
from pocketbert.runtime.batching import Row, pack
from pocketbert.runtime.native import NativeRunner, native_paths

CASES = {
    "MobileBERT": ("MobileBert", {}),
    "no bottleneck": ("MobileBert", {"use_bottleneck": False}),
    "no trigram": ("MobileBert", {"trigram_input": False, "embedding_size": 32}),
    "MobileBERT relu6": ("MobileBert", {"hidden_act": "relu6"}),
    "MobileBERT LayerNorm": ("MobileBert", {"normalization_type": "layer_norm"}),
    "IB-BERT": ("MobileBert", IB_BERT),
    "TINY pruned": ("MobileBert", {**TINY, **UNEVEN}),
    "BERT gelu_new": ("Bert", {"hidden_act": "gelu_new"}),
    "BERT silu, odd heads": ("Bert", {"hidden_act": "silu", "hidden_size": 35, "num_attention_heads": 5}),
    "BERT tanh": ("Bert", {"hidden_act": "tanh"}),
    "BERT wide": ("Bert", {"hidden_size": 160, "num_attention_heads": 2, "intermediate_size": 200}),
    "DistilBERT": ("DistilBert", {}),
}
LONG = {"max_position_embeddings": 200}
LENGTHS = (11, 1, 5, 70, 16, 17, 2, 150, 32, 33)  # blocks, tiles and key groups both full and broken


def program_of(name, head="none", changes=None):
    family, own = CASES[name]
    model, arrays = make(family, head, {**own, **LONG, **(changes or {})}, awkward_norms=False)
    return model, make_plan(model.config, head, arrays)


def rows_of(model):
    return texts(model.config.vocab_size, LENGTHS, 0 if model.config.model_type == "distilbert" else 2)


@pytest.mark.parametrize("name", CASES)
def test_float32_is_torch_for_each_text_alone(name, path):
    model, program = program_of(name)
    rows = rows_of(model)
    found = NativeRunner(program, "none", threads=2)(pack(rows))
    for row, hidden in zip(rows, found, strict=True):
        assert relative(hidden, torch_outputs(model, row).last_hidden_state[0].numpy()) <= 1e-5


@pytest.mark.parametrize(
    ("family", "head"),
    [
        (family, head)
        for family in ("MobileBert", "Bert", "DistilBert")
        for head in (
            "masked_lm", "next_sentence", "sequence_classification", "multiple_choice", "token_classification",
            "question_answering",
        )
        if (family, head) != ("DistilBert", "next_sentence")
    ],
)  # fmt: skip
def test_every_head(family, head, path):
    model, arrays = make(family, head, LONG, awkward_norms=False)
    program = make_plan(model.config, head, arrays)
    rows = rows_of(model)
    if head == "masked_lm":  # any order, twice, and none
        chosen = [[0], [0], [], [69, 3, 3], [15], [0, 16], [1], [149], [31], [2, 1]]
        rows = [Row(row.input_ids, row.token_type_ids, where) for row, where in zip(rows, chosen, strict=True)]
    expected = ReferenceRunner(program)(pack(rows))
    for threads in (1, 3):
        found = NativeRunner(program, threads=threads)(pack(rows))
        assert [array.shape for array in found] == [array.shape for array in expected]
        # One logit may nearly cancel: all of them are the measure.
        assert (
            relative(np.concatenate([a.ravel() for a in found]), np.concatenate([b.ravel() for b in expected])) <= 1e-5
        )


@pytest.mark.parametrize("name", CASES)
def test_int8_is_the_plan_in_numpy(name, path):
    layers = "n_layers" if CASES[name][0] == "DistilBert" else "num_hidden_layers"
    model, program = program_of(name, changes={layers: 1, "pruned_heads": {}})
    small = quantize(program)
    batch = pack(rows_of(model))
    expected = np.concatenate(reference(small, batch).hidden)
    found = np.concatenate(NativeRunner(small, "none", threads=2)(batch))
    # A value that the float32 steps leave beside a rounding boundary may round to the other side, in a few rows. With
    # amx, attention rounds to bfloat16.
    apart = np.abs(found - expected).max(axis=1) / np.abs(expected).max()
    assert np.median(apart) <= (2**-8 if path == "amx" else 2e-6)
    assert apart.max() <= 2e-2


@pytest.mark.parametrize("name", CASES)
def test_int8_errs_as_the_plan_does(name, path):
    model, program = program_of(name)
    small = quantize(program)
    batch = pack(rows_of(model))
    exact = np.concatenate([torch_outputs(model, row).last_hidden_state[0].numpy() for row in rows_of(model)])
    own, numpys = (
        np.linalg.norm(np.concatenate(hidden) - exact)
        for hidden in (NativeRunner(small, "none", threads=2)(batch), reference(small, batch).hidden)
    )
    assert own <= 1.1 * numpys


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("name", CASES)
def test_the_same_bits_in_any_batch_with_any_threads(name, precision, path):
    model, program = program_of(name)
    if precision == "int8":
        program = quantize(program)
    rows = rows_of(model)
    runners = [NativeRunner(program, "none", threads=threads) for threads in (1, 2, 3, 7)]
    alone = [runners[0](pack([row]))[0] for row in rows]
    for runner in runners:
        for order in (range(len(rows)), reversed(range(len(rows))), [3] * 9, [7, 1]):
            chosen = list(order)
            for row, hidden in zip(chosen, runner(pack([rows[i] for i in chosen])), strict=True):
                np.testing.assert_array_equal(hidden, alone[row])


@pytest.mark.parametrize("name", CASES)
def test_paths_agree(name, monkeypatch):
    """int8: the same bits, but for amx, whose attention adds less than int8 itself does. float32: within rounding."""
    model, program = program_of(name)
    batch = pack(rows_of(model))

    def results(plan):
        found = {}
        for each in native_paths():
            monkeypatch.setenv("POCKETBERT_CPU", each)
            runner = NativeRunner(plan, "none", threads=2)
            assert runner.path == each
            found[each] = np.concatenate(runner(batch))
        return found

    small, exact = results(quantize(program)), results(program)
    for each, found in small.items():
        if each == "amx":
            assert np.linalg.norm(found - small["portable"]) <= np.linalg.norm(small["portable"] - exact["portable"])
        else:
            np.testing.assert_array_equal(found, small["portable"])
    for each in {"avxvnni", "avx512", "amx"} & set(exact):
        np.testing.assert_array_equal(exact[each], exact["avx2"])
    for each in exact.values():
        assert relative(each, exact["portable"]) <= 1e-5


def test_outlier_columns(path):
    model, program = program_of("BERT gelu_new")
    stream = program.embeddings.words.copy()
    stream[:, 3] *= 400  # a column that towers
    program = type(program)(**{**vars(program), "embeddings": type(program.embeddings)(
        **{**vars(program.embeddings), "words": stream, "norm": None})})  # fmt: skip
    small = quantize(program, equalize=False)
    assert any(op.weight.outliers.size for op in small.dense_ops() if hasattr(op.weight, "outliers"))
    batch = pack(rows_of(model))
    found = np.concatenate(NativeRunner(small, "none", threads=2)(batch))
    expected = np.concatenate(reference(small, batch).hidden)
    apart = np.median(np.abs(found - expected).max(axis=1)) / np.abs(expected).max()
    assert apart <= (2**-7 if path == "amx" else 1e-3)


def test_trigram_sees_nothing_beyond_the_ends(path):
    """The words of a text's neighbors in the batch change nothing."""
    _, program = program_of("MobileBERT")
    runner = NativeRunner(program, "none", threads=2)
    middle = Row([7, 8, 9])
    found = [runner(pack([Row([a]), middle, Row([b])]))[1] for a, b in ((0, 0), (5, 60), (60, 5))]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_positions_of_other_heads_are_ignored():
    model, arrays = make("Bert", "token_classification", LONG, awkward_norms=False)
    program = make_plan(model.config, "token_classification", arrays)
    rows = [Row([1, 2, 3]), Row([4, 5])]
    batch = pack([Row(row.input_ids, None, [0]) for row in rows])
    assert [len(array) for array in NativeRunner(program)(batch)] == [3, 2]
