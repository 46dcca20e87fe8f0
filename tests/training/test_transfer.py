"""MobileBERT's losses against their formulas in NumPy, and what the gate of a layer lets through."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.masked_batch import LENGTHS, log_softmax, masked_batch
from helpers.oracle import SMALL, randomize
from pocketbert import BertConfig, BertForMaskedLM, MobileBertConfig, MobileBertForMaskedLM, MobileBertForPreTraining
from pocketbert.training.objectives.transfer import FACTORS, Transfer

HEADS, LAYERS = 4, 3


@pytest.fixture
def batch():
    return masked_batch(3)


@pytest.fixture
def student():
    config = MobileBertConfig(**{**SMALL["MobileBert"], "vocab_size": 40, "trigram_input": False})
    made = MobileBertForMaskedLM(config).eval()
    randomize(made, 1)
    return made


@pytest.fixture
def teacher(student):
    made = BertForMaskedLM(BertConfig(**{**SMALL["Bert"], "vocab_size": 40, "hidden_size": 32}))
    randomize(made, 2)
    return made


def scores(states, layer, bottleneck=None):
    """(T, W) -> (H, T, T), from the weights of a layer."""
    if bottleneck is not None:
        states = linear(bottleneck.dense, states)
        states = states * bottleneck.LayerNorm.weight.detach().numpy() + bottleneck.LayerNorm.bias.detach().numpy()
    q, k = (linear(each, states) for each in (layer.attention.self.query, layer.attention.self.key))
    q, k = (x.reshape(len(x), HEADS, -1).transpose(1, 0, 2) for x in (q, k))
    return q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])


def linear(module, x):
    return x @ module.weight.detach().double().numpy().T + module.bias.detach().double().numpy()


def numpy_losses(student, teacher, batch, layers):
    """Means over the tokens that are not padding, row by row without any padding."""
    found = {name: [] for name in FACTORS}
    for ids, length in zip(batch["input_ids"], LENGTHS, strict=True):
        with torch.no_grad():
            s, t = (
                [x[0].double().numpy() for x in m(ids[None, :length], output_hidden_states=True).hidden_states]
                for m in (student, teacher)
            )
        for index in layers:
            a, b = s[index + 1], t[index + 1]
            normed = [(x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True) for x in (a, b)]
            found["feature"] += [((normed[1] - normed[0]) ** 2).mean(-1)]
            found["mean"] += [(b.mean(-1) - a.mean(-1)) ** 2]
            found["variance"] += [np.abs(b.var(-1) - a.var(-1))]
            layer = student.mobilebert.encoder.layer[index]
            mine = scores(s[index], layer, layer.bottleneck.attention)
            theirs = scores(t[index], teacher.bert.encoder.layer[index])
            found["attention"] += [-(np.exp(log_softmax(theirs)) * log_softmax(mine)).sum(-1).mean(0)]
    return {name: np.concatenate(values).sum() / sum(LENGTHS) for name, values in found.items()}


def means(objective, model, batch):
    counts = objective.counts(batch)
    return {name: value.item() / counts[name] for name, value in objective.losses(model, batch).items()}


@pytest.mark.parametrize("layers", [(0,), (2,), (0, 1, 2)])
def test_layers_are_compared_as_the_formulas_say(student, teacher, batch, layers):
    objective = Transfer(teacher, layers)
    assert objective.weights == {name: factor / LAYERS for name, factor in FACTORS.items()}
    wanted = numpy_losses(student, teacher, batch, layers)
    assert means(objective, student, batch) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("share", [0.5, 0.2, 0.0])
def test_words_are_a_mixture_of_the_teachers_and_the_right_ones(student, teacher, batch, share):
    objective = Transfer(teacher, (), words=share)
    with torch.no_grad():
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        s, t = (log_softmax(model(**inputs).logits.double().numpy()) for model in (student, teacher))
    labels = batch["labels"].numpy()
    hidden = labels >= 0
    target = share * np.exp(t[hidden]) + (1 - share) * np.eye(40)[labels[hidden]]
    wanted = -(target * s[hidden]).sum(-1).mean()
    assert objective.weights == {"words": 1.0}
    assert means(objective, student, batch) == pytest.approx({"words": wanted}, rel=1e-5)


def test_all_losses_at_once_are_those_of_each(student, teacher, batch):
    both = means(Transfer(teacher, range(LAYERS), words=0.5), student, batch)
    layers, words = (
        means(objective, student, batch)
        for objective in (Transfer(teacher, range(LAYERS)), Transfer(teacher, (), words=0.5))
    )
    assert both == pytest.approx({**layers, **words}, rel=1e-5)


def test_the_next_sentence_is_learned_from_its_label(student, teacher, batch):
    model = MobileBertForPreTraining(student.config).eval()
    randomize(model)
    batch["next_sentence_label"] = torch.tensor([0, 1, 1])
    found = means(Transfer(teacher, (), words=0.5, next_sentence=True), model, batch)
    with torch.no_grad():
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        logits = log_softmax(model(**inputs).seq_relationship_logits.double().numpy())
    assert found["next_sentence"] == pytest.approx(-logits[[0, 1, 2], [0, 1, 1]].mean(), rel=1e-5)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_only_the_layers_up_to_the_gate_are_run_and_taught(student, teacher, batch, checkpointing):
    ran = []
    for model in (student.mobilebert, teacher.bert):
        for index, layer in enumerate(model.encoder.layer):
            layer.register_forward_hook(lambda *_, index=index: ran.append(index))
    if checkpointing:
        student.gradient_checkpointing_enable()
        student.train()
    losses = Transfer(teacher, (1,)).losses(student, batch)
    assert ran == [0, 1, 0, 1]
    sum(losses.values()).backward()
    taught = {
        name.split("layer.")[1][0] for name, p in student.named_parameters() if p.grad is not None and "layer." in name
    }
    assert taught == {"0", "1"}
    assert len(student.mobilebert.encoder.layer) == LAYERS
    assert all(p.grad is None for p in teacher.parameters())
    assert not any(m._forward_hooks for m in student.modules() if isinstance(m, torch.nn.Linear))
