"""Fine-tuning every head on data that can be learned, and the folder that it leaves."""

from __future__ import annotations

import json

import pytest
import torch

import pocketbert
from helpers.training_data import records
from pocketbert import Callback, InputError, TrainingError, finetune, pipeline
from pocketbert.settings.runs import TASKS

FAST = {"epochs": 8, "learning_rate": 3e-3, "batch_size": 8, "warmup": 0.0, "eval_every": 20}


LEARNED = [
    *(("DistilBert", task) for task in TASKS if task not in ("next-sentence-prediction", "embeddings")),
    ("MobileBert", "question-answering"),
    ("MobileBert", "token-classification"),
]


@pytest.mark.parametrize(("family", "task"), LEARNED)
def test_a_head_learns_and_its_folder_answers(start, data, tmp_path, family, task):
    path = data(task)
    done = finetune(task, model=start(family), train=path, eval=path, out=tmp_path / "out", max_length=64, **FAST)
    assert next(iter(done.scores.values())) >= 0.9
    assert done.scores == pytest.approx(_scores_of_the_folder(task, tmp_path / "out", path))
    losses = [row["loss"] for row in done.history if "loss" in row]
    assert losses[-1] < losses[0] / 2


def test_next_sentences_are_learned(start, data, tmp_path):
    path = data("next-sentence-prediction", 8)
    done = finetune("next-sentence-prediction", model=start("MobileBert"), train=path, out=tmp_path / "out", epochs=2)
    row = records("next-sentence-prediction", 1)[0]
    assert pipeline("next-sentence-prediction", model=tmp_path / "out")((row["text"], row["text_pair"]))
    assert not torch.equal(done.model.cls.seq_relationship.bias, torch.zeros(2))


def _scores_of_the_folder(task, folder, path):
    from pocketbert.evaluation.labeled import read_labeled
    from pocketbert.evaluation.scoring import scores

    answerer = pipeline(task, model=folder, runtime="torch")
    records = read_labeled(path, answerer.head, answerer.config)
    return scores(records, answerer.runner, answerer.tokenizer, lambda _: None)


def test_the_folder_holds_settings_history_and_curves(start, data, tmp_path):
    out = tmp_path / "out"
    path = data("text-classification")
    done = finetune("text-classification", model=start(), train=path, eval=path, out=out, epochs=1)
    assert {path.name for path in out.iterdir()} >= {"config.json", "model.safetensors", "run.toml", "curves.png"}
    rows = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert rows == done.history
    assert [row["step"] for row in rows if "loss" in row] == [1, 2]
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "epochs = 1" in (out / "run.toml").read_text()


def test_labels_come_from_the_data(start, tmp_path):
    folder = start()
    options = {"model": folder, "epochs": 1}
    several = [{"text": "the cat", "labels": ["b", "a"]}, {"text": "a dog", "labels": []}]
    model = finetune(train=several, out=tmp_path / "several", **options).model
    assert model.config.problem_type == "multi_label_classification"
    assert model.config.label2id == {"a": 0, "b": 1}
    numbers = [{"text": "the cat", "text_pair": "a dog", "label": 3.5}, {"text": "a", "text_pair": "b", "label": 1.0}]
    model = finetune(train=numbers, out=tmp_path / "numbers", **options).model
    assert (model.config.problem_type, model.config.num_labels) == ("regression", 1)
    classes = [{"text": "x", "label": 10}, {"text": "y", "label": 9}, {"text": "z", "label": 10}]
    model = finetune(train=classes, out=tmp_path / "classes", **options).model
    assert model.config.id2label == {0: "9", 1: "10"}


