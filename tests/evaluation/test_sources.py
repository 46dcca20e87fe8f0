"""Labeled records from every kind of source: what is read, and how broken ones are named."""

from __future__ import annotations

import json

import pytest

from pocketbert.errors import HubError, InputError
from pocketbert.evaluation.labeled import read_fields, read_labeled
from pocketbert.evaluation.sources import in_memory, read_columns


def written(path, text):
    path.write_text(text if isinstance(text, str) else json.dumps(text), "utf-8")
    return path


def fields(source, head, **columns):
    return [(record.unit, record.line, record.value) for record in read_fields(source, head, columns)]


def values(source, head, **columns):
    return [record.value for record in read_fields(source, head, columns)]


# -- SQuAD and other JSON ----------------------------------------------------------------------------------------------

CONTEXT = "Jim lives in Berlin"


def squad(*questions):
    return {"version": "v2.0", "data": [{"title": "Jim", "paragraphs": [{"context": CONTEXT, "qas": list(questions)}]}]}


WHERE = {"id": "1", "question": "where?", "answers": [{"text": "Berlin", "answer_start": 13}] * 2}
WHY = {
    "id": "2",
    "question": "why?",
    "answers": [],
    "is_impossible": True,
    "plausible_answers": [{"text": "Jim", "answer_start": 0}],
}


def test_squad(tmp_path):
    rows = read_labeled(written(tmp_path / "dev.json", squad(WHERE, WHY)), "question_answering", None)
    assert rows == [
        {"question": "where?", "context": CONTEXT, "answers": ["Berlin", "Berlin"], "starts": [13, 13]},
        {"question": "why?", "context": CONTEXT, "answers": [], "starts": []},
    ]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"id": "3", "question": "who?"}, r"question 2: no object \(id '3'\)"),
        ({"id": "3", "answers": []}, r"question 2: no question \(id '3'\)"),
        ({"question": "who?", "answers": [{"text": "Jim"}]}, "question 2: no answer_start"),
        ("who?", "question 2: no object"),
    ],
)
def test_broken_questions_are_named(tmp_path, broken, message):
    with pytest.raises(InputError, match=message):
        read_labeled(written(tmp_path / "dev.json", squad(WHERE, broken)), "question_answering", None)


def test_other_json(tmp_path):
    rows = [{"text": "a", "label": 1}, {"text": "b", "label": 0}]
    for number, text in enumerate([rows, {"data": rows}, "".join(json.dumps(row) + "\n" for row in rows)]):
        assert values(written(tmp_path / f"{number}.json", text), "sequence_classification") == rows
    with pytest.raises(InputError, match=r"is not JSON: .* line 1 column 2"):
        values(written(tmp_path / "bad.json", "{"), "sequence_classification")
    with pytest.raises(InputError, match="must hold a list of records"):
        values(written(tmp_path / "bad.json", {"rows": []}), "sequence_classification")
    found = fields(written(tmp_path / "mixed.json", [*rows, 3]), "sequence_classification")
    assert found[2][:2] == ("record", 3)
    assert str(found[2][2]) == "no object but 3"


# -- CoNLL -------------------------------------------------------------------------------------------------------------

TAGGED = """-DOCSTART- -X- O O

# id = 7
Jim NNP B-NP B-PER
runs VBZ B-VP O

-DOCSTART- -X- O O
#\tO
x y\tB-X

"""


@pytest.mark.parametrize("name", ["a.conll", "a.iob", "a.BIO"])
def test_conll(tmp_path, name):
    assert fields(written(tmp_path / name, TAGGED), "token_classification") == [
        ("line", 4, {"tokens": ["Jim", "runs"], "tags": ["B-PER", "O"]}),
        ("line", 8, {"tokens": ["#", "x y"], "tags": ["O", "B-X"]}),
    ]


def test_broken_lines_of_conll_are_named(tmp_path):
    path = written(tmp_path / "a.conll", "a O\nb\nc\n\nd O\n")
    with pytest.raises(InputError, match=r"records: line 2: no word and tag but 'b'$"):
        read_labeled(path, "token_classification", type("Config", (), {"label2id": {"O": 0}}))
    (tmp_path / "b.conll").write_bytes(b"a O\n\xff O\n")
    assert "not UTF-8" in str(values(tmp_path / "b.conll", "token_classification")[0])
    assert "no field 'text'" in str(values(written(tmp_path / "c.conll", "a O\n"), "sequence_classification")[0])


# -- CSV and names of columns ------------------------------------------------------------------------------------------


