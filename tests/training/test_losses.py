"""Every loss of pre-training and distillation against its formula in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.masked_batch import log_softmax, masked_batch
from helpers.oracle import SMALL, randomize
from pocketbert import BertConfig, BertForMaskedLM, DistilBertConfig, DistilBertForMaskedLM
from pocketbert.training.objectives.triple import TripleLoss
from pocketbert.training.objectives.words import MaskedWords


def model(family, config, seed, **fields):
    torch.manual_seed(seed)
    made = family(config(**{**SMALL[family.__name__.removesuffix("ForMaskedLM")], **fields})).eval()
    randomize(made)
    return made


@pytest.fixture
def batch():
    return masked_batch(2)


@pytest.fixture
def student():
    return model(DistilBertForMaskedLM, DistilBertConfig, 0, vocab_size=40)


@pytest.fixture
def teacher(student):
    return model(BertForMaskedLM, BertConfig, 1, vocab_size=40, hidden_size=student.config.dim, num_hidden_layers=3)


def outputs(model, batch):
    """Return logits and last hidden states, float64, of all places."""
    with torch.no_grad():
        found = model(batch["input_ids"], attention_mask=batch["attention_mask"], output_hidden_states=True)
    return found.logits.double().numpy(), found.hidden_states[-1].double().numpy()


def numpy_losses(student, teacher, batch, temperature, masked_only):
    (s, sh), (t, th) = outputs(student, batch), outputs(teacher, batch)
    labels, real = batch["labels"].numpy(), batch["attention_mask"].numpy() > 0
    p, q = log_softmax(t / temperature), log_softmax(s / temperature)
    ce = (np.exp(p) * (p - q)).sum(-1)[labels != -100 if masked_only else real].mean() * temperature**2
    mlm = -log_softmax(s)[labels != -100][np.arange(4), labels[labels != -100]].mean()
    cos = (1 - (sh * th).sum(-1) / np.linalg.norm(sh, axis=-1) / np.linalg.norm(th, axis=-1))[real].mean()
    return {"ce": ce, "mlm": mlm, "cos": cos}


@pytest.mark.parametrize("masked_only", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_the_triple_loss(student, teacher, batch, temperature, masked_only):
    objective = TripleLoss(teacher, temperature=temperature, masked_only=masked_only)
    assert objective.weights == {"ce": 5.0, "mlm": 2.0, "cos": 1.0}
    counts, sums = objective.counts(batch), objective.losses(student, batch)
    wanted = numpy_losses(student, teacher, batch, temperature, masked_only)
    for name, value in wanted.items():
        assert sums[name].item() / counts[name] == pytest.approx(value, rel=1e-4), name


def test_a_loss_of_weight_zero_is_not_computed(student, teacher, batch):
    wanted = numpy_losses(student, teacher, batch, 2.0, False)
    for weights in ({"ce": 0}, {"mlm": 0}, {"cos": 0}, {"ce": 0, "mlm": 0}, {"ce": 0, "cos": 0}):
        objective = TripleLoss(teacher, **weights)
        counts, sums = objective.counts(batch), objective.losses(student, batch)
        assert sums.keys() == counts.keys() == objective.weights.keys() == wanted.keys() - weights.keys()
        for name in sums:
            assert sums[name].item() / counts[name] == pytest.approx(wanted[name], rel=1e-4), name


def test_only_the_student_learns(student, teacher, batch):
    teacher.train()
    student.train()
    sum(TripleLoss(teacher).losses(student, batch).values()).backward()
    assert not teacher.training
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in student.parameters())


def test_words_are_learned_where_they_are_hidden(student, batch):
    objective = MaskedWords()
    logits, _ = outputs(student, batch)
    labels = batch["labels"].numpy()
    wanted = -log_softmax(logits)[labels != -100][np.arange(4), labels[labels != -100]].sum()
    assert objective.counts(batch) == {"words": 4}
    assert objective.losses(student, batch)["words"].item() == pytest.approx(wanted, rel=1e-4)
    whole = student(**batch).loss
    whole.backward()
    gradients = [parameter.grad.clone() for parameter in student.parameters()]
    student.zero_grad()
    (objective.losses(student, batch)["words"] / 4).backward()
    for one, other in zip(gradients, student.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad, rtol=1e-4, atol=1e-6)
