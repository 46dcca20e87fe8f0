"""Folders in and out: equal to the original's in both directions, complete or refused, and nothing else on disk."""

from __future__ import annotations

import json
import shutil
import socket
import warnings

import huggingface_hub
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import pocketbert
from helpers.oracle import CLASSES, HEADS, SMALL, batch, pair
from helpers.torch_models import build, first
from pocketbert import CheckpointError, ConfigError, HubError, InputError, PrecisionError, UnsafeFileError

THREE = {"num_labels": 3}


def assert_same(one, other, inputs=None):
    inputs = inputs or batch()
    with torch.no_grad():
        mine, theirs = one(**inputs), other(**inputs)
    assert list(mine) == list(theirs)
    for key in mine:
        torch.testing.assert_close(mine[key], theirs[key], rtol=1e-12, atol=1e-12)


def inputs_for(head):
    return batch(choices=2 if head == "ForMultipleChoice" else None)


# -- both directions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shard", ["5GB", "4KB"])
@pytest.mark.parametrize(("family", "head"), CLASSES)
def test_the_original_loads_what_is_saved_here(family, head, shard, tmp_path):
    ours, _ = pair(family, head, THREE if head in ("ForSequenceClassification", "ForTokenClassification") else {})
    ours.save_pretrained(tmp_path, max_shard_size=shard)
    assert (tmp_path / "model.safetensors.index.json").exists() == (shard == "4KB")
    kind = getattr(transformers, f"{family}{head}")
    theirs, info = kind.from_pretrained(
        tmp_path, dtype=torch.float64, output_loading_info=True, attn_implementation="eager"
    )
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"))
    assert_same(ours, theirs.eval(), inputs_for(head))