def test_cells_that_hold_lists_numbers_and_truth(tmp_path):
    path = written(tmp_path / "t.csv", 'tokens,tags\n"[""a"", ""b""]","[""O"", ""B-X""]"\n"[""a""]",O\n')
    first, second = values(path, "token_classification")
    assert first == {"tokens": ["a", "b"], "tags": ["O", "B-X"]}
    assert str(second) == "tags must be a JSON list, not 'O'"
    path = written(tmp_path / "n.csv", "text,text_pair,label\na,b,3.5\na,b,3\n")
    assert [row["label"] for row in values(path, "sequence_classification")] == [3.5, "3"]
    path = written(tmp_path / "c.tsv", 'prompt\tchoices\tlabel\na\t["b", "c"]\t1\n')
    assert read_labeled(path, "multiple_choice", None, 1) == [{"prompt": "a", "choices": ["b", "c"], "label": 1}]
    path = written(tmp_path / "s.csv", "text,text_pair,is_next\na,b,True\na,b,false\n")
    assert [row["is_next"] for row in read_labeled(path, "next_sentence", None)] == [True, False]


def test_columns_have_other_names(tmp_path):
    columns = read_columns("text=sentence, label=stars")
    path = written(tmp_path / "t.csv", "sentence,stars,label\ngood,5,x\n")
    assert values(path, "sequence_classification", **columns) == [{"text": "good", "label": "5"}]
    rows = [{"text": "one", "label": "two"}]
    assert values(rows, "sequence_classification", text="label", label="text") == [{"text": "two", "label": "one"}]
    assert str(values([{"text": "a"}], "sequence_classification", **columns)[0]).startswith("no field 'sentence'")
    with pytest.raises(InputError, match="'tekst' is no field of this task; it reads text, label, labels"):
        values(rows, "sequence_classification", tekst="label")


@pytest.mark.parametrize("text", ["label", "label=", "=stars", "label=a,label=b", "label=a,,"])
def test_columns_that_cannot_be_read(text):
    with pytest.raises(InputError, match="is not FIELD=COLUMN"):
        read_columns(text)


# -- data sets ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def datasets():
    return pytest.importorskip("datasets")


def test_classes_of_a_data_set_get_their_names(datasets):
    kinds = datasets.ClassLabel(names=["O", "B-PER"])
    columns = {"tokens": datasets.Sequence(datasets.Value("string")), "ner_tags": datasets.Sequence(kinds)}
    columns["id"] = datasets.Value("int64")
    rows = {"tokens": [["Jim", "runs"], ["a"]], "ner_tags": [[1, 0], [-1]], "id": [1, 2]}
    table = datasets.Dataset.from_dict(rows, features=datasets.Features(columns))
    first, second = fields(table, "token_classification", tags="ner_tags")
    assert first == ("row", 1, {"tokens": ["Jim", "runs"], "tags": ["B-PER", "O"]})
    assert second[:2] == ("row", 2)
    assert "class -1 has no name" in str(second[2])
    assert in_memory(table) is table
    with pytest.raises(InputError, match="must have the columns tokens, tags; it has tokens, ner_tags, id"):
        values(table, "token_classification")


def test_a_data_set_without_classes(datasets):
    rows = [{"question": "where?", "context": CONTEXT, "answers": {"text": ["Berlin"], "answer_start": [13]}}]
    table = datasets.Dataset.from_list(rows)
    assert values(table, "question_answering") == rows
    assert values(table.to_iterable_dataset(), "question_answering") == rows
    with pytest.raises(InputError, match="a dict of train, test; pass one of them"):
        values(datasets.DatasetDict(train=table, test=table), "question_answering")


def test_names_on_the_hub(datasets, monkeypatch):
    asked = []
    table = datasets.Dataset.from_list([{"text": "a", "label": "x"}])
    found = datasets.DatasetDict(train=table, test=table)

    def load(*place, split):
        asked.append((*place, split))
        return found if split is None else found[split]

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr("pocketbert.evaluation.sources.unreachable", lambda: None)
    for name in ("imdb@train", "glue:sst2@test"):
        assert values(name, "sequence_classification") == [{"text": "a", "label": "x"}]
    with pytest.raises(InputError, match=r"has the splits train, test; name one, such as owner/imdb:plain@train"):
        values("owner/imdb:plain", "sequence_classification")
    assert asked == [("imdb", None, "train"), ("glue", "sst2", "test"), ("owner/imdb", "plain", None)]

    def fail(*_, **__):
        raise FileNotFoundError("no such thing\nhere")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(HubError, match=r"imdb@train is no file, and no data set that .*: no such thing; pass"):
        values("imdb@train", "sequence_classification")


def test_without_the_hub_names_are_refused_at_once(datasets, monkeypatch):
    monkeypatch.setattr("pocketbert.evaluation.sources.unreachable", lambda: "it does not answer")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(HubError, match=r"imdb is no file, and the hub .*: it does not answer; pass a file"):
        values("imdb", "sequence_classification")


def test_files_that_are_not_there(tmp_path):
    for name in ("train.jsonl", "dev.json", "a/b/c", "./imdb", tmp_path / "x"):
        with pytest.raises(InputError, match="no such file"):
            values(name, "sequence_classification")
    with pytest.raises(InputError, match="is a folder; pass one of its files"):
        values(tmp_path, "sequence_classification")
