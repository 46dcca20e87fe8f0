"""Real texts through small random models: no crash, every offset right, every record answered."""

from __future__ import annotations

import json
from itertools import islice, pairwise

import pytest

import pocketbert
from pocketbert.command.predict import Summary, fields_of_task, predict
from pocketbert.tasks import pipeline
from pocketbert.tasks.records import read_file
from pocketbert.tokenizer import BertTokenizerFast

pytestmark = pytest.mark.slow
SMALL = {"dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 32}
TAGS = dict(enumerate(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]))


def task(shared, head: str, **options):
    fields = {"id2label": TAGS} if head == "ForTokenClassification" else {}
    model = getattr(pocketbert, f"DistilBert{head}")(pocketbert.DistilBertConfig(**SMALL, **fields))
    tokenizer = BertTokenizerFast(shared / "data/vocab/bert-uncased.txt")
    names = {
        "ForQuestionAnswering": "question-answering",
        "ForTokenClassification": "token-classification",
        "ForSequenceClassification": "text-classification",
        "ForMultipleChoice": "multiple-choice",
    }
    return pipeline(names[head], model=model, tokenizer=tokenizer, **options)


@pytest.mark.parametrize("name", ["wiki_dev", "amazon_train", "reddit_train"])
def test_answers_stand_where_they_say(shared, name):
    answer = task(shared, "ForQuestionAnswering", top_k=5, max_seq_len=128, doc_stride=32)
    with (shared / f"data/squadshifts/{name}.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in islice(file, 400)]
    given = [{"question": row["question"], "context": row["context"]} for row in rows]
    for row, found in zip(given, answer(given), strict=True):
        assert len({one["answer"].lower() for one in found}) == 5
        assert all(row["context"][one["start"] : one["end"]] == one["answer"] for one in found)


def test_entities_stand_where_they_say(shared):
    tag = task(shared, "ForTokenClassification", aggregation_strategy="first", ignore_labels=[])
    with (shared / "data/wnut17/dev.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line)["tokens"] for line in file]
    for words, found in zip(rows, tag([{"tokens": words} for words in rows]), strict=True):
        text = " ".join(words)
        assert all(a["end"] < b["start"] for a, b in pairwise(found))  # words are never split
        assert all(text[group["start"] : group["end"]].strip() for group in found)


@pytest.mark.parametrize(
    ("head", "path"),
    [
        ("ForSequenceClassification", "sentence-polarity/dev"),
        ("ForSequenceClassification", "stsb/dev"),
        ("ForSequenceClassification", "goemotions/dev"),
        ("ForTokenClassification", "snips/dev"),
        ("ForMultipleChoice", "codah/dev"),
        ("ForMultipleChoice", "copa/dev"),
    ],
)
def test_files_are_answered_record_by_record(shared, head, path, tmp_path):
    made, file = task(shared, head), shared / f"data/{path}.jsonl"
    count = len(file.read_text("utf-8").splitlines())
    out = tmp_path / "out.jsonl"
    records = read_file(file, fields_of_task(made))
    assert predict(made, records, output=out, style="jsonl") == Summary(count, 0, 0)
    assert [json.loads(line)["line"] for line in out.read_text("utf-8").splitlines()] == list(range(1, count + 1))