@pytest.mark.parametrize("shard", ["5GB", "4KB"])
@pytest.mark.parametrize(("family", "head"), CLASSES)
def test_what_the_original_saves_is_loaded_here(family, head, shard, tmp_path):
    _, theirs = pair(family, head, THREE if head in ("ForSequenceClassification", "ForTokenClassification") else {})
    theirs.save_pretrained(tmp_path, max_shard_size=shard)
    ours, info = getattr(pocketbert, f"{family}{head}").from_pretrained(
        tmp_path, dtype=torch.float64, output_loading_info=True
    )
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    assert not ours.training
    assert_same(ours, theirs, inputs_for(head))
    auto = getattr(pocketbert, f"Auto{'Model' + head.removeprefix('Model')}")
    assert type(auto.from_pretrained(tmp_path)) is type(ours)


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("family", HEADS)
def test_bin_files(family, sharded, tmp_path):
    ours, theirs = pair(family, "ForMaskedLM")
    theirs.config.save_pretrained(tmp_path)
    state = theirs.state_dict()
    if sharded:
        names = list(state)
        parts = {"a.bin": names[::2], "b.bin": names[1::2]}
        for file, held in parts.items():
            torch.save({name: state[name] for name in held}, tmp_path / file)
        index = {"weight_map": {name: file for file, held in parts.items() for name in held}}
        (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    else:
        torch.save(state, tmp_path / "pytorch_model.bin")
    loaded = type(ours).from_pretrained(tmp_path, dtype="auto")
    assert loaded.dtype is torch.float64
    assert_same(loaded, theirs)
    loaded.save_pretrained(tmp_path)  # the safetensors that it writes come before the old pickle
    assert_same(type(ours).from_pretrained(tmp_path, dtype="auto"), theirs)


def rename(folder, change):
    """Rewrite the names of the safetensors file of a folder."""
    tensors = load_file(folder / "model.safetensors")
    save_file(change(tensors), folder / "model.safetensors")


@pytest.mark.parametrize("family", HEADS)
def test_old_norm_names_and_position_buffers(family, tmp_path):
    model = build(family, "ForMaskedLM").double()
    model.save_pretrained(tmp_path)

    def age(tensors):
        old = {}
        for name, value in tensors.items():
            if "LayerNorm" in name or "layer_norm" in name:
                name = name.replace(".weight", ".gamma").replace(".bias", ".beta")
            old[name] = value
        assert any(name.endswith(".gamma") for name in old)
        return old | {f"{family.lower()}.embeddings.position_ids": torch.arange(40)[None]}

    rename(tmp_path, age)
    loaded, info = type(model).from_pretrained(tmp_path, dtype="auto", output_loading_info=True)
    assert info["unexpected_keys"] == [f"{family.lower()}.embeddings.position_ids"]
    assert_same(loaded, model)


@pytest.mark.parametrize("family", HEADS)
def test_task_checkpoint_into_base_class_and_base_without_prefix(family, tmp_path):
    task = build(family, "ForTokenClassification").double()
    task.save_pretrained(tmp_path)
    options = {} if family == "DistilBert" else {"add_pooling_layer": False}
    base, info = getattr(pocketbert, f"{family}Model").from_pretrained(
        tmp_path, dtype="auto", output_loading_info=True, **options
    )
    assert info["unexpected_keys"] == ["classifier.bias", "classifier.weight"]
    assert_same(base, task.base_model)


@pytest.mark.parametrize(("family", "head"), [c for c in CLASSES if c[1] != "Model"])
def test_base_checkpoint_into_task_class_names_the_fresh_head_once(family, head, tmp_path):
    base = build(family).double()
    base.save_pretrained(tmp_path)
    kind = getattr(pocketbert, f"{family}{head}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        task, info = kind.from_pretrained(tmp_path, dtype="auto", output_loading_info=True)
    assert len(caught) == 1
    assert caught[0].category is UserWarning
    assert caught[0].filename == __file__
    message = str(caught[0].message)
    fresh = {name for name, _ in task.named_parameters() if not name.startswith(f"{family.lower()}.")}
    assert set(info["missing_keys"]) == fresh
    assert all(name in message for name in fresh)
    assert "train the model before you use its answers" in message
    encoder = task.base_model
    torch.testing.assert_close(first(encoder), first(base), rtol=0, atol=0)
    for name in fresh:
        value = task.get_parameter(name)
        assert value.device.type == "cpu"
        assert torch.isfinite(value).all()
        assert value.any() or name.endswith("bias")
    assert first(task, inputs_for(head)).isfinite().all()


# -- complete or refused ---------------------------------------------------------------------------------------


def test_one_error_lists_every_name_that_does_not_fit(tmp_path):
    model = build("DistilBert", "ForQuestionAnswering")
    model.save_pretrained(tmp_path)

    def damage(tensors):
        del tensors["distilbert.transformer.layer.0.ffn.lin1.bias"]
        del tensors["distilbert.embeddings.LayerNorm.weight"]
        tensors["distilbert.embeddings.word_embeddings.weight"] = torch.zeros(98, 24)
        return tensors | {"distilbert.transformer.layer.7.ffn.lin1.bias": torch.zeros(40), "lora_A": torch.zeros(1)}

    rename(tmp_path, damage)
    with pytest.raises(CheckpointError) as caught:
        type(model).from_pretrained(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} does not fit DistilBertForQuestionAnswering: "
        "2 missing (distilbert.embeddings.LayerNorm.weight, distilbert.transformer.layer.0.ffn.lin1.bias); "
        "1 misshaped (distilbert.embeddings.word_embeddings.weight is (98, 24), the configuration gives (97, 24)); "
        "2 unexpected (distilbert.transformer.layer.7.ffn.lin1.bias, lora_A); "
        "pass state_dict= with only the tensors that you want"
    )


@pytest.mark.parametrize(
    ("family", "head", "lost"),
    [
        ("DistilBert", "ForSequenceClassification", ["classifier.bias"]),
        ("DistilBert", "ForSequenceClassification", ["classifier.weight", "classifier.bias"]),
        ("DistilBert", "ForSequenceClassification", ["pre_classifier.weight", "pre_classifier.bias"]),
        ("MobileBert", "ForSequenceClassification", ["classifier.weight"]),
        ("MobileBert", "ForPreTraining", ["cls.predictions.dense.weight"]),
        ("MobileBert", "ForPreTraining", ["cls.seq_relationship.bias"]),
        ("Bert", "ForMaskedLM", ["cls.predictions.transform.LayerNorm.weight"]),
        ("Bert", "ForSequenceClassification", ["bert.pooler.dense.bias"]),
        ("Bert", "ForQuestionAnswering", ["qa_outputs.bias"]),
    ],
)
def test_half_a_head_is_refused(family, head, lost, tmp_path):
    model = build(family, head)
    model.save_pretrained(tmp_path)
    rename(tmp_path, lambda tensors: {n: v for n, v in tensors.items() if n not in lost})
    with pytest.raises(CheckpointError, match=rf"{len(lost)} missing \({', '.join(lost)}\)"):
        type(model).from_pretrained(tmp_path)


@pytest.mark.parametrize("family", ["MobileBert", "Bert"])
def test_an_encoder_without_pooler(family, tmp_path):
    model = build(family, "ForMaskedLM")
    model.save_pretrained(tmp_path)
    kind = getattr(pocketbert, f"{family}Model")
    with pytest.raises(CheckpointError, match=r"2 missing \(pooler\.dense\.weight, .*pass add_pooling_layer=False"):
        kind.from_pretrained(tmp_path)
    loaded = kind.from_pretrained(tmp_path, add_pooling_layer=False)
    assert loaded.pooler is None
    torch.testing.assert_close(first(loaded), first(model.base_model))
    loaded.save_pretrained(tmp_path / "again")
    torch.testing.assert_close(first(kind.from_pretrained(tmp_path / "again", add_pooling_layer=False)), first(loaded))


def test_another_number_of_labels(tmp_path):
    model = build("MobileBert", "ForSequenceClassification", id2label={0: "bad", 1: "fair", 2: "good"})
    model.save_pretrained(tmp_path)
    kind = type(model)
    assert kind.from_pretrained(tmp_path, num_labels=3).config.id2label == {0: "bad", 1: "fair", 2: "good"}
    with pytest.raises(
        CheckpointError, match=r"2 misshaped \(classifier\.weight is \(3, 32\), .*\(5, 32\).*ignore_mis"
    ):
        kind.from_pretrained(tmp_path, num_labels=5)
    with pytest.warns(
        UserWarning, match=r"classifier\.weight, classifier\.bias .*classifier\.bias was \(3,\), is \(5,\)"
    ):
        loaded, info = kind.from_pretrained(
            tmp_path, num_labels=5, ignore_mismatched_sizes=True, output_loading_info=True
        )
    assert [name for name, _, _ in info["mismatched_keys"]] == ["classifier.weight", "classifier.bias"]
    assert loaded.config.id2label[4] == "LABEL_4"
    assert first(loaded).shape == (3, 5)
    torch.testing.assert_close(first(loaded.mobilebert), first(model.mobilebert), rtol=0, atol=0)
    with pytest.warns(UserWarning, match="classifier"):
        renamed = kind.from_pretrained(tmp_path, id2label={0: "no", 1: "yes"}, ignore_mismatched_sizes=True)
    assert renamed.config.label2id == {"no": 0, "yes": 1}
    renamed.save_pretrained(tmp_path)
    assert kind.from_pretrained(tmp_path).config.id2label == {0: "no", 1: "yes"}


@pytest.mark.parametrize("family", HEADS)
def test_a_class_of_another_family_is_refused(family, tmp_path):
    build(family).save_pretrained(tmp_path)
    for other in set(HEADS) - {family}:
        with pytest.raises(ConfigError, match=f"model_type is '{family.lower()}', {other}Config reads .*AutoConfig"):
            getattr(pocketbert, f"{other}Model").from_pretrained(tmp_path)
        with pytest.raises(ConfigError, match=f"{other}Model needs a {other}Config, got a {family}Config"):
            getattr(pocketbert, f"{other}Model")(getattr(pocketbert, f"{family}Config")())
        with pytest.raises(ConfigError, match=f"{other}Model needs a {other}Config"):
            getattr(pocketbert, f"{other}Model").from_pretrained(
                tmp_path, config=getattr(pocketbert, f"{family}Config")()
            )


def test_a_class_without_a_forward_is_refused(tmp_path):
    build("MobileBert").save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="MobileBertPreTrainedModel cannot be loaded: it is no public class"):
        pocketbert.MobileBertPreTrainedModel.from_pretrained(tmp_path)


