"""``pocketbert finetune`` as it is typed."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from helpers.training_data import records
from pocketbert.command.cli import app


def run(*arguments):
    return CliRunner().invoke(app, ["finetune", "text-classification", *map(str, arguments)])


@pytest.fixture
def options(start, tmp_path):
    """Return options of a short run on a CSV file whose columns have other names."""
    rows = [f"{row['text']},{row['label']}\n" for row in records("text-classification", 16)]
    path = tmp_path / "train.csv"
    path.write_text("sentence,stars\n" + "".join(rows), "utf-8")
    return ["--model", start(), "--train", path, "--columns", "text=sentence,label=stars", "--epochs", 1]


def test_scores_are_printed_and_a_run_is_made_again_from_its_file(options, tmp_path):
    first = run(*options, "--eval", options[3], "--out", tmp_path / "one")
    assert first.exit_code == 0, first.output
    assert [line.split()[:-1] for line in first.stdout.splitlines()] == [["accuracy"], ["macro", "F1"]]
    again = run("--recipe", tmp_path / "one" / "run.toml", "--out", tmp_path / "two")
    assert again.stdout == first.stdout
    losses = [
        [json.loads(line).get("loss") for line in (tmp_path / name / "history.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    assert losses[0] == losses[1]


def test_only_the_first_process_speaks(options, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert run(*options, "--out", tmp_path / "out").output == ""


def test_a_dry_run_writes_nothing(options, tmp_path):
    found = run(*options, "--out", tmp_path / "out", "--dry-run")
    assert "examples  16" in found.stdout
    assert "[CLS] the mat was not good and the city" in found.stdout
    assert not (tmp_path / "out").exists()
