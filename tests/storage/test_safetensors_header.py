"""Tensors are read as they were saved, and nothing that a header says is believed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from pocketbert.errors import CheckpointError
from pocketbert.storage.safetensors_header import read_tensors

TENSORS = {
    "double": np.arange(6.0).reshape(2, 3),
    "single": np.arange(5, dtype=np.float32),
    "long": np.arange(4).reshape(2, 2),
    "bytes": np.arange(-3, 4, dtype=np.int8),
    "empty": np.zeros((3, 0), np.float32),
}


def test_tensors_equal_what_was_saved(tmp_path):
    path = tmp_path / "t.safetensors"
    save_file(TENSORS, path, {"format": "some"})
    metadata, found = read_tensors(path)
    assert metadata == {"format": "some"}
    assert found.keys() == TENSORS.keys()
    for name, array in TENSORS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_misaligned_tensors_are_read(tmp_path):
    header = {
        "a": {"dtype": "I8", "shape": [1], "data_offsets": [0, 1]},
        "b": {"dtype": "F32", "shape": [1], "data_offsets": [1, 5]},
    }
    path = tmp_path / "t.safetensors"
    path.write_bytes(file_of(header, b"\x07" + np.float32(2.5).tobytes()))
    found = read_tensors(path)[1]
    assert found["a"][0] == 7
    assert found["b"][0] == 2.5
    assert found["b"].flags.aligned


def file_of(header, content):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content


def tensor(**changes):
    return {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}


DAMAGED = {
    "no header": (b"", "a header of 0 bytes in a file of 0"),
    "half a length": (b"\x01\x02", "a header of 513 bytes in a file of 2"),
    "a huge header": ((2**63).to_bytes(8, "little") + b"{}", "a header of 9223372036854775808 bytes"),
    "no json": (file_of(b"{", b""), "its header is not JSON"),
    "deep json": (file_of(b"[" * 100000, b""), "its header is not JSON"),
    "no text": (file_of(b"\xff\xfe", b""), "its header is not JSON"),
    "a list": (file_of([], b""), "its header is no object"),
    "metadata": (file_of({"__metadata__": {"format": 1}}, b""), "its metadata is no mapping of strings"),
    "no tensor": (file_of({"a": 1}, b""), "tensor 'a' is described as 1"),
    "a field less": (file_of({"a": {"dtype": "F32"}}, b""), "tensor 'a' is described as"),
    "dtype": (file_of(tensor(dtype="X9"), bytes(8)), "tensor 'a' has dtype 'X9'"),
    "a list as dtype": (file_of(tensor(dtype=["F32"]), bytes(8)), "tensor 'a' has dtype"),
    "shape": (file_of(tensor(shape=[-2]), bytes(8)), r"tensor 'a' has shape \[-2\]"),
    "a float": (file_of(tensor(shape=[2.0]), bytes(8)), r"tensor 'a' has shape \[2.0\]"),
    "too large": (file_of(tensor(shape=[2**62, 4]), bytes(8)), r"shape \(4611686018427387904, 4\) has 8 bytes"),
    "behind the end": (file_of(tensor(data_offsets=[4, 12]), bytes(8)), "lies at 4 .. 12 of 8 bytes"),
    "backwards": (file_of(tensor(data_offsets=[8, 0]), bytes(8)), "lies at 8 .. 0 of 8 bytes"),
    "three offsets": (file_of(tensor(data_offsets=[0, 4, 8]), bytes(8)), "tensor 'a' has shape"),
    "truncated": (file_of(tensor(), bytes(7)), "lies at 0 .. 8 of 7 bytes"),
    "more behind": (file_of(tensor(), bytes(9)), "its tensors have 8 bytes, 9 follow the header"),
    "a gap": (file_of(tensor(data_offsets=[4, 12]), bytes(12)), "its tensors overlap or leave a gap at byte"),
    "twice": (file_of(tensor() | {"b": tensor()["a"]}, bytes(8)), "its tensors overlap or leave a gap at byte"),
    "dimensions": (file_of(tensor(shape=[1] * 17), bytes(4)), "tensor 'a' has shape"),
    "huge dimensions": (file_of(tensor(shape=[10**4000] * 16), bytes(4)), "tensor 'a' has shape"),
}


@pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged(tmp_path, content, message):
    path = tmp_path / "t.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_tensors(path)
