"""Every Keras class against ours in PyTorch: hidden states, attentions, logits, losses, gradients; weights random."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("keras.ops", exc_type=ImportError)
import keras

from helpers.oracle import MOBILE_CONFIGS
from helpers.pairs import (
    CLASSES,
    EVERYTHING,
    FAMILIES,
    arrays,
    assert_close,
    batch,
    call_both,
    inputs_for,
    labels_for,
    pair,
    three_labels,
)
from pocketbert.keras.layers import FEW_HEADS
from pocketbert.keras.loading import variable

pytestmark = pytest.mark.slow  # TensorFlow takes long to start
IB_BERT = {
    "normalization_type": "layer_norm", "key_query_shared_bottleneck": False, "intra_bottleneck_size": 64,
    "num_feedforward_networks": 1, "hidden_act": "gelu_new", "outer_layer_norm_eps": 1e-12,
}  # fmt: skip


@pytest.mark.parametrize(("family", "head"), CLASSES)
def test_forward(family, head):
    ours, twin = pair(family, head, three_labels(head))
    inputs = inputs_for(head)
    labels = labels_for(head, inputs)
    assert_close(*call_both(ours, twin, inputs, labels, **EVERYTHING))
    unpadded = {"input_ids": inputs["input_ids"].clamp_min(1)}
    assert_close(*call_both(ours, twin, unpadded))
    got, expected = call_both(ours, twin, inputs, labels, return_dict=False)
    assert isinstance(got, tuple)
    assert len(got) == len(expected)
    for mine, other in zip(got, expected, strict=True):
        if other.ndim == 0:
            continue  # the loss, which is one by text
        assert np.abs(keras.ops.convert_to_numpy(mine) - other.numpy()).max() <= 1e-5 * other.abs().max().item()


@pytest.mark.parametrize("changes", [*MOBILE_CONFIGS.values(), IB_BERT], ids=[*MOBILE_CONFIGS.keys(), "ib-bert"])
def test_every_mobilebert_configuration(changes):
    head = "Model" if changes.get("embedding_size") == 32 else "ForPreTraining"
    ours, twin = pair("MobileBert", head, changes)
    inputs = batch()
    inputs["token_type_ids"] = (torch.arange(inputs["input_ids"].numel()) % 2).view_as(inputs["input_ids"])
    got, expected = call_both(ours, twin, inputs, labels_for(head, inputs), **EVERYTHING)
    assert_close(got, expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"embedding_size": 32, "trigram_input": False},
        {"tie_word_embeddings": False},
        {"pruned_heads": {0: [1], 2: [0, 3]}},
    ],
    ids=["nothing beside the table", "untied", "pruned"],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_vocabulary_and_heads_of_other_shapes(family, changes):
    if family == "DistilBert" and "embedding_size" in changes:
        pytest.skip("DistilBERT has one width")
    ours, twin = pair(family, "ForMaskedLM", changes)
    inputs = batch()
    assert_close(*call_both(ours, twin, inputs, labels_for("ForMaskedLM", inputs), **EVERYTHING))
    if "pruned_heads" in changes:
        mask = torch.tensor([1.0, 0.0, 1.0, 0.5])
        assert_close(*call_both(ours, twin, {**inputs, "head_mask": mask}, **EVERYTHING))


@pytest.mark.parametrize(("family", "name"), [("DistilBert", "n_heads"), ("MobileBert", "num_attention_heads")])
def test_many_heads(family, name):  # are moved in another way than few
    assert FEW_HEADS < 8
    ours, twin = pair(family, changes={name: 8})
    inputs = batch()
    assert_close(*call_both(ours, twin, inputs, **EVERYTHING))
    mask = torch.linspace(0, 1, 8)
    assert_close(*call_both(ours, twin, {**inputs, "head_mask": mask}, **EVERYTHING))


@pytest.mark.parametrize("activation", ["gelu", "relu", "silu", "gelu_new"])
def test_every_distilbert_activation(activation):
    assert_close(*call_both(*pair("DistilBert", "ForMaskedLM", {"activation": activation}), batch(), **EVERYTHING))


@pytest.mark.parametrize("family", FAMILIES)
def test_head_masks_vectors_positions_and_masks_of_three_dimensions(family):
    ours, twin = pair(family)
    inputs = batch()
    generator = torch.Generator().manual_seed(1)
    heads = torch.tensor([1.0, 0.0, 1.0, 0.5])
    width = ours.get_input_embeddings().embedding_dim
    for given in (
        {**inputs, "head_mask": heads},
        {**inputs, "head_mask": torch.stack([heads, torch.ones(4), heads.flip(0)])},
        {**inputs, "position_ids": torch.arange(11).flip(0)[None]},
        {**inputs, "position_ids": torch.randint(0, 40, (3, 11), generator=generator)},
        {"input_ids": inputs["input_ids"], "attention_mask": torch.ones(3, 11, 11, dtype=torch.long).tril()},
        {
            "inputs_embeds": torch.randn(3, 11, width, generator=generator),
            "attention_mask": inputs["attention_mask"].float(),
        },
    ):
        assert_close(*call_both(ours, twin, given, **EVERYTHING))


def test_a_row_of_padding_alone_gives_no_nan():
    for family in FAMILIES:
        ours, twin = pair(family)
        inputs = batch()
        inputs["attention_mask"][1] = 0
        assert_close(*call_both(ours, twin, inputs), rtol=1e-4)


def test_the_trigram_sees_padding_as_the_original_does():
    _, twin = pair("MobileBert")
    ids = np.array([[5, 6, 7]])
    padded = np.array([[5, 6, 7, 0]])
    alone = twin(ids).last_hidden_state
    beside = twin(padded, attention_mask=np.array([[1, 1, 1, 0]])).last_hidden_state
    assert np.abs(keras.ops.convert_to_numpy(alone - beside[:, :3])).max() > 1e-3


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("num_labels", "problem", "labels"),
    [
        (1, None, torch.tensor([0.1, -2.0, 3.0])),
        (1, None, torch.tensor([[0.1], [-2.0], [3.0]])),
        (3, "regression", torch.tensor([[0.1, 0, 1], [2, 1, 0], [0, 0, 0.5]])),
        (3, None, torch.tensor([2, 0, 1])),
        (3, None, torch.tensor([2, -100, 1])),
        (3, None, torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1]])),
        (3, "multi_label_classification", torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1]])),
        (3, "single_label_classification", torch.tensor([[2], [0], [1]])),
    ],
)
def test_problem_types(family, num_labels, problem, labels):
    ours, twin = pair(family, "ForSequenceClassification", {"num_labels": num_labels, "problem_type": problem})
    assert_close(*call_both(ours, twin, batch(), {"labels": labels}))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="gradients are taken with a tape")
@pytest.mark.parametrize(("family", "head"), CLASSES)
def test_gradients_in_training(family, head):
    import tensorflow as tf

    without = {"hidden_dropout_prob": 0.0} if family == "MobileBert" else {}
    ours, twin = pair(family, head, {**three_labels(head), **without})
    inputs = inputs_for(head)
    labels = labels_for(head, inputs)
    output = ours.train()(**inputs, **labels)
    (output[0].square().mean() if head == "Model" else output.loss).backward()
    if head == "ForNextSentencePrediction":
        labels = {"next_sentence_label": labels["labels"]}
    with tf.GradientTape() as tape:
        output = twin(**arrays(inputs), **arrays(labels), training=True)
        if head == "Model":
            loss = keras.ops.mean(keras.ops.square(output[0]))
        else:
            loss = twin.own_loss(twin.labels_of(None, arrays(labels)), output, None)
    wanted = [p for p in twin.parameters_on_disk() if p.tied_to is None]
    gradients = tape.gradient(loss, [variable(twin, p).value for p in wanted])
    expected = dict(ours.named_parameters())
    largest = max(p.grad.abs().max().item() for p in expected.values() if p.grad is not None and p.numel())
    for parameter, gradient in zip(wanted, gradients, strict=True):
        if parameter.name.endswith(("key.bias", "k_lin.bias")) or not parameter.size:
            continue  # softmax does not see it: its gradient is 0 but for rounding
        other = expected[parameter.name].grad
        if other is None or gradient is None:
            assert gradient is None or not np.any(gradient), parameter.name
            assert other is None or not other.any(), parameter.name
            continue
        got = tf.convert_to_tensor(gradient).numpy()
        got = got.T if parameter.kind == "linear_weight" else got
        scale = max(other.abs().max().item(), 1e-2 * largest)  # some biases cancel to rounding
        assert np.abs(got - other.numpy()).max() <= 1e-4 * scale, parameter.name
