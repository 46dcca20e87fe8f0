"""Every class against transformers: hidden states, attentions, logits, losses and gradients, all parameters random."""

from __future__ import annotations

import pytest
import torch

from helpers.oracle import CLASSES, HEADS, MOBILE_CONFIGS, assert_equal_outputs, batch, labels_for, pair

EVERYTHING = {"output_hidden_states": True, "output_attentions": True}


@pytest.mark.parametrize(("family", "head"), CLASSES)
def test_state_dict_names_and_shapes(family, head):
    ours, theirs = pair(family, head)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("family", "head"), CLASSES)
def test_forward(family, head, dtype):
    changes = {} if head in ("Model", "ForQuestionAnswering") else {"num_labels": 3}
    ours, theirs = pair(family, head, changes, dtype)
    inputs = batch(choices=2 if head == "ForMultipleChoice" else None)
    given = {**inputs, **labels_for(head, inputs)}
    rtol = 1e-12 if dtype is torch.float64 else 1e-5
    with torch.no_grad():
        assert_equal_outputs(ours(**given, **EVERYTHING), theirs(**given, **EVERYTHING), rtol)
        assert_equal_outputs(ours(**inputs), theirs(**inputs), rtol)  # through SDPA
        unpadded = {"input_ids": inputs["input_ids"].clamp_min(1)}
        assert_equal_outputs(ours(**unpadded), theirs(**unpadded), rtol)
        plain = ours(**given, return_dict=False)
        expected = theirs(**given, return_dict=False)
        assert isinstance(plain, tuple)
        assert len(plain) == len(expected)
        for mine, other in zip(plain, expected, strict=True):
            assert (mine is None) == (other is None)
            assert mine is None or (mine - other).abs().max() <= rtol * other.abs().max()


@pytest.mark.parametrize(("family", "head"), CLASSES)
def test_gradients_in_train_mode(family, head):
    changes = {} if head in ("Model", "ForQuestionAnswering") else {"num_labels": 3}
    ours, theirs = pair(family, head, changes, torch.float32)
    inputs = batch(choices=2 if head == "ForMultipleChoice" else None)
    given = {**inputs, **labels_for(head, inputs)}
    for model in (ours, theirs):
        output = model.train()(**given)
        (output[0].square().mean() if head == "Model" else output.loss).backward()
    expected = dict(theirs.named_parameters())
    largest = max(p.grad.abs().max().item() for p in expected.values() if p.grad is not None and p.numel())
    for name, parameter in ours.named_parameters():
        other = expected[name].grad
        if name.endswith(("key.bias", "k_lin.bias")):
            continue  # softmax does not see it: its gradient is 0 but for rounding
        if other is None:
            assert parameter.grad is None or not parameter.grad.any(), name
            continue
        scale = max(other.abs().max().item(), 1e-2 * largest)  # some biases cancel to rounding
        assert (parameter.grad - other).abs().max().item() <= 1e-4 * scale, name


@pytest.mark.parametrize("changes", MOBILE_CONFIGS.values(), ids=MOBILE_CONFIGS.keys())
def test_every_mobilebert_configuration(changes):
    if changes.get("key_query_shared_bottleneck") is False and "intra_bottleneck_size" in changes:
        changes = {**changes, "intra_bottleneck_size": 32}
    head = "Model" if changes.get("embedding_size") == 32 else "ForPreTraining"  # nothing is left for its LM head
    ours, theirs = pair("MobileBert", head, changes)
    inputs = batch()
    inputs["token_type_ids"] = (torch.arange(inputs["input_ids"].numel()) % 2).view_as(inputs["input_ids"])
    given = {**inputs, **labels_for(head, inputs), **EVERYTHING}
    with torch.no_grad():
        assert_equal_outputs(ours(**given), theirs(**given), 1e-12)


@pytest.mark.parametrize("activation", ["gelu", "relu", "silu", "gelu_new"])
def test_every_distilbert_activation(activation):
    ours, theirs = pair("DistilBert", "ForMaskedLM", {"activation": activation})
    inputs = batch()
    with torch.no_grad():
        assert_equal_outputs(ours(**inputs, **EVERYTHING), theirs(**inputs, **EVERYTHING), 1e-12)


def test_sinusoidal_positions_start_like_the_original():
    import transformers

    import pocketbert

    fields = {"n_layers": 1, "dim": 24, "n_heads": 4, "hidden_dim": 8, "vocab_size": 11, "sinusoidal_pos_embds": True}
    ours = pocketbert.DistilBertModel(pocketbert.DistilBertConfig(**fields)).embeddings.position_embeddings.weight
    theirs = transformers.DistilBertModel(transformers.DistilBertConfig(**fields)).embeddings.position_embeddings.weight
    torch.testing.assert_close(ours, theirs.detach().requires_grad_(theirs.requires_grad), rtol=1e-6, atol=1e-7)
    assert ours.requires_grad == theirs.requires_grad


