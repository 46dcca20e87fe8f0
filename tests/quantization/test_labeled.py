"""A task's metric on labeled records: what counts, what it is worth, and which records are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from helpers.quantize_models import LOOSE, checkpoint_of
from pocketbert import pipeline
from pocketbert.errors import InputError, PrecisionError
from pocketbert.evaluation import metrics
from pocketbert.plan import ReferenceRunner, plan_checkpoint
from pocketbert.quantization import quantize
from pocketbert.tasks.entities import tags_of

LABELS = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC", 4: "I-LOC"}
FREE = {"max_loss": 1, "texts": LOOSE["texts"]}


def stored(path, rows):
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def scores_of(folder, tmp_path, rows):
    """Return metric -> (before, after)."""
    report = quantize(folder, tmp_path / "int8", data=stored(tmp_path / "rows.jsonl", rows), **FREE)
    assert report.loss == report.scores[0].fall
    return {score.name: (score.before, score.after) for score in report.scores}


def answers(folder, task, inputs, **options):
    runner = ReferenceRunner(plan_checkpoint(folder))
    return pipeline(task, model=runner, tokenizer=folder)(inputs, **options)


# -- whole models: labels are what float32 answers, so that its score is 1 --------------------------------------------


def test_text_classification(tmp_path):
    folder = checkpoint_of(tmp_path, id2label={0: "bad", 1: "good", 2: "fair"})
    texts = ["the film was good", "bad", "we saw a very old dog", "who ran ?"]
    found = [answer["label"] for answer in answers(folder, "text-classification", texts)]
    numbers = {"bad": 0, "good": 1, "fair": 2}
    rows = [{"text": text, "label": label} for text, label in zip(texts, found, strict=True)]
    rows[1]["label"] = numbers[found[1]]  # a label may be given by its number
    assert scores_of(folder, tmp_path, rows)["accuracy"][0] == 1
    rows[0]["label"] = next(name for name in numbers if name != found[0])
    assert scores_of(folder, tmp_path, rows)["accuracy"][0] == 0.75


def test_several_labels_at_once(tmp_path):
    names = dict(enumerate(["sad", "glad", "odd", "shy", "calm", "cross"]))
    folder = checkpoint_of(tmp_path, id2label=names, problem_type="multi_label_classification")
    texts = ["the film was good", "bad", "we saw a very old dog", "who ran ?"]
    found = answers(folder, "text-classification", texts, top_k=None)
    chosen = [[label["label"] for label in answer if label["score"] >= 0.5] for answer in found]
    total = sum(map(len, chosen))
    assert 0 < total < len(names) * len(texts)
    rows = [{"text": text, "label": labels} for text, labels in zip(texts, chosen, strict=True)]
    assert scores_of(folder, tmp_path, rows)["micro F1"][0] == 1
    lacking = next(row for row in rows if len(row["label"]) < len(names))
    lacking["label"] = [number for number, name in names.items() if name not in lacking["label"]]
    right = total - len(next(labels for labels in chosen if len(labels) < len(names)))
    expected = 2 * right / (total + sum(len(row["label"]) for row in rows))
    assert scores_of(folder, tmp_path, rows)["micro F1"][0] == pytest.approx(expected)
    with pytest.raises(InputError, match="line 1: label must be a list"):
        scores_of(folder, tmp_path, [{"text": "bad", "label": "sad"}, *rows])


def test_regression(tmp_path):
    folder = checkpoint_of(tmp_path, num_labels=1)
    texts = ["the film was good", "bad", "we saw a very old dog", "who ran ?", "the"]
    found = [a["score"] for a in answers(folder, "text-classification", texts, function_to_apply="none")]
    rows = [{"text": text, "label": float(value)} for text, value in zip(texts, found, strict=True)]
    before, after = scores_of(folder, tmp_path, rows)["Spearman"]
    assert before == pytest.approx(1)
    assert after > 0.5


def test_token_classification(tmp_path):
    folder = checkpoint_of(tmp_path, kind="ForTokenClassification", id2label=LABELS)
    texts = [["the", "dog", "ran", "?"], ["we", "saw", "old", "cat"], ["very", "good", "film"]]
    options = {"is_split_into_words": True, "aggregation_strategy": "none", "ignore_labels": ()}
    found = answers(folder, "token-classification", texts, **options)
    rows = [{"tokens": t, "tags": [a["entity"] for a in f]} for t, f in zip(texts, found, strict=True)]
    assert scores_of(folder, tmp_path, rows)["entity F1"][0] == 1


def test_words_without_chunks(tmp_path):
    folder = checkpoint_of(tmp_path, kind="ForTokenClassification", id2label={0: "NOUN", 1: "VERB"})
    texts = [["the", "dog", "ran", "?"], ["we", "saw", "old", "cat"]]
    options = {"is_split_into_words": True, "aggregation_strategy": "none", "ignore_labels": ()}
    found = answers(folder, "token-classification", texts, **options)
    rows = [{"tokens": t, "tags": [a["entity"] for a in f]} for t, f in zip(texts, found, strict=True)]
    assert scores_of(folder, tmp_path, rows)["accuracy of words"][0] == 1
    rows[0]["tags"][0] = "VERB" if rows[0]["tags"][0] == "NOUN" else "NOUN"
    assert scores_of(folder, tmp_path, rows)["accuracy of words"][0] == 7 / 8


@pytest.mark.parametrize("form", ["list", "squad"])
def test_question_answering(tmp_path, form):
    folder = checkpoint_of(tmp_path, kind="ForQuestionAnswering")
    inputs = [
        {"question": "who ran ?", "context": "the old dog ran under a tree"},
        {"question": "where ?", "context": "we saw the cat on a mat"},
    ]
    found = [answer["answer"] for answer in answers(folder, "question-answering", inputs)]
    texts = [[answer] if form == "list" else {"text": [answer], "answer_start": [0]} for answer in found]
    rows = [{**item, "answers": right} for item, right in zip(inputs, texts, strict=True)]
    scores = scores_of(folder, tmp_path, rows)
    assert list(scores) == ["F1", "exact match"]
    assert scores["F1"][0] == scores["exact match"][0] == 1


def test_multiple_choice_and_next_sentence(tmp_path):
    folder = checkpoint_of(tmp_path, "Bert", "ForMultipleChoice")
    items = [{"prompt": "the dog", "choices": ["ran", "sat", "was old"]}, {"prompt": "we", "choices": ["saw", "ran"]}]
    found = [answer[0]["choice"] for answer in answers(folder, "multiple-choice", items)]
    rows = [{**item, "label": choice} for item, choice in zip(items, found, strict=True)]
    assert scores_of(folder, tmp_path, rows)["accuracy"][0] == 1

    other = tmp_path / "other"
    other.mkdir()
    folder = checkpoint_of(other, "MobileBert", "ForNextSentencePrediction")
    items = [{"text": "the dog ran", "text_pair": "we saw"}, {"text": "who ?", "text_pair": "the cat"}]
    found = [answer["is_next"] for answer in answers(folder, "next-sentence-prediction", items)]
    rows = [{**item, "is_next": not follows} for item, follows in zip(items, found, strict=True)]
    assert scores_of(folder, other, rows)["accuracy"][0] == 0


@pytest.mark.parametrize(("family", "kind"), [("DistilBert", "ForMaskedLM"), ("MobileBert", "ForPreTraining")])
def test_masked_words(tmp_path, family, kind):
    folder = checkpoint_of(tmp_path, family, kind)
    rows = [{"text": text} for text in [*LOOSE["texts"], ""]]
    before, after = scores_of(folder, tmp_path, rows)["accuracy at masked words"]
    assert 0 <= before < 0.5  # a random model knows nothing
    assert abs(before - after) < 0.2


@pytest.mark.parametrize("names", [("text", "text_pair", "label"), ("sentence1", "sentence2", "score")])
def test_similarity(tmp_path, names):
    folder = checkpoint_of(tmp_path, kind="Model")
    pairs = [("the dog ran", "the cat ran"), ("we saw", "who was it ?"), ("very good film", "a bad film"), ("in", "on")]
    runner = ReferenceRunner(plan_checkpoint(folder))
    embed = pipeline("feature-extraction", model=runner, tokenizer=folder, pooling="mean", normalize=True)
    likeness = [float(embed(a) @ embed(b)) for a, b in pairs]
    rows = [dict(zip(names, (*pair, value), strict=True)) for pair, value in zip(pairs, likeness, strict=True)]
    before, after = scores_of(folder, tmp_path, rows)["Spearman of cosines"]
    assert before == pytest.approx(1)
    assert after > 0.7


def test_refused_by_the_metric(tmp_path, monkeypatch):
    folder = checkpoint_of(tmp_path)
    data = stored(tmp_path / "rows.jsonl", [{"text": text, "label": 0} for text in LOOSE["texts"][:4]])
    values = iter([{"accuracy": 0.9}, {"accuracy": 0.85}])
    monkeypatch.setattr("pocketbert.quantization.checkpoint.score", lambda *_: next(values))
    with pytest.raises(
        PrecisionError, match=r"accuracy falls by 0\.0500, from 0\.9000 to 0\.8500, more than max_loss=0"
    ):
        quantize(folder, tmp_path / "int8", data=data, texts=LOOSE["texts"], max_loss=0.04)
    assert not (tmp_path / "int8").exists()


# -- records -----------------------------------------------------------------------------------------------------------

BROKEN = {
    "no label": ("ForSequenceClassification", {"text": "a"}, "line 2: no field 'label'"),
    "unknown label": (
        "ForSequenceClassification",
        {"text": "a", "label": "x"},
        "label 'x' is unknown to the model; it",
    ),
    "number": ("ForSequenceClassification", {"text": "a", "label": 7}, "line 2: label 7 is unknown to the model"),
    "bool": ("ForSequenceClassification", {"text": "a", "label": True}, "line 2: label True is unknown"),
    "no json": ("ForSequenceClassification", "{", "line 2: not JSON"),
    "lengths": ("ForTokenClassification", {"tokens": ["a", "b"], "tags": ["bad"]}, "two lists of the same length"),
    "answers": ("ForQuestionAnswering", {"question": "a", "context": "b", "answers": "c"}, "must be a list of strings"),
    "choice": ("ForMultipleChoice", {"prompt": "a", "choices": ["b"], "label": 1}, "label 1 must be the index of"),
    "similarity": ("Model", {"text": "a", "label": 1}, r"no field 'text_pair' \(or 'sentence2' or 'positive'\)"),
    "score": ("Model", {"text": "a", "text_pair": "b", "label": "x"}, "label must be a number, not 'x'"),
}


@pytest.mark.parametrize(("kind", "row", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_records(tmp_path, kind, row, message):
    fields = {} if kind in ("Model", "ForQuestionAnswering", "ForMultipleChoice") else {"id2label": {0: "bad", 1: "ok"}}
    folder = checkpoint_of(tmp_path, kind=kind, **fields)
    data = stored(tmp_path / "rows.jsonl", ["", row, row, row, row])
    with pytest.raises(InputError, match=message):
        quantize(folder, tmp_path / "int8", data=data, **FREE)
    with pytest.raises(InputError, match=r"has broken records: line 2: .*; and 1 more"):
        quantize(folder, tmp_path / "int8", data=data, **FREE)
    assert not (tmp_path / "int8").exists()


def test_files_that_are_no_data(tmp_path):
    folder = checkpoint_of(tmp_path)
    with pytest.raises(InputError, match=r"none\.jsonl: no such file"):
        quantize(folder, tmp_path / "int8", data=tmp_path / "none.jsonl", **FREE)
    with pytest.raises(InputError, match="has 1 records; at least 2 are needed"):
        quantize(folder, tmp_path / "int8", data=stored(tmp_path / "r.jsonl", [{"text": "a", "label": 0}]), **FREE)


# -- metrics -----------------------------------------------------------------------------------------------------------


def test_spearman():
    assert metrics.spearman([1, 2, 3], [10, 20, 15]) == pytest.approx(0.5)
    assert metrics.spearman([1, 2, 2, 4], [1, 3, 3, 9]) == pytest.approx(1)
    assert metrics.spearman([1, 2, 2, 4], [1, 2, 3, 4]) == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert metrics.spearman([1, 1, 1], [1, 2, 3]) == 0


def entities(text):
    words = text.split()
    return metrics.entities(tags_of(words), metrics.places(words))


def test_entities_are_read_as_seqeval_does():
    assert entities("B-PER I-PER O B-LOC") == {("PER", 0, 11), ("LOC", 14, 19)}
    assert entities("I-PER I-PER O") == {("PER", 0, 11)}
    assert entities("B-PER B-PER") == {("PER", 0, 5), ("PER", 6, 11)}
    assert entities("B-PER I-LOC") == {("PER", 0, 5), ("LOC", 6, 11)}
    assert entities("B-PER O I-PER") == {("PER", 0, 5), ("PER", 8, 13)}
    assert entities("O O") == set()


def test_f1_over_all_texts():
    gold = [{("PER", 0, 3), ("LOC", 5, 8)}, {("PER", 0, 3)}]
    found = [{("PER", 0, 3), ("PER", 5, 8)}, set()]
    assert metrics.set_f1(found, gold) == pytest.approx(2 / 5)
    assert metrics.set_f1([set()], [set()]) == 1


def test_answers_are_compared_as_squad_does():
    assert metrics.answer_exact("The Eiffel Tower.", ["Eiffel tower", "tower"]) == 1
    assert metrics.answer_f1("the tall tower", ["tower in Paris", "Paris"]) == pytest.approx(2 / 5)
    assert metrics.answer_f1("", []) == metrics.answer_exact("", []) == 1
    assert metrics.answer_f1("Paris", []) == metrics.answer_exact("Paris", []) == 0
    assert metrics.answer_f1("a a", ["b"]) == 0
