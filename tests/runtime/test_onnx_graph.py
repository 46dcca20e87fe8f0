"""The ONNX graph gives what the folded plan and the torch models give, each text as if it were alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx

from helpers.plan_models import IB_BERT, TINY, UNEVEN, batch_of, make, relative, texts, torch_outputs
from pocketbert.architecture.heads import HEADS
from pocketbert.errors import InputError
from pocketbert.plan import make_plan, quantize, run
from pocketbert.runtime.batching import Row, rectangle
from pocketbert.runtime.onnx.graph import build_model, outputs_of
from pocketbert.runtime.onnx.runner import open_session
from pocketbert.runtime.onnx.writer import OPERATIONS

NEAR = 1e-5

LAYER_NORM = {"normalization_type": "layer_norm"}
MOBILE = {
    "default": {},
    "layer_norm": LAYER_NORM,
    "no bottleneck": {"use_bottleneck": False},
    "no bottleneck, layer_norm": {"use_bottleneck": False, **LAYER_NORM},
    "no trigram": {"trigram_input": False},
    "no trigram, layer_norm": {"trigram_input": False, **LAYER_NORM},
    "bottleneck attention": {"use_bottleneck_attention": True, "key_query_shared_bottleneck": False},
    "bottleneck attention, layer_norm": {
        "use_bottleneck_attention": True,
        "key_query_shared_bottleneck": False,
        **LAYER_NORM,
    },
    "nothing shared": {"key_query_shared_bottleneck": False},
    "raw pooler": {"classifier_activation": False},
    "1 ffn": {"num_feedforward_networks": 1},
    "gelu": {"hidden_act": "gelu"},
    "gelu_new": {"hidden_act": "gelu_new"},
    "silu": {"hidden_act": "silu"},
    "relu6": {"hidden_act": "relu6"},
    "tanh": {"hidden_act": "tanh"},
    "linear": {"hidden_act": "linear"},
    "embedding as wide as hidden": {"embedding_size": 32},
    "embedding as wide as hidden, no trigram": {"embedding_size": 32, "trigram_input": False},
    "embedding as wide as hidden, no trigram, layer_norm": {
        "embedding_size": 32,
        "trigram_input": False,
        **LAYER_NORM,
    },
    "untied": {"tie_word_embeddings": False},
    "pruned": UNEVEN,
    "pruned, layer_norm": {**UNEVEN, **LAYER_NORM},
    "IB-BERT": IB_BERT,
    "TINY, pruned": {**TINY, **UNEVEN},
}
BERTS = {
    "default": {},
    "relu": {"hidden_act": "relu"},
    "gelu_new": {"hidden_act": "gelu_new"},
    "silu": {"hidden_act": "silu"},
    "pruned": UNEVEN,
    "untied": {"tie_word_embeddings": False},
}
CONFIGURATIONS = [
    *(pytest.param("MobileBert", changes, id=f"MobileBert {name}") for name, changes in MOBILE.items()),
    *(pytest.param("Bert", changes, id=f"Bert {name}") for name, changes in BERTS.items()),
    *(pytest.param("DistilBert", changes, id=f"DistilBert {name}") for name, changes in BERTS.items()),
]
HEADED = [
    (family, head)
    for family in ("MobileBert", "Bert", "DistilBert")
    for head in HEADS
    if family != "DistilBert" or head not in ("pretraining", "next_sentence")
]


def small(family, head, changes=None, awkward_norms=True):
    """Return (torch model in float64, float32 plan, typed)."""
    model, arrays = make(family, head, changes, awkward_norms=awkward_norms)
    return model, make_plan(model.config, head, arrays), family != "DistilBert"


def rows_of(typed):
    return texts(types=2 if typed else 0)


def outputs(session, plan, rows, typed):
    """Return output -> one array a text, without its padding."""
    batch = batch_of(rows)
    names = outputs_of(plan)
    assert [value.name for value in session.get_outputs()] == names
    values = session.run(names, rectangle(batch, range(len(rows)), typed))
    width = max(map(len, rows))
    by_text = ("pooler_output", "seq_relationship_logits")
    first = plan.head in ("sequence_classification", "multiple_choice", "next_sentence")
    return {
        name: [row if first or name in by_text else row[: len(text)] for row, text in zip(value, rows, strict=True)]
        for name, value in zip(names, values, strict=True)
        if value.shape[0] == len(rows) and (first or name in by_text or value.shape[1] == width)
    }


def assert_same(model, plan, typed, limit=NEAR):
    rows = rows_of(typed)
    session = open_session(build_model(plan), threads=1)
    together = outputs(session, plan, rows, typed)
    assert list(together) == outputs_of(plan)
    result = run(plan, batch_of(rows))
    branches = list(result.branches.values())
    for index, row in enumerate(rows):
        alone = outputs(session, plan, [row], typed)
        expected = torch_outputs(model, row)
        folded = [values[index] for values in ([result.hidden, result.pooled] if plan.head == "none" else branches)]
        if plan.head == "question_answering":
            folded = list(folded[0].T)
        for (name, values), mine in zip(together.items(), folded, strict=False):
            reference = expected[name][0].numpy()
            assert values[index].shape == reference.shape
            assert relative(values[index], reference) <= limit, name
            assert relative(values[index], mine) <= limit, name
            assert relative(values[index], alone[name][0]) <= limit, name


@pytest.mark.parametrize(("family", "changes"), CONFIGURATIONS)
def test_every_configuration(family, changes):
    model, plan, typed = small(family, "masked_lm" if family == "DistilBert" else "pretraining", changes)
    assert_same(model, plan, typed)


@pytest.mark.parametrize(("family", "head"), HEADED)
def test_every_head(family, head):
    model, plan, typed = small(family, head, {} if head == "question_answering" else {"num_labels": 3})
    assert_same(model, plan, typed)


def test_a_bare_mobilebert_without_pooler_layer_gives_its_first_state():
    model, plan, typed = small("MobileBert", "none", {"classifier_activation": False})
    assert outputs_of(plan) == ["last_hidden_state", "pooler_output"]
    assert_same(model, plan, typed)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "head"), HEADED)
def test_every_configuration_with_every_head(family, head):
    for name, changes in (MOBILE if family == "MobileBert" else BERTS).items():
        try:
            assert_same(*small(family, head, changes), limit=5e-5)
        except AssertionError as error:
            raise AssertionError(name) from error


@pytest.mark.parametrize("family", ["MobileBert", "Bert", "DistilBert"])
def test_what_stands_in_the_padding_is_not_seen(family):
    _, plan, typed = small(family, "none")
    session = open_session(build_model(plan), threads=1)
    feed = rectangle(batch_of(rows_of(typed)), range(5), typed)
    before = session.run(["last_hidden_state"], feed)[0]
    padding = feed["attention_mask"] == 0
    feed["input_ids"][padding] = 60
    after = session.run(["last_hidden_state"], feed)[0]
    np.testing.assert_array_equal(after[~padding], before[~padding])


@pytest.mark.parametrize("family", ["MobileBert", "Bert", "DistilBert"])
def test_rows_of_padding_alone_are_finite_and_disturb_none(family):
    _, plan, typed = small(family, "none")
    session = open_session(build_model(plan), threads=1)
    feed = rectangle(batch_of(rows_of(typed)), range(5), typed)
    whole = session.run(["last_hidden_state"], feed)[0]
    feed["attention_mask"][1] = 0
    found = session.run(["last_hidden_state"], feed)[0]
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[2:], whole[2:])


def test_a_mask_of_any_number_but_0_is_text():
    _, plan, typed = small("MobileBert", "none")
    session = open_session(build_model(plan), threads=1)
    feed = rectangle(batch_of(rows_of(typed)), range(5), typed)
    before = session.run(None, feed)[0]
    feed["attention_mask"] *= 7
    np.testing.assert_array_equal(session.run(None, feed)[0], before)


def test_the_file_is_valid_small_and_plain():
    for family, head in (("MobileBert", "pretraining"), ("Bert", "masked_lm"), ("DistilBert", "question_answering")):
        _, exact, typed = small(family, head)
        for plan in (exact, quantize(exact)):
            model = onnx.load_model_from_string(build_model(plan))
            onnx.checker.check_model(model, full_check=True)
            assert (model.ir_version, [entry.version for entry in model.opset_import]) == (10, [20])
            assert {node.op_type for node in model.graph.node} <= OPERATIONS
            assert {node.domain for node in model.graph.node} == {""}
            inputs = ["input_ids", "attention_mask", "token_type_ids"][: 3 if typed else 2]
            assert [value.name for value in model.graph.input] == inputs
            names = [tensor.name for tensor in model.graph.initializer]
            assert len(set(names)) == len(names)
            used = {name for node in model.graph.node for name in node.input}
            assert used >= set(names) | set(inputs)
            made = {name for node in model.graph.node for name in node.output}
            assert made <= used | {value.name for value in model.graph.output}


def test_a_folded_layer_is_few_nodes_and_a_tied_table_stands_once():
    _, plan, _ = small("MobileBert", "masked_lm", awkward_norms=False)
    graph = onnx.load_model_from_string(build_model(plan)).graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("Gemm") == 1 + 3 * 11 + 3
    assert "LayerNormalization" not in kinds[:-8]
    tables = [tensor for tensor in graph.initializer if list(tensor.dims) == [61, 12]]
    assert len(tables) == 1


def test_an_int8_table_stands_once_too():
    _, plan, _ = small("MobileBert", "masked_lm", awkward_norms=False)
    graph = onnx.load_model_from_string(build_model(quantize(plan))).graph
    tables = [tensor for tensor in graph.initializer if sorted(tensor.dims) == [12, 61]]
    assert [tensor.data_type for tensor in tables] == [onnx.TensorProto.INT8]


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("MobileBert", {}),
        ("MobileBert", {**TINY, **UNEVEN}),
        ("MobileBert", LAYER_NORM),
        ("Bert", {}),
        ("DistilBert", {}),
    ],
)
def test_int8_is_what_the_program_means_by_it(family, changes):
    """A few roundings may fall otherwise, each a step of 1/127 of its row's largest."""
    _, plan, typed = small(family, "masked_lm", changes)
    rows = rows_of(typed)
    shrunk = quantize(plan, batch_of(rows))
    found = outputs(open_session(build_model(shrunk), threads=1), shrunk, rows, typed)["logits"]
    expected = run(shrunk, batch_of(rows)).branches["masked_lm"]
    exact = run(plan, batch_of(rows)).branches["masked_lm"]
    spread = np.concatenate(exact).std()
    steps = np.concatenate([a - b for a, b in zip(found, expected, strict=True)])
    off = np.concatenate([a - b for a, b in zip(found, exact, strict=True)])
    assert np.median(np.abs(steps)) < 0.02 * spread
    assert 0 < np.sqrt(np.square(off).mean()) < 0.1 * spread


