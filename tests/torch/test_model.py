"""What every model can do: its signatures, resizing, pruning, tying, checkpointing, counting, compiling, exporting."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
import transformers
from torch.export import Dim, export
from torch.nn import functional as F

import pocketbert
from helpers.oracle import CLASSES, HEADS, SMALL, assert_equal_outputs, batch, labels_for, pair, randomize
from pocketbert import ConfigError, InputError, MobileBertConfig
from pocketbert.architecture import families
from pocketbert.architecture.heads import HEADS as RECORDS

EVERYTHING = {"output_hidden_states": True, "output_attentions": True}
HEAD_NAMES = {head.suffix: name for name, head in RECORDS.items()}
MLM = ["DistilBert", "MobileBert", "Bert"]


def small(family, head="Model", **changes):
    config = getattr(pocketbert, f"{family}Config")(**{**SMALL[family], **changes})
    model = getattr(pocketbert, f"{family}{head}")(config)
    randomize(model)
    model.tie_weights()
    return model.eval()


# -- the documented interface ----------------------------------------------------------------------------------

_BERT = ["input_ids", "attention_mask", "token_type_ids", "position_ids", "head_mask", "inputs_embeds"]
_OUT = ["output_attentions", "output_hidden_states", "return_dict"]
_DISTIL = ["input_ids", "attention_mask", "head_mask", "inputs_embeds"]
_SPAN = ["start_positions", "end_positions"]
SIGNATURES = {
    "MobileBertModel": [*_BERT, "output_hidden_states", "output_attentions", "return_dict"],
    "MobileBertForPreTraining": [*_BERT, "labels", "next_sentence_label", *_OUT],
    "MobileBertForMaskedLM": [*_BERT, "labels", *_OUT],
    "MobileBertForNextSentencePrediction": [*_BERT, "labels", *_OUT],
    "MobileBertForSequenceClassification": [*_BERT, "labels", *_OUT],
    "MobileBertForMultipleChoice": [*_BERT, "labels", *_OUT],
    "MobileBertForTokenClassification": [*_BERT, "labels", *_OUT],
    "MobileBertForQuestionAnswering": [*_BERT, *_SPAN, *_OUT],
    "DistilBertModel": [*_DISTIL, *_OUT],
    "DistilBertForMaskedLM": [*_DISTIL, "labels", *_OUT],
    "DistilBertForSequenceClassification": [*_DISTIL, "labels", *_OUT],
    "DistilBertForMultipleChoice": [*_DISTIL, "labels", *_OUT],
    "DistilBertForTokenClassification": [*_DISTIL, "labels", *_OUT],
    "DistilBertForQuestionAnswering": [*_DISTIL, *_SPAN, *_OUT],
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_forward_takes_the_documented_arguments_in_their_order(name):
    parameters = dict(inspect.signature(getattr(pocketbert, name).forward).parameters)
    del parameters["self"]
    assert list(parameters)[: len(SIGNATURES[name])] == SIGNATURES[name]
    named = [p for p in parameters.values() if p.kind is not p.VAR_KEYWORD]
    assert all(p.default is None for p in named)


def test_constructors_take_the_documented_arguments():
    for name in SIGNATURES:
        parameters = list(inspect.signature(getattr(pocketbert, name)).parameters)
        assert parameters == (["config", "add_pooling_layer"] if name == "MobileBertModel" else ["config"])


@pytest.mark.parametrize(("family", "head"), CLASSES)
def test_outputs_as_dict_and_tuple_by_argument_and_configuration(family, head):
    model = small(family, head)
    inputs = batch(choices=2 if head == "ForMultipleChoice" else None)
    inputs |= labels_for(head, inputs, model.config.num_labels)
    layers = model.config.num_hidden_layers
    with torch.no_grad():
        by_argument = model(**inputs, **EVERYTHING)
        assert len(by_argument.hidden_states) == layers + 1
        assert len(by_argument.attentions) == layers
        model.config.output_hidden_states = model.config.output_attentions = True
        by_config = model(**inputs)
        assert list(by_config) == list(by_argument)
        plain = model(**inputs, output_hidden_states=False, output_attentions=False)
        assert (plain.hidden_states, plain.attentions) == (None, None)
        assert torch.equal(plain[:2][0], plain[0])
        assert len(plain[:2]) == min(2, len(plain))
        as_tuple = model(**inputs, return_dict=False)
        model.config.return_dict = False
        by_default = model(**inputs)
        as_dict = model(**inputs, return_dict=True)
    assert type(as_tuple) is type(by_default) is tuple
    assert len(as_tuple) == len(as_dict.to_tuple())
    for one, other in zip(as_tuple, as_dict.to_tuple(), strict=True):
        torch.testing.assert_close(one, other)


# -- the schema ------------------------------------------------------------------------------------------------

WIDE = {"hidden_act": "gelu_new", "normalization_type": "layer_norm", "outer_layer_norm_eps": 1e-12}
CONFIGURATIONS = [
    ("DistilBert", {}),
    ("DistilBert", {"tie_word_embeddings": False, "pruned_heads": {0: [1], 2: [0, 3]}, "num_labels": 5}),
    ("Bert", {}),
    ("Bert", {"tie_word_embeddings": False, "pruned_heads": {1: [0, 1, 2]}, "type_vocab_size": 1}),
    ("MobileBert", {}),
    ("MobileBert", {"classifier_activation": False, "trigram_input": False}),
    ("MobileBert", {"use_bottleneck": False, "num_feedforward_networks": 1}),
    ("MobileBert", {"key_query_shared_bottleneck": False, "intra_bottleneck_size": 64, **WIDE}),
    ("MobileBert", {"use_bottleneck_attention": True, "key_query_shared_bottleneck": False}),
    ("MobileBert", {"tie_word_embeddings": False, "pruned_heads": {1: [2]}, "embedding_size": 32}),
]


@pytest.mark.parametrize(("family", "changes"), CONFIGURATIONS, ids=str)
def test_the_schema_is_the_state_dict(family, changes):
    config = getattr(pocketbert, f"{family}Config")(**{**SMALL[family], **changes})
    for head in ("Model", *HEADS[family]):
        with torch.device("meta"):
            model = getattr(pocketbert, f"{family}{head}")(config)
        listed = families.parameters(config, HEAD_NAMES[head.removeprefix("Model") or "Model"])
        assert {n: tuple(v.shape) for n, v in model.state_dict().items()} == {p.name: p.shape for p in listed}
        assert model.num_parameters() == sum(p.size for p in listed if p.tied_to is None)


@pytest.mark.parametrize(
    ("name", "config", "expected"),
    [
        ("DistilBertModel", pocketbert.DistilBertConfig(), 66_362_880),
        ("DistilBertForMaskedLM", pocketbert.DistilBertConfig(), 66_985_530),
        ("MobileBertModel", MobileBertConfig(classifier_activation=False), 24_581_888),
        ("MobileBertModel", MobileBertConfig.tiny(), 15_485_696),
        ("MobileBertModel", MobileBertConfig.ib_bert_large(classifier_activation=False), 294_205_184),
    ],
)
def test_full_size_counts(name, config, expected):
    with torch.device("meta"):
        model = getattr(pocketbert, name)(config)
    assert model.num_parameters() == expected


def test_counting():
    ours, theirs = pair("MobileBert", "ForMaskedLM")
    ours.mobilebert.embeddings.word_embeddings.weight.requires_grad_(False)
    theirs.mobilebert.embeddings.word_embeddings.weight.requires_grad_(False)
    for options in ({}, {"only_trainable": True}, {"exclude_embeddings": True}):
        assert ours.num_parameters(**options) == theirs.num_parameters(**options)


# -- embeddings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", MLM)
def test_input_and_output_embeddings(family):
    model = small(family, "ForMaskedLM")
    table = model.get_input_embeddings()
    assert table is model.base_model.get_input_embeddings() is model.base_model.embeddings.word_embeddings
    assert model.get_output_embeddings().weight is table.weight
    fresh = torch.nn.Embedding(*table.weight.shape)
    model.set_input_embeddings(fresh)
    assert model.get_input_embeddings() is fresh
    assert model.get_output_embeddings().weight is fresh.weight
    old = model.get_output_embeddings()
    model.set_output_embeddings(torch.nn.Linear(old.in_features, old.out_features))
    assert model.get_output_embeddings() is not old
    model.tie_weights()
    assert model.get_output_embeddings().weight is fresh.weight
    model(**batch(), labels=batch()["input_ids"]).loss.backward()
    encoder = small(family)
    assert encoder.get_output_embeddings() is None
    with pytest.raises(InputError, match=f"{family}Model has no output embeddings"):
        encoder.set_output_embeddings(torch.nn.Linear(2, 2))
    assert encoder.base_model is encoder


@pytest.mark.parametrize("size", [120, 50])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    ("family", "head"), [(f, h) for f, h in CLASSES if h in ("Model", "ForMaskedLM", "ForPreTraining")]
)
@pytest.mark.filterwarnings("ignore::UserWarning:transformers")
def test_resizing_the_vocabulary(family, head, tied, size, tmp_path):
    ours, theirs = pair(family, head, {"tie_word_embeddings": tied})
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    table = ours.resize_token_embeddings(size)
    theirs.resize_token_embeddings(size)
    assert table is ours.get_input_embeddings()
    assert table.num_embeddings == ours.config.vocab_size == ours.base_model.config.vocab_size == size
    expected = {name: value.shape for name, value in theirs.state_dict().items()}
    assert {name: value.shape for name, value in ours.state_dict().items()} == expected
    for name, value in ours.state_dict().items():
        kept = tuple(slice(0, min(a, b)) for a, b in zip(value.shape, before[name].shape, strict=True))
        torch.testing.assert_close(value[kept], before[name][kept], rtol=0, atol=0)
    output = ours.get_output_embeddings()
    if output is not None:
        assert (output.weight is table.weight) == tied
        assert output.out_features == size
    for module in ours.modules():
        if isinstance(module, torch.nn.Linear):
            assert tuple(module.weight.shape) == (module.out_features, module.in_features)
    inputs = batch(vocabulary=size)
    inputs["input_ids"][0, 0] = size - 1
    given = {**inputs, **labels_for(head, inputs)}
    result = ours(**given)
    (result.loss if "loss" in result else result[0].sum()).backward()
    assert all(p.grad is not None for n, p in ours.named_parameters() if "word_embeddings" in n)
    with torch.no_grad():
        ours.save_pretrained(tmp_path)
        again = type(ours).from_pretrained(tmp_path, dtype="auto")
        assert_equal_outputs(again(**given), ours(**given), 1e-12)
        original = type(theirs).from_pretrained(tmp_path, dtype=torch.float64, attn_implementation="eager").eval()
        assert_equal_outputs(ours(**given), original(**given), 1e-12)
    with pytest.raises(InputError, match=f"input_ids holds {size}, outside 0 .. {size - 1}"):
        ours(input_ids=torch.tensor([[size]]))


def test_resizing_by_multiples_and_mistakes():
    model = small("MobileBert", "ForMaskedLM", pad_token_id=3)
    assert model.resize_token_embeddings() is model.get_input_embeddings()
    assert model.config.vocab_size == 97
    assert model.resize_token_embeddings(pad_to_multiple_of=64).num_embeddings == 128
    assert model.resize_token_embeddings(100, pad_to_multiple_of=8).num_embeddings == 104
    for wrong, message in (
        ((0,), "new_num_tokens 0 must be a positive integer"),
        ((-5,), "new_num_tokens -5 must be"),
        (("10",), "new_num_tokens '10' must be"),
        ((2.5, 8), r"new_num_tokens 2\.5 must be"),
        ((3,), "new_num_tokens 3 would drop pad_token_id 3"),
        ((50, 0), "pad_to_multiple_of 0 must be a positive integer"),
    ):
        with pytest.raises(InputError, match=message):
            model.resize_token_embeddings(*wrong)
    assert model.config.vocab_size == model.get_input_embeddings().num_embeddings == 104
    assert model.get_input_embeddings().padding_idx == 3


def test_new_rows_are_close_to_the_mean_or_random():
    torch.manual_seed(0)
    model = small("MobileBert", "ForMaskedLM")
    rows = model.get_input_embeddings().weight.detach().double()
    model.resize_token_embeddings(4000)
    fresh = model.get_input_embeddings().weight[97:].detach().double()
    assert (fresh - rows.mean(0)).abs().max() < 1e-3
    spread = (fresh - rows.mean(0)).T @ (fresh - rows.mean(0)) / len(fresh)
    covariance = 1e-9 * (rows - rows.mean(0)).T @ (rows - rows.mean(0)) / len(rows)
    assert (spread - covariance).abs().max() < 0.15 * covariance.abs().max()
    model = small("MobileBert", "ForMaskedLM")
    model.resize_token_embeddings(5000, mean_resizing=False)
    fresh = model.get_input_embeddings().weight[97:]
    assert 0.019 < fresh.std().item() < 0.021
    assert not model.cls.predictions.bias[97:].any()
    assert model.cls.predictions.dense.weight[:, 97:].std().item() == pytest.approx(0.02, rel=0.05)


# -- pruning ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", HEADS)
def test_pruned_heads(family, tmp_path):
    first, second = {0: [1], 2: [0, 3]}, {0: [0, 1], 1: [2]}
    ours, theirs = pair(family, "ForMaskedLM")
    inputs = batch()

    def compare(mine, other, masks=(None,)):
        with torch.no_grad():
            for mask in masks:
                masked = {} if mask is None else {"head_mask": mask}
                assert_equal_outputs(mine(**inputs, **masked, **EVERYTHING), other(**inputs, **EVERYTHING), 1e-12)
                assert_equal_outputs(mine(**inputs, **masked), other(**inputs), 1e-12)

    whole = torch.ones(3, 4)
    for pruned in (first, second, second):
        ours.prune_heads(pruned)
        torch.set_default_dtype(torch.float64)  # of the layers that the original makes anew
        theirs.prune_heads(pruned)
        torch.set_default_dtype(torch.float32)
        expected = {name: value.shape for name, value in theirs.state_dict().items()}
        assert {name: value.shape for name, value in ours.state_dict().items()} == expected
        for layer, gone in pruned.items():
            whole[layer, gone] = 0
        compare(ours, theirs, (None, torch.ones(4), whole))
    assert ours.config.pruned_heads == {0: [0, 1], 1: [2], 2: [0, 3]}
    unpruned, _ = pair(family, "ForMaskedLM")
    with torch.no_grad():  # removing a head is masking it
        torch.testing.assert_close(unpruned(**inputs, head_mask=whole).logits, ours(**inputs).logits)
        half = torch.full((4,), 0.5)
        torch.testing.assert_close(
            unpruned(**inputs, head_mask=whole * half).logits, ours(**inputs, head_mask=half).logits
        )

    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    for folder in ("ours", "theirs"):
        again = type(ours).from_pretrained(tmp_path / folder, dtype="auto")
        assert again.config.pruned_heads == ours.config.pruned_heads
        compare(again, theirs)
        again.prune_heads({1: [0]})
        assert again(**inputs).logits.isfinite().all()
    original = type(theirs).from_pretrained(tmp_path / "ours", dtype=torch.float64, attn_implementation="eager")
    compare(ours, original.eval())


@pytest.mark.parametrize("family", HEADS)
def test_pruning_mistakes_change_nothing(family):
    model = small(family, "ForMaskedLM", pruned_heads={1: [0]})
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    for wrong, message in (
        ({3: [0]}, "layer in pruned_heads 3 must be from 0 to 2"),
        ({-4: [0]}, "layer in pruned_heads -4 must be from 0 to 2"),
        ({0: [4]}, r"head in pruned_heads\[0\] 4 must be from 0 to 3"),
        ({0: [1], 2: [0, 1, 2, 3]}, r"pruned_heads\[2\] removes all 4 heads; keep at least one"),
        ({0: [2], 1: [1, 2, 3]}, r"pruned_heads\[1\] removes all 4 heads"),
    ):
        with pytest.raises(ConfigError, match=message):
            model.prune_heads(wrong)
        assert model.config.pruned_heads == {1: [0]}
        assert {name: value.shape for name, value in model.state_dict().items()} == shapes
    model.prune_heads({})
    model.prune_heads({0: []})
    assert model.config.pruned_heads == {1: [0]}


# -- attention -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", HEADS)
def test_sdpa_and_the_explicit_form_agree_and_each_is_used_where_it_should(family, monkeypatch):
    model, inputs = small(family).double(), batch()
    calls = []
    original = F.scaled_dot_product_attention

    def counting(*args, **options):
        calls.append(1)
        return original(*args, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", counting)
    with torch.no_grad():
        fused = model(**inputs)
        assert len(calls) == 3
        for options in ({"output_attentions": True}, {"head_mask": torch.ones(4)}):
            torch.testing.assert_close(model(**inputs, **options)[0], fused[0], rtol=1e-12, atol=1e-12)
        model.config.attn_implementation = "eager"
        torch.testing.assert_close(model(**inputs)[0], fused[0], rtol=1e-12, atol=1e-12)
    assert len(calls) == 3


# -- training --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "head"), [("DistilBert", "ForMaskedLM"), ("MobileBert", "ForPreTraining"), ("Bert", "ForTokenClassification")])  # fmt: skip  # noqa: E501
def test_gradient_checkpointing_gives_the_same_loss_and_gradients(family, head):
    dropout = {"DistilBert": {"dropout": 0.1, "attention_dropout": 0.1}}.get(
        family, {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
    )
    model = small(family, head, **dropout, num_labels=3).double().train()
    inputs = batch()
    inputs |= labels_for(head, inputs)
    results = []
    for checkpointing in (False, True):
        if checkpointing:
            model.gradient_checkpointing_enable()
        assert model.is_gradient_checkpointing == model.base_model.is_gradient_checkpointing == checkpointing
        model.zero_grad()
        torch.manual_seed(3)
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, saved=saved: saved.append(x.numel()) or x, lambda x: x):
            loss = model(**inputs).loss
        loss.backward()
        grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        results.append((loss.detach(), grads, sum(saved)))
    (loss, grads, kept), (again, regrads, kept_again) = results
    torch.testing.assert_close(again, loss, rtol=0, atol=0)
    torch.testing.assert_close(regrads, grads, rtol=1e-12, atol=1e-12)
    assert kept_again < kept
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing
    model.gradient_checkpointing_enable({"use_reentrant": False})
    assert model.is_gradient_checkpointing


def test_fresh_weights():
    torch.manual_seed(0)
    for family in HEADS:
        config = getattr(pocketbert, f"{family}Config")(**{**SMALL[family], "vocab_size": 3000, "pad_token_id": 1})
        model = getattr(pocketbert, f"{family}ForMaskedLM")(config)
        table = model.get_input_embeddings().weight
        assert 0.019 < table.std().item() < 0.021
        assert not table[1].any()
        for name, parameter in model.named_parameters():
            if "norm" in name.lower() and name.endswith("weight"):
                assert (parameter == 1).all()
            elif name.endswith("bias"):
                assert not parameter.any()
            else:
                assert parameter.any()


# -- compiling and exporting -----------------------------------------------------------------------------------

GRAPHS = [
    ("DistilBert", "Model"),
    ("MobileBert", "Model"),
    ("Bert", "Model"),
    ("DistilBert", "ForSequenceClassification"),
    ("MobileBert", "ForPreTraining"),
    ("Bert", "ForTokenClassification"),
    ("DistilBert", "ForQuestionAnswering"),
    ("MobileBert", "ForMultipleChoice"),
]


def graph_case(family, head, **sizes):
    inputs = batch(choices=2 if head == "ForMultipleChoice" else None, **sizes)
    return {**inputs, **labels_for(head, inputs)}


def graph_model(family, head):
    changes = {} if head in ("Model", "ForQuestionAnswering") else {"num_labels": 3}
    return small(family, head, num_hidden_layers=1, **changes)


def quick_first(cases, quick):
    """Mark all cases but the first ``quick`` as slow."""
    return [case if n < quick else pytest.param(*case, marks=pytest.mark.slow) for n, case in enumerate(cases)]


@pytest.mark.parametrize(
    ("family", "head", "backend"),
    quick_first([(*case, "eager") for case in GRAPHS] + [(*case, "aot_eager") for case in GRAPHS[:3]], 4),
)
def test_compile_makes_one_graph(family, head, backend):
    torch.compiler.reset()
    model = graph_model(family, head)
    compiled = torch.compile(model, fullgraph=True, backend=backend, dynamic=True)
    with torch.no_grad():
        for sizes in ({}, {"rows": 2, "tokens": 7}):
            given = graph_case(family, head, **sizes)
            assert_equal_outputs(compiled(**given), model(**given), 1e-6)
        given = graph_case(family, head)
        assert_equal_outputs(compiled(**given, **EVERYTHING), model(**given, **EVERYTHING), 1e-6)
        assert type(compiled(**given, return_dict=False)) is tuple


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, while it builds the backend
@pytest.mark.parametrize(("family", "head"), [("DistilBert", "ForMaskedLM"), ("MobileBert", "ForMaskedLM")])
def test_inductor_trains(family, head):
    torch.compiler.reset()
    model = graph_model(family, head).train()
    given = graph_case(family, head)
    expected = model(**given).loss
    expected.backward()
    grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    loss = torch.compile(model, fullgraph=True)(**given).loss
    loss.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    for name, parameter in model.named_parameters():
        if name in grads:
            torch.testing.assert_close(parameter.grad, grads[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("family", "head", "strict"),
    quick_first([(*case, False) for case in GRAPHS] + [(*case, True) for case in GRAPHS], len(GRAPHS) + 1),
)
def test_export_is_general_in_batch_and_length(family, head, strict):
    rows, tokens = Dim("rows", min=1, max=64), Dim("tokens", min=1, max=40)
    model = graph_model(family, head)
    given = graph_case(family, head)
    shapes = {n: {0: rows} if v.dim() == 1 else {0: rows, v.dim() - 1: tokens} for n, v in given.items()}
    program = export(model, (), given, dynamic_shapes=shapes, strict=strict).module()
    with torch.no_grad():
        for sizes in ({}, {"rows": 2, "tokens": 7}, {"rows": 1, "tokens": 39}):
            case = graph_case(family, head, **sizes)
            assert_equal_outputs(program(**case), model(**case), 1e-5)
        if head == "Model":
            unpadded = {"input_ids": torch.full((2, 5), 3), "attention_mask": torch.ones(2, 5, dtype=torch.long)}
            assert_equal_outputs(program(**unpadded), model(**unpadded), 1e-5)


# -- what the original cannot express --------------------------------------------------------------------------


def reference_mobilebert(state, config, ids, types, mask):
    """Run the encoder as the paper says (arXiv 2004.02984, sections 3.1 to 3.4), a function of arrays alone."""

    def dense(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(x, name):
        if config.normalization_type == "layer_norm":
            mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
            x = (x - mean) / torch.sqrt(variance + 1e-12)
        return x * state[f"{name}.weight"] + state[f"{name}.bias"]

    def act(x):
        if config.hidden_act == "relu":
            return x.clamp_min(0)
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    words = state["embeddings.word_embeddings.weight"][ids]
    rows, tokens, width = words.shape
    if config.trigram_input:
        zero = torch.zeros(rows, 1, width, dtype=words.dtype)
        after, before = torch.cat([words[:, 1:], zero], 1), torch.cat([zero, words[:, :-1]], 1)
        words = torch.cat([after, words, before], 2)
    x = dense(words, "embeddings.embedding_transformation")
    x = x + state["embeddings.token_type_embeddings.weight"][types]
    x = norm(x + state["embeddings.position_embeddings.weight"][:tokens], "embeddings.LayerNorm")
    states, heads = [x], config.num_attention_heads
    for index in range(config.num_hidden_layers):
        layer = f"encoder.layer.{index}"
        residual = query = value = x
        if config.use_bottleneck:
            residual = norm(dense(x, f"{layer}.bottleneck.input.dense"), f"{layer}.bottleneck.input.LayerNorm")
            if config.use_bottleneck_attention:
                query = value = residual
            elif config.key_query_shared_bottleneck:
                name = f"{layer}.bottleneck.attention"
                query = norm(dense(x, f"{name}.dense"), f"{name}.LayerNorm")
        q, k, v = (
            dense(source, f"{layer}.attention.self.{name}").view(rows, tokens, heads, -1)
            for name, source in (("query", query), ("key", query), ("value", value))
        )
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(q.shape[-1])
        scores = scores.masked_fill(mask[:, None, None, :] == 0, -math.inf)
        context = torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v).reshape(rows, tokens, -1)
        h = norm(dense(context, f"{layer}.attention.output.dense") + residual, f"{layer}.attention.output.LayerNorm")
        for name in [*(f"{layer}.ffn.{i}" for i in range(config.num_feedforward_networks - 1)), layer]:
            inner = act(dense(h, f"{name}.intermediate.dense"))
            h = norm(dense(inner, f"{name}.output.dense") + h, f"{name}.output.LayerNorm")
        if config.use_bottleneck:
            h = norm(dense(h, f"{layer}.output.bottleneck.dense") + x, f"{layer}.output.bottleneck.LayerNorm")
        x = h
        states.append(x)
    return states


VARIANTS = {
    "ib_bert": MobileBertConfig.ib_bert_large(
        **{**SMALL["MobileBert"], "intra_bottleneck_size": 64, "hidden_dropout_prob": 0.0}
    ),
    "tiny": MobileBertConfig.tiny(**SMALL["MobileBert"]),
    "without_opt": MobileBertConfig.without_opt(**SMALL["MobileBert"]),
    "mobilebert": MobileBertConfig(**SMALL["MobileBert"]),
    "ib_bert, no_norm, 3 networks": MobileBertConfig(
        **{**SMALL["MobileBert"], "intra_bottleneck_size": 64},
        key_query_shared_bottleneck=False,
        num_feedforward_networks=3,
    ),
    "google's defaults": MobileBertConfig.from_dict(
        {"vocab_size": 97, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40}
        | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "max_position_embeddings": 40}
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_the_papers(name, tmp_path):
    config = VARIANTS[name]
    model = pocketbert.MobileBertModel(config).double().eval()
    randomize(model)
    inputs = batch()
    types = (inputs["input_ids"] > 50).long()
    state = model.state_dict()
    if not config.trigram_input and config.embedding_size == config.hidden_size:
        # nothing is to be widened: the layer is on disk, and is not used
        state["embeddings.embedding_transformation.weight"] = torch.eye(config.hidden_size, dtype=torch.float64)
        state["embeddings.embedding_transformation.bias"] = torch.zeros(config.hidden_size, dtype=torch.float64)
    expected = reference_mobilebert(state, config, inputs["input_ids"], types, inputs["attention_mask"])
    model.save_pretrained(tmp_path)
    again = pocketbert.MobileBertModel.from_pretrained(tmp_path, dtype="auto")
    for one in (model, again):
        with torch.no_grad():
            output = one(**inputs, token_type_ids=types, output_hidden_states=True)
        for mine, other in zip(output.hidden_states, expected, strict=True):
            assert (mine - other).abs().max() <= 1e-12 * other.abs().max()
        pooled = expected[-1][:, 0]
        if config.classifier_activation:
            pooled = torch.tanh(pooled @ state["pooler.dense.weight"].T + state["pooler.dense.bias"])
        torch.testing.assert_close(output.pooler_output, pooled, rtol=1e-12, atol=1e-12)


def test_the_teachers_query_reads_the_blocks_input():
    model = pocketbert.MobileBertModel(VARIANTS["ib_bert"])
    attention = model.encoder.layer[0].attention.self
    assert (attention.query.in_features, attention.query.out_features) == (32, 64)
    assert not hasattr(transformers.MobileBertConfig(), "query_key_size")