def test_quantized_weights_are_refused(tmp_path):
    build("DistilBert").save_pretrained(tmp_path)
    name = "transformer.layer.0.ffn.lin1.weight"
    rename(tmp_path, lambda tensors: tensors | {name: tensors[name].to(torch.int8)})
    with pytest.raises(CheckpointError, match=rf"1 not stored as float64, .*\({name} is int8\)"):
        pocketbert.DistilBertModel.from_pretrained(tmp_path)


def test_damaged_weights_and_configurations(tmp_path):
    model = build("DistilBert")
    model.save_pretrained(tmp_path)
    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    content = weights.read_bytes()
    for broken in (b"", content[:100], content[:-1], b"x" * 500):
        weights.write_bytes(broken)
        with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
            type(model).from_pretrained(tmp_path)
    weights.write_bytes(content)
    text = config.read_text()
    for broken, error in (
        (text[:50], CheckpointError),
        ("[]", CheckpointError),
        ("{}", CheckpointError),  # a DistilBERT of full size: nothing fits
        (text.replace('"dim": 24', '"dim": "24"'), ConfigError),
        (text.replace('"dim": 24', '"dim": 25'), ConfigError),
        (text.replace('"n_layers": 3', '"n_layers": 4'), CheckpointError),
    ):
        config.write_text(broken)
        with pytest.raises(error, match=r"config\.json|does not fit"):
            type(model).from_pretrained(tmp_path)
    config.unlink()
    with pytest.raises(CheckpointError, match=r"no config\.json in"):
        type(model).from_pretrained(tmp_path)