def test_int8_keeps_outlier_columns_in_float32():
    _, plan, typed = small("Bert", "none")
    plan.embeddings.norm.scale[3] = 1e4  # an outlier column
    rows = rows_of(typed)
    shrunk = quantize(plan, batch_of(rows), equalize=False)
    assert next(iter(shrunk.dense_ops())).weight.outliers.tolist() == [3]
    found = outputs(open_session(build_model(shrunk), threads=1), shrunk, rows, typed)["last_hidden_state"]
    for values, expected in zip(found, run(shrunk, batch_of(rows)).hidden, strict=True):
        assert relative(values, expected) < 0.02


def test_the_rows_of_a_graph_that_chooses():
    _, plan, typed = small("Bert", "masked_lm")
    rows = [Row([3, 4, 5]), Row([6, 7])]
    feed = rectangle(batch_of(rows), range(2), typed)
    whole = open_session(build_model(plan), threads=1).run(["logits"], feed)[0]
    chosen = open_session(build_model(plan, choose=True), threads=1).run(
        ["logits"], {**feed, "rows": np.array([4, 0], np.int64)}
    )[0]
    assert relative(chosen, np.stack([whole[1, 1], whole[0, 0]])) <= NEAR


def test_other_dtypes_are_refused():
    model, arrays = make("Bert", "none")
    with pytest.raises(InputError, match="this one is float64"):
        build_model(make_plan(model.config, "none", arrays, np.float64))
    assert torch.get_default_dtype() == torch.float32
