"""``pocketbert predict`` as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from typer.testing import CliRunner

import pocketbert
from pocketbert.command.cli import app
from pocketbert.errors import InputError

# where the native engine was not built
pytestmark = pytest.mark.filterwarnings("ignore:running on ONNX Runtime:UserWarning")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*SPECIAL, "the", "cat", "sat", "on", "mat", "who", "?", ".", "good", "bad", "film", "was", "very"]


def checkpoint(folder, head, **fields):
    torch.manual_seed(0)
    config = pocketbert.DistilBertConfig(
        vocab_size=len(WORDS), dim=16, n_heads=2, n_layers=2, hidden_dim=20, max_position_embeddings=16, **fields
    )
    getattr(pocketbert, f"DistilBert{head}")(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", "utf-8")
    return str(folder)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("c"), "ForSequenceClassification", id2label={0: "bad", 1: "good"})


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("q"), "ForQuestionAnswering")


def run(*arguments, stdin=None):
    return CliRunner().invoke(app, ["predict", *map(str, arguments)], input=stdin)


def answers(text):
    return [json.loads(line) for line in text.splitlines()]


def test_texts_as_json_lines_equal_the_pipeline(classifier):
    texts = ["the film was good", "", "very bad ."]
    result = run("-m", classifier, "--format", "jsonl", *texts)
    assert result.exit_code == 0
    expected = pocketbert.pipeline("text-classification", model=classifier)(texts)
    assert [row["line"] for row in answers(result.stdout)] == [1, 2, 3]
    for row, answer in zip(answers(result.stdout), expected, strict=True):
        assert row["answer"].keys() == answer.keys() == {"label", "score"}
        assert (row["answer"]["label"], row["answer"]["score"]) == (answer["label"], pytest.approx(answer["score"]))


def test_a_table_by_default(classifier):
    result = run("-m", classifier, "the film was good")
    assert result.exit_code == 0
    assert "label" in result.stdout
    assert "the film was good" in result.stdout


def test_stdin(classifier, reader):
    assert len(answers(run("-m", classifier, "--format", "jsonl", stdin="good\n\nbad\n").stdout)) == 2
    question = json.dumps({"question": "who ?", "context": "the cat sat"})
    found = answers(run("-m", reader, "--format", "jsonl", stdin=question + "\n").stdout)
    assert found[0]["answer"].keys() == {"score", "start", "end", "answer"}


def test_tasks_that_need_more_than_a_text_take_json_objects(reader):
    context = "the cat sat on the mat"
    question = json.dumps({"question": "who ?", "context": context})
    result = run("-m", reader, question, "--option", "top_k=3", "--format", "jsonl")
    found = answers(result.stdout)[0]["answer"]
    assert len(found) == 3
    assert all(context[one["start"] : one["end"]] == one["answer"] for one in found)


def test_broken_lines_are_reported_and_the_rest_goes_on(classifier, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"text": "good"}\n{"text": \n{"other": 1}\n{"text": "bad"}\n', "utf-8")
    result = run("-m", classifier, "-i", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl")
    assert result.exit_code == 2
    assert "line 2: not JSON" in result.stderr
    assert "line 3: no field" in result.stderr
    assert "2 answered, 2 broken" in result.stderr
    rows = answers((tmp_path / "out.jsonl").read_text("utf-8"))
    assert [row["line"] for row in rows] == [1, 2, 3, 4]
    assert ["answer" in row for row in rows] == [True, False, False, True]


def test_resume_continues_and_an_existing_file_is_not_overwritten(classifier, tmp_path):
    source, output = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("good\nbad\nfilm\n", "utf-8")
    run("-m", classifier, "-i", source, "-o", output)
    whole = output.read_text("utf-8")
    output.write_text("".join(whole.splitlines(keepends=True)[:1]), "utf-8")
    refused = run("-m", classifier, "-i", source, "-o", output)
    assert isinstance(refused.exception, InputError)
    assert "exists" in str(refused.exception)
    continued = run("-m", classifier, "-i", source, "-o", output, "--resume")
    assert continued.exit_code == 0
    assert "2 answered, 0 broken, 1 done before" in continued.stderr
    assert [row["line"] for row in answers(output.read_text("utf-8"))] == [1, 2, 3]


def test_long_texts_and_options(classifier):
    text = "good " * 40
    result = run("-m", classifier, text)
    assert result.exit_code == 2
    assert "42 tokens exceed the model's 16 positions" in result.stderr
    assert run("-m", classifier, text, "--option", "overflow=window").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "pass --model"),
        (["-m", "MODEL", "text", "-i", "x.txt"], "pass texts or --input, not both"),
        (["-m", "MODEL", "-i", "absent.txt"], "absent.txt: no such file"),
        (["-m", "MODEL", "text", "--option", "top_k"], "must be NAME=VALUE"),
        (["-m", "MODEL", "text", "--option", "color=red"], "takes no argument 'color'"),
        (["-m", "MODEL", "text", "--task", "ner2"], "unknown task 'ner2'; choose from"),
    ],
)
def test_mistakes(classifier, arguments, message):
    result = run(*[classifier if argument == "MODEL" else argument for argument in arguments])
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)


def test_warnings_take_a_line(classifier):
    pytest.importorskip("onnxruntime")
    code = (
        "import sys; sys.modules['pocketbert._native'] = None\n"
        f"sys.argv = ['pocketbert', 'predict', '-m', {classifier!r}, '--format', 'jsonl', 'good', 'bad']\n"
        "from pocketbert.command.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert len(answers(done.stdout)) == 2
    assert done.stderr.startswith("warning: running on ONNX Runtime")
    assert "the native engine was not built" in done.stderr
    assert done.stderr.count("\n") == 1


def test_export_onnx(classifier, tmp_path):
    pytest.importorskip("onnxruntime")
    result = CliRunner().invoke(app, ["export", "onnx", classifier, str(tmp_path / "model.onnx")])
    assert result.exit_code == 0, result.output
    assert "sequence_classification, float32" in result.stdout
    assert (tmp_path / "model.onnx").stat().st_size > 1000
    wrong = CliRunner().invoke(app, ["export", "onnx", classifier, str(tmp_path / "x.onnx"), "--head", "nose"])
    assert "unknown head 'nose'; choose from" in str(wrong.exception)