def test_a_step_in_parts_is_the_whole_step(start, data, tmp_path):
    path = data("token-classification", 30)
    folder = start("DistilBert", dropout=0.0, attention_dropout=0.0)
    options = {"model": folder, "train": path, "epochs": 1, "batch_size": 10, "learning_rate": 1e-3}
    whole = finetune("token-classification", out=tmp_path / "whole", **options)
    parts = finetune("token-classification", out=tmp_path / "parts", micro_batch_size=3, **options)
    for one, other in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_the_best_weights_are_kept(start, data, tmp_path):
    seen = []

    class Spoil(Callback):
        def on_step(self, run, values):
            if run.progress.step > 20:
                with torch.no_grad():
                    run.model.classifier.bias[1] = 99.0  # every text gets this label

        def on_evaluation(self, run, scores):
            seen.append((run.progress.step, scores["accuracy"]))

    path = data("text-classification")
    options = {"model": start(), "train": path, "eval": path, "patience": 2, **FAST, "epochs": 20}
    done = finetune(out=tmp_path / "out", callbacks=[Spoil()], **options)
    assert [step for step, _ in seen] == [20, 40, 60]  # two evaluations without a better one ended it
    assert done.scores["accuracy"] == seen[0][1]
    assert seen[0][1] > seen[1][1] == 0.5
    assert done.model.classifier.bias[1].item() < 99.0


def test_a_loss_that_is_not_finite_names_the_layer_and_keeps_the_checkpoint(start, data, tmp_path):
    class Break(Callback):
        def on_step(self, run, values):
            if run.progress.step == 3:
                with torch.no_grad():
                    run.model.distilbert.transformer.layer[1].ffn.lin1.weight[0, 0] = float("nan")

    options = {"model": start(), "train": data("text-classification"), "save_every": 2}
    with pytest.raises(TrainingError, match=r"step 4: .*distilbert\.transformer\.layer\.1\.ffn\.lin1; .*step-00000002"):
        finetune(out=tmp_path / "out", callbacks=[Break()], batch_size=8, **options)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": "a", "label": "x"}, {"text": "b", "label": "x"}], "only one label, 'x'"),
        ([{"text": "a", "label": "x"}, {"text": "b", "label": ["x"]}], r"single_label \(line 1\) and multi_label"),
        ([{"text": "a", "label": "x"}, {"label": "y"}], "line 2: no field 'text'"),
        ([], "only one label, none"),
    ],
)
def test_bad_records_are_named(start, tmp_path, rows, message):
    with pytest.raises(InputError, match=message):
        finetune(model=start(), train=rows, out=tmp_path / "out")


def test_an_answer_that_is_not_in_its_context_is_named(start, tmp_path):
    rows = records("question-answering", 4)
    rows[2]["answers"]["answer_start"] = [3]
    with pytest.raises(InputError, match="'Berlin' to 'where live i' is not in its context at 3"):
        finetune("question-answering", model=start(), train=rows, out=tmp_path / "out")


def test_labels_that_only_eval_has_are_refused(start, data, tmp_path):
    path = data("text-classification")
    judged = [{"text": "a", "label": "good"}, {"text": "b", "label": "new"}]
    with pytest.raises(InputError, match="line 2: label 'new' is unknown"):
        finetune(model=start(), train=path, eval=judged, out=tmp_path / "out")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": -1}, "epochs=-1"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"schedule": "none"}, "schedule='none'"),
        ({"max_length": 999}, "64 positions"),
        ({"task": "fill-mask"}, "task='fill-mask'"),
    ],
)
def test_bad_settings_are_named(start, data, tmp_path, setting, message):
    with pytest.raises(InputError, match=message):
        finetune(model=start(), train=data("text-classification"), out=tmp_path / "o", **setting)


def test_gradient_checkpointing_gives_the_same(start, data, tmp_path):
    path = data("text-classification", 16)
    options = {"model": start(), "train": path, "epochs": 1, "batch_size": 8}
    plain = finetune(out=tmp_path / "plain", **options)
    less = finetune(out=tmp_path / "less", gradient_checkpointing=True, **options)
    for one, other in zip(plain.model.parameters(), less.model.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    assert isinstance(less.model, pocketbert.DistilBertForSequenceClassification)


def test_columns_of_other_names_are_read(start, tmp_path):
    rows = [{"review": row["text"], "stars": row["label"]} for row in records("text-classification", 8)]
    options = {"model": start(), "columns": "text=review,label=stars", "epochs": 1}
    table = pytest.importorskip("datasets").Dataset.from_list(rows)
    done = [finetune(train=train, out=tmp_path / str(n), **options) for n, train in enumerate((rows, table))]
    assert done[0].model.config.label2id == {"bad": 0, "good": 1}
    assert [row["loss"] for row in done[0].history] == [row["loss"] for row in done[1].history]
