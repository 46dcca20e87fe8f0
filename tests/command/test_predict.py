"""Records in, answers out: formats, broken records, and runs that were cut short."""

from __future__ import annotations

import io
import itertools
import json

import pytest

from helpers.fake import FakeRunner, tokenizer
from pocketbert import extras
from pocketbert.command.predict import Summary, fields_of_task, predict
from pocketbert.command.writers import JsonLines
from pocketbert.errors import InputError, MissingExtra
from pocketbert.tasks.feature_extraction import FeatureExtractionPipeline
from pocketbert.tasks.multiple_choice import MultipleChoicePipeline
from pocketbert.tasks.question_answering import QuestionAnsweringPipeline
from pocketbert.tasks.records import Fields, Record, count_records, read_file, read_stream, read_texts
from pocketbert.tasks.text_classification import TextClassificationPipeline
from pocketbert.tasks.token_classification import TokenClassificationPipeline

TEXT = Fields(("text",), ("text_pair",))
QA = Fields(("question", "context"))
TAGS = dict(enumerate(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]))


def classifier(**options):
    return TextClassificationPipeline(FakeRunner("sequence_classification"), tokenizer(), **options)


def read(content: str | bytes, fields: Fields = TEXT, kind: str = "txt") -> list[tuple[int, object]]:
    raw = content.encode() if isinstance(content, str) else content
    records = read_stream(io.BytesIO(raw), fields, kind)
    return [(r.line, str(r.value) if isinstance(r.value, InputError) else r.value) for r in records]


def test_txt():
    assert read("\ufeffone\r\n\n  \ntwo ü\nthree") == [(1, "one"), (4, "two ü"), (5, "three")]
    assert read(b"a\nb\xff\nc") == [(1, "a"), (2, "not UTF-8: invalid start byte at byte 1"), (3, "c")]
    with pytest.raises(InputError, match="a txt file holds one text a line, and this task needs question, context"):
        read("a", QA)


def test_jsonl():
    found = read(
        '{"text": "a", "id": 7}\n\n"b"\n{"txt": 1}\n[1]\n{"text"\n{"text": "c", "text_pair": null}', kind="jsonl"
    )
    assert found[:2] == [(1, {"text": "a"}), (3, "b")]
    assert found[2] == (4, "no field 'text'; the record has 'txt'")
    assert found[3] == (5, "a JSON object was expected, not '[1]'")
    assert found[4][1].startswith("not JSON: ")
    assert found[5] == (7, {"text": "c"})
    assert read('{"tags": 1}', Fields((), ("text", "tokens")), "jsonl") == [
        (1, "no field 'text' or 'tokens'; the record has 'tags'")
    ]
    assert read('"a"', QA, "jsonl") == [(1, "a JSON object was expected, not '\"a\"'")]


def test_csv():
    content = 'id,text,text_pair\n1,"a, b",c\n2,"two\nlines",\n3\n4,"x" y,z\n5,e,f\n'
    found = read(content, kind="csv")
    assert found[0] == (2, {"text": "a, b", "text_pair": "c"})
    assert found[1] == (3, {"text": "two\nlines"})
    assert found[2] == (5, "1 cells under a header of 3")
    assert found[3][0] == 6
    assert found[3][1].startswith("not CSV: ")
    assert found[4] == (7, {"text": "e", "text_pair": "f"})
    assert read("question\tcontext\na\tb\n", QA, "tsv") == [(2, {"question": "a", "context": "b"})]
    assert read(b"text\n\xff\nb\n", kind="csv") == [(2, "not UTF-8"), (3, {"text": "b"})]
    choices = Fields(("prompt", "choices"))
    assert read('prompt,choices\na,"[""b"", ""c""]"\nd,e\n', choices, "csv") == [
        (2, {"prompt": "a", "choices": ["b", "c"]}),
        (3, "choices must be a JSON list, not 'e'"),
    ]
    with pytest.raises(InputError, match="the first line must name the columns question, context; it has text"):
        read("text\na", QA, "csv")
    long = "word " * 60_000
    assert read(f'text\n"{long}"\n', kind="csv") == [(2, {"text": long})]


