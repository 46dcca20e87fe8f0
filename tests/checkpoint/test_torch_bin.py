"""Files of ``torch.save``: what torch's weights-only loader reads of tensors is read alike, without torch."""

from __future__ import annotations

import io
import itertools
import random
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from helpers.mutations import damaged_bytes
from pocketbert.checkpoint.formats.tensor_pickle import read_pickle
from pocketbert.checkpoint.formats.torch_bin import TorchFile
from pocketbert.errors import CheckpointError, UnsafeFileError

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool,
]  # fmt: skip
ZIPPED = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older"])


def save(content, path, zipped=True):
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def views(seed: int) -> dict[str, torch.Tensor]:
    """Return tensors of every dtype, whole, sliced, transposed, stepped, empty and of no dimension; some share."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for dtype in DTYPES:
        whole = torch.randint(0, 2 if dtype is torch.bool else 100, (4, 5, 6), generator=generator).to(dtype)
        name = str(dtype)
        found |= {
            name: whole, f"{name}.T": whole.permute(2, 0, 1), f"{name}.part": whole[1:3, 2:, ::2],
            f"{name}.one": whole[0, 0, 3], f"{name}.empty": whole[:, :0],
        }  # fmt: skip
    return found


@ZIPPED
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_reads_what_torch_reads(tmp_path_factory, zipped, seed):
    chance = random.Random(seed)
    found = dict(chance.sample(sorted(views(seed).items()), 12))
    path = save(found, tmp_path_factory.mktemp("file") / "pytorch_model.bin", zipped)
    theirs = torch.load(path, weights_only=True)
    ours = TorchFile(path)
    assert [tensor.stored_name for tensor in ours.tensors] == list(theirs)
    for tensor in ours.tensors:
        value = theirs[tensor.stored_name]
        assert (tensor.shape, tensor.dtype) == (tuple(value.shape), str(value.dtype).removeprefix("torch."))
        assert torch.equal(ours.torch_tensor(tensor), value)
        np.testing.assert_array_equal(ours.array(tensor), value.float() if value.dtype is torch.bfloat16 else value)


@ZIPPED
def test_what_lies_around_the_tensors_is_passed_over(tmp_path, zipped):
    layer = nn.Linear(3, 2)
    content = {
        "state_dict": layer.state_dict(), "epoch": 3, "rate": 1e-3, "names": ["a", ("b", None, True)],
        "optimizer": {"state": {0: {"step": torch.tensor(2.0)}}}, "size": torch.Size([3]), "dtype": torch.float32,
    }  # fmt: skip
    ours = TorchFile(save(content, tmp_path / "x.bin", zipped))
    assert {tensor.name: ours.array(tensor).tolist() for tensor in ours.tensors} == {
        name: value.tolist() for name, value in layer.state_dict().items()
    }
    parameters = TorchFile(save(dict(layer.named_parameters()), tmp_path / "x.bin", zipped))
    assert torch.equal(parameters.torch_tensor(parameters.tensors[0]), layer.weight)


def test_needs_no_torch(tmp_path):
    path = save(nn.Linear(3, 2).state_dict(), tmp_path / "x.bin")
    code = (
        "import sys, pathlib; sys.modules['torch'] = None\n"
        "from pocketbert.checkpoint.formats.torch_bin import TorchFile\n"
        f"file = TorchFile(pathlib.Path({str(path)!r})); print([file.array(t).shape for t in file.tensors])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[(2, 3), (2,)]"


def quantized_model():
    return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(3, 2)), {nn.Linear}, dtype=torch.qint8)


@ZIPPED
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: quantized_model().state_dict(), r"was quantized by PyTorch.*pocketbert quantize"),
        (lambda: {"a": torch.eye(3).to_sparse()}, r"sparse tensors; save them with \.to_dense"),
        (lambda: {"a": torch.zeros(2, device="meta")}, "without values"),
        (lambda: {"a": torch.zeros(2, dtype=torch.complex64)}, "complex numbers"),
        (lambda: {"a": torch.zeros(2, dtype=torch.float8_e4m3fn)}, "no model here has|float8"),
        (lambda: {"a": torch.zeros(2, dtype=torch.uint16)}, "a dtype that no model here has"),
        (lambda: {"a": torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)])}, "nested"),
        (lambda: {"a": torch.zeros(1).expand(2**34)}, "reads 17179869184 numbers of a storage of 1"),
        (lambda: nn.Linear(2, 2), r"asks to run torch\.nn\.modules\.linear\.Linear; nothing in it was run"),
    ],
)
def test_what_no_model_has_is_refused_by_name(tmp_path, content, message, zipped):
    path = save(content(), tmp_path / "x.bin", zipped)
    with pytest.raises(CheckpointError, match=rf"x\.bin.*{message}"):
        TorchFile(path)


@pytest.mark.parametrize("instruction", sorted({bytes([n]) for n in range(256)}))
def test_every_instruction_ends_in_words(instruction):
    """Each is tried at every depth of the stack; those that could call anything are refused."""
    pushes = [b"", b"}", b"(", b"]K\x01", b"}X\x01\x00\x00\x00aK\x01", b"(K\x01K\x02", b"cos\nsystem\n)", b"K\x01Q"]
    for before, after in itertools.product(
        pushes, (b"", b"\x01", b"\x05\x00\x00\x00abcde", b"os\nsystem\n", b"\xff" * 9)
    ):
        try:
            read_pickle(io.BytesIO(b"\x80\x02" + before + instruction + after + b"."))
        except CheckpointError as error:
            assert str(error)  # noqa: PT017  # some are whole pickles
    if instruction in b"\x81\x82\x83\x84\x91\x92\x93iIoLVPSFDg":
        with pytest.raises(UnsafeFileError, match="which no tensor needs"):
            read_pickle(io.BytesIO(b"\x80\x02N" + instruction + b"."))


@ZIPPED
@pytest.mark.parametrize("rounds", [200, pytest.param(3000, marks=pytest.mark.slow)])
def test_damaged_files(tmp_path, zipped, rounds):
    whole = save(views(0), tmp_path / "whole.bin", zipped).read_bytes()
    chance, path, refused = random.Random(rounds), tmp_path / "damaged.bin", 0
    for _ in range(rounds):
        path.write_bytes(damaged_bytes(whole, chance))
        try:
            file = TorchFile(path)
            for tensor in file.tensors:
                assert file.array(tensor).shape == tensor.shape
        except CheckpointError:
            refused += 1
    assert 0 < refused < rounds


def pickled(body: bytes) -> bytes:
    """Return the front of an older file whose content is ``body``."""
    magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
    return magic + b"\x80\x02M\xe9\x03." + b"\x80\x02}." + b"\x80\x02" + body + b"."


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"X" + struct.pack("<I", 2**31), "a string of 2147483648 bytes"),
        (b"]" * 2**22, "a pickle of more than 4194304 bytes"),
        (b"K\x01" + b"\x86".join([b"q\x00h\x00"] * 60) + b"q\x00}h\x00K\x01s", "is damaged"),  # a key of 2**60 parts
        (b"(" + b"K\x01" * 4000 + b"tq\x00" + b"ctorch\nSize\nh\x00R" * 9, "is damaged"),
    ],
    ids=["string", "long", "doubling", "arguments"],
)
def test_files_without_end(tmp_path, body, message):
    (tmp_path / "x.bin").write_bytes(pickled(body))
    with pytest.raises(CheckpointError, match=message):
        TorchFile(tmp_path / "x.bin")


def test_a_compressed_pickle_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"\x80\x02" + b"]" * 10**7 + b".")
    with pytest.raises(CheckpointError, match=r"data\.pkl is compressed"):
        TorchFile(tmp_path / "x.bin")
