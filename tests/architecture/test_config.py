"""Configurations: documented parameters, checks, config.json in and out, the original Google files."""

from __future__ import annotations

import copy
import inspect
import json
import pickle

import pytest
import torch
import transformers

from pocketbert import AutoConfig, BertConfig, CheckpointError, ConfigError, DistilBertConfig, MobileBertConfig
from pocketbert.architecture.config import ACTIVATIONS

CONFIGS = [DistilBertConfig, MobileBertConfig, BertConfig]

# As printed in the reference documentation, in its order.
DISTILBERT = {
    "vocab_size": 30522, "max_position_embeddings": 512, "sinusoidal_pos_embds": False, "n_layers": 6, "n_heads": 12,
    "dim": 768, "hidden_dim": 3072, "dropout": 0.1, "attention_dropout": 0.1, "activation": "gelu",
    "initializer_range": 0.02, "qa_dropout": 0.1, "seq_classif_dropout": 0.2, "pad_token_id": 0,
}  # fmt: skip
MOBILEBERT = {
    "vocab_size": 30522, "hidden_size": 512, "num_hidden_layers": 24, "num_attention_heads": 4,
    "intermediate_size": 512, "hidden_act": "relu", "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512, "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12,
    "pad_token_id": 0, "embedding_size": 128, "trigram_input": True, "use_bottleneck": True,
    "intra_bottleneck_size": 128, "use_bottleneck_attention": False, "key_query_shared_bottleneck": True,
    "num_feedforward_networks": 4, "normalization_type": "no_norm", "classifier_activation": True,
    "classifier_dropout": None,
}  # fmt: skip

# google-research mobilebert/config, as published
IB_BERT_LARGE = {
    "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 512,
    "initializer_range": 0.02, "intermediate_size": 4096, "max_position_embeddings": 512, "num_attention_heads": 4,
    "num_hidden_layers": 24, "type_vocab_size": 2, "vocab_size": 30522, "embedding_size": 128, "trigram_input": True,
    "use_bottleneck": True, "intra_bottleneck_size": 1024,
}  # fmt: skip
GOOGLE_MOBILEBERT = {
    "attention_probs_dropout_prob": 0.1, "hidden_act": "relu", "hidden_dropout_prob": 0.0, "hidden_size": 512,
    "initializer_range": 0.02, "intermediate_size": 512, "max_position_embeddings": 512, "num_attention_heads": 4,
    "num_hidden_layers": 24, "type_vocab_size": 2, "vocab_size": 30522, "embedding_size": 128, "trigram_input": True,
    "use_bottleneck": True, "intra_bottleneck_size": 128, "key_query_shared_bottleneck": True,
    "num_feedforward_networks": 4, "normalization_type": "no_norm", "classifier_activation": False,
}  # fmt: skip


# -- the documented interface ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "documented"), [(DistilBertConfig, DISTILBERT), (MobileBertConfig, MOBILEBERT)])
def test_parameters_order_and_defaults_are_the_documented_ones(kind, documented):
    parameters = inspect.signature(kind).parameters
    given = {name: p.default for name, p in parameters.items() if p.default is not p.empty}
    assert list(given)[: len(documented)] == list(documented)
    assert {name: given[name] for name in documented} == documented
    assert list(parameters.values())[-1].kind is inspect.Parameter.VAR_KEYWORD
    config = kind(*documented.values())
    assert {name: getattr(config, name) for name in documented} == documented
    assert config == kind()


@pytest.mark.parametrize("kind", CONFIGS)
def test_defaults_are_the_originals(kind):
    original = getattr(transformers, kind.__name__)()
    for name in kind._fields():
        if name != "outer_layer_norm_eps":
            assert getattr(kind(), name) == getattr(original, name), name
    assert kind.model_type == original.model_type


