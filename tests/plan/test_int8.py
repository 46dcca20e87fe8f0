"""Equalization changes nothing, int8 stays near, and a channel of 1e7 in the first row does not ruin it."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.plan_models import IB_BERT, TINY, UNEVEN, arrays_of, batch_of, make, relative, texts
from pocketbert.errors import InputError
from pocketbert.plan import agreement, equalize, make_plan, quantize
from pocketbert.plan.arithmetic import gather, product, quantize_rows
from pocketbert.plan.check import check_plan
from pocketbert.plan.executor import run
from pocketbert.plan.int8.channels import Channels
from pocketbert.plan.int8.equalize import rescale
from pocketbert.plan.int8.narrow import int8_weight
from pocketbert.plan.structure import Int8
from pocketbert.runtime.batching import Row, pack

LAYER_NORM = {"normalization_type": "layer_norm"}
CASES = {
    "MobileBERT": ("MobileBert", {}),
    "no bottleneck": ("MobileBert", {"use_bottleneck": False}),
    "no trigram": ("MobileBert", {"trigram_input": False, "embedding_size": 32}),
    "relu6": ("MobileBert", {"hidden_act": "relu6"}),
    "LayerNorm": ("MobileBert", LAYER_NORM),
    "IB-BERT": ("MobileBert", IB_BERT),
    "TINY pruned": ("MobileBert", {**TINY, **UNEVEN}),
    "BERT": ("Bert", {"hidden_act": "relu"}),
    "DistilBERT": ("DistilBert", {}),
}


def plan_of(name, dtype=np.float32, awkward_norms=True):
    family, changes = CASES[name]
    head = "masked_lm" if family == "DistilBert" else "pretraining"
    model, arrays = make(family, head, changes, awkward_norms=awkward_norms)
    return make_plan(model.config, head, arrays, dtype)


def everything(plan, batch):
    result = run(plan, batch, hidden_states=True)
    return [array for arrays in (*result.hidden_states, *result.branches.values(), result.pooled) for array in arrays]


@pytest.mark.parametrize("name", CASES)
def test_any_rescaling_is_exact(name):
    plan = plan_of(name, np.float64)
    channels = Channels(plan)
    generator = np.random.default_rng(0)
    factors = np.where(channels.free, np.exp(generator.uniform(-3, 3, len(channels.free))), 1.0)
    other = rescale(plan, channels, factors)
    check_plan(other)
    assert channels.free.any()
    batch = batch_of(texts())
    for a, b in zip(everything(plan, batch), everything(other, batch), strict=True):
        assert relative(b, a) <= 1e-12


@pytest.mark.parametrize("name", CASES)
def test_equalization_changes_not_a_bit(name):
    plan = plan_of(name)
    other = equalize(plan, batch_of(texts()))
    check_plan(other)
    batch = batch_of(texts(seed=9))
    for a, b in zip(everything(plan, batch), everything(other, batch), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("awkward_norms", [True, False])
def test_int8_is_near(name, awkward_norms):
    batch = batch_of(texts())
    plan = plan_of(name, awkward_norms=awkward_norms)
    small = quantize(plan, batch)
    check_plan(small)
    assert small.measured == agreement(plan, small, batch)
    assert small.measured["hidden_cosine"] > 0.98
    again = agreement(plan, small, batch_of(texts(seed=8)))  # other texts than those of the calibration
    assert again["hidden_cosine"] > 0.98
    assert again["masked_lm_error"] < 0.1
    large = [op for op in small.dense_ops() if op not in small.branch("masked_lm").ops and op.target.width > 2]
    assert all(isinstance(op.weight, Int8) for op in large)


@pytest.mark.parametrize("family", ["DistilBert", "MobileBert", "Bert"])
def test_what_a_head_keeps_in_float32(family):
    model, arrays = make(family, "sequence_classification", {"num_labels": 3})
    small = quantize(make_plan(model.config, "sequence_classification", arrays), batch_of(texts()))
    pooled, last = small.branch("sequence_classification").ops
    assert isinstance(small.embeddings.words, Int8)
    assert isinstance(pooled.weight, Int8)
    assert last.weight.dtype == np.float32
    assert small.measured["sequence_classification_cosine"] > 0.98


@pytest.mark.parametrize("family", ["DistilBert", "MobileBert", "Bert"])
def test_a_decoder_shares_the_int8_word_table(family):
    model, arrays = make(family, "masked_lm")
    small = quantize(make_plan(model.config, "masked_lm", arrays), batch_of(texts()))
    words, decoder = small.embeddings.words, small.branch("masked_lm").ops[1]
    assert decoder.weight is words
    np.testing.assert_allclose(
        words.values * words.scale[:, None], model.get_input_embeddings().weight.detach(), atol=0.02
    )
    np.testing.assert_array_equal(gather(words, np.array([3, 5])), words.values[[3, 5]] * words.scale[[3, 5], None])


def outlier_model():
    """A MobileBERT whose first token reaches 1e7 in one channel that everything reads through weights of 1e-7."""
    model, _ = make("MobileBert", "token_classification", {"num_labels": 5}, awkward_norms=False)
    state = model.state_dict()
    state["mobilebert.embeddings.word_embeddings.weight"][1] = 0
    state["mobilebert.embeddings.word_embeddings.weight"][:, 0] = 0
    state["mobilebert.embeddings.word_embeddings.weight"][1, 0] = 1  # token 1 stands for [CLS]
    state["mobilebert.embeddings.embedding_transformation.weight"][3] = 0
    state["mobilebert.embeddings.embedding_transformation.weight"][3, 12] = 1e7
    for name in state:
        if name.endswith(("bottleneck.input.dense.weight", "bottleneck.attention.dense.weight", "self.value.weight")):
            state[name][:, 3] *= 1e-7
    state["classifier.weight"][:, 3] *= 1e-7
    model.load_state_dict(state)
    rows = [Row([1, *row.input_ids]) for row in texts(lengths=(12, 7, 17, 9), types=0)]
    return model, pack([Row([i if i != 1 or n == 0 else 2 for n, i in enumerate(r.input_ids)]) for r in rows])


def test_a_channel_of_ten_million_in_the_first_row():
    model, batch = outlier_model()
    plan = make_plan(model.config, "token_classification", arrays_of(model))
    states = run(plan, batch, hidden_states=True).hidden_states
    firsts = [text[0] for text in states[-1]]
    assert min(np.abs(first).max() for first in firsts) > 1e6
    assert np.abs(np.concatenate([text[1:] for text in states[-1]])).max() < 1e3
    measured = {
        (even, columns): quantize(plan, batch, center=False, equalize=even, outliers=columns).measured
        for even in (False, True)
        for columns in (False, True)
    }
    assert measured[False, False]["hidden_cosine_worst"] < 0.6
    assert measured[False, False]["token_classification_error"] > 0.3
    assert measured[False, True]["hidden_cosine_worst"] > 0.95  # one column in float32 instead
    for columns in (False, True):
        assert measured[True, columns]["hidden_cosine_worst"] > 0.98
        assert measured[True, columns]["token_classification_error"] < 0.05
    usual = quantize(plan, batch).measured
    assert usual["hidden_cosine_worst"] > 0.995
    assert usual["token_classification_error"] < 0.03


def test_quantized_rows():
    x = np.array([[1.0, -2.0, 0.5, 100.0], [0.0, 0.0, 0.0, 7.0], [127.0, 2.5, -3.5, 1e30]], np.float32)
    values, scale = quantize_rows(x, np.array([3]))
    np.testing.assert_array_equal(values, [[64, -127, 32, 0], [0, 0, 0, 0], [127, 2, -4, 0]])
    np.testing.assert_array_equal(scale, np.array([2 / 127, 0, 1], np.float32))
    assert values.dtype == np.int8
    assert scale.dtype == np.float32
    values, scale = quantize_rows(np.array([[1e-45, 0], [9e-31, 0], [2e-30, 0]], np.float32), np.zeros(0, np.int64))
    np.testing.assert_array_equal(values, [[0, 0], [0, 0], [127, 0]])
    assert (scale[:2] == 0).all()


@pytest.mark.parametrize("outliers", [[], [2], [0, 5, 6]])
def test_the_integer_product(outliers):
    generator = np.random.default_rng(1)
    x = generator.standard_normal((5, 7)).astype(np.float32)
    weight = generator.standard_normal((4, 7)).astype(np.float32)
    weight[2] = 0
    small = int8_weight(weight, np.array(outliers, np.int64))
    values, scale = quantize_rows(x, small.outliers)
    sums = values.astype(np.int32) @ small.values.T.astype(np.int32)
    expected = sums.astype(np.float32) * scale[:, None] * small.scale
    if outliers:
        expected = expected + x[:, outliers] @ weight[:, outliers].T
    np.testing.assert_array_equal(product(x, small), expected)
    np.testing.assert_allclose(product(x, small), x @ weight.T, atol=0.05)
    assert np.abs(small.values).max() == 127
    assert not small.values[:, outliers].any()


def test_long_integer_products_are_exact():
    x = np.full((2, 4000), -127, np.int8)
    weight = np.full((1, 4000), 127, np.int8)
    weight[0, 1::7] = 126
    small = Int8(weight, np.ones(1, np.float32), np.zeros(0, np.int64), np.zeros((1, 0), np.float32))
    expected = (x.astype(np.int64) @ weight.T.astype(np.int64)).astype(np.float32)
    np.testing.assert_array_equal(product(x.astype(np.float32), small), expected)


def test_what_cannot_be_quantized():
    plan = plan_of("BERT")
    with pytest.raises(InputError, match="takes a float32 plan, this one is float64"):
        quantize(plan_of("BERT", np.float64))
    small = quantize(plan)
    with pytest.raises(InputError, match="in int8 already"):
        quantize(small)
    with pytest.raises(InputError, match="in int8 already; equalize the float plan"):
        equalize(small, batch_of(texts()))


@pytest.mark.slow
def test_a_real_encoder(minilm):
    transformers = pytest.importorskip("transformers")
    from pocketbert.plan import plan_checkpoint

    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm)
    texts = ["The quick brown fox jumps over the lazy dog.", "Numbers such as 3.14 are odd words.", "A b c."] * 2
    batch = pack([Row(tokenizer(text)["input_ids"]) for text in texts])
    plan = plan_checkpoint(minilm)
    small = quantize(plan)  # calibrated on random words
    measured = agreement(plan, small, batch)
    assert measured["hidden_cosine"] > 0.995
