"""What `predict` writes: no answer is lost or mixed with others, and no file of the user is touched without a word."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys

import pytest

from helpers import environment
from helpers.command import run_main
from helpers.fake import FakeRunner, tokenizer
from pocketbert.command import output as output_module
from pocketbert.command.predict import Summary, predict
from pocketbert.errors import InputError
from pocketbert.tasks.records import Record
from pocketbert.tasks.text_classification import TextClassificationPipeline

RECORDS = [Record(number, f"cat {number}") for number in (1, 2, 4, 5)]
TASK = TextClassificationPipeline(FakeRunner("sequence_classification"), tokenizer())


def answer(path, records=RECORDS, **more):
    return predict(TASK, records, output=path, style="jsonl", **more)


@pytest.fixture
def whole(tmp_path):
    path = tmp_path / "whole.jsonl"
    answer(path)
    return path


@pytest.fixture(scope="module")
def classifier(made):
    return made("DistilBert", "ForSequenceClassification")


# -- resuming --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"my notes", b"my notes\n", b'{"line": 1, "answer": 2}\n', b'{"line": 1, "answer": 2}', b"\xff\n"]
)
def test_a_file_that_predict_did_not_make_is_not_continued(tmp_path, whole, content):
    path = tmp_path / "mine.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"mine.jsonl cannot be continued: there is no mine.jsonl.resume beside it"):
        answer(path, resume=True)
    assert path.read_bytes() == content
    whole.write_bytes(content)  # beside it lies what says how another file was made
    if b"line" not in content:
        with pytest.raises(InputError, match="cannot be continued: its line 1 was not written by predict"):
            answer(whole, resume=True)
        assert whole.read_bytes() == content


@pytest.mark.parametrize("notes", [b"my notes", b"my notes\n", b'{"line": 2, "answer": 1}\n', b'{"lime'])
def test_what_was_put_behind_the_answers_is_not_cut_off(whole, notes):
    before = whole.read_bytes() + notes
    whole.write_bytes(before)
    with pytest.raises(InputError, match="its line 5 was not written by predict"):
        answer(whole, resume=True)
    assert whole.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"options": {"top_k": 2}}, "top_k was .* and is 2"),
        ({"made_with": {"model": "b"}}, "model was 'a' and is 'b'"),
        ({"made_with": {"model": "a", "dtype": "int8"}}, "dtype was None and is 'int8'"),
        ({"records": [Record(1, "cat 1"), Record(2, "a dog"), *RECORDS[2:]]}, "another input, whose records until lin"),
        ({"records": [Record(record.line + 1, record.value) for record in RECORDS]}, "another input"),
        ({"records": RECORDS[:3]}, "another input"),
        ({"records": []}, "another input"),
    ],
)
def test_only_the_same_run_goes_on(tmp_path, change, why):
    path = tmp_path / "out.jsonl"
    answer(path, made_with={"model": "a"})
    files = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(InputError, match=f"out.jsonl cannot be continued: .*{why}.*--overwrite to begin again"):
        answer(path, **{"made_with": {"model": "a"}, **change}, resume=True)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == files
    # an input that has grown is still the same until there
    longer = [*RECORDS, Record(9, "cat 9")]
    assert answer(path, longer, made_with={"model": "a"}, resume=True) == Summary(answered=1, broken=0, skipped=4)
    assert answer(path, longer, made_with={"model": "a"}, resume=True) == Summary(answered=0, broken=0, skipped=5)


def test_wherever_a_run_is_killed_it_goes_on_to_the_same_answers(tmp_path):
    out = tmp_path / "out.jsonl"
    beside = tmp_path / "out.jsonl.resume"
    states = []
    for count in range(len(RECORDS) + 1):
        answer(out, RECORDS[:count], overwrite=True)
        states.append(beside.read_bytes())
    whole = out.read_bytes()
    ends = [index for index, byte in enumerate(whole) if byte == ord("\n")]
    for size in sorted({*range(0, len(whole) + 1, 17), *ends, *(end + 1 for end in ends)}):
        for state in states:  # the file beside may be ahead of the answers, or behind them, if the machine was lost
            out.write_bytes(whole[:size])
            beside.write_bytes(state)
            done = answer(out, resume=True)
            assert done.answered + done.skipped == len(RECORDS)
            assert out.read_bytes() == whole
            assert beside.read_bytes() == states[-1]
    out.write_bytes(b"")
    beside.write_bytes(b"")  # killed before anything was written
    answer(out, resume=True)
    assert (out.read_bytes(), beside.read_bytes()) == (whole, states[-1])


@pytest.mark.parametrize(
    "content", [b"my notes", b"{}\n{}\n", b'{"made by": "me"}\n{"line": 1, "records": ""}\n', None]
)
def test_a_file_of_the_user_in_the_way_stays(tmp_path, content):
    beside = tmp_path / "out.jsonl.resume"
    beside.mkdir() if content is None else beside.write_bytes(content)
    for more in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(InputError, match=r"out.jsonl.resume is in the way, and was not written by predict"):
            answer(tmp_path / "out.jsonl", **more)
        assert not (tmp_path / "out.jsonl").exists()
    assert content is None or beside.read_bytes() == content


# -- writing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raised", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_whole_lines(tmp_path, monkeypatch, raised):
    """Each write in turn writes a part and then fails: a full disk, or Ctrl-C."""
    expected = tmp_path / "whole.jsonl"
    answer(expected)
    lines = expected.read_bytes().splitlines(keepends=True)
    really = os.write

    for failing in range(len(RECORDS)):
        path = tmp_path / f"{failing}.jsonl"
        count = 0

        def write(descriptor, data, failing=failing):
            nonlocal count
            count += 1
            if count == failing + 1:
                return really(descriptor, data[:9])
            if count > failing + 1:
                raise raised
            return really(descriptor, data)

        with monkeypatch.context() as patch:
            patch.setattr(output_module.os, "write", write)
            with pytest.raises(type(raised)) as caught:
                answer(path)
        assert path.read_bytes() == b"".join(lines[:failing])
        if isinstance(raised, OSError):
            assert caught.value.errno == errno.ENOSPC
            assert caught.value.filename == path
        assert answer(path, resume=True).skipped == failing
        assert path.read_bytes() == expected.read_bytes()


def test_the_input_is_never_the_output(classifier, tmp_path, capfd, monkeypatch):
    source = tmp_path / "in.txt"
    source.write_text("good\nbad\n")
    (tmp_path / "link.txt").symlink_to(source)
    os.link(source, tmp_path / "hard.txt")
    for name in ("in.txt", "link.txt", "hard.txt"):
        for more in (["--overwrite"], ["--resume"], []):
            out = tmp_path / name
            ran = run_main(capfd, "predict", "-m", classifier, "-i", source, "-o", out, *more)
            assert ran == (1, "", f"error: --output {out} is what is read, and would be lost; name another file\n")
    command = [sys.executable, "-m", "pocketbert", "predict", "-m", str(classifier)]
    with source.open("rb") as opened, source.open("ab") as appended:
        for more, stdout in ((["-o", str(source), "--overwrite"], subprocess.PIPE), ([], appended)):
            ran = subprocess.run([*command, *more], stdin=opened, stdout=stdout, stderr=subprocess.PIPE, check=False)
            assert ran.returncode == 1
            assert b"would be lost" in ran.stderr or b"would never end" in ran.stderr
    assert source.read_text() == "good\nbad\n"
    for name in ("config.json", "model.safetensors"):
        ran = run_main(capfd, "predict", "-m", classifier, "the cat", "-o", classifier / name, "--overwrite")
        assert ran.status == 1
        assert ran.err.endswith(f"{name} is what is read, and would be lost; name another file\n")


def test_one_process_writes_a_file(classifier, tmp_path, capfd):
    out = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "pocketbert", "predict", "-m", str(classifier), "-o", str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as first:
        first.stdin.write(b"the cat\n")
        first.stdin.flush()
        while not out.exists() or not out.stat().st_size:  # it answers what it has; a hang ends with the test's time
            assert first.poll() is None, first.stderr.read()
        before = out.read_bytes()
        for more in (["--resume"], ["--overwrite"], []):
            ran = run_main(capfd, "predict", "-m", classifier, "-o", out, "the dog", *more)
            assert ran.status == 1
            why = f"another process writes {out}" if more else f"{out} exists"
            assert ran.err.startswith(f"error: {why}")
            assert ran.err.count("\n") == 1
        assert out.read_bytes() == before
        first.communicate(b"the dog\n")
        assert first.returncode == 0
    assert [json.loads(line)["line"] for line in out.read_text().splitlines()] == [1, 2]
    assert run_main(capfd, "predict", "-m", classifier, "-o", out, "the cat", "the dog", "--resume").status == 0


def test_outputs_of_every_kind(classifier, tmp_path, capfd):
    def run(*arguments):
        return run_main(capfd, "predict", "-m", classifier, "the cat", *arguments)

    assert run("-o", tmp_path) == (1, "", f"error: --output {tmp_path} is a folder; name a file\n")
    assert run("-o", tmp_path / "a" / "x").err.endswith(f"x: there is no folder {tmp_path / 'a'}; make it first\n")
    assert run("-o", "/dev/null") == (0, "", "")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert run("-o", "/dev/full") == (1, "", "error: /dev/full: No space left on device\n")
    assert "needs an output file" in run("-o", "/dev/null", "--resume").err
    assert "needs --output" in run("--resume").err
    for name in ("-", "/dev/stdout"):
        ran = run("-o", name, "--format", "jsonl")
        assert ran.status == 0
        assert json.loads(ran.out)["line"] == 1
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    assert run("-o", tmp_path / "lost").status == 1
    assert run("-o", tmp_path / "lost", "--overwrite").err.endswith("lost: No such file or directory\n")