def test_distilbert_answers_to_the_common_names():
    config = DistilBertConfig(n_layers=2, n_heads=4, dim=32, hidden_dim=48)
    assert (config.num_hidden_layers, config.num_attention_heads, config.hidden_size) == (2, 4, 32)
    config.num_hidden_layers = 3
    assert config.n_layers == 3
    assert DistilBertConfig(num_hidden_layers=2, hidden_size=24).to_dict()["n_layers"] == 2
    assert DistilBertConfig.pretrained_config_archive_map == MobileBertConfig.pretrained_config_archive_map == {}


def test_the_derived_width_of_a_block():
    assert MobileBertConfig().true_hidden_size == 128
    assert MobileBertConfig(use_bottleneck=False).true_hidden_size == 512


@pytest.mark.parametrize(
    "build",
    [
        lambda: DistilBertConfig(activation="swish"),
        lambda: MobileBertConfig(hidden_act="swish"),
        lambda: BertConfig(hidden_act="swish"),
    ],
)
def test_swish_is_silu_with_a_warning(build):
    with pytest.warns(FutureWarning, match='"swish" is now "silu"'):
        config = build()
    assert "silu" in (getattr(config, "activation", None), config.hidden_act)


def test_swish_in_a_file_is_silu_and_as_an_override_warns(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "distilbert", "activation": "swish"}))
    assert DistilBertConfig.from_pretrained(tmp_path).activation == "silu"
    with pytest.warns(FutureWarning, match="silu"):
        assert DistilBertConfig.from_pretrained(tmp_path, activation="swish").activation == "silu"


def test_own_fields_are_kept_and_a_likely_slip_is_named():
    with pytest.warns(UserWarning, match=r"keeps 'n_head' as a field of yours.*; did you mean 'n_heads'\?"):
        assert DistilBertConfig(n_head=3).n_heads == 12
    assert MobileBertConfig(mine=True).to_dict()["mine"] is True
    with pytest.raises(ConfigError, match="has no parameter 'validate'"):
        MobileBertConfig(validate=True)
    with pytest.raises(ConfigError, match="has no parameter '_private'"):
        DistilBertConfig(_private=1)
    assert DistilBertConfig(is_encoder_decoder=False, xla_device=True).dim == 768  # found in real files


