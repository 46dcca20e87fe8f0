"""Classes that users write: what is refused, what is named, and what a replica of a model can still say."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import pocketbert
from helpers.oracle import HEADS, batch
from helpers.torch_models import build
from pocketbert import CheckpointError, DistilBertConfig, DistilBertModel, DistilBertPreTrainedModel


class Mine(DistilBertPreTrainedModel):
    """An encoder with two layers on top."""

    def __init__(self, config, width=5, **others):
        super().__init__(config, **others)
        self.others = others
        self.distilbert = DistilBertModel(config)
        self.distilbert.embeddings.requires_grad_(False)
        self.score = nn.Linear(config.dim, width)
        self.register_buffer("seen", torch.zeros(2, dtype=torch.long))
        self.post_init()

    def forward(self, input_ids, attention_mask=None):
        return self.score(self.distilbert(input_ids, attention_mask)[0])


def test_one_warning_names_what_starts_afresh(tmp_path):
    build("DistilBert", "ForTokenClassification").save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match=r"Mine: seen, score\.weight, score\.bias not in the checkpoint") as caught:
        model = Mine.from_pretrained(tmp_path, 7, unheard_of=3)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert (model.others, model.score.out_features) == ({"unheard_of": 3}, 7)
    assert not any(p.requires_grad for p in model.distilbert.embeddings.parameters())
    assert all(p.requires_grad for p in model.distilbert.transformer.parameters())
    assert 0 < model.score.weight.std() < 0.04
    assert not model.score.bias.any()
    model.init_weights()  # once more changes nothing
    model.seen += 3
    model.save_pretrained(tmp_path / "mine")
    assert load_file(tmp_path / "mine" / "model.safetensors").keys() == model.state_dict().keys()
    again = Mine.from_pretrained(tmp_path / "mine", 7, dtype=torch.bfloat16)
    assert again.seen.tolist() == [3, 3]
    assert {p.dtype for p in again.parameters()} == {torch.bfloat16}
    torch.testing.assert_close(again.float().state_dict(), model.state_dict(), rtol=0.01, atol=0.01)


def test_the_encoder_inside_is_complete_or_refused(tmp_path):
    model = build("DistilBert")
    state = model.state_dict()
    del state["transformer.layer.1.ffn.lin1.bias"]
    with pytest.raises(
        CheckpointError, match=r"Mine: 1 missing \(distilbert\.transformer\.layer\.1\.ffn\.lin1\.bias\)"
    ):
        Mine.from_pretrained(None, config=model.config, state_dict=state)
    more = {**model.state_dict(), "transformer.layer.9.ffn.lin1.bias": torch.zeros(40)}
    with pytest.raises(CheckpointError, match=r"1 unexpected \(transformer\.layer\.9"):
        Mine.from_pretrained(None, config=model.config, state_dict=more)
    wide = {**model.state_dict(), "score.weight": torch.zeros(9, 24), "score.bias": torch.zeros(9)}
    with pytest.raises(
        CheckpointError, match=r"2 misshaped \(score\.weight is \(9, 24\), the configuration gives \(5, 24"
    ):
        Mine.from_pretrained(None, config=model.config, state_dict=wide)
    with pytest.warns(UserWarning, match=r"score\.weight was \(9, 24\), is \(5, 24\)"):
        Mine.from_pretrained(None, config=model.config, state_dict=wide, ignore_mismatched_sizes=True)


def test_nothing_in_common_is_refused():
    class Elsewhere(DistilBertPreTrainedModel):
        def __init__(self, config):
            super().__init__(config)
            self.body = nn.Linear(3, 3)
            self.post_init()

    model = build("DistilBert")
    with pytest.raises(CheckpointError, match=r"has nothing that Elsewhere needs, such as body\.weight"):
        Elsewhere.from_pretrained(None, config=model.config, state_dict=model.state_dict())


def test_a_configuration_of_ones_own(tmp_path):
    class OwnConfig(DistilBertConfig):
        model_type = "own"

    class Own(Mine):
        config_class = OwnConfig

    model = Own(OwnConfig(vocab_size=50, dim=8, n_heads=2, n_layers=1, hidden_dim=16))
    model.save_pretrained(tmp_path)
    again = Own.from_pretrained(tmp_path)
    assert type(again.config) is OwnConfig
    torch.testing.assert_close(again.state_dict(), model.state_dict(), rtol=0, atol=0)


def test_another_name_for_the_encoder(tmp_path):
    class Named(DistilBertPreTrainedModel):
        base_model_prefix = "body"

        def __init__(self, config):
            super().__init__(config)
            self.body = DistilBertModel(config)
            self.post_init()

    base = build("DistilBert")
    base.save_pretrained(tmp_path)
    model = Named.from_pretrained(tmp_path)
    torch.testing.assert_close(model.body.state_dict(), base.state_dict(), rtol=0, atol=0)
    model.save_pretrained(tmp_path / "named")
    again = Named.from_pretrained(tmp_path / "named")
    torch.testing.assert_close(again.state_dict(), model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("family", HEADS)
def test_a_replica_has_tensors_in_place_of_parameters(family):
    model = build(family, "ForMaskedLM")
    replicas = {module: module._replicate_for_data_parallel() for module in model.modules()}
    for module, replica in replicas.items():  # as torch.nn.parallel.replicate does on several devices
        for name, child in module.named_children():
            setattr(replica, name, replicas[child])
        for name, parameter in module._parameters.items():
            setattr(replica, name, None if parameter is None else parameter.detach())
    replica = replicas[model]
    assert not list(replica.parameters())
    assert (replica.dtype, replica.device) == (model.dtype, model.device)
    torch.testing.assert_close(replica(**batch()).logits, model(**batch()).logits)


def test_a_failed_resize_leaves_the_model_as_it_was(monkeypatch):
    from pocketbert.torch import vocabulary

    model = build("MobileBert", "ForMaskedLM", tie_word_embeddings=False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    calls = []

    def failing(rows, count):
        calls.append(count)
        if len(calls) == 3:
            raise MemoryError
        return torch.zeros(count, *rows.shape[1:])

    monkeypatch.setattr(vocabulary, "_near_mean", failing)
    with pytest.raises(MemoryError):
        model.resize_token_embeddings(300)
    assert model.config.vocab_size == model.get_input_embeddings().num_embeddings == 97
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("act", ["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "relu6", "silu", "tanh", "linear"])
def test_every_activation_can_be_pickled(act):
    import pickle

    model = build("MobileBert", "ForMaskedLM", hidden_act=act)
    again = pickle.loads(pickle.dumps(model))  # noqa: S301
    torch.testing.assert_close(again(**batch()).logits, model(**batch()).logits, rtol=0, atol=0)


def test_ways_of_attention_and_masks():
    model = build("Bert", "ForMaskedLM")
    model.set_attn_implementation("eager")
    assert model.bert.config.attn_implementation == "eager"
    with pytest.raises(pocketbert.InputError, match="attn_implementation 'flash' is unknown"):
        model.set_attn_implementation("flash")
    with pytest.raises(pocketbert.InputError, match=r"head_mask of shape \(1, 2, 3\) must be"):
        model.get_head_mask(torch.ones(1, 2, 3), 3)
    with pytest.raises(pocketbert.InputError, match=r"attention_mask of shape \(5,\)"):
        model.get_extended_attention_mask(torch.ones(5), (1, 5))


class Scale(nn.Module):
    """A layer whose parameters have the names that a norm's had in old files."""

    def __init__(self, width):
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.rand(width)), nn.Parameter(torch.rand(width))


def test_own_parameters_named_as_an_old_norm_s_come_back(tmp_path):
    class Scaled(DistilBertPreTrainedModel):
        def __init__(self, config):
            super().__init__(config)
            self.distilbert, self.scale = DistilBertModel(config), Scale(config.dim)
            self.post_init()

    model = Scaled(build("DistilBert").config)
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(Scaled.from_pretrained(tmp_path).state_dict(), model.state_dict())