def test_unknown_keywords_are_refused(tmp_path):
    build("DistilBert").save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="has no parameter 'num_lables'; did you mean 'num_labels'"):
        pocketbert.DistilBertForSequenceClassification.from_pretrained(tmp_path, num_lables=3)
    with pytest.raises(ConfigError, match="has no parameter 'add_pooling_layers'"):
        pocketbert.DistilBertModel.from_pretrained(tmp_path, add_pooling_layers=False)


# -- where from ------------------------------------------------------------------------------------------------


def test_configuration_and_tensors_may_be_given(tmp_path):
    model = build("DistilBert", "ForMaskedLM")
    state, kind = model.state_dict(), type(model)
    loaded = kind.from_pretrained(None, config=model.config, state_dict=state)
    torch.testing.assert_close(first(loaded), first(model))
    with torch.no_grad():
        loaded.vocab_transform.weight.zero_()
    assert model.vocab_transform.weight.any()  # what was given is copied
    assert loaded.config is not model.config
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(first(kind.from_pretrained(tmp_path, state_dict=state)), first(model))
    torch.testing.assert_close(
        first(kind.from_pretrained(tmp_path, config=tmp_path, attn_implementation="eager")), first(model)
    )
    torch.testing.assert_close(first(kind.from_pretrained(tmp_path, config=tmp_path / "config.json")), first(model))
    torch.testing.assert_close(
        first(kind.from_pretrained("org/unreachable", config=model.config, state_dict=state)), first(model)
    )
    with pytest.raises(InputError, match="both config and state_dict are needed"):
        kind.from_pretrained(None, config=model.config)


