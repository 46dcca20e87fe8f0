"""What no model can take is refused by name, with the limit; what it can take is never refused."""

from __future__ import annotations

import pytest
import torch

import pocketbert
from helpers.oracle import CLASSES, HEADS, SMALL, batch
from pocketbert import InputError

IDS = torch.tensor([[2, 5, 7, 3], [2, 9, 3, 0]])


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    return {
        (family, head): getattr(pocketbert, f"{family}{head}")(
            getattr(pocketbert, f"{family}Config")(**SMALL[family], num_labels=3)
        ).eval()
        for family, head in CLASSES
    }


@pytest.mark.parametrize("family", HEADS)
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give either input_ids or inputs_embeds; neither was given"),
        ({"input_ids": IDS, "inputs_embeds": torch.zeros(2, 4, 24)}, "both was given"),
        (
            {"input_ids": IDS[0]},
            r"input_ids of shape \(4,\) must be \(batch, tokens\); one text needs \.unsqueeze\(0\)",
        ),
        ({"input_ids": IDS[None]}, r"input_ids of shape \(1, 2, 4\) must be"),
        ({"input_ids": IDS.float()}, "input_ids must be int64 or int32, got float32"),
        ({"input_ids": IDS.bool()}, "input_ids must be int64 or int32, got bool"),
        ({"input_ids": torch.tensor([[2, 97]])}, r"input_ids holds 97, outside 0 \.\. 96 \(vocab_size is 97\)"),
        ({"input_ids": torch.tensor([[2, 10**12]])}, "input_ids holds 1000000000000, outside"),
        ({"input_ids": torch.tensor([[2, -1]])}, "input_ids holds -1, outside"),
        ({"input_ids": torch.zeros(1, 41, dtype=torch.long)}, "41 tokens exceed the model's 40 positions; truncate"),
        ({"inputs_embeds": torch.zeros(1, 41, 12)}, r"\(batch, tokens, 24\)|41 tokens exceed the model's 40"),
        ({"input_ids": torch.zeros(1, 0, dtype=torch.long)}, "the input has no tokens"),
        ({"inputs_embeds": torch.zeros(2, 4, 7)}, r"inputs_embeds of shape \(2, 4, 7\) must be \(batch, tokens, "),
        ({"inputs_embeds": torch.zeros(4, 24)}, r"inputs_embeds of shape \(4, 24\) must be"),
        ({"input_ids": IDS, "attention_mask": torch.ones(2, 3)}, r"attention_mask of shape \(2, 3\) must be"),
        ({"input_ids": IDS, "attention_mask": torch.ones(1, 4)}, r"= \(2, 4\) or \(2, 4, 4\)"),
        ({"input_ids": IDS, "attention_mask": torch.ones(4)}, r"attention_mask of shape \(4,\) must be"),
        ({"input_ids": IDS, "attention_mask": torch.ones(2, 1, 1, 4)}, "attention_mask of shape"),
        ({"input_ids": IDS, "head_mask": torch.ones(3)}, r"head_mask of shape \(3,\) must be \(heads,\) = \(4,\)"),
        ({"input_ids": IDS, "head_mask": torch.ones(2, 4)}, r"or \(layers, heads\) = \(3, 4\)"),
        ({"input_ids": IDS, "position_ids": torch.full((2, 4), 40)}, "position_ids holds 40, outside 0 .. 39"),
        ({"input_ids": IDS, "position_ids": torch.full((1, 4), -1)}, "position_ids holds -1, outside"),
        ({"input_ids": IDS, "position_ids": torch.zeros(2, 3, dtype=torch.long)}, "position_ids of shape"),
        ({"input_ids": IDS, "position_ids": torch.zeros(2, 4)}, "position_ids must be int64 or int32, got float32"),
    ],
    ids=str,
)
def test_what_no_encoder_takes(models, family, given, message):
    with pytest.raises(InputError, match=message):
        models[family, "Model"](**given)