def test_files(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n", "utf-8")
    assert list(read_file(tmp_path / "a.txt", TEXT)) == [Record(1, "one"), Record(2, "two")]
    assert count_records(tmp_path / "a.txt") == 2
    (tmp_path / "a.dat").write_text('{"text": "a"}', "utf-8")
    with pytest.raises(InputError, match=r"cannot tell its format from '.dat'; name one of txt, csv, tsv"):
        read_file(tmp_path / "a.dat", TEXT)
    assert list(read_file(tmp_path / "a.dat", TEXT, "jsonl")) == [Record(1, {"text": "a"})]
    with pytest.raises(InputError, match="a stream of 'parquet' cannot be read"):
        read_stream(io.BytesIO(), TEXT, "parquet")
    with pytest.raises(InputError, match="one text a line"):
        read_file(tmp_path / "a.txt", QA)
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "b.txt", TEXT)


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    if "pyarrow" not in extras._EXTRAS:
        pytest.skip("no extra brings pyarrow yet")
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"text": ["a", None, "c"], "id": [1, 2, 3]}), tmp_path / "a.parquet")
    records = list(read_file(tmp_path / "a.parquet", TEXT))
    assert [(r.line, r.value) for r in records if r.line != 2] == [(1, {"text": "a"}), (3, {"text": "c"})]
    assert isinstance(records[1].value, InputError)
    assert count_records(tmp_path / "a.parquet") == 3
    with pytest.raises(InputError, match="must have the columns question, context; it has text, id"):
        read_file(tmp_path / "a.parquet", QA)


def test_parquet_needs_an_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(extras._EXTRAS, "pyarrow", ("Parquet files", "parquet"))
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match="Parquet files need pyarrow"):
        read_file(tmp_path / "a.parquet", TEXT)


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_broken_records_are_reported_and_the_rest_goes_on(tmp_path):
    told = []
    out = tmp_path / "out.jsonl"
    records = read_stream(io.BytesIO(b'"a"\n{\n{"text": 5}\n"' + b"cat " * 600 + b'"\n"b"\n'), TEXT, "jsonl")
    done = predict(classifier(), records, output=out, style="jsonl", report=lambda *what: told.append(what))
    assert done == Summary(answered=2, broken=3, skipped=0)
    found = lines(out)
    assert [row["line"] for row in found] == [1, 2, 3, 4, 5]
    assert [found[0]["answer"]] == classifier()("a")
    assert found[3]["error"].startswith("602 tokens exceed the model's 512 positions")
    assert [line for line, _ in told] == [2, 3, 4]
    assert told[1][1] == "text must be a string, not int ('5')"


def interrupted(count: int):
    """Records that end with Ctrl-C."""
    yield from (Record(number, f"cat {number}") for number in range(1, count + 1))
    raise KeyboardInterrupt


def test_a_run_that_was_cut_short_goes_on(tmp_path):
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    texts = [Record(number, f"cat {number}") for number in range(1, 41)]
    predict(classifier(lookahead=4), texts, output=whole, style="jsonl")
    with pytest.raises(KeyboardInterrupt):
        predict(classifier(lookahead=4), interrupted(22), output=out, style="jsonl")
    before = lines(out)
    assert 22 - 4 <= len(before) <= 22
    assert before == lines(whole)[: len(before)]
    with out.open("a", encoding="utf-8") as file:
        file.write('{"line": 23, "answ')  # the machine was lost in the middle of a line
    with pytest.raises(InputError, match="exists; pass --resume to continue it or --overwrite to replace it"):
        predict(classifier(), texts, output=out, style="jsonl")
    done = predict(classifier(), texts, output=out, style="jsonl", resume=True)
    assert done == Summary(answered=40 - len(before), broken=0, skipped=len(before))
    assert [row["line"] for row in lines(out)] == list(range(1, 41))
    assert predict(classifier(), texts, output=out, style="jsonl", resume=True) == Summary(0, 0, 40)
    predict(classifier(), texts[:2], output=out, style="jsonl", overwrite=True)
    assert len(lines(out)) == 2