# -- checks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (DistilBertConfig, {"n_heads": 5}, "head count 5 does not divide dim 768"),
        (BertConfig, {"num_attention_heads": 7}, "head count 7 does not divide hidden_size 768"),
        (MobileBertConfig, {"num_attention_heads": 3}, "head count 3 does not divide intra_bottleneck_size 128"),
        (MobileBertConfig, {"use_bottleneck": False, "num_attention_heads": 3}, "does not divide hidden_size 512"),
        (DistilBertConfig, {"vocab_size": "30522"}, "vocab_size must be an integer, got '30522'"),
        (DistilBertConfig, {"vocab_size": True}, "vocab_size must be an integer, got True"),
        (DistilBertConfig, {"dim": 768.0}, "dim must be an integer"),
        (DistilBertConfig, {"dim": None}, "dim must be an integer, got None"),
        (DistilBertConfig, {"hidden_dim": -1}, "hidden_dim -1 must be at least 1"),
        (DistilBertConfig, {"n_layers": 0}, "n_layers 0 must be from 1"),
        (DistilBertConfig, {"n_layers": 10**9}, "n_layers 1000000000 must be from 1 to 1000"),
        (DistilBertConfig, {"sinusoidal_pos_embds": "no"}, "sinusoidal_pos_embds must be true or false, got 'no'"),
        (DistilBertConfig, {"dropout": 1.5}, "dropout 1.5 must be a probability"),
        (DistilBertConfig, {"dropout": float("nan")}, "dropout nan must be a probability"),
        (DistilBertConfig, {"qa_dropout": "0.1"}, "qa_dropout '0.1' must be a probability"),
        (DistilBertConfig, {"attention_dropout": None}, "attention_dropout None must be a probability"),
        (DistilBertConfig, {"seq_classif_dropout": -0.1}, "seq_classif_dropout -0.1"),
        (DistilBertConfig, {"activation": "gulu"}, "activation 'gulu' is unknown; choose from gelu"),
        (DistilBertConfig, {"activation": ["gelu"]}, "is unknown; choose from gelu"),
        (DistilBertConfig, {"initializer_range": -1}, "initializer_range -1 must be a finite number"),
        (DistilBertConfig, {"initializer_range": float("nan")}, "initializer_range nan"),
        (DistilBertConfig, {"initializer_range": "0.02"}, "initializer_range '0.02'"),
        (DistilBertConfig, {"pad_token_id": 30522}, "pad_token_id 30522 must be from 0 to 30521"),
        (DistilBertConfig, {"pad_token_id": -1}, "pad_token_id -1"),
        (DistilBertConfig, {"problem_type": "ranking"}, "problem_type 'ranking' is unknown; choose from regression"),
        (DistilBertConfig, {"num_labels": 0}, "num_labels 0 must be from 1"),
        (DistilBertConfig, {"num_labels": 10**12}, "num_labels 1000000000000 must be from 1 to"),
        (DistilBertConfig, {"id2label": ["a"]}, "id2label maps indices to names"),
        (DistilBertConfig, {"id2label": {}}, "id2label must name every index"),
        (DistilBertConfig, {"id2label": {0: "a", 2: "b"}}, r"id2label must name every index 0 .. 1, got \[0, 2\]"),
        (DistilBertConfig, {"id2label": {0: "a"}, "num_labels": 2}, "num_labels 2 contradicts id2label"),
        (DistilBertConfig, {"label2id": 5}, "label2id maps names to indices, got 5"),
        (DistilBertConfig, {"label2id": {"a": "x"}}, "id2label maps indices to names"),
        (DistilBertConfig, {"pruned_heads": {6: [0]}}, "layer in pruned_heads 6 must be from 0 to 5"),
        (DistilBertConfig, {"pruned_heads": {0: [12]}}, r"head in pruned_heads\[0\] 12 must be from 0 to 11"),
        (DistilBertConfig, {"pruned_heads": {0: list(range(12))}}, r"pruned_heads\[0\] removes all 12 heads"),
        (DistilBertConfig, {"pruned_heads": [0]}, "pruned_heads maps layers to lists of heads"),
        (DistilBertConfig, {"pruned_heads": {0: "12"}}, "pruned_heads maps layers to lists of heads"),
        (DistilBertConfig, {"tie_word_embeddings": "yes"}, "tie_word_embeddings must be true or false"),
        (DistilBertConfig, {"output_attentions": 1}, "output_attentions must be true or false, got 1"),
        (DistilBertConfig, {"attn_implementation": "flash"}, "attn_implementation 'flash' is unknown"),
        (BertConfig, {"position_embedding_type": "relative_key"}, "only 'absolute' is supported"),
        (BertConfig, {"is_decoder": True}, "these models are encoders"),
        (BertConfig, {"layer_norm_eps": float("inf")}, "layer_norm_eps inf must be a finite number"),
        (MobileBertConfig, {"layer_norm_eps": "1e-12"}, "layer_norm_eps '1e-12'"),
        (MobileBertConfig, {"trigram_input": "false"}, "trigram_input must be true or false, got 'false'"),
        (MobileBertConfig, {"use_bottleneck": 1}, "use_bottleneck must be true or false, got 1"),
        (MobileBertConfig, {"num_feedforward_networks": 0}, "num_feedforward_networks 0"),
        (MobileBertConfig, {"embedding_size": 513}, "embedding_size 513 exceeds hidden_size 512"),
        (MobileBertConfig, {"normalization_type": "batch_norm"}, "choose 'no_norm' or 'layer_norm'"),
        (MobileBertConfig, {"classifier_dropout": 2}, "classifier_dropout 2 must be a probability"),
    ],
    ids=str,
)
def test_what_describes_no_model_is_refused_by_constructor_file_and_override(kind, fields, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        kind(**fields)
    kind().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=message):
        kind.from_pretrained(tmp_path, **fields)
    stored = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(stored | fields))
    if "num_labels" in fields and "id2label" in fields:
        return  # in a file the names win
    with pytest.raises(ConfigError, match=message) as caught:
        kind.from_pretrained(tmp_path)
    if "attn_implementation" not in fields:
        assert str(tmp_path / "config.json") in str(caught.value)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_is_accepted(activation):
    assert DistilBertConfig(activation=activation).activation == activation
    assert MobileBertConfig(hidden_act=activation).hidden_act == activation