def test_a_given_configuration_is_not_changed(tmp_path):
    model = build("DistilBert", "ForSequenceClassification", num_labels=3)
    model.save_pretrained(tmp_path)
    config = pocketbert.DistilBertConfig.from_pretrained(tmp_path, attn_implementation="eager")
    loaded = type(model).from_pretrained(tmp_path, config=config, output_attentions=True)
    assert (config.output_attentions, loaded.config.output_attentions) == (False, True)
    assert loaded.config.attn_implementation == "eager"


def test_a_folder_never_touches_the_network(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    model = build("MobileBert", "ForMaskedLM")
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(first(pocketbert.AutoModelForMaskedLM.from_pretrained(tmp_path)), first(model))


def test_a_hub_name_is_loaded_from_the_cache(tmp_path, monkeypatch):
    models = {"b" * 40: build("DistilBert", "ForMaskedLM"), "a" * 40: build("DistilBert", "ForMaskedLM", n_layers=1)}
    repo = tmp_path / "models--org--model"
    (repo / "refs").mkdir(parents=True)
    for ref, commit in (("main", "b" * 40), ("v1", "a" * 40)):
        (repo / "refs" / ref).write_text(commit)
        models[commit].save_pretrained(repo / "snapshots" / commit, max_shard_size="5GB" if ref == "main" else "4KB")
        blobs = repo / "blobs"
        blobs.mkdir(exist_ok=True)
        for path in list((repo / "snapshots" / commit).iterdir()):  # as the hub does: links to blobs
            shutil.move(path, blobs / f"{commit[0]}-{path.name}")
            path.symlink_to(blobs / f"{commit[0]}-{path.name}")
    kind = pocketbert.DistilBertForMaskedLM
    for revision, commit in ((None, "b" * 40), ("v1", "a" * 40), ("b" * 40, "b" * 40)):
        for loader in (kind, pocketbert.AutoModelForMaskedLM):
            loaded = loader.from_pretrained("org/model", revision=revision, cache_dir=tmp_path)
            torch.testing.assert_close(first(loaded), first(models[commit]))
            assert loaded.config.name_or_path == "org/model"
    # the options hold for a configuration that is given by name, too
    loaded = kind.from_pretrained("org/model", config="org/model", revision="v1", cache_dir=tmp_path)
    assert loaded.config.n_layers == 1
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert kind.from_pretrained("org/model", local_files_only=True).config.n_layers == 3
    for name, options in (("org/other", {}), ("org/model", {"revision": "v9"}), ("nobody", {})):
        with pytest.raises(HubError, match="or pass a local folder"):
            kind.from_pretrained(name, cache_dir=tmp_path, **options)


def test_a_subfolder(tmp_path):
    model = build("DistilBert")
    model.save_pretrained(tmp_path / "inner")
    for loader in (pocketbert.DistilBertModel, pocketbert.AutoModel):
        torch.testing.assert_close(first(loader.from_pretrained(tmp_path, subfolder="inner")), first(model))
    with pytest.raises(UnsafeFileError, match="leaves"):
        pocketbert.DistilBertModel.from_pretrained(tmp_path / "inner", subfolder="..")


def test_auto_classes_name_what_a_family_lacks(tmp_path):
    build("DistilBert", "ForMaskedLM").save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="AutoModelForNextSentencePrediction: distilbert has no next_sentence head"):
        pocketbert.AutoModelForNextSentencePrediction.from_pretrained(tmp_path)
    with pytest.warns(FutureWarning, match="AutoModelWithLMHead is now AutoModelForMaskedLM"):
        assert type(pocketbert.AutoModelWithLMHead.from_pretrained(tmp_path)) is pocketbert.DistilBertForMaskedLM
    assert type(pocketbert.AutoModelForPreTraining.from_pretrained(tmp_path)) is pocketbert.DistilBertForMaskedLM
    with pytest.raises(TypeError, match="AutoModel is not built but loaded"):
        pocketbert.AutoModel()
    config = pocketbert.MobileBertConfig(**SMALL["MobileBert"], num_labels=4)
    built = pocketbert.AutoModelForTokenClassification.from_config(config, dtype=torch.bfloat16)
    assert type(built) is pocketbert.MobileBertForTokenClassification
    assert (built.dtype, built.classifier.out_features) == (torch.bfloat16, 4)
    config.save_pretrained(tmp_path / "config only")
    with pytest.raises(CheckpointError, match="no weights in"):
        pocketbert.AutoModel.from_pretrained(tmp_path / "config only")


