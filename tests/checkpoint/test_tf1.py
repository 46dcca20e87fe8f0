"""TensorFlow 1 checkpoints: the index is parsed without TensorFlow, names are translated by rule, damage is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from helpers import tf1_oracle
from pocketbert import AutoConfig, BertConfig, CheckpointError, ConfigError, MobileBertConfig
from pocketbert.checkpoint import open_checkpoint
from pocketbert.checkpoint.formats import tf1_bundle as bundle
from pocketbert.checkpoint.formats.names import tf1_name
from pocketbert.command.inspection import inspect_checkpoint

DTYPES = {"float32": 1, "float64": 2, "int64": 9, "float16": 19}
INDEX, DATA = "model.ckpt.index", "model.ckpt.data-00000-of-00001"


# -- a writer of the format ------------------------------------------------------------------------------------


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def piece(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def numbers(**fields: int) -> bytes:
    return b"".join(varint(int(name[1:]) << 3) + varint(value) for name, value in fields.items() if value)


def entry(value: np.ndarray, shard: int, offset: int, **changes: int) -> bytes:
    shape = b"".join(piece(2, numbers(_1=size)) for size in value.shape)
    fields = {"_1": DTYPES[str(value.dtype)], "_3": shard, "_4": offset, "_5": value.nbytes, **changes}
    return piece(2, shape) + numbers(**fields)


def block(entries: dict[bytes, bytes], compression: int = 0) -> bytes:
    """Return a block with its trailer; keys are cut where they repeat the one before, as LevelDB does."""
    content, last = b"", b""
    for key, value in sorted(entries.items()):
        shared = next((i for i, (a, b) in enumerate(zip(last, key, strict=False)) if a != b), min(len(last), len(key)))
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    content += (0).to_bytes(4, "little") + (1).to_bytes(4, "little") + bytes([compression])
    return content + bundle._masked_crc32c(content).to_bytes(4, "little")


def table(entries: dict[bytes, bytes], compression: int = 0) -> bytes:
    first = block(entries, compression)
    directory = block({b"z": varint(0) + varint(len(first) - 5)})
    footer = varint(0) + varint(0) + varint(len(first)) + varint(len(directory) - 5)
    return first + directory + footer.ljust(40, b"\0") + bundle._MAGIC.to_bytes(8, "little")


def write(folder, values, *, shards=1, header=None, **changes):
    """Write a checkpoint whose variables take turns between ``shards`` data files."""
    data = [b""] * shards
    entries = {b"": numbers(_1=shards) if header is None else header}
    for number, (name, value) in enumerate(values.items()):
        shard = number % shards
        entries[name.encode()] = entry(value, shard, len(data[shard]), **changes)
        data[shard] += value.tobytes()
    (folder / INDEX).write_bytes(table(entries))
    for shard, content in enumerate(data):
        (folder / f"model.ckpt.data-{shard:05d}-of-{shards:05d}").write_bytes(content)
    return entries


def refused(folder, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        open_checkpoint(folder)
    assert "model.ckpt" in str(caught.value)


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, tf1_oracle.variables(tf1_oracle.mobilebert(tf1_oracle.MOBILEBERT)))
    (tmp_path / "bert_config.json").write_text(json.dumps(tf1_oracle.MOBILEBERT))
    return tmp_path


# -- reading ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [1, 3])
def test_arrays(tmp_path, shards):
    values = tf1_oracle.variables(tf1_oracle.mobilebert(tf1_oracle.MOBILEBERT))
    write(tmp_path, values, shards=shards)
    checkpoint = open_checkpoint(tmp_path)
    assert [file.name for file in checkpoint.files] == [
        INDEX,
        *(f"model.ckpt.data-{shard:05d}-of-{shards:05d}" for shard in range(shards)),
    ]
    read = checkpoint.arrays()
    assert len(read) == sum("adam" not in name for name in values) - 1  # global_step
    layer = "encoder/layer_11/ffn_layer_2/output"
    for name, stored in (
        ("embeddings.word_embeddings.weight", values["bert/embeddings/word_embeddings"]),
        ("encoder.layer.11.ffn.2.output.dense.weight", values[f"bert/{layer}/dense/kernel"].T),
        ("encoder.layer.11.ffn.2.output.LayerNorm.weight", values[f"bert/{layer}/FakeLayerNorm/gamma"]),
    ):
        np.testing.assert_array_equal(read[f"mobilebert.{name}"], stored)
    extra = values["cls/predictions/extra_output_weights"]
    np.testing.assert_array_equal(read["cls.predictions.dense.weight"], extra.T)


def test_inspection_with_googles_configuration(folder):
    found = inspect_checkpoint(folder)
    assert (found.architecture, found.guessed, found.complete) == ("MobileBertForPreTraining", True, True)
    assert found.files == [INDEX, DATA]
    assert found.dtypes == {"float32": len(open_checkpoint(folder).tensors)}


def test_googles_configuration(folder):
    config = AutoConfig.from_pretrained(folder)
    assert config == MobileBertConfig.from_google_json(folder / "bert_config.json")
    assert config == MobileBertConfig.from_pretrained(folder)
    assert config.layer_norm_eps == config.outer_layer_norm_eps == 1e-12
    (folder / "bert_config.json").write_text(json.dumps(tf1_oracle.BERT))
    assert isinstance(AutoConfig.from_pretrained(folder), BertConfig)
    (folder / "config.json").write_text("{}")  # wins over Google's
    with pytest.raises(ConfigError, match=r"config\.json has no model_type"):
        AutoConfig.from_pretrained(folder)


def test_other_formats_win(folder):
    save_file({"a": np.ones(2)}, folder / "model.safetensors")
    assert list(open_checkpoint(folder).tensors) == ["a"]
    (folder / "model.safetensors").unlink()
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "tf_model.h5", "w") as file:
        file["classifier/model/classifier/bias:0"] = np.ones(2)
    assert list(open_checkpoint(folder).tensors) == ["classifier.bias"]


@pytest.mark.parametrize(
    ("stored", "name", "transposed"),
    [
        ("bert/embeddings/FakeLayerNorm/beta", "mobilebert.embeddings.LayerNorm.bias", False),
        (
            "bert/embeddings/embedding_transformation/kernel",
            "mobilebert.embeddings.embedding_transformation.weight",
            True,
        ),
        (
            "bert/encoder/layer_0/bottleneck/input/FakeLayerNorm/gamma",
            "mobilebert.encoder.layer.0.bottleneck.input.LayerNorm.weight",
            False,
        ),
        ("cls/predictions/output_bias", "cls.predictions.bias", False),
        ("cls/predictions/transform/LayerNorm/gamma", "cls.predictions.transform.LayerNorm.weight", False),
        ("cls/seq_relationship/output_weights", "cls.seq_relationship.weight", False),
        ("cls/squad/output_weights", "qa_outputs.weight", False),
        ("cls/squad/output_bias", "qa_outputs.bias", False),
        ("output_weights", "classifier.weight", False),
        ("output_bias", "classifier.bias", False),
    ],
)
def test_names(stored, name, transposed):
    assert tf1_name(stored, "mobilebert") == (name, transposed)


@pytest.mark.parametrize(
    "stored", ["global_step", "output_bias/adam_m", "bert/pooler/dense/kernel/adam_v", "AdamWeightDecayOptimizer_1/x"]
)
def test_an_optimisers_state_is_left_out(stored):
    assert tf1_name(stored, "bert") is None


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floats(tmp_path, dtype):
    value = np.arange(6, dtype=dtype).reshape(2, 3)
    write(tmp_path, {"bert/pooler/dense/kernel": value})
    np.testing.assert_array_equal(open_checkpoint(tmp_path).array("bert.pooler.dense.weight"), value.T)


# -- damage ----------------------------------------------------------------------------------------------------

ONE = {"output_bias": np.arange(3, dtype=np.float32)}


def test_every_truncation_and_every_changed_byte_of_the_index_is_seen(tmp_path):
    write(tmp_path, ONE)
    content = (tmp_path / INDEX).read_bytes()
    for length in range(len(content)):
        (tmp_path / INDEX).write_bytes(content[:length])
        refused(tmp_path, "is damaged or no index of a TensorFlow checkpoint .*fetch it again")
    for place in [*range(len(content) - 48), *range(len(content) - 8, len(content))]:  # between them is padding
        damaged = bytearray(content)
        damaged[place] ^= 0x55
        (tmp_path / INDEX).write_bytes(damaged)
        refused(tmp_path, "is damaged or no index")


def test_damage_under_right_checksums_never_raises_anything_else(tmp_path):
    entries = write(tmp_path, ONE)
    generator = np.random.default_rng(0)
    for number in range(400):
        damaged = {}
        for key, value in entries.items():
            content = bytearray(value[: generator.integers(len(value) + 1)] if number % 3 == 0 else value)
            for place in generator.integers(0, max(len(content), 1), 2) if content else ():
                content[place] = generator.integers(256)
            damaged[key] = bytes(content)
        (tmp_path / INDEX).write_bytes(table(damaged))
        try:
            open_checkpoint(tmp_path).arrays()
        except CheckpointError as error:
            assert "model.ckpt" in str(error)  # noqa: PT017  # most are refused, all that are say where


def test_a_short_data_file(tmp_path):
    write(tmp_path, ONE)
    (tmp_path / DATA).write_bytes(bytes(11))
    refused(
        tmp_path, rf"output_bias in .* needs 12 bytes for the shape \(3,\), and they are not in {DATA}, which has 11"
    )


def test_a_missing_data_file(tmp_path):
    write(tmp_path, ONE, shards=2)
    (tmp_path / "model.ckpt.data-00001-of-00002").unlink()
    refused(tmp_path, r"needs model\.ckpt\.data-00001-of-00002 beside it")


def test_an_index_alone_is_no_checkpoint(tmp_path):
    (tmp_path / INDEX).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"no weights in .*no TensorFlow 1 checkpoint"):
        open_checkpoint(tmp_path)


def test_several_checkpoints(tmp_path):
    write(tmp_path, ONE)
    for suffix in (".index", ".data-00000-of-00001"):
        (tmp_path / f"older{suffix}").touch()
    refused(tmp_path, r"holds 2 TensorFlow checkpoints \(model\.ckpt\.index, older\.index\); keep the one to read")


def test_a_checkpoint_of_tensorflow_2(tmp_path):
    write(tmp_path, {**ONE, "_CHECKPOINTABLE_OBJECT_GRAPH": np.zeros(1, np.float32)})
    refused(tmp_path, "was written by TensorFlow 2's tf.train.Checkpoint; .* save the model as tf_model.h5")


def test_integers(tmp_path):
    write(tmp_path, {"output_bias": np.zeros(3, np.int64)})
    refused(tmp_path, "output_bias in .* is stored as int64; float32, float64, float16 in one piece can be read")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"_1": 14}, "is stored as bfloat16"),
        ({"_1": 21}, "is stored as type 21"),
        ({"_3": 1}, "lies in data file 1 of 1"),
        ({"_4": 1}, "needs 12 bytes"),
        ({"_4": 2**63}, "needs 12 bytes"),
        ({"_5": 8}, "needs 12 bytes"),
    ],
)
def test_entries_that_lie(tmp_path, changes, message):
    write(tmp_path, ONE, **changes)
    refused(tmp_path, f"output_bias in .* {message}")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"", "names 0 data files; 1 to 256 can be"),
        (numbers(_1=10**6), "names 1000000 data files"),
        (numbers(_1=1, _2=1), "it is big-endian"),
        (b"\x0b", "a field of kind 3"),
        (b"\x08" + b"\xff" * 11, "a number is longer than 64 bits"),
        (piece(9, b"abc")[:-1], "an entry is cut short"),
    ],
)
def test_headers_that_lie(tmp_path, header, message):
    write(tmp_path, ONE, header=header)
    refused(tmp_path, message)


def test_a_variable_in_slices(tmp_path):
    entries = write(tmp_path, ONE)
    entries[b"output_bias"] += piece(7, b"")
    (tmp_path / INDEX).write_bytes(table(entries))
    refused(tmp_path, "output_bias in .* is stored in parts")


def test_a_compressed_table(tmp_path):
    (tmp_path / INDEX).write_bytes(table(write(tmp_path, ONE), compression=1))
    refused(tmp_path, "it is compressed, which TensorFlow's are not")


def test_names_that_grow_without_end(tmp_path):
    (tmp_path / INDEX).write_bytes(table({**write(tmp_path, ONE), b"x" * 1025: b""}))
    refused(tmp_path, "a name cannot be put together")


def test_a_large_index(tmp_path, monkeypatch):
    write(tmp_path, ONE)
    monkeypatch.setattr(bundle, "_LARGEST", 50)
    refused(tmp_path, "more than the 50 of any real file of its kind")
