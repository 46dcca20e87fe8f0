"""``tf_model.h5``: translated by rule, read as plain numbers; whatever those files never hold is refused."""

from __future__ import annotations

import json
import re
import sys

import numpy as np
import pytest
import torch

from pocketbert import CheckpointError, DistilBertConfig, MissingExtra, UnsafeFileError
from pocketbert.architecture import families
from pocketbert.checkpoint import open_checkpoint, write_arrays
from pocketbert.checkpoint.formats.names import keras_name
from pocketbert.command.inspection import inspect_checkpoint

CONFIG = DistilBertConfig(vocab_size=11, dim=8, n_heads=2, n_layers=2, hidden_dim=12, max_position_embeddings=6)
MODEL = "tf_distil_bert_for_masked_lm_1"


def arrays(head="masked_lm", seed=0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    wanted = [p for p in families.parameters(CONFIG, head) if p.tied_to is None]
    return {p.name: generator.standard_normal(p.shape).astype(np.float32) for p in wanted}


def variables(given=None) -> dict[str, np.ndarray]:
    """Return what the TensorFlow class calls these parameters: layer and below -> value in its layout."""
    leaves = {"linear_weight": "kernel", "linear_bias": "bias", "norm_scale": "gamma", "norm_bias": "beta"}
    kinds = {p.name: p.kind for p in families.parameters(CONFIG, "masked_lm")}
    out = {}
    for name, value in (given or arrays()).items():
        scope = re.sub(r"layer/(\d+)", r"layer_._\1", name.rpartition(".")[0].replace(".", "/"))
        leaf = leaves.get(kinds[name], "weight" if "word" in name else "embeddings")
        out[f"{scope}/{leaf}:0"] = value.T if leaf == "kernel" else value
    return out


def write_whole(path, values=None):
    """Write a file as Keras 2 does: each layer a group, its variables below under their whole names."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name, value in (variables() if values is None else values).items():
            layer = name.partition("/")[0]
            file.create_dataset(f"{layer}/{MODEL}/{name}", data=value)
        # the head holds the embeddings that it is tied to; Keras saves them with each of the two
        tied = "distilbert/embeddings/word_embeddings/weight:0"
        file.create_dataset(f"vocab_projector/{MODEL}/{tied}", data=np.zeros(1, np.float32))


@pytest.fixture
def folder(tmp_path):
    pytest.importorskip("h5py")
    write_whole(tmp_path / "tf_model.h5")
    CONFIG.save_pretrained(tmp_path)
    return tmp_path


def assert_same(one, other):
    assert sorted(one) == sorted(other)
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name])


def refused(folder, message, kind=CheckpointError):
    with pytest.raises(kind, match=message) as caught:
        open_checkpoint(folder)
    assert "tf_model.h5" in str(caught.value)


# -- reading ---------------------------------------------------------------------------------------------------


def test_arrays_come_back_under_pytorch_names_and_layouts(folder):
    checkpoint = open_checkpoint(folder)
    assert_same(checkpoint.arrays(), arrays())
    assert not checkpoint.is_pickle
    assert [file.name for file in checkpoint.files] == ["tf_model.h5"]
    assert checkpoint.size == (folder / "tf_model.h5").stat().st_size
    assert all(array.flags.c_contiguous and array.flags.writeable for array in checkpoint.arrays().values())


def test_torch_tensors(folder):
    checkpoint = open_checkpoint(folder)
    for name, value in arrays().items():
        torch.testing.assert_close(checkpoint.torch_tensor(name), torch.from_numpy(value), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("stored", "name", "transposed"),
    [
        ("mobilebert/embeddings/word_embeddings/weight:0", "mobilebert.embeddings.word_embeddings.weight", False),
        (
            "mobilebert/embeddings/token_type_embeddings/embeddings:0",
            "mobilebert.embeddings.token_type_embeddings.weight",
            False,
        ),
        (
            "mobilebert/encoder/layer_._11/ffn.2/output/LayerNorm/bias:0",
            "mobilebert.encoder.layer.11.ffn.2.output.LayerNorm.bias",
            False,
        ),
        (
            "predictions___cls/predictions/transform/LayerNorm/gamma:0",
            "cls.predictions.transform.LayerNorm.weight",
            False,
        ),
        ("predictions___cls/predictions/dense/weight:0", "cls.predictions.dense.weight", False),
        ("predictions___cls/predictions/bias:0", "cls.predictions.bias", False),
        ("seq_relationship___cls/seq_relationship/kernel:0", "cls.seq_relationship.weight", True),
        (
            "distilbert/transformer/layer_._0/attention/q_lin/kernel:0",
            "distilbert.transformer.layer.0.attention.q_lin.weight",
            True,
        ),
        ("qa_outputs/kernel", "qa_outputs.weight", True),
    ],
)
def test_names(stored, name, transposed):
    assert keras_name(stored) == (name, transposed)


@pytest.mark.parametrize("stored", ["layers/dense/vars/0", "kernel:0", "", "dense/moving_mean:0"])
def test_names_of_other_models(stored):
    assert keras_name(stored) is None


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats(tmp_path, dtype):
    expected = {name: value.astype(dtype) for name, value in arrays().items()}
    write_whole(tmp_path / "tf_model.h5", variables(expected))
    checkpoint = open_checkpoint(tmp_path)
    assert {tensor.dtype for tensor in checkpoint.tensors.values()} == {np.dtype(dtype).name}
    assert_same(checkpoint.arrays(), expected)


def test_shards(tmp_path):
    h5py = pytest.importorskip("h5py")
    weight_map = {}
    for number, (name, value) in enumerate(variables().items()):
        file = f"tf_model-{number % 3 + 1:05d}-of-00003.h5"
        weight_map[f"{MODEL}/{name}"] = file
        with h5py.File(tmp_path / file, "a") as opened:
            opened.create_dataset(name, data=value)
    (tmp_path / "tf_model.h5.index.json").write_text(json.dumps({"weight_map": weight_map}))
    checkpoint = open_checkpoint(tmp_path)
    assert_same(checkpoint.arrays(), arrays())
    assert len(checkpoint.files) == 3


def test_safetensors_from_tensorflow(tmp_path):
    from safetensors.numpy import save_file

    stored = {name: np.ascontiguousarray(value) for name, value in variables().items()}
    save_file(stored, tmp_path / "model.safetensors", metadata={"format": "tf"})
    assert_same(open_checkpoint(tmp_path).arrays(), arrays())


def test_bfloat16_safetensors_from_tensorflow(tmp_path):
    from safetensors.torch import save_file

    stored = {name: torch.from_numpy(value).bfloat16().contiguous() for name, value in variables().items()}
    save_file(stored, tmp_path / "model.safetensors", metadata={"format": "tf"})
    checkpoint = open_checkpoint(tmp_path)
    for name, value in arrays().items():
        expected = torch.from_numpy(value).bfloat16()
        torch.testing.assert_close(checkpoint.torch_tensor(name), expected, rtol=0, atol=0)
        np.testing.assert_array_equal(checkpoint.array(name), expected.float().numpy())


def test_safetensors_and_bin_win(folder):
    torch.save({name: torch.from_numpy(value) for name, value in arrays(seed=1).items()}, folder / "pytorch_model.bin")
    assert_same(open_checkpoint(folder).arrays(), arrays(seed=1))
    write_arrays(folder, CONFIG, arrays(seed=2))
    assert_same(open_checkpoint(folder).arrays(), arrays(seed=2))


def test_a_decoder_that_was_trained_apart(tmp_path):
    table = np.arange(6, dtype=np.float32).reshape(2, 3)
    values = {
        "mobilebert/embeddings/word_embeddings/weight:0": table,
        "predictions___cls/predictions/decoder/weight:0": table + 1,
    }
    write_whole(tmp_path / "tf_model.h5", values)
    with pytest.warns(UserWarning, match="holds a decoder that is not its word table.* is used for both; write"):
        open_checkpoint(tmp_path)
    untied = open_checkpoint(tmp_path, tied=False)  # no warning
    np.testing.assert_array_equal(untied.array("cls.predictions.decoder.weight"), table + 1)
    write_whole(tmp_path / "tf_model.h5", dict.fromkeys(values, table))
    open_checkpoint(tmp_path)  # no warning


def test_inspection(folder):
    found = inspect_checkpoint(folder)
    assert (found.architecture, found.files, found.complete) == ("DistilBertForMaskedLM", ["tf_model.h5"], True)
    assert found.parameters == sum(value.size for value in arrays().values())


def test_without_h5py(tmp_path, monkeypatch):
    (tmp_path / "tf_model.h5").write_bytes(b"any")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtra, match=r"\.h5 files need h5py; pip install 'pocketbert\[h5\]'"):
        open_checkpoint(tmp_path)


# -- damage ----------------------------------------------------------------------------------------------------


def test_truncations(folder):
    path = folder / "tf_model.h5"
    content = path.read_bytes()
    for length in range(0, len(content), 997):
        path.write_bytes(content[:length])
        refused(folder, "is damaged or no HDF5 file .*fetch it again")


@pytest.mark.parametrize("content", [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + b"\xff" * 500])
def test_no_hdf5(tmp_path, content):
    pytest.importorskip("h5py")
    (tmp_path / "tf_model.h5").write_bytes(content)
    refused(tmp_path, f"is damaged or no HDF5 file .*it has {len(content)} bytes")


def test_damage_never_raises_anything_else(folder):
    path = folder / "tf_model.h5"
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        for place in generator.integers(0, len(content), 5):
            damaged[place] = generator.integers(256)
        path.write_bytes(damaged)
        try:
            open_checkpoint(folder).arrays()
        except CheckpointError as error:
            assert "tf_model.h5" in str(error)  # noqa: PT017  # most are refused, all that are say where


def test_a_file_that_shrinks_before_it_is_read(folder):
    checkpoint = open_checkpoint(folder)
    (folder / "tf_model.h5").write_bytes(b"short")
    with pytest.raises(CheckpointError, match=r"tf_model\.h5 was changed or cut short while it was read"):
        checkpoint.array("vocab_transform.weight")


# -- what these files never hold -------------------------------------------------------------------------------

PLACE = f"classifier/{MODEL}/classifier/kernel:0"


def add(folder):
    h5py = pytest.importorskip("h5py")
    return h5py, h5py.File(folder / "tf_model.h5", "a")


def test_links_to_other_files_are_not_followed(folder):
    h5py, file = add(folder)
    with h5py.File(folder / "other.h5", "w") as other:
        other["x"] = np.zeros(3, np.float32)
    with file:
        file[PLACE] = h5py.ExternalLink("other.h5", "x")
    refused(folder, rf"{PLACE} in .* is a link to the file 'other\.h5'; it was not followed", UnsafeFileError)


def test_data_in_other_files_is_not_opened(folder):
    _, file = add(folder)
    (folder / "secret").write_bytes(bytes(12))
    with file:
        file.create_dataset(PLACE, (3,), np.float32, external=[(str(folder / "secret"), 0, 12)])
    refused(folder, f"{PLACE} in .* has its data in another file; it was not opened", UnsafeFileError)


def test_virtual_datasets_are_not_opened(folder):
    h5py, file = add(folder)
    layout = h5py.VirtualLayout((3,), np.float32)
    layout[:] = h5py.VirtualSource("other.h5", "x", (3,))
    with file:
        file.create_virtual_dataset(PLACE, layout)
    refused(folder, "is not stored in one piece")


@pytest.mark.parametrize(
    "options",
    [{"chunks": (2,)}, {"compression": "gzip"}, {"shuffle": True}, {"fletcher32": True}, {"maxshape": (None,)}],
)
def test_chunks_and_filters(folder, options):
    _, file = add(folder)
    with file:
        file.create_dataset(PLACE, data=np.zeros(3, np.float32), **options)
    refused(folder, f"{PLACE} in .* is not stored in one piece without compression; load the model where")


def test_other_names_for_the_same(folder):
    h5py, file = add(folder)
    with file:
        file[PLACE] = h5py.SoftLink("/distilbert")
    refused(folder, f"{PLACE} in .* is a link to another name")
    with file.__class__(folder / "tf_model.h5", "a") as file:
        del file[PLACE]
        file["distilbert/itself"] = file["/distilbert"]
    refused(folder, "itself in .* is another name of something else there")


@pytest.mark.parametrize("value", [np.zeros(3, np.int32), np.zeros(3, ">f4"), np.zeros(3, np.complex64), b"text"])
def test_other_dtypes(folder, value):
    _, file = add(folder)
    with file:
        file[PLACE] = value
    refused(folder, f"{PLACE} in .* is no tensor of float16, float32, float64")


def test_a_tensor_without_data(folder):
    _, file = add(folder)
    with file:
        file.create_dataset(PLACE, (2**40, 2**20), np.float32)  # of zeros that need no room
    refused(folder, rf"{PLACE} in .* needs {2**62} bytes for the shape \(1099511627776, 1048576\), and they are not")


def test_a_type_beside_the_tensors(folder):
    _, file = add(folder)
    with file:
        file[PLACE] = np.dtype(np.float32)
    refused(folder, f"{PLACE} in .* is a Datatype, not a tensor")


def test_bytes_before_the_start(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "tf_model.h5", "w", userblock_size=512) as file:
        file[PLACE] = np.zeros(3, np.float32)
    refused(tmp_path, "starts with 512 bytes that are not HDF5")


def test_too_many_objects(folder, monkeypatch):
    monkeypatch.setattr("pocketbert.checkpoint.formats.h5._MOST_OBJECTS", 50)
    refused(folder, "holds more than 50 groups and datasets")


def test_no_tensors(tmp_path):
    h5py = pytest.importorskip("h5py")
    h5py.File(tmp_path / "tf_model.h5", "w").close()
    refused(tmp_path, "holds no tensors")


def test_a_file_of_keras_3(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "tf_model.h5", "w") as file:
        file["layers/dense/vars/0"] = np.zeros((2, 3), np.float32)
    refused(tmp_path, r"layers/dense/vars/0 in .* is no variable of transformers' TensorFlow classes; load the model")
