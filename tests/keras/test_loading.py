"""Folders in and out of Keras models: the same files as PyTorch's, every parameter assigned once, or refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

pytest.importorskip("keras.ops", exc_type=ImportError)
import keras

import pocketbert
from helpers.pairs import CLASSES, FAMILIES, assert_close, call_both, inputs_for, keras_twin, three_labels, torch_model
from pocketbert import CheckpointError, ConfigError, InputError, PrecisionError
from pocketbert.keras import loading

pytestmark = pytest.mark.slow  # TensorFlow takes long to start


def tf_class(family: str, head: str = "Model"):
    return getattr(pocketbert, f"TF{family}{head}")


@pytest.mark.parametrize("changes", [{}, {"tie_word_embeddings": False}], ids=["tied", "untied"])
@pytest.mark.parametrize(("family", "head"), CLASSES)
def test_every_parameter_is_assigned_once_and_has_the_schemas_shape(family, head, changes, monkeypatch):
    assigned = []
    monkeypatch.setattr(
        keras.Variable, "assign", lambda self, value: assigned.append((id(self), np.shape(value), tuple(self.shape)))
    )
    twin = keras_twin(torch_model(family, head, {**three_labels(head), **changes}))
    wanted = [p for p in twin.parameters_on_disk() if p.tied_to is None]
    assert sorted(key for key, _, _ in assigned) == sorted(id(weight) for weight in twin.weights)
    assert all(given == held for _, given, held in assigned)
    assert len(assigned) == len(wanted)
    for parameter in wanted:
        shape = tuple(loading.variable(twin, parameter).shape)
        assert (shape[::-1] if parameter.kind == "linear_weight" else shape) == parameter.shape


@pytest.mark.parametrize("shard", ["5GB", "4KB"])
@pytest.mark.parametrize(("family", "head"), CLASSES)
def test_there_and_back_between_pytorch_and_keras(family, head, shard, tmp_path):
    ours = torch_model(family, head, three_labels(head))
    ours.save_pretrained(tmp_path / "torch", max_shard_size=shard)
    twin = tf_class(family, head).from_pretrained(tmp_path / "torch")
    twin.save_pretrained(tmp_path / "keras", max_shard_size=shard)
    assert sorted(f.name for f in (tmp_path / "keras").iterdir()) == sorted(
        f.name for f in (tmp_path / "torch").iterdir()
    )
    assert (tmp_path / "keras/config.json").read_bytes() == (tmp_path / "torch/config.json").read_bytes()
    again = type(ours).from_pretrained(tmp_path / "keras")
    assert all(torch.equal(value, ours.state_dict()[name]) for name, value in again.state_dict().items())


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_files_and_policies(family, tmp_path):
    ours = torch_model(family).bfloat16()
    ours.save_pretrained(tmp_path / "torch")
    wide = tf_class(family).from_pretrained(tmp_path / "torch")
    assert {weight.dtype for weight in wide.weights} == {"float32"}
    assert_close(*call_both(ours.float(), wide, inputs_for("Model")))
    narrow = tf_class(family).from_pretrained(tmp_path / "torch", dtype="bfloat16")
    assert {weight.dtype for weight in narrow.weights} == {"bfloat16"}
    narrow.save_pretrained(tmp_path / "keras")
    again = type(ours).from_pretrained(tmp_path / "keras", dtype="auto")
    assert again.dtype is torch.bfloat16
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), ours.bfloat16().parameters(), strict=True))


def test_a_fresh_head_is_named_as_in_pytorch(tmp_path):
    torch_model("DistilBert").save_pretrained(tmp_path)
    kinds = (pocketbert.DistilBertForSequenceClassification, pocketbert.TFDistilBertForSequenceClassification)
    messages = []
    for kind in kinds:
        with pytest.warns(UserWarning, match="train the model before you use its answers") as caught:
            _, info = kind.from_pretrained(tmp_path, num_labels=5, output_loading_info=True)
        assert caught[0].filename == __file__
        messages.append(str(caught[0].message).removeprefix("TF"))
        assert info["missing_keys"] == [
            f"{name}.{leaf}" for name in ("pre_classifier", "classifier") for leaf in ("weight", "bias")
        ]
    assert messages[0] == messages[1]


def test_what_does_not_fit_is_refused_as_in_pytorch(tmp_path):
    ours = torch_model("MobileBert", "ForSequenceClassification", {"num_labels": 3})
    ours.save_pretrained(tmp_path)
    kinds = (pocketbert.MobileBertForSequenceClassification, pocketbert.TFMobileBertForSequenceClassification)
    state = ours.state_dict()
    lacking = {name: value for name, value in state.items() if "layer.1.attention" not in name}
    for options in (
        {"name": tmp_path, "num_labels": 4},
        {"name": None, "config": ours.config, "state_dict": lacking},
        {"name": None, "config": ours.config, "state_dict": {name: value.int() for name, value in state.items()}},
    ):
        messages = []
        for kind in kinds:
            given = {key: value for key, value in options.items() if key != "name"}
            with pytest.raises(CheckpointError) as caught:
                kind.from_pretrained(options["name"], **given)
            messages.append(str(caught.value).replace("TFMobile", "Mobile"))
        assert messages[0] == messages[1]
    for kind in kinds:
        with pytest.warns(UserWarning, match=r"a\.foreign\.weight of the checkpoint are not used"):
            kind.from_pretrained(None, config=ours.config, state_dict={**state, "a.foreign.weight": torch.zeros(2)})


def test_heads_of_another_size_start_afresh_on_request(tmp_path):
    torch_model("MobileBert", "ForSequenceClassification", {"num_labels": 3}).save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match=r"classifier\.weight was \(3, 32\), is \(4, 32\)"):
        model = pocketbert.TFMobileBertForSequenceClassification.from_pretrained(
            tmp_path, num_labels=4, ignore_mismatched_sizes=True
        )
    assert model(np.array([[1, 2]])).logits.shape == (1, 4)


def test_float16_overflows_and_is_refused_as_in_pytorch(tmp_path):
    torch_model("MobileBert").save_pretrained(tmp_path)
    with pytest.raises(PrecisionError) as theirs:
        pocketbert.MobileBertModel.from_pretrained(tmp_path, dtype="float16")
    for dtype in ("float16", "mixed_float16"):
        with pytest.raises(PrecisionError) as ours:
            pocketbert.TFMobileBertModel.from_pretrained(tmp_path, dtype=dtype)
        assert str(ours.value) == str(theirs.value)
    allowed = pocketbert.TFMobileBertModel.from_pretrained(tmp_path, dtype="float16", allow_float16=True)
    assert allowed.compute_dtype == "float16"
    layer_norm = torch_model("MobileBert", changes={"normalization_type": "layer_norm"}).config
    assert pocketbert.TFMobileBertModel(layer_norm, dtype="float16").compute_dtype == "float16"


def test_arguments_that_mean_nothing(tmp_path):
    model = pocketbert.TFDistilBertModel(torch_model("DistilBert").config)
    with pytest.raises(InputError, match="only safetensors is written"):
        model.save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(InputError, match="without a name or folder, both config and state_dict are needed"):
        pocketbert.TFDistilBertModel.from_pretrained(None)
    with pytest.raises(ConfigError, match="TFDistilBertModel needs a DistilBertConfig, got a MobileBertConfig"):
        pocketbert.TFDistilBertModel(torch_model("MobileBert").config)


def test_fresh_weights_start_as_in_pytorch():
    keras.utils.set_random_seed(0)
    fields = {"vocab_size": 500, "dim": 48, "n_heads": 4, "n_layers": 2, "hidden_dim": 64, "pad_token_id": 3}
    model = pocketbert.TFDistilBertForMaskedLM(pocketbert.DistilBertConfig(**fields))
    found = loading.arrays(model)
    for parameter in model.parameters_on_disk():
        if parameter.tied_to is not None:
            continue
        value = found[parameter.name]
        if parameter.kind == "norm_scale":
            assert (value == 1).all()
        elif parameter.kind in ("norm_bias", "linear_bias"):
            assert (value == 0).all()
        else:
            assert 0.018 < value.std() < 0.022, parameter.name
    assert (found["distilbert.embeddings.word_embeddings.weight"][3] == 0).all()
    waves = pocketbert.DistilBertConfig(**fields, sinusoidal_pos_embds=True)
    model = pocketbert.TFDistilBertModel(waves)
    position = model.embeddings.position_embeddings.embeddings
    ours = pocketbert.DistilBertModel(waves).embeddings.position_embeddings.weight
    np.testing.assert_allclose(keras.ops.convert_to_numpy(position), ours.detach().numpy(), atol=1e-6)
    assert not position.trainable


@pytest.mark.parametrize(("family", "head"), CLASSES)
def test_keras_files(family, head, tmp_path):
    ours = torch_model(family, head, three_labels(head))
    twin = keras_twin(ours)
    path = tmp_path / "model.keras"
    twin.save(path)
    again = keras.models.load_model(path)
    assert type(again) is type(twin)
    assert again.config == twin.config
    assert_close(*call_both(ours, again, inputs_for(head)))


def test_a_keras_file_remembers_how_the_model_was_compiled(tmp_path):
    model = pocketbert.TFDistilBertForSequenceClassification(torch_model("DistilBert").config, dtype="mixed_bfloat16")
    model.compile(keras.optimizers.SGD(0.25))
    model.save(tmp_path / "model.keras")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="__array__", category=DeprecationWarning)
        again = keras.models.load_model(tmp_path / "model.keras")
    assert float(again.optimizer.learning_rate) == 0.25
    assert again.loss is None
    assert again.dtype_policy.name == "mixed_bfloat16"
    assert again.distilbert.transformer.layer[0].attention.q_lin.compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"
