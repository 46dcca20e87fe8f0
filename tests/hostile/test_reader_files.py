"""Weight files and configurations that would take all memory, never end, or be read as what they are not."""

from __future__ import annotations

import json
import os
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from helpers.limits import run_limited
from pocketbert import DistilBertConfig, DistilBertModel
from pocketbert.checkpoint import open_checkpoint, weights
from pocketbert.checkpoint.formats import tf1_bundle as bundle
from pocketbert.checkpoint.formats.torch_bin import TorchFile
from pocketbert.errors import CheckpointError
from pocketbert.plan import plan_checkpoint
from pocketbert.storage import safetensors_header

CONFIG = DistilBertConfig(vocab_size=13, max_position_embeddings=8, dim=8, n_heads=2, n_layers=1, hidden_dim=16)
ZIPPED = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older"])


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    DistilBertModel(CONFIG).save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes among its files")
def test_files_without_end_are_not_opened(folder):
    """Each file of a checkpoint in turn is a pipe that nobody writes to, a device, or as long as no real one."""
    program = f"""
        import os, pathlib
        from pocketbert import AutoConfig, AutoTokenizer, PocketBertError, pipeline
        folder = pathlib.Path({str(folder)!r})
        (folder / "vocab.txt").write_text("[PAD]\\n[UNK]\\n[CLS]\\n[SEP]\\n[MASK]\\na\\n")
        (folder / "tokenizer_config.json").write_text("{{}}")
        def use(load):
            try:
                load(folder)
            except PocketBertError as error:
                return "refused"
            return "ran"
        everything = lambda folder: pipeline("feature-extraction", model=folder)("a")
        print(use(everything))
        for name in ("config.json", "model.safetensors", "vocab.txt"):
            kept = (folder / name).rename(folder / "kept")
            os.mkfifo(folder / name)
            uses = [use(everything), use(AutoConfig.from_pretrained), use(AutoTokenizer.from_pretrained)]
            (folder / name).unlink()
            (folder / name).symlink_to("/dev/zero")
            uses.append(use(everything))
            (folder / name).unlink()
            with (folder / name).open("wb") as file:
                file.truncate(2**40)
            uses.append(use(everything))
            (folder / name).unlink()
            (folder / name).symlink_to(kept)
            uses.append(use(everything))
            (folder / name).unlink()
            kept.rename(folder / name)
            print(name, *uses)
    """
    done = run_limited("\n".join(line[8:] for line in program.splitlines()), memory_gib=8, seconds=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "ran",
        "config.json refused refused refused refused refused ran",
        "model.safetensors refused ran ran refused refused ran",
        "vocab.txt refused ran refused refused refused ran",
    ]


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def table(entries: list[tuple[bytes, bytes]], handles: int = 1) -> bytes:
    """Return a TensorFlow 1 index: one block of entries, named by so many handles."""

    def block(pairs: list[tuple[bytes, bytes]]) -> bytes:
        content = b"".join(varint(0) + varint(len(key)) + varint(len(value)) + key + value for key, value in pairs)
        content += bytes(4) + (1).to_bytes(4, "little") + b"\0"
        return content + bundle._masked_crc32c(content).to_bytes(4, "little")

    first = block(entries)
    directory = block([(b"%05d" % number, varint(0) + varint(len(first) - 5)) for number in range(handles)])
    footer = varint(0) + varint(0) + varint(len(first)) + varint(len(directory) - 5)
    return first + directory + footer.ljust(40, b"\0") + bundle._MAGIC.to_bytes(8, "little")


def variable(shape: bytes, offset: int, size: int) -> bytes:
    return b"\x08\x01\x12" + varint(len(shape)) + shape + b"\x20" + varint(offset) + b"\x28" + varint(size)


SHARDS = (b"", b"\x08\x01")  # the entry that counts the data files
ONE = b"\x12\x02\x08\x01"  # a dimension of size 1


