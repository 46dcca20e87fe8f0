"""The list of parameters: counts, ties, names; its equality with the models is tested in tests/torch."""

from __future__ import annotations

import pytest

from pocketbert import BertConfig, ConfigError, DistilBertConfig, MobileBertConfig, PretrainedConfig
from pocketbert.architecture import families
from pocketbert.architecture.heads import HEADS


def count(config, head="none", **options) -> int:
    return sum(p.size for p in families.parameters(config, head, **options) if p.tied_to is None)


@pytest.mark.parametrize(
    ("config", "head", "pooler", "expected"),
    [
        (DistilBertConfig(), "none", None, 66_362_880),
        (DistilBertConfig(), "masked_lm", None, 66_985_530),
        (MobileBertConfig(), "none", False, 24_581_888),
        (MobileBertConfig.tiny(), "none", False, 15_485_696),
        (MobileBertConfig.tiny(), "none", True, 15_485_696),  # its pooler is the raw [CLS] state
        (MobileBertConfig.ib_bert_large(), "none", False, 294_205_184),
        (BertConfig(), "none", True, 109_482_240),
    ],
    ids=lambda value: getattr(value, "model_type", value),
)
def test_parameter_counts(config, head, pooler, expected):
    assert count(config, head, pooler=pooler) == expected


def test_names_stand_once_and_ties_point_at_untied_names():
    for config in (DistilBertConfig(), MobileBertConfig(), BertConfig()):
        for head in HEADS:
            if config.model_type == "distilbert" and head in ("pretraining", "next_sentence"):
                continue
            listed = families.parameters(config, head)
            names = [p.name for p in listed]
            assert len(set(names)) == len(names)
            untied = {p.name: p for p in listed if p.tied_to is None}
            for parameter in listed:
                if parameter.tied_to is not None:
                    assert parameter.shape == untied[parameter.tied_to].shape
            assert {name.removeprefix(f"{config.model_type}.") for name in names} <= families.known_names(config)


def test_an_untied_head_has_a_table_of_its_own():
    for config in (DistilBertConfig, MobileBertConfig, BertConfig):
        tied, untied = count(config(), "masked_lm"), count(config(tie_word_embeddings=False), "masked_lm")
        width = 128 if config is MobileBertConfig else 768
        assert untied - tied == 30522 * width


def test_pruned_heads_narrow_their_layers_only():
    for config in (DistilBertConfig, MobileBertConfig, BertConfig):
        full = {p.name: p.shape for p in families.parameters(config())}
        pruned = {p.name: p.shape for p in families.parameters(config(pruned_heads={1: [0, 3]}))}
        changed = {name for name in full if full[name] != pruned[name]}
        assert len(changed) == 7
        assert all("layer.1.attention" in name for name in changed)


@pytest.mark.parametrize("head", ["pretraining", "next_sentence"])
def test_distilbert_has_no_next_sentence_head(head):
    with pytest.raises(ConfigError, match=f"DistilBert has no {head} head"):
        families.parameters(DistilBertConfig(), head)


def test_a_configuration_of_no_family_is_refused():
    class Other(PretrainedConfig):
        model_type = "other"

        def validate(self):
            pass

    with pytest.raises(ConfigError, match="Other belongs to no family"):
        families.parameters(Other())


def test_class_names():
    assert families.class_name(MobileBertConfig(), "next_sentence") == "MobileBertForNextSentencePrediction"
    for name in ("DistilBertModel", "MobileBertForMaskedLM", "BertForPreTraining"):
        model_type, head = families.head_of_class(name)
        assert families.head_of_class(f"TF{name}") == (model_type, head)
        config = {"distilbert": DistilBertConfig, "mobilebert": MobileBertConfig, "bert": BertConfig}[model_type]()
        assert families.class_name(config, head) == name
    with pytest.raises(ConfigError, match="'RobertaModel' is no class of"):
        families.head_of_class("RobertaModel")
