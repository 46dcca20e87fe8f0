"""The commands that train on text files: what they take, print and write."""

from __future__ import annotations

from helpers.command import run_main
from helpers.small import folder

LINES = [f"the {animal} sat on the {place} and was happy" for animal in ("cat", "dog") for place in ("mat", "river")]
OPTIONS = ("--min-length", 5, "--batch-size", 4, "--epochs", 2)


def test_distil_and_pretrain(tmp_path, capfd):
    teacher = folder(tmp_path / "teacher", "Bert", "ForMaskedLM")
    files = [tmp_path / f"{name}.txt" for name in "abc"]
    for number, path in enumerate(files):
        path.write_text("\n".join(LINES[number:]), "utf-8")
    given = ("--teacher", teacher, "--corpus", files[0], *files[1:], *OPTIONS)  # as a shell expands *.txt
    ran = run_main(capfd, "distil", "distilbert", *given, "--out", tmp_path / "student", "--dry-run")
    assert ran.status == 0, ran.err
    assert "DistilBertForMaskedLM" in ran.out
    assert "steps     6 of 4, 3 in an epoch" in ran.out
    assert not (tmp_path / "student").exists()
    ran = run_main(capfd, "distil", "distilbert", *given, "--out", tmp_path / "student")
    assert ran.status == 0, ran.err
    assert f"wrote {tmp_path / 'student'}" in ran.err
    recipe = tmp_path / "student" / "run.toml"
    assert f'corpus = ["{files[0]}", "{files[1]}", "{files[2]}"]' in recipe.read_text("utf-8")
    again = run_main(capfd, "distil", "distilbert", "--recipe", recipe, "--out", tmp_path / "again")
    assert again.status == 0, again.err
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("student", "again"))
    assert one == other

    given = ("--model", tmp_path / "student", "--corpus", tmp_path / "*.txt", "--eval", files[0], *OPTIONS)
    ran = run_main(capfd, "pretrain", *given, "--out", tmp_path / "more")
    assert ran.status == 0, ran.err
    assert ran.out.startswith("accuracy at masked words 0.")


def test_what_is_missing_is_named(tmp_path, capfd):
    ran = run_main(capfd, "distil", "distilbert", "--corpus", "a.txt", "--out", "x")
    assert ran.status == 1
    assert "--teacher is missing: BERT or DistilBERT to learn from" in ran.err
    ran = run_main(capfd, "pretrain", "--model", "x", "--out", "x")
    assert ran.status == 1
    assert "--corpus is missing: text files" in ran.err
