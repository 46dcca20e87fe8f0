"""What `predict` reads: records of any length, at any pace, and files that mean two things or nothing."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from helpers import environment
from helpers.command import run_main
from pocketbert.errors import InputError
from pocketbert.runtime.batching import PAUSE, chunks
from pocketbert.tasks.incoming import as_they_come
from pocketbert.tasks.records import MAX_RECORD, Fields, Record, count_records, read_file, read_stream

TEXT = Fields(("text",), ("text_pair",))


class Watched(io.BytesIO):
    """Notes the most bytes that are asked for at once."""

    most = 0

    def readline(self, size=-1):
        assert size is not None
        assert size > 0
        self.most = max(self.most, size)
        return super().readline(size)


def read(content, kind, most):
    stream = Watched(content)
    records = list(read_stream(stream, TEXT, kind, max_record=most))
    assert stream.most <= max(4 * most + 10, 1 << 20)
    return [(r.line, str(r.value) if isinstance(r.value, InputError) else r.value) for r in records]


# -- length ----------------------------------------------------------------------------------------------------


def test_a_record_has_a_limit():
    long = "the record has more than 1,000 characters; split it, or raise max_record"
    for line in ("é" * 1001, "a" * 1001, "日" * 2_000_000):
        assert read(f"one\n{line}\ntwo".encode(), "txt", 1000) == [(1, "one"), (2, long), (3, "two")]
    for line in ("\ufeff" + "日" * 1000, "a" * 1000 + "\r\n"):
        assert len(read(line.encode(), "txt", 1000)[0][1]) == 1000
    found = read(b'{"text": "a"}\n"' + b"x" * 5000 + b'"\n{"text": "b"}\n', "jsonl", 1000)
    assert found == [(1, {"text": "a"}), (2, long), (3, {"text": "b"})]
    assert MAX_RECORD == 10_000_000  # as --help says


def test_a_row_that_is_too_long_ends_the_reading():
    """Its rest would be taken for rows of their own: texts that nobody wrote."""
    for content in ("text\na\n" + "b" * 1002 + "\nc\n", 'text\na\n"' + "b\n" * 600 + '"\nc\n'):
        rows = read_stream(io.BytesIO(content.encode()), TEXT, "csv", max_record=1000)
        assert next(rows) == Record(2, {"text": "a"})
        with pytest.raises(InputError, match=r"line 3: .* more than 1,000 characters.*if quotes are not closed"):
            next(rows)
    assert len(read(b"text\n" + (b"x" * 900 + b"\n") * 5, "csv", 1000)) == 5  # the limit is of each
    with pytest.raises(InputError, match="line 1: the record has more than 1,000"):
        read(b"text," + b"x" * 9000, "csv", 1000)


def test_the_command_has_the_limit(made, tmp_path, capfd):
    source = tmp_path / "in.txt"
    source.write_text("the cat\n" + "a" * 200 + "\nthe dog\n")
    folder = made("DistilBert", "ForSequenceClassification")
    ran = run_main(capfd, "predict", "-m", folder, "-i", source, "--max-record", 100, "--format", "jsonl")
    assert ran.status == 2
    assert ["answer" in json.loads(line) for line in ran.out.splitlines()] == [True, False, True]
    assert ran.err.startswith("line 2: the record has more than 100 characters")
    assert "max-record" in run_main(capfd, "predict", "-m", folder, "x", "--max-record", 0).err


# -- names that stand twice, damage ----------------------------------------------------------------------------


def test_a_name_that_stands_twice_is_refused(tmp_path):
    with pytest.raises(InputError, match="must name each column once; it has 'text' twice"):
        read(b"text,id, text\na,1,b\n", "csv", 100)
    assert read(b"text,,\na,1,b\n", "csv", 100) == [(2, {"text": "a"})]  # nobody reads those without a name
    found = read(b'{"text": "a", "text": "b"}\n{"text": "c"}', "jsonl", 100)
    assert found == [(1, "not JSON: an object has the key 'text' twice"), (2, {"text": "c"})]
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table([pyarrow.array(["a"]), pyarrow.array(["b"])], names=["text", "text"])
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet must have each column once; it has 'text' twice"):
        read_file(tmp_path / "a.parquet", TEXT)


def test_damaged_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"text": [f"text {n}" for n in range(2000)] + ["x" * 99]}), path)
    assert str(list(read_file(path, TEXT, max_record=50))[-1].value).startswith("the record has more than 50")
    whole = path.read_bytes()
    told = []
    for place in range(0, len(whole), len(whole) // 60):
        for content in (whole[:place], whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]):
            path.write_bytes(content)
            try:
                assert count_records(path) == len(list(read_file(path, TEXT)))
            except InputError as error:
                told.append(str(error))
    assert len(told) > 60
    assert all(message.startswith(f"{path} ") and "\n" not in message for message in told)


def test_what_is_read_before_the_damage_is_answered(made, tmp_path, capfd):
    source = tmp_path / "in.csv"
    source.write_text('text\nthe cat\n"the\n' + "dog\n" * 50)
    folder = made("DistilBert", "ForSequenceClassification")
    out = tmp_path / "out.jsonl"
    ran = run_main(capfd, "predict", "-m", folder, "-i", source, "-o", out, "--max-record", 100)
    assert ran.status == 1
    assert ran.err.startswith("error: line 3: the record has more than 100 characters")
    assert [json.loads(line)["line"] for line in out.read_text().splitlines()] == [2]


# -- pace ------------------------------------------------------------------------------------------------------


def test_a_pause_ends_a_batch():
    items = [1, 2, PAUSE, PAUSE, 3, 4, 5, PAUSE]
    assert list(chunks(items, lambda _: 1, lookahead=3, limit=99)) == [[1, 2], [3, 4, 5]]


def test_records_come_as_they_are_sent():
    more = threading.Event()

    def sent():
        yield Record(1, "a")
        yield Record(2, "b")
        assert more.wait(60)
        yield Record(3, "c")
        raise OSError("broken")

    records = as_they_come(sent())
    seen = []
    while len(seen) < 2:
        record = next(records)
        seen += [] if record is PAUSE else [record.line]
    assert next(records) is PAUSE  # though the sender waits
    more.set()
    with pytest.raises(OSError, match="broken"):
        seen.extend(record.line for record in records if record is not PAUSE)
    assert seen == [1, 2, 3]


def test_what_is_sent_at_once_is_read_ahead_within_limits():
    taken = []

    def sent():
        for number in range(1, 3001):
            taken.append(number)
            yield Record(number, "a" * 100)

    records = [record for record in as_they_come(sent()) if record is not PAUSE]
    assert [record.line for record in records] == taken == list(range(1, 3001))
    # records of a size that few of them may wait
    large = as_they_come(Record(number, "a" * 6_000_000) for number in range(1, 9))
    assert [record.line for record in large if record is not PAUSE] == list(range(1, 9))


def test_a_partner_that_waits_for_each_answer(made):
    """And a signal ends it cleanly while it waits for the next line."""
    folder = made("DistilBert", "ForSequenceClassification")
    command = [sys.executable, "-m", "pocketbert", "predict", "-m", str(folder), "--format", "jsonl"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        with subprocess.Popen(command, **pipes, env=environment()) as process:
            line = 0
            for count in (1, 1, 40):
                process.stdin.write(b"the cat\n" * count)
                process.stdin.flush()
                for _ in range(count):
                    line += 1
                    assert json.loads(process.stdout.readline())["line"] == line
            process.stdin.write(b"half a li")
            process.stdin.flush()
            process.send_signal(number)
            out, err = process.communicate()
            assert (process.returncode, out, err) == (status, b"", b"stopped; what is finished was written\n")


def test_a_pipe_by_its_name(made, tmp_path, capfd):
    folder = made("DistilBert", "ForSequenceClassification")
    os.mkfifo(tmp_path / "in.jsonl")
    sender = threading.Thread(target=(tmp_path / "in.jsonl").write_text, args=('{"text": "the cat"}\n',), daemon=True)
    sender.start()
    ran = run_main(capfd, "predict", "-m", folder, "-i", tmp_path / "in.jsonl", "--format", "jsonl")
    sender.join()
    assert (ran.status, len(ran.out.splitlines())) == (0, 1)
    assert run_main(capfd, "predict", "-m", folder, "-i", tmp_path).err.endswith("it is a folder\n")