@pytest.mark.parametrize("family", HEADS)
@pytest.mark.parametrize("shape", ["heads", "layers and heads"])
def test_head_mask(family, shape):
    ours, theirs = pair(family, "Model")
    mask = torch.tensor([1.0, 0.0, 1.0, 0.5])
    if shape == "layers and heads":
        mask = torch.stack([mask, torch.ones(4), mask.flip(0)])
    inputs = batch()
    with torch.no_grad():
        expected = theirs(**inputs, head_mask=mask, **EVERYTHING)
        assert_equal_outputs(ours(**inputs, head_mask=mask, **EVERYTHING), expected, 1e-12)
        alone = ours(**inputs, head_mask=mask)
        torch.testing.assert_close(alone.last_hidden_state, expected.last_hidden_state, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("family", HEADS)
def test_inputs_embeds(family):
    ours, theirs = pair(family, "Model")
    inputs = batch()
    embeds = torch.randn(3, 11, ours.get_input_embeddings().embedding_dim, dtype=torch.float64)
    given = {"inputs_embeds": embeds, "attention_mask": inputs["attention_mask"]}
    with torch.no_grad():
        assert_equal_outputs(ours(**given), theirs(**given), 1e-12)


@pytest.mark.parametrize("family", ["Bert", "MobileBert"])
def test_position_ids_and_token_types(family):
    ours, theirs = pair(family, "Model")
    inputs = batch()
    for positions in (torch.arange(11).flip(0)[None], torch.randint(0, 40, (3, 11))):
        given = {**inputs, "position_ids": positions, "token_type_ids": torch.randint(0, 2, (3, 11))}
        with torch.no_grad():
            assert_equal_outputs(ours(**given), theirs(**given), 1e-12)


def test_distilbert_positions_move_with_position_ids():
    ours, _ = pair("DistilBert", "Model")
    inputs = batch()
    with torch.no_grad():
        plain = ours(**inputs).last_hidden_state
        same = ours(**inputs, position_ids=torch.arange(11)[None]).last_hidden_state
        other = ours(**inputs, position_ids=torch.arange(11).flip(0)[None]).last_hidden_state
    torch.testing.assert_close(plain, same)
    assert (plain - other).abs().max() > 1e-3


@pytest.mark.parametrize("family", HEADS)
def test_three_dimensional_mask(family):
    ours, theirs = pair(family, "Model")
    inputs = batch()
    mask = torch.ones(3, 11, 11, dtype=torch.long).tril()
    with torch.no_grad():
        got = ours(inputs["input_ids"], attention_mask=mask).last_hidden_state
        if family != "DistilBert":  # the original DistilBERT takes no such mask
            expected = theirs(inputs["input_ids"], attention_mask=mask).last_hidden_state
            torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
        changed = inputs["input_ids"].clone()
        changed[:, -1] = 1
        if family != "MobileBert":  # whose trigram looks one token ahead
            after = ours(changed, attention_mask=mask).last_hidden_state
            torch.testing.assert_close(got[:, :-1], after[:, :-1])


def test_a_row_of_padding_alone_gives_no_nan():
    for family in HEADS:
        ours, theirs = pair(family, "Model", dtype=torch.float32)
        inputs = batch()
        inputs["attention_mask"][1] = 0
        for implementation in ("sdpa", "eager"):
            ours.config.attn_implementation = implementation
            with torch.no_grad():
                torch.testing.assert_close(
                    ours(**inputs).last_hidden_state, theirs(**inputs).last_hidden_state, rtol=1e-4, atol=1e-4
                )


@pytest.mark.parametrize("family", HEADS)
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
        (3, "single_label_classification", torch.tensor([2, 0, 1])),
    ],
)
def test_problem_types(family, num_labels, problem, labels):
    ours, theirs = pair(family, "ForSequenceClassification", {"num_labels": num_labels, "problem_type": problem})
    labels = labels.double() if labels.is_floating_point() else labels
    inputs = batch()
    with torch.no_grad():
        loss = ours(**inputs, labels=labels).loss
        torch.testing.assert_close(loss, theirs(**inputs, labels=labels).loss, rtol=1e-12, atol=0)
    assert ours.config.problem_type == problem  # the configuration is not changed by a call
