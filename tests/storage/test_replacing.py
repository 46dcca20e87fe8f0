"""A folder's files are replaced as a whole or not at all."""

from __future__ import annotations

import errno
import os

import pytest

from pocketbert.errors import CheckpointError
from pocketbert.storage.replacing import replacing

OLD = {"config.json": "old config", "weights-1": "old weights", "weights-2": "more old weights", "vocab.txt": "words"}
NEW = {"config.json": "new config", "weights-1": "new weights"}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for name, text in OLD.items():
        (folder / name).write_text(text)
    return folder


def content(folder) -> dict[str, str]:
    """Return every file below a folder, hidden ones too."""
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def save(folder, files=NEW) -> None:
    with replacing(folder, stale=["weights-*"]) as stage:
        for name, text in files.items():
            (stage / name).write_text(text)


def test_new_files_replace_old_and_stale_ones_and_leave_the_rest(folder):
    save(folder)
    assert content(folder) == {**NEW, "vocab.txt": "words"}
    assert sorted(os.listdir(folder)) == ["config.json", "vocab.txt", "weights-1"]


def test_a_folder_is_made_with_its_parents(tmp_path):
    save(tmp_path / "a" / "b")
    assert content(tmp_path / "a" / "b") == NEW


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("new_folder", [False, True])
def test_a_failure_while_writing_leaves_everything_as_it_was(folder, tmp_path, error, new_folder):
    target = tmp_path / "other" if new_folder else folder

    def fail():
        with replacing(target, stale=["weights-*"]) as stage:
            (stage / "config.json").write_text("new config")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert content(folder) == OLD
    assert sorted(os.listdir(tmp_path)) == ["model"]
    assert sorted(os.listdir(folder)) == sorted(OLD)


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
@pytest.mark.parametrize("after", [False, True], ids=["before the rename", "after the rename"])
@pytest.mark.parametrize("number", range(3))  # two files come in, a stale one goes out
def test_a_failure_of_any_rename_leaves_everything_as_it_was(folder, monkeypatch, number, after, error):
    rename, calls = os.replace, []

    def failing(source, target):
        calls.append(source)
        if len(calls) == number + 1:
            if after:
                rename(source, target)
            raise error
        rename(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(type(error)):
        save(folder)
    assert content(folder) == OLD
    assert sorted(os.listdir(folder)) == sorted(OLD)


def test_new_files_are_as_readable_as_any(folder):
    with replacing(folder) as stage:
        (stage / "config.json").write_text("new")
        (stage / "config.json").chmod(0o600)
    (folder / "other").touch()
    assert (folder / "config.json").stat().st_mode == (folder / "other").stat().st_mode


def test_a_second_interrupt_while_undoing_is_held_back(folder, monkeypatch):
    rename, calls = os.replace, []

    def failing(source, target):
        calls.append(source)
        rename(source, target)
        if len(calls) in (3, 4, 5):
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(KeyboardInterrupt):
        save(folder)
    assert content(folder) == OLD


def test_a_folder_where_a_file_should_go_is_refused_and_nothing_changes(folder):
    (folder / "weights-1").unlink()
    (folder / "weights-1").mkdir()
    (folder / "weights-1" / "inner").write_text("kept")
    old = content(folder)
    with pytest.raises(CheckpointError, match="weights-1 is a folder where a file should go"):
        save(folder)
    assert content(folder) == old
    save(folder, {"config.json": "new config"})  # a stale name that is a folder is not ours either
    assert content(folder) == {"config.json": "new config", "vocab.txt": "words", "weights-1/inner": "kept"}


def test_a_path_that_is_a_file_or_lies_in_one_is_refused(folder):
    for path in (folder / "config.json", folder / "config.json" / "deeper"):
        with pytest.raises(CheckpointError, match="is a file or lies in one; pass a folder to save into"):
            save(path)
    assert content(folder) == OLD
