"""JSON from strangers is read or refused with a reason."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pocketbert.errors import CheckpointError
from pocketbert.storage import texts
from pocketbert.storage.opening import open_file, read_bytes
from pocketbert.storage.texts import read_json, read_text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"vocab_size": 30', "is not JSON"),
        (b"", "is not JSON"),
        (b"\xff\xfe{}", "is not UTF-8"),
        (b'{"a": "\xe9"}', "is not UTF-8"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"a":' * 100_000, "is not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b"[1, 2]", "holds a list, a JSON object was expected"),
        (b"null", "holds a NoneType"),
        (b'"text"', "holds a str"),
    ],
)
def test_what_is_no_json_object_is_refused(tmp_path, content, reason):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"config\.json.*{reason}"):
        read_json(path)


def test_absent_oversized_and_unreadable_files(tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match=r"no config\.json in "):
        read_json(tmp_path / "config.json")
    with pytest.raises(CheckpointError, match="is a folder, not a regular file"):
        read_json(tmp_path)
    (tmp_path / "big.json").write_text('{"a": 1}')
    monkeypatch.setattr(texts, "_LIMIT", 4)
    with pytest.raises(CheckpointError, match="has 8 bytes, more than the 4"):
        read_json(tmp_path / "big.json")


def test_a_good_file_is_read(tmp_path):
    (tmp_path / "a.json").write_text('{"ä": [1, 2.5, null]}', "utf-8")
    assert read_json(tmp_path / "a.json") == {"ä": [1, 2.5, None]}


def test_line_breaks_of_every_system_are_read_alike(tmp_path):
    (tmp_path / "vocab.txt").write_bytes(b"a\r\nb\rc\nd")
    assert read_text(tmp_path / "vocab.txt") == "a\nb\nc\nd"


def pipe(path):
    os.mkfifo(path)


def bound_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # its address may have 100 characters


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes among its files")
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (pipe, "named pipe"),
        (bound_socket, "socket"),
        (Path.mkdir, "folder"),
        (lambda path: path.symlink_to("/dev/zero"), "device"),
    ],
)
def test_only_regular_files_are_opened(tmp_path, monkeypatch, make, kind):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config.json"
    make(path)
    for read in (read_json, read_text, open_file, lambda path: read_bytes(path, 10)):
        with pytest.raises(CheckpointError, match=rf"config\.json is a {kind}, not a regular file"):
            read(path)
    target = tmp_path / "target"
    target.write_bytes(b"{}")
    link = tmp_path / "link.json"
    link.symlink_to(target)
    assert read_json(link) == {}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes among its files")
def test_a_file_that_becomes_a_pipe_while_it_is_opened_is_refused(tmp_path, monkeypatch):
    regular, path = os.stat(__file__), tmp_path / "x"
    os.mkfifo(path)
    monkeypatch.setattr(os, "stat", lambda *_, **__: regular)
    with pytest.raises(CheckpointError, match="is a named pipe"):
        open_file(path)
