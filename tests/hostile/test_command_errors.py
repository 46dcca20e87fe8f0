"""How the command ends, and what reaches a terminal or a program: one line, a status, no secrets and no escapes."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
from safetensors.numpy import save_file

from helpers import environment
from helpers.command import run_main
from helpers.fake import FakeRunner, tokenizer
from helpers.small import VOCAB
from pocketbert import AutoConfig
from pocketbert.command import inspection
from pocketbert.command.streams import results
from pocketbert.errors import CheckpointError, HubError, UnsafeFileError
from pocketbert.storage import hub
from pocketbert.storage.hub import HubOptions, local_folder, safe_name
from pocketbert.tasks.text_classification import TextClassificationPipeline

ESCAPE = "\x1b[31m\x9b2J\x07\u2028red"


@pytest.fixture(scope="module")
def classifier(made):
    return made("DistilBert", "ForSequenceClassification", id2label={0: f"bad{ESCAPE}", 1: "good\ud800"})


class Panic(BaseException):
    """What native code raises at its own mistakes."""


@pytest.mark.parametrize(
    ("raised", "status", "told"),
    [
        (CheckpointError("no\x1b[2J such"), 1, "error: no\\x1b[2J such"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a\x1b"), 1, "error: a\\x1b: No such file or d"),
        (OSError("of a library"), 1, "error: OSError: of a library; --debug shows where"),
        (MemoryError(), 1, "error: out of memory"),
        (MemoryError("for 8 GiB"), 1, "error: out of memory: for 8 GiB"),
        (RecursionError("maximum recursion depth exceeded"), 1, "error: the input is nested too deep"),
        (KeyboardInterrupt(), 130, "stopped"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe", "standard output"), 141, "stopped: nobody reads standard output"),
        (RuntimeError("first\nsecond"), 1, "error: RuntimeError: first; --debug shows where"),
        (KeyError(), 1, "error: KeyError; --debug shows where"),
        (Panic("assertion failed"), 1, "error: Panic: assertion failed; --debug shows where"),
        (SystemExit("a library's"), 1, "error: a library's"),
    ],
)
@pytest.mark.filterwarnings("always")
def test_whatever_is_raised_ends_in_a_line_and_a_status(capfd, monkeypatch, raised, status, told):
    def fail(folder):
        warnings.warn(f"of{ESCAPE}", UserWarning, stacklevel=1)
        raise raised

    monkeypatch.setattr(inspection, "inspect_checkpoint", fail)
    ran = run_main(capfd, "inspect", "folder")
    warning, line, end = ran.err.split("\n")
    assert (ran.status, ran.out, end) == (status, "", "")
    assert line.startswith(told)
    assert warning == "warning: of\\x1b[31m\\x9b2J\\x07\\u2028red"
    ran = run_main(capfd, "inspect", "folder", "--debug")
    assert ran.status == status
    assert "Traceback (most recent call last):" in ran.err
    assert "\x1b" not in ran.err
    assert "in fail" in ran.err
    assert ran.err.endswith(line + "\n")


def test_wrong_usage(capfd, classifier):
    for arguments, told in {
        ("predict", "--nope"): "error: No such option: --nope",
        ("nope",): "error: No such command 'nope'",
        ("inspect",): "error: Missing argument 'FOLDER'",
        ("predict", "-m", classifier, "x", "--threads", "two"): "error: Invalid value for '--threads'",
    }.items():
        ran = run_main(capfd, *arguments)
        assert (ran.status, ran.out) == (2, "")
        assert ran.err.startswith(told)
        assert ran.err.count("\n") == 1
    for arguments in (["--help"], ["predict", "--help"], ["--version"]):
        ran = run_main(capfd, *arguments)
        assert (ran.status, ran.err) == (0, "")
        assert ran.out


def test_options_of_any_name(capfd, classifier):
    for name in ("task", "self", "output", "items", "options", "given", "records", ""):
        ran = run_main(capfd, "predict", "-m", classifier, "the cat", "--option", f"{name}=1")
        assert (ran.status, ran.out) == (1, "")
        assert ran.err.startswith(f"error: text-classification takes no argument {name!r}")
    ran = run_main(capfd, "predict", "-m", classifier, "a", "--option", "top_k=1", "--option", "top_k=2")
    assert ran.err == "error: --option top_k is given twice; pass it once\n"
    ran = run_main(capfd, "predict", "-m", classifier, "a", "--option", "top_k=" + "[" * 100_000)
    assert ran.status == 1
    assert ran.err.count("\n") == 1


def test_arguments_that_are_not_text(capfd, classifier):
    """Python spells a byte that is not UTF-8 as half a surrogate pair; tokenizers would drop it."""
    bad = os.fsdecode(b"caf\xe9")
    for arguments, told in (
        (["-m", classifier, "a", bad], r"error: TEXT 2 is not UTF-8: 'caf\udce9'"),
        (["-m", classifier, "a", "--option", f"truncation={bad}"], "error: --option 1 is not UTF-8"),
        (["-m", classifier, "-i", f"{bad}.txt"], r"error: --input caf\udce9.txt: no such file"),
        (["-m", bad, "a"], "error: no folder"),
        (["-m", classifier, "a", "--task", bad], "error: unknown task"),
        (["-m", classifier, "a", "--format", bad], "error: style="),
    ):
        ran = run_main(capfd, "predict", *arguments)
        assert (ran.status, ran.out) == (1, "")
        assert ran.err.startswith(told)
        assert ran.err.count("\n") == 1


def test_a_file_name_that_is_not_text_is_a_file_name(capfd, classifier, tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    with open(f"{name}.txt", "w") as file:
        file.write("the cat\n")
    assert run_main(capfd, "predict", "-m", classifier, "-i", f"{name}.txt", "-o", f"{name}.jsonl") == (0, "", "")
    assert os.path.getsize(f"{name}.jsonl") > 0


def test_no_escape_reaches_the_terminal(capfd, classifier, tmp_path):
    folder = shutil.copytree(classifier, tmp_path / f"model{ESCAPE}")
    tensors = {f"evil{ESCAPE}.weight": np.zeros((2, 2), np.float32)}
    (tmp_path / "bad").mkdir()
    shutil.copy(folder / "config.json", tmp_path / "bad")
    save_file(tensors, tmp_path / "bad" / "model.safetensors")
    runs = [
        run_main(capfd, "inspect", folder),
        run_main(capfd, "inspect", tmp_path / "bad"),
        run_main(capfd, "inspect", tmp_path / "bad", "--json"),
        run_main(capfd, "predict", "-m", tmp_path / "bad", "a"),
        run_main(capfd, "predict", "-m", folder, f"the cat {ESCAPE}", "--task", f"{ESCAPE}"),
        run_main(capfd, "predict", "-m", folder, f"the cat {ESCAPE}", "the " * 200 + ESCAPE),
        run_main(capfd, "predict", "-m", folder, f"the cat {ESCAPE}", "--format", "jsonl"),
        run_main(capfd, "predict", "-m", folder, "-i", tmp_path / f"{ESCAPE}.txt"),
        run_main(capfd, "predict", "-m", folder, "a", "--option", f"{ESCAPE}=1"),
        run_main(capfd, "inspect", tmp_path / ESCAPE),
        run_main(capfd, f"--{ESCAPE}"),
    ]
    assert [ran.status for ran in runs] == [0, 2, 2, 1, 1, 2, 0, 1, 1, 1, 2]
    shown = "".join(ran.out + ran.err for ran in runs)
    assert "evil\\x1b[31m" in shown
    assert {c for c in shown if not c.isprintable()} == {"\n"}
    assert json.loads(runs[6].out)["answer"]["label"] in (f"bad{ESCAPE}", "good\ud800")
    assert json.loads(runs[2].out)["unexpected"] == list(tensors)


def test_standard_output_has_json_lines_only(capfd, classifier, tmp_path):
    """The tokenizers library prints there when a vocabulary has a word twice, and so may others."""
    folder = shutil.copytree(classifier, tmp_path / "model")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)
    (folder / "vocab.txt").write_text("\n".join([*VOCAB[:-1], VOCAB[40]]) + "\n", "utf-8")
    ran = run_main(capfd, "predict", "-m", folder, "the cat", "a dog", "--format", "jsonl")
    assert [json.loads(line)["line"] for line in ran.out.splitlines()] == [1, 2]


def test_what_python_prints_goes_to_standard_error(capfd, monkeypatch):
    def noisy(folder):
        print("a library's")
        os.write(1, b"native\n")
        results().write("{}\n")
        raise CheckpointError("no")

    monkeypatch.setattr(inspection, "inspect_checkpoint", noisy)
    assert run_main(capfd, "inspect", "folder") == (1, "{}\n", "a library's\nnative\nerror: no\n")


@contextmanager
def descriptor(number, name, stand_in):
    """Put something else in the place of a standard stream; None closes it, as ``>&-`` does."""
    kept = os.dup(number)
    before = getattr(sys, name)
    if stand_in is None:
        os.close(number)
        setattr(sys, name, None)
    else:
        os.dup2(stand_in, number)
    try:
        yield
    finally:
        os.dup2(kept, number)
        os.close(kept)
        setattr(sys, name, before)


def test_streams_that_are_closed_full_or_left(capfd, classifier, tmp_path, monkeypatch):
    full = os.open("/dev/full", os.O_WRONLY)
    reader, left = os.pipe()
    os.close(reader)
    predict = ["predict", "-m", classifier, "the cat"]
    everything = (predict, [*predict, "--format", "jsonl"], ["inspect", classifier], ["inspect", classifier, "--json"])
    for stand_in, told, status in (
        (None, "error: standard output: Bad file descriptor\n", 1),
        (full, "error: standard output: No space left on device\n", 1),
        (left, "stopped: nobody reads standard output any more\n", 141),
    ):
        for arguments in everything:
            with descriptor(1, "stdout", stand_in):
                ran = run_main(capfd, *arguments)
            assert ran == (status, "", told)
        with descriptor(1, "stdout", stand_in):
            assert run_main(capfd, *predict, "-o", tmp_path / "a.jsonl", "--overwrite") == (0, "", "")
    with descriptor(1, "stdout", full):
        assert run_main(capfd, "--version") == (1, "", "error: standard output: No space left on device\n")
    with descriptor(0, "stdin", None):
        ran = run_main(capfd, "predict", "-m", classifier)
    assert ran == (1, "", "error: standard input: Bad file descriptor\n")
    with descriptor(2, "stderr", None):
        assert run_main(capfd, *predict, "-o", tmp_path) == (1, "", "")
    os.close(full)
    os.close(left)
    assert json.loads((tmp_path / "a.jsonl").read_text())["line"] == 1


def test_without_assertions(classifier, tmp_path):
    out = tmp_path / "out.jsonl"
    code = f"""