# -- labels ----------------------------------------------------------------------------------------------------


def test_labels():
    assert DistilBertConfig().id2label == {0: "LABEL_0", 1: "LABEL_1"}
    assert DistilBertConfig(num_labels=3).label2id == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}
    named = DistilBertConfig(id2label={"1": "good", "0": "bad"})
    assert (named.num_labels, named.id2label, named.label2id) == (2, {0: "bad", 1: "good"}, {"bad": 0, "good": 1})
    assert DistilBertConfig(label2id={"a": 0, "b": 1, "c": 2}).id2label == {0: "a", 1: "b", 2: "c"}
    named.num_labels = 2
    assert named.id2label == {0: "bad", 1: "good"}
    named.num_labels = 3
    assert named.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}


def test_label_names_survive_an_override_with_their_own_number(tmp_path):
    DistilBertConfig(id2label={0: "bad", 1: "fair", 2: "good"}).save_pretrained(tmp_path)
    assert DistilBertConfig.from_pretrained(tmp_path, num_labels=3).id2label == {0: "bad", 1: "fair", 2: "good"}
    assert DistilBertConfig.from_pretrained(tmp_path, num_labels=2).id2label == {0: "LABEL_0", 1: "LABEL_1"}
    assert DistilBertConfig.from_pretrained(tmp_path, id2label={0: "x"}).label2id == {"x": 0}


@pytest.mark.parametrize(
    ("stored", "names"),
    [
        ({"num_labels": 3}, ["LABEL_0", "LABEL_1", "LABEL_2"]),
        ({"num_labels": 3, "id2label": None}, ["LABEL_0", "LABEL_1", "LABEL_2"]),
        ({"num_labels": 2, "id2label": {"0": "a", "1": "b", "2": "c"}}, ["a", "b", "c"]),
        ({"label2id": {"b": 1, "a": 0}}, ["a", "b"]),
        ({"id2label": {"1": "b", "0": "a"}, "label2id": {"a": 0, "b": 1}}, ["a", "b"]),
    ],
)
def test_labels_in_files(stored, names):
    assert DistilBertConfig.from_dict(stored).id2label == dict(enumerate(names))


# -- files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_file_gives_back_what_was_written(kind, tmp_path):
    config = kind(
        vocab_size=99,
        num_labels=5,
        pruned_heads={1: [2, 0, 0]},
        problem_type="regression",
        tie_word_embeddings=False,
        output_attentions=True,
        pad_token_id=None,
        task_specific_params={"a": 1},
        torch_dtype="bfloat16",
        architectures=["X"],
    )
    config.save_pretrained(tmp_path)
    again = kind.from_pretrained(tmp_path)
    assert again == config
    assert again.pruned_heads == {1: [0, 2]}
    assert again.name_or_path == str(tmp_path)
    assert kind.from_pretrained(tmp_path / "config.json") == config
    assert AutoConfig.from_pretrained(tmp_path) == config
    assert AutoConfig.from_pretrained(tmp_path / "config.json") == config
    assert copy.deepcopy(config) == config
    assert pickle.loads(pickle.dumps(config)) == config  # noqa: S301  # our own
    again.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "config.json").read_bytes() == (tmp_path / "config.json").read_bytes()


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_original_reads_our_file_and_we_read_its(kind, tmp_path):
    original = getattr(transformers, kind.__name__)
    fields = {"vocab_size": 99, "num_labels": 3, "pruned_heads": {1: [0, 2]}, "tie_word_embeddings": False}
    kind(**fields).save_pretrained(tmp_path / "ours")
    theirs = original.from_pretrained(tmp_path / "ours")
    for name in [*kind._fields(), "id2label", "label2id", "pruned_heads", "tie_word_embeddings"]:
        if name != "outer_layer_norm_eps":  # written only where it is not what the original has
            assert getattr(theirs, name) == getattr(kind(**fields), name), name
    original(**fields).save_pretrained(tmp_path / "theirs")
    again = kind.from_pretrained(tmp_path / "theirs")
    extra = {"transformers_version": transformers.__version__}
    assert again == kind(**fields, **extra, **({"use_cache": True} if kind is BertConfig else {}))


