"""Saves that meet other saves, leftovers, strangers' folders and disks that refuse."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import threading
from pathlib import Path

import pytest

from helpers.faults import KILLED, outcomes, put, tree, visible
from pocketbert import BertConfig, BertModel, BertTokenizer, CheckpointError
from pocketbert.checkpoint import loading, open_checkpoint
from pocketbert.checkpoint.opened import open_model
from pocketbert.errors import UnsafeFileError
from pocketbert.storage import commits
from pocketbert.storage.commits import finish_save
from pocketbert.storage.hub import find_file, given_file, local_folder
from pocketbert.storage.replacing import replacing

OLD = {"config.json": "old", "weights": "old", "sub/part": "old", "shard-1": "old"}
NEW = {"config.json": "new", "weights": "new", "sub/part": "new", "vocab.txt": "new"}
SMALL = {"vocab_size": 9, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process with threads may not fork")
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions and pipes")


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def save(folder, files=NEW):
    with replacing(folder, stale=["shard-*"]) as stage:
        write(stage, files)


def texts(folder) -> dict[str, str]:
    return {name: content.decode() for name, (content, _) in tree(folder).items() if not name.endswith("/")}


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "model", OLD)
    return tmp_path / "model"


@pytest.fixture
def committed(folder, monkeypatch):
    """A folder whose save was killed right after its commit, and where nothing is in place yet."""
    cut_short(folder, monkeypatch)
    return folder


def cut_short(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(commits, "_put_in_place", lambda *args: (_ for _ in ()).throw(SystemExit))
        patch.setattr(commits.Stage, "_undo", lambda self: None)
        with pytest.raises(SystemExit):
            save(folder)
    assert (folder / ".saving-committed").is_dir() and visible(tree(folder)).keys() >= OLD.keys()


# -- who finds a save that was cut short -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "read",
    [
        local_folder,
        lambda folder: find_file(folder, "vocab.txt"),
        lambda folder: given_file(folder / "vocab.txt"),
        lambda folder: save(folder, {"other": "1"}),
    ],
    ids=["a folder is opened", "a file of it is asked for", "a file is given", "the next save"],
)
def test_whoever_finds_a_commit_finishes_it(committed, read):
    read(committed)
    assert {**texts(committed), **NEW} == texts(committed)
    assert not [*committed.glob(".saving-*"), *committed.glob("shard-*")]


def test_a_module_in_a_subfolder_belongs_to_the_commit_of_its_folder(committed):
    assert find_file(committed, "sub/part").read_text() == "new"


@linux
@pytest.mark.slow
def test_finishing_may_itself_be_cut_short_anywhere(committed):
    found = outcomes(lambda: finish_save(committed), committed, tree(committed))
    assert len({fault for fault, *_ in found}) > 2 and KILLED in {status for _, _, status, _ in found}
    for _, _, _, content in found:
        put(content, committed)
        save(committed, {"other": "1"})
        assert texts(committed) == {**NEW, "other": "1"}
        put(content, committed)
        finish_save(committed)
        assert {name: text for name, text in texts(committed).items() if not name.startswith(".")} == NEW


@pytest.mark.parametrize("refused", ["mkdir", "rename", "open"])
def test_where_nothing_may_be_written_a_load_says_that_a_save_was_cut_short(committed, monkeypatch, refused):
    def refuse(*args, **kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    before = tree(committed)
    with monkeypatch.context() as patch:
        patch.setattr(os, {"rename": "replace"}.get(refused, refused), refuse)
        with pytest.raises(CheckpointError, match=r"a save into .* was cut short .*Read-only file system; load the fo"):
            local_folder(committed)
    assert {**tree(committed), **before} == tree(committed)
    local_folder(committed)
    assert texts(committed) == NEW


def test_an_undo_that_the_disk_refuses_says_so_and_the_next_load_finishes(folder, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    rename, calls = os.replace, []

    def failing(source, target):
        calls.append(source)
        rename(source, target) if len(calls) < 6 else refuse()

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(CheckpointError, match=r"could not be put back: Input/output error; the next load"):
        save(folder)
    monkeypatch.undo()
    local_folder(folder)
    assert texts(folder) == NEW


# -- other saves -------------------------------------------------------------------------------------------------------


def test_leftovers_of_killed_saves_go_and_stages_of_live_ones_stay(folder):
    for name in (".saving-abcdefgh", ".saving-0_1_2_3_"):
        write(folder / name, {"new/weights": "half"})
    write(folder / ".saving-mine-too", {"notes": "of the user"})
    with replacing(folder) as first:
        save(folder)
        assert first.is_dir()
        write(first, {"weights": "first"})
    assert texts(folder) == {**NEW, "weights": "first", ".saving-mine-too/notes": "of the user"}


def test_a_link_that_looks_like_a_leftover_is_not_followed(folder, tmp_path):
    write(tmp_path / "elsewhere", {"precious": "1"})
    (folder / ".saving-abcdefgh").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (folder / ".saving-committed").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(CheckpointError):
        save(folder)
    assert texts(tmp_path / "elsewhere") == {"precious": "1"}
    (folder / ".saving-committed").unlink()
    save(folder)
    assert texts(tmp_path / "elsewhere") == {"precious": "1"}


def test_saves_at_once_from_threads_leave_the_files_of_one(folder):
    numbers, errors = range(6), []

    def work(number):
        try:
            for _ in range(3):
                save(folder, {"config.json": f"{number}", "weights": f"{number}", f"shard-{number}": f"{number}"})
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    found = texts(folder)
    winner = found["config.json"]
    assert found == {"sub/part": "old", "config.json": winner, "weights": winner, f"shard-{winner}": winner}


@linux
def test_saves_at_once_from_processes_leave_the_files_of_one(folder):
    children = []
    for number in range(3):
        if not (child := os.fork()):
            try:
                for _ in range(5):
                    save(folder, {"config.json": f"{number}", "weights": f"{number}", f"shard-{number}": f"{number}"})
            except BaseException:
                os._exit(1)
            os._exit(0)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    found = texts(folder)
    winner = found["config.json"]
    assert found == {"sub/part": "old", "config.json": winner, "weights": winner, f"shard-{winner}": winner}


def test_a_save_within_a_save_is_part_of_it(folder):
    class Refused(Exception):
        pass

    def nested(fail):
        with replacing(folder) as stage:
            with replacing(stage, stale=["shard-*"]) as inner:
                write(inner, {"config.json": "new"})
            write(stage, {"weights": "new"})
            if fail:
                raise Refused

    with pytest.raises(Refused):
        nested(True)
    assert texts(folder) == OLD
    nested(False)
    assert texts(folder) == {"config.json": "new", "weights": "new", "sub/part": "old"}


def test_a_save_in_the_middle_of_a_load_is_told(tmp_path, monkeypatch):
    def small(layers):
        return BertModel(BertConfig(**SMALL, num_hidden_layers=layers))

    small(2).save_pretrained(tmp_path)
    opened = open_model(tmp_path)
    small(1).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"was saved into while it was loaded: config\.json has changed; load"):
        _ = opened.weights
    assert len(BertModel.from_pretrained(tmp_path).encoder.layer) == 1

    def open_late(*args, **kwargs):
        small(1).save_pretrained(tmp_path)
        return open_checkpoint(*args, **kwargs)

    small(2).save_pretrained(tmp_path)
    opened = open_model(tmp_path)
    small(1).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()  # as between two renames
    with pytest.raises(CheckpointError, match="was saved into while it was loaded"):
        _ = opened.weights
    small(1).save_pretrained(tmp_path)

    monkeypatch.setattr(loading, "open_checkpoint", open_late)
    with pytest.raises(CheckpointError, match="was saved into while it was loaded"):
        BertModel.from_pretrained(tmp_path)


# -- folders of strangers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["files", "stale"])
@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../outside", "a\\b", "c:x", "", "a\x00b"])
def test_a_strangers_record_names_nothing_outside_its_folder(committed, name, where, tmp_path):
    write(tmp_path, {"outside": "precious"})
    path = committed / ".saving-committed" / "record.json"
    record = json.loads(path.read_text())
    record[where].append(name)
    path.write_text(json.dumps(record))
    with pytest.raises(UnsafeFileError, match="which leaves its folder"):
        local_folder(committed)
    assert (tmp_path / "outside").read_text() == "precious"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"files": ["a"], "stale": "b"}', '{"files": [1], "stale": []}'])
def test_a_damaged_record_is_refused(committed, content):
    (committed / ".saving-committed" / "record.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"record\.json"):
        local_folder(committed)
    assert {**texts(committed), **OLD} == texts(committed)


@pytest.mark.parametrize("link", [".saving-committed/new", ".saving-committed/old", "sub", ".saving-committed/new/sub"])
def test_no_link_is_followed_when_a_strangers_save_is_finished(committed, tmp_path, link):
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere, {"part": "precious", "weights": "precious", "sub/part": "precious"})
    shutil.rmtree(committed / link, ignore_errors=True)
    (committed / link).symlink_to(elsewhere, target_is_directory=True)
    with pytest.raises(CheckpointError, match="is a link"):
        local_folder(committed)
    assert texts(elsewhere) == {"part": "precious", "weights": "precious", "sub/part": "precious"}


@posix
def test_a_pipe_or_link_in_place_of_the_lock_neither_blocks_nor_is_followed(committed, tmp_path):
    lock = committed / ".saving-committed.lock"
    lock.symlink_to(tmp_path / "made")
    with pytest.raises(CheckpointError, match="cannot be finished"):
        local_folder(committed)
    assert not (tmp_path / "made").exists()
    lock.unlink()
    os.mkfifo(lock)
    local_folder(committed)
    assert texts(committed) == NEW


# -- permissions and refusals ------------------------------------------------------------------------------------------


@posix
def test_permissions_are_those_of_the_file_before_or_what_the_umask_leaves(tmp_path, monkeypatch):
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] a".split()  # noqa: SIM905
    tokenizer = BertTokenizer({token: id_ for id_, token in enumerate(words)})
    before = os.umask(0o027)
    try:
        monkeypatch.setattr(os, "umask", None)  # it would hold for all threads
        tokenizer.save_pretrained(tmp_path)
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        assert set(modes.values()) == {0o640}
        (tmp_path / "vocab.txt").chmod(0o604)
        (tmp_path / "tokenizer_config.json").chmod(0o444)
        tokenizer.save_pretrained(tmp_path)
    finally:
        monkeypatch.undo()
        os.umask(before)
    changed = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert changed == {**modes, "vocab.txt": 0o604, "tokenizer_config.json": 0o444}


def test_a_link_is_replaced_and_what_it_points_to_stays(folder, tmp_path):
    write(tmp_path, {"blob": "shared"})
    (folder / "weights").unlink()
    (folder / "weights").symlink_to(tmp_path / "blob")
    save(folder)
    assert (tmp_path / "blob").read_text() == "shared" and not (folder / "weights").is_symlink()


@pytest.mark.parametrize(("code", "words"), [(errno.ENOSPC, "No space left"), (errno.EACCES, "Permission denied")])
@pytest.mark.parametrize("at", ["mkdir", "fsync"])
def test_a_refusing_disk_is_named_with_the_folder(folder, monkeypatch, code, words, at):
    def refuse(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, at, refuse)
    with pytest.raises(CheckpointError, match=rf"cannot save into .*model, which stays as it was: .*{words}") as raised:
        BertConfig().save_pretrained(folder)
    assert raised.value.errno == code
    monkeypatch.undo()
    assert texts(folder) == OLD


def test_a_file_where_a_folder_should_be(folder):
    for target in (folder / "weights", folder / "weights" / "deeper"):
        with pytest.raises(CheckpointError, match="weights is a file or lies in one; pass a folder to save into"):
            save(target)
    (folder / "vocab.txt").mkdir()
    with pytest.raises(CheckpointError, match=r"vocab\.txt is a folder where a file should go; move it away"):
        save(folder)
    shutil.rmtree(folder / "vocab.txt")
    shutil.rmtree(folder / "sub")
    (folder / "sub").write_text("a file")
    with pytest.raises(CheckpointError, match="sub is a link or a file where a folder should be; move it away"):
        save(folder)
    assert texts(folder) == {"config.json": "old", "weights": "old", "shard-1": "old", "sub": "a file"}
    assert not [*folder.glob(".saving-*")]


def test_a_failed_save_makes_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(CheckpointError):
        save(tmp_path / "a" / "b" / "c")
    assert not [*Path(tmp_path).iterdir()]
