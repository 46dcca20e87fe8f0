"""Weights of a folder: found, listed, read, compared with the schema; damaged or unsafe files are refused unread."""

from __future__ import annotations

import errno
import json
import os
import pickle
import struct

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from pocketbert import BertConfig, CheckpointError, DistilBertConfig, InputError, UnsafeFileError
from pocketbert.architecture import families
from pocketbert.checkpoint import fit, modern_name, open_checkpoint, parse_size, write_arrays, write_checkpoint

CONFIG = DistilBertConfig(vocab_size=11, dim=8, n_heads=2, n_layers=2, hidden_dim=12, max_position_embeddings=6)


def arrays(config=CONFIG, head="none", seed=0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    wanted = [p for p in families.parameters(config, head) if p.tied_to is None]
    return {p.name: generator.standard_normal(p.shape).astype(np.float32) for p in wanted}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name])


# -- reading ---------------------------------------------------------------------------------------------------


def test_arrays_come_back(tmp_path):
    write_arrays(tmp_path, CONFIG, arrays())
    checkpoint = open_checkpoint(tmp_path)
    assert_same(checkpoint.arrays(), arrays())
    assert not checkpoint.is_pickle
    assert checkpoint.size == (tmp_path / "model.safetensors").stat().st_size
    assert sorted(os.listdir(tmp_path)) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool]
)
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_every_dtype(tmp_path, dtype, file):
    from safetensors.torch import save_file as save_tensors

    values = {"a": torch.tensor([[1.5, -2.25, 0.0]]).to(dtype), "b": torch.tensor(3.0).to(dtype)}
    (save_tensors if file.endswith("safetensors") else torch.save)(values, tmp_path / file)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.is_pickle == file.endswith("bin")
    for name, value in values.items():
        assert checkpoint.tensors[name].dtype == str(dtype).removeprefix("torch.")
        assert checkpoint.tensors[name].shape == tuple(value.shape)
        array = checkpoint.array(name)
        assert array.dtype == (np.float32 if dtype is torch.bfloat16 else value.numpy().dtype)
        np.testing.assert_array_equal(array, value.float().numpy())
        assert checkpoint.torch_tensor(name).dtype is dtype
        torch.testing.assert_close(checkpoint.torch_tensor(name), value)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older than torch 1.6"])