@pytest.mark.parametrize("family", ["MobileBert", "Bert"])
@pytest.mark.parametrize(
    ("types", "message"),
    [
        (torch.full((2, 4), 2), r"token_type_ids holds 2, outside 0 \.\. 1 \(type_vocab_size is 2\)"),
        (torch.full((2, 4), -1), "token_type_ids holds -1"),
        (torch.zeros(2, 3, dtype=torch.long), r"token_type_ids of shape \(2, 3\) must match"),
        (torch.zeros(2, 4), "token_type_ids must be int64 or int32"),
    ],
)
def test_token_types(models, family, types, message):
    with pytest.raises(InputError, match=message):
        models[family, "Model"](IDS, token_type_ids=types)


@pytest.mark.parametrize("head", ["Model", *HEADS["DistilBert"]])
def test_distilbert_accepts_token_types_and_ignores_them(models, head):
    inputs = batch(choices=2 if head == "ForMultipleChoice" else None)
    model = models["DistilBert", head]
    with torch.no_grad():
        for types in (torch.ones_like(inputs["input_ids"]), torch.zeros(1)):
            torch.testing.assert_close(model(**inputs)[0], model(**inputs, token_type_ids=types)[0], rtol=0, atol=0)


def test_more_tokens_than_a_real_model_has_positions():
    config = pocketbert.DistilBertConfig(n_layers=1, vocab_size=9, dim=4, n_heads=1, hidden_dim=4)
    model = pocketbert.DistilBertModel(config).eval()
    with pytest.raises(InputError, match="701 tokens exceed the model's 512 positions; truncate the text or split it"):
        model(torch.zeros(1, 701, dtype=torch.long))
    assert model(torch.zeros(1, 512, dtype=torch.long))[0].shape == (1, 512, 4)