def test_unknown_names_in_a_file_are_kept_and_machinery_is_left_alone():
    stored = {
        "model_type": "distilbert", "a_new_field": {"x": 1}, "_private": 2, "self": 3, "others": 4, "validate": 5,
        "__class__": "dict", "__dict__": {}, "attribute_map": {}, "to_dict": None, "use_return_dict": False,
    }  # fmt: skip
    config = DistilBertConfig.from_dict(stored)
    assert config.a_new_field == {"x": 1}
    assert config.to_dict()["a_new_field"] == {"x": 1}
    config.validate()
    assert config.hidden_size == 768
    assert config.use_return_dict is True
    assert DistilBertConfig.from_dict(config.to_dict()) == config


def test_overrides():
    config = DistilBertConfig()
    assert config.override({"hidden_size": 24, "n_heads": 4, "dtype": "float16"}) == {}
    assert (config.dim, config.dtype_name, config.torch_dtype) == (24, "float16", torch.float16)
    with pytest.raises(ConfigError, match="no parameter 'dimm'; did you mean 'dim'"):
        config.override({"dimm": 3})
    config.update({"mine": 3, "dropout": 0.2})
    assert (config.mine, config.dropout) == (3, 0.2)
    for name in ("model_type", "validate", "use_return_dict", "attribute_map"):
        for change in (config.override, config.update):
            with pytest.raises(ConfigError, match=f"no parameter '{name}'"):
                change({name: "x"})
    config.update_from_string("n_layers=2,sinusoidal_pos_embds=true,dropout=0.5,activation=relu")
    assert (config.n_layers, config.sinusoidal_pos_embds, config.dropout, config.activation) == (2, True, 0.5, "relu")
    for text in ("n_layers=two", "sinusoidal_pos_embds=maybe", "nothing=1"):
        with pytest.raises(ConfigError, match=text.partition("=")[0]):
            config.update_from_string(text)


def test_unused_keywords_are_returned_on_request(tmp_path):
    DistilBertConfig().save_pretrained(tmp_path)
    config, unused = DistilBertConfig.from_pretrained(tmp_path, return_unused_kwargs=True, n_layers=2, foo=1)
    assert (config.n_layers, unused) == (2, {"foo": 1})
    with pytest.raises(ConfigError, match="has no parameter 'foo'"):
        DistilBertConfig.from_pretrained(tmp_path, foo=1)


def test_a_function_as_activation_works_but_cannot_be_written(tmp_path):
    config = DistilBertConfig(activation=abs)
    with pytest.raises(ConfigError, match=r"cannot be written as JSON.*name activations by string"):
        config.save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert "abs" in repr(config)


@pytest.mark.parametrize("kind", CONFIGS)
def test_another_familys_file_is_refused(kind, tmp_path):
    other = next(c for c in CONFIGS if c is not kind)
    other().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=f"model_type is '{other.model_type}'.*use AutoConfig"):
        kind.from_pretrained(tmp_path)