# -- tied weights ----------------------------------------------------------------------------------------------

TIED = {
    "DistilBert": ("vocab_projector.weight", "distilbert.embeddings.word_embeddings.weight"),
    "MobileBert": ("cls.predictions.decoder.weight", "mobilebert.embeddings.word_embeddings.weight"),
    "Bert": ("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"),
}


@pytest.mark.parametrize("family", HEADS)
def test_tied_weights_are_stored_once_and_tied_after_loading(family, tmp_path):
    head, table = TIED[family]
    model = build(family, "ForMaskedLM")
    model.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert table in stored
    assert head not in stored
    assert "cls.predictions.decoder.bias" not in stored
    for loaded in (type(model).from_pretrained(tmp_path), type(model)(model.config)):
        assert loaded.get_parameter(head) is loaded.get_parameter(table)
        if family != "DistilBert":
            assert loaded.cls.predictions.decoder.bias is loaded.cls.predictions.bias
        assert loaded.num_parameters() == sum(value.numel() for value in stored.values())


@pytest.mark.parametrize("family", HEADS)
def test_untied_weights(family, tmp_path):
    head, table = TIED[family]
    ours, theirs = pair(family, "ForMaskedLM", {"tie_word_embeddings": False})
    assert ours.get_parameter(head) is not ours.get_parameter(table)
    ours.save_pretrained(tmp_path)
    assert {head, table} <= set(load_file(tmp_path / "model.safetensors"))
    loaded = type(ours).from_pretrained(tmp_path, dtype="auto")
    assert loaded.get_parameter(head) is not loaded.get_parameter(table)
    assert_same(loaded, theirs)
    again = type(theirs).from_pretrained(tmp_path, dtype=torch.float64)
    assert_same(ours, again.eval())
    theirs.save_pretrained(tmp_path / "theirs")
    assert_same(type(ours).from_pretrained(tmp_path / "theirs", dtype="auto"), theirs)


# -- dtypes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes(dtype, tmp_path):
    model = build("DistilBert", "ForMaskedLM").to(dtype)
    model.save_pretrained(tmp_path)
    name = str(dtype).removeprefix("torch.")
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == name
    kind = type(model)
    assert kind.from_pretrained(tmp_path).dtype is torch.float32
    for given in ({"dtype": "auto"}, {"dtype": dtype}, {"torch_dtype": name}, {"dtype": str(dtype)}):
        loaded = kind.from_pretrained(tmp_path, **given)
        assert {p.dtype for p in loaded.parameters()} == {dtype}
        torch.testing.assert_close(loaded.state_dict(), model.state_dict(), rtol=0, atol=0)
    for wrong in (torch.int64, "long", "int8", "nonsense", 3):
        with pytest.raises(InputError, match="is no float dtype; choose float32"):
            kind.from_pretrained(tmp_path, dtype=wrong)