LABELS = {
    "ForMaskedLM": [
        ({"labels": torch.full((2, 4), 97)}, r"labels holds 97, outside 0 \.\. 96 \(or -100, which is ignored\)"),
        ({"labels": torch.full((2, 4), -1)}, "labels holds -1"),
        ({"labels": torch.zeros(2, 3, dtype=torch.long)}, r"labels of shape \(2, 3\) must be \(batch, tokens"),
        ({"labels": torch.zeros(2, 4)}, "labels must be integers, got float32"),
    ],
    "ForTokenClassification": [
        ({"labels": torch.full((2, 4), 3)}, r"labels holds 3, outside 0 \.\. 2"),
        ({"labels": torch.zeros(8, dtype=torch.long)}, r"labels of shape \(8,\) must be"),
    ],
    "ForSequenceClassification": [
        ({"labels": torch.tensor([0, 3])}, r"labels holds 3, outside 0 \.\. 2"),
        ({"labels": torch.tensor([0, 1, 2])}, r"labels of shape \(3,\) must be \(batch,\) = \(2,\)"),
        ({"labels": torch.zeros(2, 2)}, r"labels of shape \(2, 2\) must be \(batch, labels\) = \(2, 3\) for mul"),
    ],
    "ForMultipleChoice": [
        ({"labels": torch.tensor([0, 2])}, r"labels holds 2, outside 0 \.\. 1"),
        ({"labels": torch.tensor([0])}, r"labels of shape \(1,\) must be \(batch,\) = \(2,\)"),
    ],
    "ForQuestionAnswering": [
        ({"start_positions": torch.tensor([1]), "end_positions": torch.tensor([1, 2])}, r"of shape \(1,\) must be"),
        ({"start_positions": torch.tensor([1, 1]), "end_positions": torch.tensor([1.0, 2.0])}, "must be integers"),
    ],
    "ForNextSentencePrediction": [
        ({"labels": torch.tensor([0, 2])}, r"labels holds 2, outside 0 \.\. 1"),
        ({"labels": torch.tensor([0])}, r"must be \(batch,\) = \(2,\)"),
    ],
    "ForPreTraining": [
        ({"labels": IDS, "next_sentence_label": torch.tensor([0, 2])}, "next_sentence_label holds 2"),
        ({"labels": IDS[:1], "next_sentence_label": torch.tensor([0, 1])}, r"labels of shape \(1, 4\) must be"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("family", "head", "given", "message"),
    [(family, head, *case) for family, head in CLASSES for case in LABELS.get(head, [])],
    ids=str,
)
def test_labels_that_do_not_fit(models, family, head, given, message):
    ids = IDS[:, None].expand(2, 2, 4) if head == "ForMultipleChoice" else IDS
    with pytest.raises(InputError, match=message):
        models[family, head](ids, **given)


@pytest.mark.parametrize("family", HEADS)
def test_regression_labels_that_do_not_fit(family):
    config = getattr(pocketbert, f"{family}Config")(**SMALL[family], num_labels=1)
    model = getattr(pocketbert, f"{family}ForSequenceClassification")(config).eval()
    with pytest.raises(InputError, match=r"labels of shape \(3,\) do not fit the logits' \(2, 1\) for regression"):
        model(IDS, labels=torch.zeros(3))


@pytest.mark.parametrize("family", HEADS)
def test_multiple_choice_wants_choices(models, family):
    model = models[family, "ForMultipleChoice"]
    with pytest.raises(InputError, match=r"inputs of shape \(2, 4\) must be \(batch, choices, tokens\)"):
        model(IDS)
    with pytest.raises(InputError, match="neither was given"):
        model()
    with pytest.raises(InputError, match="attention_mask of shape"):
        model(IDS[None], attention_mask=torch.ones(1, 2, 3))


@pytest.mark.parametrize(("family", "head"), CLASSES)
def test_unknown_keywords_raise(models, family, head):
    with pytest.raises(TypeError, match="unexpected keyword argument 'token_types'"):
        models[family, head](input_ids=IDS[None] if head == "ForMultipleChoice" else IDS, token_types=IDS)


OLD_NAMES = [
    (family, head, old, new)
    for family, head in CLASSES
    for old, new in {
        "ForMaskedLM": [("masked_lm_labels", "labels"), ("lm_labels", "labels")],
        "ForPreTraining": [("masked_lm_labels", "labels")],
        "ForNextSentencePrediction": [("next_sentence_label", "labels")],
    }.get(head, [])
]


@pytest.mark.parametrize(("family", "head", "old", "new"), OLD_NAMES)
def test_old_names_warn_and_mean_the_new_ones(models, family, head, old, new):
    model = models[family, head]
    labels = torch.tensor([0, 1]) if head == "ForNextSentencePrediction" else IDS
    others = {"next_sentence_label": torch.tensor([0, 1])} if head == "ForPreTraining" else {}
    with torch.no_grad():
        expected = model(IDS, **{new: labels}, **others).loss
        with pytest.warns(FutureWarning, match=f"{old} is now {new}") as caught:
            got = model(IDS, **{old: labels}, **others).loss
    assert len(caught) == 1
    torch.testing.assert_close(got, expected)
    with pytest.warns(FutureWarning), pytest.raises(TypeError, match=f"both {new} and its old name {old}"):
        model(IDS, **{old: labels, new: labels}, **others)


@pytest.mark.parametrize("family", HEADS)
def test_what_is_accepted(models, family):
    model = models[family, "Model"]
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    with torch.no_grad():
        expected = model(IDS, mask)[0]
        for same in (mask.bool(), mask.float(), mask.int(), mask.to(torch.uint8), mask[:, None, :].expand(2, 4, 4)):
            torch.testing.assert_close(model(IDS, same)[0], expected)
        torch.testing.assert_close(model(IDS.int(), mask)[0], expected)
        torch.testing.assert_close(model(input_ids=IDS, attention_mask=mask)[0], expected)
        for positions in (torch.arange(4), torch.arange(4)[None], torch.arange(4).expand(2, 4).int()):
            torch.testing.assert_close(model(IDS, mask, position_ids=positions)[0], expected)
    given = [IDS.clone(), mask.clone()]
    model(*given)
    assert torch.equal(given[0], IDS)
    assert torch.equal(given[1], mask)


def test_gradients_reach_input_vectors(models):
    for family in HEADS:
        model = models[family, "Model"]
        vectors = torch.zeros(1, 4, model.get_input_embeddings().embedding_dim, requires_grad=True)
        model(inputs_embeds=vectors)[0].square().sum().backward()
        assert vectors.grad.abs().sum() > 0