@pytest.mark.parametrize(
    ("entries", "handles", "message"),
    [
        ([SHARDS, *((b"%05d" % n, variable(ONE, 0, 4)) for n in range(2000))], 4000, "two blocks overlap"),
        ([SHARDS, *[(b"a", variable(ONE, 0, 4))] * 2], 1, "its names are not in order"),
        ([SHARDS, *((b"%05d" % n, b"") for n in range(70_000))], 1, "more than 65536 names"),
        ([SHARDS, (b"a", variable(ONE * 100_000, 0, 4))], 1, "a in .* has 100000 dimensions; at most 16 are read"),
        (
            [SHARDS, *((b"%05d" % n, variable(b"\x12\x04\x08\x80\x80\x10", 0, 2**20)) for n in range(9))],
            1,
            "share their numbers: they take 9437184 bytes, and the files have",
        ),
    ],
    ids=["handles", "twice", "names", "dimensions", "shared"],
)
def test_tensorflow_indexes_that_repeat_themselves(tmp_path, entries, handles, message):
    (tmp_path / "model.ckpt.index").write_bytes(table(entries, handles))
    (tmp_path / "model.ckpt.data-00000-of-00001").write_bytes(bytes(2**20))
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(tmp_path)


@ZIPPED
def test_a_thousand_tensors_of_the_same_numbers(tmp_path, zipped):
    whole = torch.zeros(2**18)
    content = {str(number): whole[:] for number in range(1000)}
    torch.save(content, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="share their numbers: they take 1048576000 bytes, and the files have"):
        open_checkpoint(tmp_path)
    torch.save({"a": whole, "b": whole}, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    assert len(open_checkpoint(tmp_path).arrays()) == 2


@ZIPPED
def test_a_tensor_of_64_gib_that_repeats_one_number(tmp_path, zipped):
    stretched = {"a": torch.zeros(1).expand(2**34), "b": torch.zeros(4).as_strided((2**17, 2**17), (0, 0))}
    for name, value in stretched.items():
        torch.save({name: value}, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
        with pytest.raises(CheckpointError, match="reads 17179869184 numbers of a storage of"):
            open_checkpoint(tmp_path)


def many_storages(count: int) -> bytes:
    """Return an older file of ``count`` tensors of one number each, every one with a storage of its own."""
    name = b"\x80\x02}q\x00c"
    functions = b"torch._utils\n_rebuild_tensor_v2\nq\x010ctorch\nFloatStorage\nq\x020X\x07\x00\x00\x00storageq\x030"
    body = [name, functions, b"X\x03\x00\x00\x00cpuq\x040ccollections\nOrderedDict\nq\x050("]
    keys = [b"%06d" % number for number in range(count)]
    for key in keys:
        text = b"X\x06\x00\x00\x00" + key
        storage = b"(h\x03h\x02" + text + b"h\x04K\x01NtQ"
        body.append(text + b"h\x01(" + storage + b"K\x00K\x01\x85K\x01\x85\x89h\x05)RtR")
    listed = b"\x80\x02](" + b"".join(b"X\x06\x00\x00\x00" + key for key in keys) + b"e."
    front = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."
    return front + b"".join(body) + b"u." + listed + (struct.pack("<q", 1) + bytes(4)) * count


def test_hundreds_of_thousands_of_storages(tmp_path, monkeypatch):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(many_storages(200_000))
    with pytest.raises(CheckpointError, match="a pickle of more than 4194304 bytes"):
        open_checkpoint(tmp_path)
    path.write_bytes(many_storages(3))
    assert list(open_checkpoint(tmp_path).arrays()) == ["000000", "000001", "000002"]
    monkeypatch.setattr(weights, "_MOST_TENSORS", 2)
    with pytest.raises(CheckpointError, match="holds 3 tensors; at most 2 are read"):
        open_checkpoint(tmp_path)


def test_the_header_of_bfloat16_tensors_is_read_once(tmp_path, monkeypatch):
    save_file({str(n): torch.full((2, 3), n, dtype=torch.bfloat16) for n in range(50)}, tmp_path / "model.safetensors")
    read, times = safetensors_header.json.loads, []
    monkeypatch.setattr(safetensors_header.json, "loads", lambda text: times.append(text) or read(text))
    arrays = open_checkpoint(tmp_path).arrays()
    assert {name: float(array[1, 2]) for name, array in arrays.items()} == {str(n): n for n in range(50)}
    assert len(times) == 1


def file_of(kind: str, path, tensors: dict[str, torch.Tensor]) -> None:
    torch.save(tensors, path / "pytorch_model.bin") if kind == "bin" else save_file(tensors, path / "model.safetensors")


@pytest.mark.parametrize("kind", ["bin", "safetensors"])
def test_a_file_that_changes_while_it_is_read(tmp_path, kind):
    content = {"a": torch.zeros(1000), "b": torch.ones(3)}
    file_of(kind, tmp_path, content)
    checkpoint = open_checkpoint(tmp_path)
    path = checkpoint.files[0]
    path.rename(tmp_path / "old")
    file_of(kind, tmp_path, {"b": torch.ones(5), "a": torch.ones(10)})
    for name, value in content.items():
        np.testing.assert_array_equal(checkpoint.array(name), value)  # of the file that was opened
    for left in (path.stat().st_size - 30, 0):
        checkpoint = open_checkpoint(tmp_path)
        os.truncate(path, left)
        with pytest.raises(CheckpointError, match="was changed or cut short while it was read"):
            checkpoint.arrays()
        file_of(kind, tmp_path, content)


def test_threads_read_one_checkpoint_at_once(tmp_path):
    content = {str(n): torch.full((5000,), float(n)) for n in range(40)}
    file_of("safetensors", tmp_path, content)
    checkpoint = open_checkpoint(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        for name, array in zip(content, pool.map(checkpoint.array, content), strict=True):
            assert (array == float(name)).all()


# -- what torch.save writes ------------------------------------------------------------------------------------


def with_attribute(tensor: torch.Tensor) -> torch.Tensor:
    tensor.tag = "a"
    return tensor


@ZIPPED
@pytest.mark.parametrize(
    "wrap",
    [nn.Parameter, nn.Buffer, with_attribute, lambda tensor: with_attribute(nn.Parameter(tensor))],
    ids=["parameter", "buffer", "tensor with an attribute", "parameter with an attribute"],
)
def test_parameters_run_with_and_without_torch(folder, zipped, wrap):
    expected = {name: array.tobytes() for name, array in open_checkpoint(folder).arrays().items()}
    model = DistilBertModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    state = {name: wrap(value.detach()) for name, value in model.state_dict().items()}
    torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    assert {name: array.tobytes() for name, array in open_checkpoint(folder).arrays().items()} == expected
    again = DistilBertModel.from_pretrained(folder)
    for name, value in again.state_dict().items():
        assert torch.equal(value, state[name])
    assert plan_checkpoint(folder).width == 8


@ZIPPED
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch.eye(3).to_sparse(), "sparse tensors"),
        (lambda: torch.eye(3).to_sparse_csr(), "sparse tensors"),
        (lambda: torch.zeros(2, device="meta"), "without values"),
        (lambda: nn.Parameter(torch.zeros(2, device="meta")), "without values"),
        (nn.parameter.UninitializedParameter, "without values"),
        (lambda: torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.qint8), "quantized by PyTorch"),
        (
            lambda: torch.quantize_per_channel(torch.eye(3), torch.ones(3), torch.zeros(3), 0, torch.quint8),
            "quantized by PyTorch",
        ),
        (lambda: torch.zeros(2, dtype=torch.float8_e4m3fn), r"float8 numbers.*torch\.float8_e4m3fn"),
        (lambda: torch.zeros(2, dtype=torch.float8_e5m2), r"float8 numbers.*torch\.float8_e5m2"),
        (lambda: torch.zeros(2, dtype=torch.complex32), "complex numbers"),
        (lambda: torch.zeros(2, dtype=torch.complex128), "complex numbers"),
        (lambda: torch.full((2,), 1j, dtype=torch.complex64).conj().imag, "views of complex ones"),
        (lambda: torch.zeros(2, dtype=torch.uint32), r"a dtype that no model here has \(torch\.uint32"),
        (lambda: torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)]), "nested tensors"),
        (lambda: torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)], layout=torch.jagged), "nested tensors"),
    ],
)
def test_tensors_that_no_model_has_are_refused_by_name(tmp_path, zipped, make, message):
    torch.save({"a": make()}, tmp_path / "x.bin", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=rf"x\.bin holds .*{message}|x\.bin was {message}"):
        TorchFile(tmp_path / "x.bin")


def test_a_huge_number_in_a_shape(tmp_path):
    header = {"a": {"dtype": "F32", "shape": [10**4000] * 100, "data_offsets": [0, 4]}}
    text = json.dumps(header).encode()
    (tmp_path / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + np.float32(1).tobytes())
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged or no safetensors file"):
        open_checkpoint(tmp_path)