def test_what_cannot_be_continued(tmp_path):
    out = tmp_path / "notes.jsonl"
    out.write_text("my notes\n", "utf-8")
    with pytest.raises(InputError, match=r"cannot be continued: there is no notes\.jsonl\.resume beside it"):
        predict(classifier(), [], output=out, style="jsonl", resume=True)
    assert out.read_text("utf-8") == "my notes\n"
    for bad in ({"output": None}, {"output": tmp_path / "a", "style": "table"}):
        with pytest.raises(InputError, match="--resume needs --output with a file"):
            predict(classifier(), [], **{"style": "jsonl", **bad}, resume=True)
    with pytest.raises(InputError, match="contradict"):
        predict(classifier(), [], output=out, style="jsonl", resume=True, overwrite=True)
    with pytest.raises(InputError, match="style='xml' is unknown"):
        predict(classifier(), [], style="xml")
    with pytest.raises(InputError, match="takes no argument 'top_n'"):
        predict(classifier(), [], output=tmp_path / "never", options={"top_n": 1})
    (tmp_path / "a.csv").write_text("label\na\n", "utf-8")
    with pytest.raises(InputError, match="must name the columns text; it has label"):
        predict(classifier(), read_file(tmp_path / "a.csv", TEXT), output=tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_records_are_read_lazily():
    out = io.StringIO()
    source = (Record(number, "cat") for number in itertools.count(1))
    taken = itertools.islice(source, 50)
    assert predict(classifier(lookahead=4), taken, output=out, style="jsonl").answered == 50


def test_tables(capsys):
    predict(classifier(), read_texts(["a cat", "日本" * 30, "tab\tand \x1b[31mred"], TEXT), options={"top_k": 2})
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["line", "input", "label", "score"]
    assert len(shown) == 1 + 3 * 2
    assert shown[1].startswith("     1  a cat ")
    assert shown[2].startswith(" " * 20)
    assert "\x1b" not in "".join(shown)
    made = TokenClassificationPipeline(FakeRunner("token_classification", id2label=TAGS), tokenizer())
    options = {"aggregation_strategy": "first", "ignore_labels": []}
    predict(made, read_texts(["", "john"], fields_of_task(made)), options=options)
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["line", "input", "entity", "word", "score", "start", "end"]
    assert shown[1].split() == ["1", "-", "-", "-", "-", "-"]
    assert "john" in shown[2]
    predict(classifier(), [Record(1, "cat " * 600)])
    assert "error: 602 tokens exceed" in capsys.readouterr().out


def test_every_kind_of_answer_is_written():
    out = io.StringIO()
    features = FeatureExtractionPipeline(FakeRunner("none"), tokenizer())
    for style in ("jsonl", "table"):
        predict(features, [Record(1, "cat")], output=out, style=style)
    states = json.loads(out.getvalue().splitlines()[0])["answer"]
    assert len(states[0]) == 3
    assert states[0][0] == [float(str(value)) for value in features("cat")[0, 0]]
    answers = QuestionAnsweringPipeline(FakeRunner("question_answering"), tokenizer())
    records = read_stream(io.BytesIO(b'{"question": "who", "context": "john \\ud83d smith"}'), QA, "jsonl")
    out = io.StringIO()
    assert predict(answers, records, output=out, style="jsonl").answered == 1
    assert json.loads(out.getvalue())["answer"]["answer"]
    choices = MultipleChoicePipeline(FakeRunner("multiple_choice"), tokenizer())
    predict(choices, [Record(1, {"prompt": "a", "choices": ["b"]})], output=out)
    assert "choice" in out.getvalue()


def test_json_lines_hold_no_character_that_a_terminal_or_a_reader_of_lines_obeys():
    raw = io.BytesIO()
    answer = {"label": "\x1b\x9b\x7f\x85\u2028\ud800 ü日"}
    for encoding in ("utf-8", "ascii"):
        file = io.TextIOWrapper(raw, encoding)
        JsonLines(file).answer(1, "", answer, [])
        file.detach()
    first, second = raw.getvalue().splitlines()
    assert json.loads(first)["answer"] == json.loads(second)["answer"] == answer
    assert "ü日".encode() in first
    assert b"ud800" in first
    assert first.decode().isprintable()
    assert second.isascii()


def test_progress_goes_to_standard_error(capsys):
    predict(classifier(), [Record(1, "cat")], style="jsonl", progress=True, total=1)
    assert json.loads(capsys.readouterr().out)["line"] == 1
