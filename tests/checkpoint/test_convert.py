"""BERT to DistilBERT: the same hidden states, on random and on real weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import pocketbert
from pocketbert.checkpoint.convert import bert_to_distilbert, convert_bert_to_distilbert

FIELDS = {
    "vocab_size": 50,
    "hidden_size": 24,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "intermediate_size": 20,
}


def bert(cls=pocketbert.BertModel, **fields):
    torch.manual_seed(0)
    model = cls(pocketbert.BertConfig(**{**FIELDS, **fields})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def inputs():
    ids = torch.randint(1, 50, (2, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("head", ["Model", "ForMaskedLM", "ForPreTraining"])
def test_folder_equals_its_bert(tmp_path, head):
    model = bert(getattr(pocketbert, f"Bert{head}"), hidden_act="gelu_new", max_position_embeddings=30)
    model.save_pretrained(tmp_path / "bert")
    convert_bert_to_distilbert(tmp_path / "bert", tmp_path / "distilbert")
    kind = "Model" if head == "Model" else "ForMaskedLM"
    ours = getattr(pocketbert, f"DistilBert{kind}").from_pretrained(tmp_path / "distilbert")
    assert ours.config.architectures == [type(ours).__name__]
    with torch.no_grad():
        torch.testing.assert_close(ours(**inputs())[0], model(**inputs())[0], rtol=0, atol=2e-5)


def test_pruned_heads_come_along(tmp_path):
    model = bert()
    model.prune_heads({1: [0, 2]})
    model.save_pretrained(tmp_path / "bert")
    convert_bert_to_distilbert(tmp_path / "bert", tmp_path / "distilbert")
    ours = pocketbert.DistilBertModel.from_pretrained(tmp_path / "distilbert")
    with torch.no_grad():
        torch.testing.assert_close(ours(**inputs())[0], model(**inputs())[0], rtol=0, atol=1e-5)


def test_tokenizer_files_come_along_and_name_distilberts(tmp_path):
    bert().save_pretrained(tmp_path / "bert")
    (tmp_path / "bert" / "vocab.txt").write_text("[PAD]\n[UNK]\n", "utf-8")
    stored = {
        "tokenizer_class": "BertTokenizer",
        "model_input_names": ["input_ids", "token_type_ids"],
        "do_lower_case": False,
    }
    (tmp_path / "bert" / "tokenizer_config.json").write_text(json.dumps(stored), "utf-8")
    convert_bert_to_distilbert(tmp_path / "bert", tmp_path / "out")
    assert (tmp_path / "out" / "vocab.txt").read_text("utf-8") == "[PAD]\n[UNK]\n"
    written = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text("utf-8"))
    assert written == {"tokenizer_class": "DistilBertTokenizer", "do_lower_case": False}


def test_what_distilbert_cannot_express_is_refused(tmp_path):
    with pytest.raises(pocketbert.ConfigError, match=r"layer_norm_eps 1e-05 is not DistilBERT's 1e-12"):
        bert_to_distilbert(pocketbert.BertConfig(**FIELDS, layer_norm_eps=1e-5), {})
    arrays = {name: value.numpy() for name, value in bert().state_dict().items()}
    del arrays["encoder.layer.1.output.dense.bias"]
    arrays["embeddings.LayerNorm.weight"] = np.ones(3, np.float32)
    with pytest.raises(
        pocketbert.CheckpointError, match=r"1 missing \(encoder.layer.1.output.dense.bias\); 1 misshaped"
    ):
        bert_to_distilbert(pocketbert.BertConfig(**FIELDS), arrays)
    bert().save_pretrained(tmp_path)
    with pytest.raises(pocketbert.InputError, match="is the source itself"):
        convert_bert_to_distilbert(tmp_path, tmp_path)


@pytest.mark.slow
def test_real_encoder(minilm, tmp_path):
    import transformers

    convert_bert_to_distilbert(minilm, tmp_path)
    ours = pocketbert.DistilBertModel.from_pretrained(tmp_path)
    theirs = transformers.BertModel.from_pretrained(minilm, attn_implementation="eager")
    twin = pocketbert.BertModel.from_pretrained(minilm)
    moved = transformers.DistilBertModel.from_pretrained(tmp_path, attn_implementation="eager")
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm)
    texts = ["Hello, my dog is cute", "A much longer sentence, with a date (22 November) and a name like Ångström."]
    given = tokenizer([*texts, " ".join(texts * 12)], padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = theirs(**given)
        torch.testing.assert_close(twin(**given).pooler_output, expected.pooler_output, rtol=0, atol=5e-6)
        visible = given["attention_mask"].bool()
        for model in (ours, twin, moved):
            del_types = {k: v for k, v in given.items() if k != "token_type_ids"}
            hidden = model(**del_types).last_hidden_state
            torch.testing.assert_close(hidden[visible], expected.last_hidden_state[visible], rtol=0, atol=5e-6)


@pytest.mark.slow
def test_real_checkpoint_with_old_names(splade):
    import transformers

    ours = pocketbert.BertForMaskedLM.from_pretrained(splade)
    theirs = transformers.BertForMaskedLM.from_pretrained(splade, attn_implementation="eager")
    ids = torch.randint(0, ours.config.vocab_size, (2, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(ids).logits, theirs(ids).logits, rtol=0, atol=1e-4)