def test_bin_files_through_the_weights_only_loader(tmp_path, zipped):
    tensors = {name: torch.from_numpy(value) for name, value in arrays().items()}
    torch.save(tensors, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    assert_same(open_checkpoint(tmp_path).arrays(), arrays())
    torch.save({"state_dict": tensors, "epoch": 3}, tmp_path / "pytorch_model.bin")
    assert_same(open_checkpoint(tmp_path).arrays(), arrays())


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_shards(tmp_path, kind):
    halves = [dict(list(arrays().items())[::2]), dict(list(arrays().items())[1::2])]
    stem = "model" if kind == "safetensors" else "pytorch_model"
    weight_map = {}
    for number, half in enumerate(halves, 1):
        file = f"{stem}-{number:05d}-of-00002.{kind}"
        weight_map |= dict.fromkeys(half, file)
        if kind == "safetensors":
            save_file(half, tmp_path / file)
        else:
            torch.save({name: torch.from_numpy(value) for name, value in half.items()}, tmp_path / file)
    (tmp_path / f"{stem}.{kind}.index.json").write_text(json.dumps({"weight_map": weight_map}))
    checkpoint = open_checkpoint(tmp_path)
    assert_same(dict(sorted(checkpoint.arrays().items())), dict(sorted(arrays().items())))
    assert len(checkpoint.files) == 2


def test_the_first_of_several_formats_wins(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    write_arrays(tmp_path, CONFIG, arrays())
    assert_same(open_checkpoint(tmp_path).arrays(), arrays())


def test_old_norm_names(tmp_path):
    save_file({"embeddings.LayerNorm.gamma": np.ones(2), "embeddings.LayerNorm.beta": np.zeros(2)}, tmp_path / "model.safetensors")  # fmt: skip  # noqa: E501
    assert set(open_checkpoint(tmp_path).tensors) == {"embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias"}
    for own in ("gamma.beta_scale.alphabet", "scale.gamma", "beta"):  # of layers of one's own
        assert modern_name(own) == own
    save_file({"LayerNorm.gamma": np.ones(2), "LayerNorm.weight": np.ones(2)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"LayerNorm\.weight stands twice"):
        open_checkpoint(tmp_path)


def test_no_weights(tmp_path):
    with pytest.raises(CheckpointError, match=r"no weights in .*none of model\.safetensors.*it holds: nothing"):
        open_checkpoint(tmp_path)
    (tmp_path / "flax_model.msgpack").touch()
    with pytest.raises(CheckpointError, match=r"it holds: flax_model\.msgpack"):
        open_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="no such folder"):
        open_checkpoint(tmp_path / "nowhere")


# -- damage ----------------------------------------------------------------------------------------------------


def raw_safetensors(header: bytes | dict, data: bytes = b"") -> bytes:
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + data


GOOD = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 7,
        b"garbage, no safetensors at all",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 10**12) + b"{}",
        struct.pack("<Q", 0),
        raw_safetensors(b"{" * 5000),
        raw_safetensors(b'{"a": '),
        raw_safetensors(b"\xff\xff"),
        raw_safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"\x00" * 8),
        raw_safetensors({"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, b"\x00" * 8),
        raw_safetensors({"a": {"dtype": "F32", "shape": [2**62, 8], "data_offsets": [0, 8]}}, b"\x00" * 8),
        raw_safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, b"\x00" * 12),
        raw_safetensors(GOOD),
        raw_safetensors(GOOD, b"\x00" * 7),
        raw_safetensors(GOOD, b"\x00" * 9),
        raw_safetensors({**GOOD, "b": GOOD["a"]}, b"\x00" * 8),
    ],
)
def test_damaged_safetensors(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"is damaged or no safetensors file.*it has {len(content)} bytes"):
        open_checkpoint(tmp_path)


def test_every_truncation_of_a_safetensors_file_is_seen(tmp_path):
    write_arrays(tmp_path, CONFIG, arrays())
    content = (tmp_path / "model.safetensors").read_bytes()
    for length in range(0, len(content), 97):
        (tmp_path / "model.safetensors").write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="is damaged"):
            open_checkpoint(tmp_path)