def test_auto_config(tmp_path):
    assert type(AutoConfig.for_model("mobilebert", num_hidden_layers=2)) is MobileBertConfig
    for stored, message in (
        ({}, "has no model_type"),
        ({"model_type": "roberta"}, "'roberta' is not supported; choose from distilbert, mobilebert, bert"),
        ({"model_type": ["bert"]}, r"\['bert'\] is not supported"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(stored))
        with pytest.raises(ConfigError, match=message):
            AutoConfig.from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="no folder"):
        AutoConfig.from_pretrained(tmp_path / "nowhere")


# -- the original Google files ---------------------------------------------------------------------------------


def write(folder, fields):
    (folder / "bert_config.json").write_text(json.dumps(fields))
    return folder / "bert_config.json"


def test_the_published_teacher(tmp_path):
    config = MobileBertConfig.from_google_json(write(tmp_path, IB_BERT_LARGE))
    named = MobileBertConfig.ib_bert_large()
    assert config.classifier_dropout == 0.1
    config.classifier_dropout = None
    assert config == named
    assert (config.query_key_size, config.value_size, config.true_hidden_size) == (512, 512, 1024)
    assert (config.num_feedforward_networks, config.normalization_type) == (1, "layer_norm")
    assert (config.layer_norm_eps, config.outer_layer_norm_eps) == (1e-12, 1e-12)
    assert config.hidden_act == "gelu_new"  # Google's gelu is the tanh form
    assert config.classifier_activation is True


def test_the_published_student(tmp_path):
    config = MobileBertConfig.from_google_json(write(tmp_path, GOOGLE_MOBILEBERT))
    expected = MobileBertConfig(classifier_activation=False, classifier_dropout=0.1, outer_layer_norm_eps=1e-12)
    assert config == expected
    assert config.query_key_size == 128


def test_what_a_google_file_leaves_out_means_what_google_means(tmp_path):
    config = MobileBertConfig.from_google_json(write(tmp_path, {"vocab_size": 30522}))
    assert config.to_dict() | MobileBertConfig(
        hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072, hidden_act="gelu_new",
        hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1, type_vocab_size=16, embedding_size=768,
        trigram_input=False, use_bottleneck=False, intra_bottleneck_size=768, key_query_shared_bottleneck=False,
        num_feedforward_networks=1, normalization_type="layer_norm", classifier_dropout=0.1,
        outer_layer_norm_eps=1e-12,
    ).to_dict() == config.to_dict()  # fmt: skip
    explicit = {"vocab_size": 99, "hidden_size": 48, "embedding_size": None, "intra_bottleneck_size": None}
    config = MobileBertConfig.from_google_json(write(tmp_path, explicit))
    assert (config.embedding_size, config.intra_bottleneck_size) == (48, 48)
    with pytest.raises(ConfigError, match="no model_type and no vocab_size"):
        MobileBertConfig.from_google_json(write(tmp_path, {}))


def test_manual_layer_norm_has_its_own_epsilon(tmp_path):
    config = MobileBertConfig.from_google_json(
        write(tmp_path, {**GOOGLE_MOBILEBERT, "normalization_type": "manual_layer_norm"})
    )
    assert (config.normalization_type, config.layer_norm_eps, config.outer_layer_norm_eps) == ("layer_norm", 1e-6, 1e-6)


def test_a_google_file_becomes_a_hugging_face_file(tmp_path):
    config = MobileBertConfig.from_google_json(write(tmp_path, IB_BERT_LARGE))
    config.save_pretrained(tmp_path)
    assert MobileBertConfig.from_pretrained(tmp_path) == config


def test_the_other_named_variants():
    tiny, plain = MobileBertConfig.tiny(num_labels=3), MobileBertConfig.without_opt()
    assert (tiny.use_bottleneck_attention, tiny.num_feedforward_networks, tiny.num_labels) == (True, 2, 3)
    assert (tiny.query_key_size, tiny.value_size, tiny.normalization_type) == (128, 128, "no_norm")
    assert (plain.normalization_type, plain.hidden_act, plain.num_feedforward_networks) == ("layer_norm", "gelu_new", 4)
    assert MobileBertConfig.ib_bert_large(num_hidden_layers=2).num_hidden_layers == 2