@pytest.mark.parametrize("head", ["Model", "ForMaskedLM", "ForSequenceClassification"])
def test_no_norm_refuses_float16_with_a_reason_and_a_cure(head, tmp_path):
    reason = "overflows in float16: its activations reach 1e7.*use bfloat16"
    model = build("MobileBert", head)
    model.save_pretrained(tmp_path)
    for dtype in (torch.float16, "float16"):
        with pytest.raises(PrecisionError, match=reason):
            type(model).from_pretrained(tmp_path, dtype=dtype)
    with pytest.raises(PrecisionError, match=reason), torch.autocast("cpu", torch.float16):
        model(**batch())
    with torch.autocast("cpu", torch.bfloat16):
        assert first(model).isfinite().all()
    bfloat = type(model).from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert first(bfloat).dtype is torch.bfloat16
    assert first(bfloat).isfinite().all()
    with pytest.raises(PrecisionError, match=reason):
        model.half()(**batch())
    model.save_pretrained(tmp_path / "half")
    with pytest.raises(PrecisionError, match=reason):
        type(model).from_pretrained(tmp_path / "half", dtype="auto")
    assert type(model).from_pretrained(tmp_path / "half").dtype is torch.float32
    allowed = type(model).from_pretrained(tmp_path, dtype=torch.float16, allow_float16=True)
    assert first(allowed).dtype is torch.float16


@pytest.mark.parametrize(
    ("family", "changes"), [("MobileBert", {"normalization_type": "layer_norm"}), ("DistilBert", {}), ("Bert", {})]
)
def test_models_with_real_norms_take_float16(family, changes, tmp_path):
    model = build(family, "ForMaskedLM", **changes)
    model.save_pretrained(tmp_path)
    half = type(model).from_pretrained(tmp_path, dtype=torch.float16)
    torch.testing.assert_close(first(half).float(), first(model), rtol=0.02, atol=0.02)
    with torch.autocast("cpu", torch.float16):
        assert first(model).isfinite().all()


def test_bfloat16_carries_activations_that_float16_cannot(tmp_path):
    model = build("MobileBert")
    with torch.no_grad():
        model.embeddings.LayerNorm.weight.mul_(1e7)
    assert first(model.to(torch.bfloat16)).isfinite().all()
    assert first(model).abs().max() > 65504


# -- devices ---------------------------------------------------------------------------------------------------


def test_devices(tmp_path):
    model = build("DistilBert")
    model.save_pretrained(tmp_path)
    kind = type(model)
    for given in ({}, {"device": "cpu"}, {"device_map": "cpu"}, {"device_map": {"": "cpu"}}):
        assert kind.from_pretrained(tmp_path, **given).device == torch.device("cpu")
    assert kind.from_pretrained(tmp_path, device="meta").device == torch.device("meta")
    for wrong in ("auto", {"a": "cpu", "b": "meta"}):
        with pytest.raises(InputError, match="these models fit on one device"):
            kind.from_pretrained(tmp_path, device_map=wrong)
    assert kind.from_config(model.config, device="meta").device.type == "meta"


def test_an_auto_class_reads_each_file_once(tmp_path, monkeypatch):
    from pocketbert.architecture.config import pretrained_config
    from pocketbert.checkpoint import loading, opened

    build("MobileBert", "ForMaskedLM").save_pretrained(tmp_path)
    read = []
    for module, name in (
        (pretrained_config, "read_json"),
        (opened, "open_checkpoint"),
        (loading, "open_checkpoint"),
    ):
        kept = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *given, name=name, kept=kept, **options: read.append(name) or kept(*given, **options)
        )
    model = pocketbert.AutoModelForMaskedLM.from_pretrained(tmp_path)
    assert type(model) is pocketbert.MobileBertForMaskedLM
    assert read == ["read_json", "open_checkpoint"]


def test_a_registered_class_wins(monkeypatch):
    from pocketbert.torch import auto

    class Mine(pocketbert.DistilBertForMaskedLM):
        pass

    monkeypatch.setattr(auto, "_registered", {})
    config = pocketbert.DistilBertConfig(**SMALL["DistilBert"])
    pocketbert.AutoModel.register(pocketbert.DistilBertConfig, Mine)
    assert type(pocketbert.AutoModelForMaskedLM.from_config(config)) is Mine
    assert type(pocketbert.AutoModel.from_config(config)) is pocketbert.DistilBertModel
    with pytest.raises(ConfigError, match="Mine needs a DistilBertConfig, got MobileBertConfig"):
        pocketbert.AutoModel.register(pocketbert.MobileBertConfig, Mine)