def test_a_dtype_that_no_one_reads_is_named(tmp_path):
    header = {"a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}
    (tmp_path / "model.safetensors").write_bytes(raw_safetensors(header, b"\x00" * 2))
    with pytest.raises(CheckpointError, match=r"a in .* has dtype F8_E4M3; supported are F64"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_bin_files_never_raise_anything_else(tmp_path, zipped):
    path = tmp_path / "pytorch_model.bin"
    torch.save({n: torch.from_numpy(v) for n, v in arrays().items()}, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    for number in range(40):
        damaged = bytearray(content[: generator.integers(len(content))] if number % 2 else content)
        for place in generator.integers(0, max(min(len(damaged), 1500), 1), 3):
            damaged[place : place + 1] = bytes([generator.integers(256)])
        path.write_bytes(damaged)
        try:
            open_checkpoint(tmp_path)
        except CheckpointError as error:
            assert "pytorch_model.bin" in str(error)  # noqa: PT017  # most are refused, all that are say where
    for content in (b"", b"no pickle", b"PK\x03\x04"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"pytorch_model\.bin"):
            open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "content", [[1, 2], {"a": 1}, {1: torch.zeros(1)}, torch.zeros(2), {"state_dict": 3}, {"a": {"b": torch.zeros(1)}}]
)
def test_a_bin_file_of_something_else(tmp_path, content):
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="holds no mapping of names to tensors"):
        open_checkpoint(tmp_path)


class Payload:
    """Runs a shell command when it is unpickled by a loader that runs code."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("how", ["torch zip", "torch legacy", "plain pickle"])
def test_code_in_a_pickle_is_never_run(tmp_path, how):
    marker, path = tmp_path / "marker", tmp_path / "pytorch_model.bin"
    content = {"a": torch.zeros(1), "b": Payload(marker)}
    if how == "plain pickle":
        path.write_bytes(pickle.dumps({"b": Payload(marker)}, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "torch zip")
    with pytest.raises(UnsafeFileError, match=r"holds more than tensors.*nothing in it was run.*model\.safetensors"):
        open_checkpoint(tmp_path)
    assert not marker.exists()
    torch.load(path, weights_only=False) if how != "plain pickle" else pickle.loads(path.read_bytes())  # noqa: S301
    assert marker.exists()  # the payload works: only the loader's refusal kept it from running


# -- shard indices ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/passwd", "..\\x", "inner/x.safetensors", "..", ""])
def test_an_index_that_leaves_its_folder(tmp_path, name):
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"a": np.zeros(1)}, tmp_path / "x.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(UnsafeFileError, match="which leaves its folder"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"weight_map": {"a": "gone-1.safetensors", "b": "gone-2.safetensors"}}, r"not there: gone-1.*, gone-2"),
        ({"weight_map": {}}, "not there: none at all"),
        ({"weight_map": ["a"]}, "has no weight_map of names to files"),
        ({"weight_map": {"a": 1}}, "has no weight_map of names to files"),
        ({}, "has no weight_map of names to files"),
        ([], "holds a list"),
    ],
)
def test_a_broken_index(tmp_path, index, message):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(tmp_path)


def test_a_tensor_in_two_shards(tmp_path):
    for number in (1, 2):
        save_file({"a": np.zeros(1)}, tmp_path / f"{number}.safetensors")
    index = {"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"a stands twice, in 1\.safetensors and 2\.safetensors"):
        open_checkpoint(tmp_path)


# -- does it fit? ----------------------------------------------------------------------------------------------


def stored(head="none", config=CONFIG):
    return {name: (value.shape, value.dtype.name) for name, value in arrays(config, head).items()}


def test_a_fit_with_and_without_the_prefix():
    wanted = families.parameters(CONFIG, "masked_lm")
    for given in (stored("masked_lm"), {n.removeprefix("distilbert."): s for n, s in stored("masked_lm").items()}):
        found = fit(given, wanted, CONFIG)
        assert found.complaint() is None
        assert set(found.sources.values()) == set(given)
        assert found.unused == []


def test_a_tied_name_stands_for_its_source():
    given = stored("masked_lm")
    given["vocab_projector.weight"] = given.pop("distilbert.embeddings.word_embeddings.weight")
    found = fit(given, families.parameters(CONFIG, "masked_lm"), CONFIG)
    assert found.complaint() is None
    assert found.sources["distilbert.embeddings.word_embeddings.weight"] == "vocab_projector.weight"


def test_other_heads_and_known_buffers_are_unused_and_the_rest_is_unexpected():
    given = stored() | {"embeddings.position_ids": ((1, 6), "int64"), "classifier.weight": ((2, 8), "float32")}
    given["extra.weight"] = ((1,), "float32")
    found = fit(given, families.parameters(CONFIG), CONFIG)
    assert found.unused == ["classifier.weight", "embeddings.position_ids"]
    assert found.unexpected == ["extra.weight"]
    assert found.complaint() == "1 unexpected (extra.weight)"


def test_one_complaint_names_everything():
    given = stored() | dict.fromkeys(("extra.weight", "transformer.layer.2.ffn.lin1.bias"), ((1,), "float32"))
    del given["embeddings.LayerNorm.bias"], given["transformer.layer.0.ffn.lin1.bias"]
    given["embeddings.word_embeddings.weight"] = ((13, 8), "float32")
    given["transformer.layer.0.ffn.lin2.bias"] = ((8,), "int8")
    complaint = fit(given, families.parameters(CONFIG), CONFIG).complaint()
    assert complaint == (
        "2 missing (embeddings.LayerNorm.bias, transformer.layer.0.ffn.lin1.bias); "
        "1 misshaped (embeddings.word_embeddings.weight is (13, 8), the configuration gives (11, 8)); "
        "2 unexpected (extra.weight, transformer.layer.2.ffn.lin1.bias); "
        "1 not stored as float64, float32, float16, bfloat16 (transformer.layer.0.ffn.lin2.bias is int8): "
        "take the checkpoint that was quantized into this one"
    )


def test_a_name_with_and_without_prefix_is_ambiguous():
    given = stored() | {"distilbert.embeddings.LayerNorm.bias": ((8,), "float32")}
    assert "distilbert.embeddings.LayerNorm.bias" in fit(given, families.parameters(CONFIG), CONFIG).unexpected


def test_berts_names_do_not_fit_distilbert():
    bert = BertConfig(vocab_size=11, hidden_size=8, num_attention_heads=2, num_hidden_layers=2, intermediate_size=12)
    found = fit(stored(config=bert), families.parameters(CONFIG), CONFIG)
    assert len(found.missing) == 32
    assert "encoder.layer.0.attention.self.query.weight" in found.unexpected


# -- writing ---------------------------------------------------------------------------------------------------


def writer(values):
    return lambda names, path: save_file({name: values[name] for name in names}, path)


def sizes(values):
    return {name: value.nbytes for name, value in values.items()}


@pytest.mark.parametrize("limit", [1, 500, 1000, "1KB", "1KiB"])
def test_sharding(tmp_path, limit):
    values = arrays()
    write_checkpoint(tmp_path, CONFIG, sizes(values), writer(values), limit)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_size": sum(sizes(values).values())}
    files = sorted(set(index["weight_map"].values()))
    assert files == [f"model-{n:05d}-of-{len(files):05d}.safetensors" for n in range(1, len(files) + 1)]
    for file in files:
        held = load_file(tmp_path / file)
        assert {name for name, where in index["weight_map"].items() if where == file} == set(held)
        assert len(held) == 1 or sum(v.nbytes for v in held.values()) <= parse_size(limit)
    assert_same(open_checkpoint(tmp_path).arrays(), values)


def test_no_stale_weights_are_left(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n")
    one, two, three = arrays(seed=1), arrays(seed=2), arrays(seed=3)
    write_checkpoint(tmp_path, CONFIG, sizes(one), writer(one))
    write_checkpoint(tmp_path, CONFIG, sizes(two), writer(two), 500)
    assert not (tmp_path / "model.safetensors").exists()
    assert_same(open_checkpoint(tmp_path).arrays(), two)
    write_checkpoint(tmp_path, CONFIG, sizes(two), writer(two), 3000)
    assert_same(open_checkpoint(tmp_path).arrays(), two)
    assert len(list(tmp_path.glob("model-*"))) == len(open_checkpoint(tmp_path).files)
    write_checkpoint(tmp_path, CONFIG, sizes(three), writer(three))
    assert sorted(os.listdir(tmp_path)) == ["config.json", "model.safetensors", "vocab.txt"]
    assert_same(open_checkpoint(tmp_path).arrays(), three)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("shard", [0, 1, 2])
@pytest.mark.parametrize("partly", [False, True])
def test_a_failed_save_leaves_the_old_checkpoint(tmp_path, error, shard, partly):
    old, new = arrays(seed=1), arrays(seed=2)
    write_checkpoint(tmp_path, CONFIG, sizes(old), writer(old))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    written = []

    def save(names, path):
        if len(written) == shard:
            if partly:
                path.write_bytes(b"half a file")
            raise error
        written.append(path)
        writer(new)(names, path)

    with pytest.raises(type(error)):
        write_checkpoint(tmp_path, CONFIG, sizes(new), save, 1000)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert_same(open_checkpoint(tmp_path).arrays(), old)


def test_a_path_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(CheckpointError, match="is a file or lies in one"):
        write_arrays(tmp_path / "file", CONFIG, arrays())
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize(
    ("size", "expected"),
    [(7, 7), ("7", 7), ("5GB", 5 * 10**9), ("5gib", 5 * 2**30), (" 1.5 MB ", 1_500_000), ("2KiB", 2048), ("3B", 3)],
)
def test_sizes(size, expected):
    assert parse_size(size) == expected


@pytest.mark.parametrize("size", ["", "five GB", "-1", -1, 0, "0MB", "5PB", None, "nan", "1e9", True, "1 2"])
def test_no_sizes(size):
    with pytest.raises(InputError, match=r"max_shard_size .* is no size; write bytes"):
        parse_size(size)
