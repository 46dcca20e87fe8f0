"""Fine-tuning with a teacher of the same task: its loss against NumPy, records without labels, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import pocketbert
from helpers.oracle import SMALL, randomize
from helpers.runs import StopAfter, equal
from helpers.training_data import records
from pocketbert import InputError, finetune
from pocketbert.architecture.heads import HEADS
from pocketbert.training.loop import Stopped
from pocketbert.training.objectives.task import TaskDistillation

FAST = {"epochs": 10, "learning_rate": 3e-3, "batch_size": 8, "warmup": 0.0}
LABELS = {"text-classification": "label", "token-classification": "tags", "question-answering": "answers"}


def log_softmax(x):
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def soft(student, teacher, temperature=3.0):
    p, q = log_softmax(teacher / temperature), log_softmax(student / temperature)
    return (np.exp(p) * (p - q)).sum(-1) * temperature**2


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def models(head, **fields):
    made = []
    for seed, family in enumerate(("DistilBert", "Bert")):
        torch.manual_seed(seed)
        config = getattr(pocketbert, f"{family}Config")(**{**SMALL[family], "vocab_size": 40, **fields})
        made.append(getattr(pocketbert, family + HEADS[head].suffix)(config).eval())
        randomize(made[-1])
    return made


IDS = torch.randint(5, 40, (4, 9), generator=torch.Generator().manual_seed(0))
MASK = (torch.arange(9)[None] < torch.tensor([9, 5, 7, 4])[:, None]).long()


def means(head, student, teacher, **labels):
    batch = {"input_ids": IDS * MASK, "attention_mask": MASK, **labels}
    objective = TaskDistillation(HEADS[head], teacher, temperature=3.0, share=0.25)
    assert objective.weights == {"teacher": 0.25, "labels": 0.75}
    counts, sums = objective.counts(batch), objective.losses(student, batch)
    with torch.no_grad():
        found = [model(IDS * MASK, attention_mask=MASK) for model in (student, teacher)]
    logits = {name: [each[name].double().numpy() for each in found] for name in HEADS[head].fields}
    return counts, {name: sums[name].item() / counts[name] for name in sums}, logits


def test_classes():
    labels = torch.tensor([2, -100, 0, 1])
    counts, found, logits = means(
        "sequence_classification", *models("sequence_classification", num_labels=3), labels=labels
    )
    student, teacher = logits["logits"]
    assert counts == {"teacher": 4, "labels": 3}
    assert found["teacher"] == pytest.approx(soft(student, teacher).mean(), rel=1e-4)
    assert found["labels"] == pytest.approx(-log_softmax(student)[[0, 2, 3], [2, 0, 1]].mean(), rel=1e-4)


def test_several_classes():
    fields = {"num_labels": 3, "problem_type": "multi_label_classification"}
    labels = torch.tensor([[1.0, 0, 1], [-100] * 3, [0, 0, 0], [0, 1, 0]])
    counts, found, logits = means(
        "sequence_classification", *models("sequence_classification", **fields), labels=labels
    )
    student, teacher = logits["logits"]
    assert counts == {"teacher": 4, "labels": 3}
    p, q, wanted = sigmoid(teacher / 3), sigmoid(student / 3), labels.numpy()
    divergence = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    assert found["teacher"] == pytest.approx(divergence.mean() * 9, rel=1e-4)
    right = wanted * np.log(sigmoid(student)) + (1 - wanted) * np.log(1 - sigmoid(student))
    assert found["labels"] == pytest.approx(-right[[0, 2, 3]].mean(), rel=1e-4)


def test_numbers():
    fields = {"num_labels": 1, "problem_type": "regression"}
    labels = torch.tensor([0.5, -100.0, 2.0, 1.0])
    counts, found, logits = means(
        "sequence_classification", *models("sequence_classification", **fields), labels=labels
    )
    student, teacher = (x[:, 0] for x in logits["logits"])
    assert counts == {"teacher": 4, "labels": 3}
    assert found["teacher"] == pytest.approx(((student - teacher) ** 2).mean(), rel=1e-4)
    assert found["labels"] == pytest.approx(((student - labels.numpy())[[0, 2, 3]] ** 2).mean(), rel=1e-4)


def test_tags():
    first = torch.full((4, 9), -100)
    labels = torch.full((4, 9), -100)
    first[:, 0], first[:, 1], first[:, 3], labels[0, 1], labels[2, 3] = 0, 1, 1, 2, 1
    both = models("token_classification", num_labels=3)
    counts, found, logits = means("token_classification", *both, labels=labels, first=first)
    student, teacher = logits["logits"]
    assert counts == {"teacher": 8, "labels": 2}
    assert found["teacher"] == pytest.approx(soft(student, teacher)[:, [1, 3]].mean(), rel=1e-4)
    assert found["labels"] == pytest.approx(-log_softmax(student)[[0, 2], [1, 3], [2, 1]].mean(), rel=1e-4)


def test_spans():
    start, end = torch.tensor([2, -100, 0, 1]), torch.tensor([4, -100, 0, 3])
    both = models("question_answering")
    counts, found, logits = means("question_answering", *both, start_positions=start, end_positions=end)
    assert counts == {"teacher": 4, "labels": 3}
    rows, real = [0, 2, 3], MASK.numpy() > 0
    divergences, losses = [], []
    for name, wanted in (("start_logits", start), ("end_logits", end)):
        student, teacher = logits[name]
        divergences += [soft(s[seen], t[seen]) for s, t, seen in zip(student, teacher, real, strict=True)]
        losses.append(-log_softmax(student)[rows, wanted[rows]].mean())
    assert found["teacher"] == pytest.approx(np.mean(divergences), rel=1e-4)
    assert found["labels"] == pytest.approx(np.mean(losses), rel=1e-4)


@pytest.fixture
def teacher(start, data, tmp_path):
    """Return ``teacher(task)``, a fine-tuned model, its data and the encoder that it began as."""

    def make(task, family="DistilBert", **more):
        path, folder = data(task), start(family)
        finetune(task, model=folder, train=path, out=tmp_path / "teacher", **{**FAST, **more})
        return tmp_path / "teacher", path, folder

    return make


@pytest.mark.parametrize("task", LABELS)
def test_a_student_learns_without_labels(teacher, start, tmp_path, task):
    folder, path, begun = teacher(task, "Bert" if task == "question-answering" else "DistilBert")
    begun = start("DistilBert")
    rows = [{name: value for name, value in row.items() if name != LABELS[task]} for row in records(task)]
    options = {"model": begun, "train": rows, "eval": path, **FAST}
    done = finetune(task, out=tmp_path / "out", teacher=str(folder), **options)
    assert next(iter(done.scores.values())) >= 0.9
    losses = [row for row in done.history if "loss" in row]
    assert losses[-1]["teacher"] < losses[0]["teacher"] / 2
    assert all(row["labels"] == 0 for row in losses)
    if task != "question-answering":
        assert done.model.config.label2id == pocketbert.AutoConfig.from_pretrained(folder).label2id
    with pytest.raises(InputError):
        finetune(task, out=tmp_path / "none", **options)


def test_some_records_have_labels_and_a_stopped_run_goes_on(teacher, tmp_path):
    folder, _, begun = teacher("text-classification", epochs=2)
    rows = [row if n % 3 else {"text": row["text"]} for n, row in enumerate(records("text-classification", 24))]
    options = {"model": begun, "train": rows, "teacher": str(folder), "batch_size": 8, "micro_batch_size": 3}
    whole = finetune(out=tmp_path / "whole", **options)
    assert all(row["labels"] > 0 for row in whole.history)
    with pytest.raises(Stopped):
        finetune(out=tmp_path / "parts", callbacks=[StopAfter(4)], **options)
    equal(finetune(out=tmp_path / "parts", resume=True, **options), whole)
    with pytest.raises(InputError, match=r"temperature was 2.0, is 4.0"):
        finetune(out=tmp_path / "parts", resume=True, **options, temperature=4.0)


def test_a_teacher_with_token_types_sees_them(start, tmp_path):
    rows = [{"text": "the cat sat", "text_pair": "on the mat", "label": "good"}] * 4
    rows += [{"text": "the dog sat", "text_pair": "in the city", "label": "bad"}] * 4
    finetune(model=start("Bert"), train=rows, out=tmp_path / "teacher", epochs=1)
    seen = []

    class Look(pocketbert.Callback):
        def on_start(self, run):
            run.objective.teacher.register_forward_pre_hook(
                lambda _, __, given: seen.append(given["token_type_ids"].max().item()), with_kwargs=True
            )

    options = {"train": rows, "teacher": str(tmp_path / "teacher"), "epochs": 1, "callbacks": [Look()]}
    finetune(model=start("DistilBert"), out=tmp_path / "out", **options)
    assert seen == [1]


def test_a_teacher_that_does_not_fit_is_refused(teacher, start, data, tmp_path):
    folder, path, begun = teacher("text-classification", epochs=1)
    options = {"model": begun, "train": path, "out": tmp_path / "out", "teacher": str(folder)}
    with pytest.raises(InputError, match="was saved for text-classification; fine-tune it for token-classification"):
        finetune("token-classification", **{**options, "train": data("token-classification", name="tags")})
    with pytest.raises(InputError, match="problem=regression does not go with a teacher"):
        finetune(**options, problem="regression")
    with pytest.raises(InputError, match="label 'new' is unknown"):
        finetune(**{**options, "train": [{"text": "the cat", "label": "new"}]})
    longer = start("DistilBert", max_position_embeddings=100)
    with pytest.raises(InputError, match="max_length=90 exceeds the teacher's 64 positions"):
        finetune(**{**options, "model": longer}, max_length=90)
    words = (begun / "vocab.txt").read_text("utf-8").split("\n")
    (begun / "vocab.txt").write_text("\n".join([*words[:7], words[8], words[7], *words[9:]]), "utf-8")
    with pytest.raises(InputError, match=r"the teacher's vocabulary is not the student's: 2 tokens differ"):
        finetune(**options)
    with pytest.raises(InputError, match=r"temperature=0.0 must be above 0"):
        finetune(**options, temperature=0.0)
    with pytest.raises(InputError, match="task=embeddings learns from pairs and their scores alone"):
        finetune("embeddings", **options)