import sys
from pocketbert.command.cli import main
statuses = []
for more in ([], ["--resume"]):
    sys.argv = ["pocketbert", "predict", "-m", {str(classifier)!r}, "the cat", "-o", {str(out)!r}, *more]
    try:
        main()
    except SystemExit as ending:
        statuses.append(ending.code)
    open({str(out)!r}, "a").write('{{"line": 1, "answer": "mine"}}\\n')
print(statuses)
"""
    ran = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, env=environment(), check=True)
    assert ran.stdout == b"[0, 1]\n"
    assert b"its line 2 was not written by predict" in ran.stderr


# -- the token -------------------------------------------------------------------------------------------------


@pytest.fixture
def refusing_hub(monkeypatch):
    """A hub library that repeats the token that it was given in an error."""
    import huggingface_hub
    from huggingface_hub import constants

    def refuse(*_, token, **__):
        raise ValueError(f"invalid header: 'Bearer {token}' or 'Bearer hf_stored'")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "unreachable", lambda: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    monkeypatch.setenv("HF_TOKEN", "hf_stored")


@pytest.mark.parametrize("token", ["hf_SECRET\n", "hf_SECRET", "hf_SE\nCRET", "hf_SECRET\x00", "hf_SÉCRET", "\n"])
def test_the_token_is_not_shown(refusing_hub, token):
    import traceback

    options = HubOptions(token=token)
    assert "hf_S" not in repr(options)
    with pytest.raises(HubError) as caught:
        local_folder("owner/model", ["config.json"], options=options)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "hf_S" not in shown.replace(repr(token), "")
    assert "hf_stored" not in shown
    assert "token= is empty, or holds" in shown or "Bearer ..." in shown


def test_a_token_that_is_none_is_not_sent(made):
    model = AutoConfig.from_pretrained(made("DistilBert", "ForSequenceClassification"))
    with pytest.raises(HubError, match="token= is empty, or holds a space"):
        model.push_to_hub("mine", token="hf_SE CRET")


def test_a_shard_of_a_name_that_controls_a_terminal():
    with pytest.raises(UnsafeFileError, match=r"index names 'a\\x1b\[2J', which would control a terminal"):
        safe_name("a\x1b[2J", where="index")


def test_stream_options_may_have_any_name():
    task = TextClassificationPipeline(FakeRunner("sequence_classification"), tokenizer())
    with pytest.raises(ValueError, match="takes no argument 'items'"):
        task.stream(["a"], items=1)
