"""The folded plan equals the torch model in float64, on every configuration, head and awkward norm weight."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from helpers.plan_models import IB_BERT, TINY, UNEVEN, arrays_of, batch_of, make, relative, texts, torch_outputs
from pocketbert.architecture.heads import HEADS
from pocketbert.errors import CheckpointError, ConfigError, InputError
from pocketbert.plan import make_plan
from pocketbert.plan.check import check_plan
from pocketbert.plan.executor import ReferenceRunner, run
from pocketbert.plan.structure import Attention, Dense
from pocketbert.runtime.batching import Row

EXACT = 1e-12

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
    "shared bottleneck unused": {"use_bottleneck_attention": True},
    "nothing shared": {"key_query_shared_bottleneck": False},
    "inverted": {"intra_bottleneck_size": 64},
    "raw pooler": {"classifier_activation": False},
    "1 ffn": {"num_feedforward_networks": 1},
    "2 ffns": {"num_feedforward_networks": 2},
    "gelu": {"hidden_act": "gelu"},
    "gelu_new": {"hidden_act": "gelu_new"},
    "gelu_pytorch_tanh": {"hidden_act": "gelu_pytorch_tanh"},
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
    "eps": {"layer_norm_eps": 1e-3, "outer_layer_norm_eps": 1e-2, **LAYER_NORM},
    "pruned": UNEVEN,
    "pruned, layer_norm": {**UNEVEN, **LAYER_NORM},
    "IB-BERT": IB_BERT,
    "TINY": TINY,
    "TINY, pruned": {**TINY, **UNEVEN},
    "without opt": {"hidden_act": "gelu_new", "classifier_activation": False, **LAYER_NORM},
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


def assert_same(model, plan, rows, limit=EXACT):
    """Every hidden state and every answer of every text."""
    result = run(plan, batch_of(rows), hidden_states=True)
    for index, row in enumerate(rows):
        expected = torch_outputs(model, row)
        assert len(result.hidden_states) == len(expected.hidden_states)
        for number, state in enumerate(expected.hidden_states):
            assert relative(result.hidden_states[number][index], state[0].numpy()) <= limit, f"hidden state {number}"
        np.testing.assert_array_equal(result.hidden[index], result.hidden_states[-1][index])
        found = {name: values[index] for name, values in result.branches.items()}
        if "pooler_output" in expected:
            assert relative(result.pooled[index], expected.pooler_output[0].numpy()) <= limit
        logits = {"prediction_logits": "masked_lm", "seq_relationship_logits": "next_sentence", "logits": model.head}
        for key, name in logits.items():
            if key in expected:
                value = expected[key][0].numpy()
                assert relative(found.pop(name), value) <= limit, key
        if "start_logits" in expected:
            both = np.stack([expected.start_logits[0].numpy(), expected.end_logits[0].numpy()], axis=-1)
            assert relative(found.pop("question_answering"), both) <= limit
        assert set(found) <= {"pooled"}


@pytest.mark.parametrize(("family", "changes"), CONFIGURATIONS)
def test_every_configuration(family, changes):
    head = "masked_lm" if family == "DistilBert" else "pretraining"
    model, arrays = make(family, head, changes)
    plan = make_plan(model.config, head, arrays, np.float64)
    check_plan(plan)
    assert_same(model, plan, texts(types=0 if family == "DistilBert" else 2))


@pytest.mark.parametrize(
    ("family", "head", "activate"),
    [(family, head, on) for family, head in HEADED for on in ([True, False] if family == "MobileBert" else [True])],
)
def test_every_head(family, head, activate):
    changes = {} if head == "question_answering" else {"num_labels": 3}
    if family == "MobileBert":
        changes["classifier_activation"] = activate
    model, arrays = make(family, head, changes, seed=1)
    plan = make_plan(model.config, head, arrays, np.float64)
    check_plan(plan)
    assert_same(model, plan, texts(types=0 if family == "DistilBert" else 2))


@pytest.mark.slow
@pytest.mark.parametrize(("family", "head"), HEADED)
def test_every_configuration_with_every_head(family, head):
    for name, changes in {"MobileBert": MOBILE, "Bert": BERTS, "DistilBert": BERTS}[family].items():
        for seed in (2, 3):
            model, arrays = make(family, head, changes, seed=seed)
            try:
                assert_same(model, make_plan(model.config, head, arrays, np.float64), texts())
            except AssertionError as error:
                raise AssertionError(f"{name}, seed {seed}") from error


@pytest.mark.parametrize("weight", [0.0, 1e-30, -1e-30, 1e-9, -1.0, 1e9])
@pytest.mark.parametrize("bottleneck", [True, False])
def test_norm_weights_all_alike(weight, bottleneck):
    model, _ = make("MobileBert", "pretraining", {"use_bottleneck": bottleneck}, awkward_norms=False)
    state = model.state_dict()
    for name in state:
        if name.endswith("output.LayerNorm.weight") and "layer.1." in name:
            state[name][::2] = weight
    model.load_state_dict(state)
    assert_same(model, make_plan(model.config, "pretraining", arrays_of(model), np.float64), texts())


def test_long_products_of_norm_weights_stay_in_range():
    changes = {"num_hidden_layers": 30, "num_feedforward_networks": 4}
    model, _ = make("MobileBert", "none", changes, awkward_norms=False)
    state = model.state_dict()
    for name in state:
        if "norm" in name.lower() and name.endswith("weight"):
            state[name] *= 0.05
    model.load_state_dict(state)
    plan = make_plan(model.config, "none", arrays_of(model), np.float64)
    assert_same(model, plan, texts())
    scales = np.concatenate([np.abs(layer.to_hidden.scale) for layer in plan.layers])
    assert scales.min() >= 2.0**-24
    assert scales.max() <= 2.0**24


def test_float32_is_as_near_as_torch():
    model, arrays = make("MobileBert", "pretraining")
    single = {name: value.astype(np.float32) for name, value in arrays.items()}
    plan = make_plan(model.config, "pretraining", single)
    assert plan.dtype == np.float32
    assert_same(model, plan, texts(), limit=3e-5)


def test_no_norm_leaves_nothing_behind():
    model, arrays = make("MobileBert", awkward_norms=False)
    plan = make_plan(model.config, "none", arrays)
    for layer in plan.layers:
        kinds = [type(op) for op in layer.ops]
        assert kinds == [Dense, Attention] + [Dense] * (1 + 2 * 4 + 1)
        assert all(op.norm is None and op.residual_scale is None for op in layer.ops if isinstance(op, Dense))
    assert plan.embeddings.norm is None
    assert plan.embeddings.projection.norm is None


@pytest.mark.parametrize("family", ["Bert", "DistilBert"])
def test_layer_norms_stay_and_query_key_value_are_one(family):
    model, arrays = make(family)
    plan = make_plan(model.config, "none", arrays)
    for layer in plan.layers:
        assert [type(op) for op in layer.ops] == [Dense, Attention, Dense, Dense, Dense]
        assert [op.norm is not None for op in layer.ops if isinstance(op, Dense)] == [False, True, False, True]
        assert layer.to_hidden is None


def test_a_tied_decoder_shares_the_word_table():
    for family in ("MobileBert", "Bert", "DistilBert"):
        model, arrays = make(family, "masked_lm")
        plan = make_plan(model.config, "masked_lm", arrays)
        assert plan.branch("masked_lm").ops[1].weight is plan.embeddings.words


def test_a_text_gives_alone_what_it_gives_in_a_batch():
    model, arrays = make("MobileBert", "pretraining")
    plan = make_plan(model.config, "pretraining", arrays, np.float64)
    rows = texts()
    together = run(plan, batch_of(rows))
    for index, row in enumerate(rows):
        alone = run(plan, batch_of([row]))
        assert relative(together.hidden[index], alone.hidden[0]) <= 1e-14
        for name in alone.branches:
            assert relative(together.branches[name][index], alone.branches[name][0]) <= 1e-13


def test_positions_choose_word_logits():
    model, arrays = make("Bert", "masked_lm")
    plan = make_plan(model.config, "masked_lm", arrays, np.float64)
    rows = texts(lengths=(6, 4, 9))
    every = ReferenceRunner(plan)(batch_of(rows))
    asked = [[2, 0], [], [8]]
    chosen = ReferenceRunner(plan)(
        batch_of([Row(r.input_ids, r.token_type_ids, p) for r, p in zip(rows, asked, strict=True)])
    )
    for whole, part, where in zip(every, chosen, asked, strict=True):
        np.testing.assert_allclose(part, whole[where], rtol=1e-6, atol=1e-6)


def test_a_pretraining_checkpoint_serves_one_of_its_heads():
    model, arrays = make("MobileBert", "pretraining")
    whole = make_plan(model.config, "pretraining", arrays, np.float64)
    part = make_plan(model.config, "next_sentence", arrays, np.float64)
    batch = batch_of(texts())
    assert [b.name for b in part.branches] == ["next_sentence"]
    for a, b in zip(
        run(whole, batch).branches["next_sentence"], run(part, batch).branches["next_sentence"], strict=True
    ):
        np.testing.assert_array_equal(a, b)
    ReferenceRunner(whole, "masked_lm")
    with pytest.raises(InputError, match=r"has no question_answering answer; it has: masked_lm, next_sentence"):
        ReferenceRunner(whole, "question_answering")


def test_needs_no_torch():
    code = "import pocketbert.plan, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_arrays_are_left_alone_and_not_shared():
    model, arrays = make("MobileBert", "masked_lm")
    before = {name: value.copy() for name, value in arrays.items()}
    plan = make_plan(model.config, "masked_lm", arrays, np.float64)
    assert not any(np.shares_memory(plan.embeddings.words, value) for value in arrays.values())
    for name, value in arrays.items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_parameter_that_is_not_finite_is_named(bad):
    model, arrays = make("MobileBert")
    name = "encoder.layer.1.ffn.0.output.dense.weight"
    arrays[name][2, 3] = bad
    with pytest.raises(CheckpointError, match=rf"{name} holds {bad} at \(2, 3\)"):
        make_plan(model.config, "none", arrays)


def test_what_does_not_fit_is_named():
    model, arrays = make("Bert")
    del arrays["encoder.layer.0.output.dense.bias"]
    arrays["encoder.layer.1.output.dense.bias"] = np.zeros(3)
    with pytest.raises(CheckpointError, match=r"1 missing \(encoder.layer.0.*1 misshaped \(encoder.layer.1"):
        make_plan(model.config, "none", arrays)
    with pytest.raises(InputError, match="dtype float16 must be"):
        make_plan(model.config, "none", arrays, np.float16)


def test_an_activation_that_is_a_function_is_refused():
    model, arrays = make("Bert", changes={"hidden_act": abs})
    with pytest.raises(ConfigError, match="activation is a function"):
        make_plan(model.config, "none", arrays)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([Row([])], "at least one token"),
        ([Row([1] * 21)], "21 tokens exceed the model's 20 positions"),
        ([Row([1, 61])], r"input_ids holds 61; the model knows 0 .. 60"),
        ([Row([-1])], "input_ids holds -1"),
        ([Row([1, 2], [0, 2])], r"token_type_ids holds 2; the model knows 0 .. 1"),
    ],
)
def test_what_the_executor_cannot_take(rows, message):
    model, arrays = make("Bert")
    with pytest.raises(InputError, match=message):
        run(make_plan(model.config, "none", arrays), batch_of(rows))
