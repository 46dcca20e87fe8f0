"""Adapters: what peft makes of the files that we write, and we of peft's."""

from __future__ import annotations

import pytest
import torch

from helpers.torch_models import build, first
from pocketbert import CheckpointError, InputError, finetune
from pocketbert.training.lora import add_adapters, load_adapters, merge_adapters, save_adapters


def adapted(family="DistilBert", head="ForSequenceClassification"):
    model = build(family, head)
    add_adapters(model, 3, alpha=5.0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name or name.startswith("classifier"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model


@pytest.mark.parametrize("family", ["DistilBert", "MobileBert"])
def test_merging_and_files_keep_the_results(tmp_path, family):
    model = adapted(family)
    wanted = first(model)
    assert not torch.allclose(wanted, first(build(family, "ForSequenceClassification")))
    save_adapters(model, tmp_path)
    torch.testing.assert_close(first(load_adapters(build(family, "ForSequenceClassification"), tmp_path)), wanted)
    merged = merge_adapters(model)
    torch.testing.assert_close(first(merged), wanted)
    assert merged.state_dict().keys() == build(family, "ForSequenceClassification").state_dict().keys()


def test_peft_reads_ours_and_we_read_peft(tmp_path):
    peft = pytest.importorskip("peft")
    wanted = first(adapted())
    save_adapters(adapted(), tmp_path / "ours")
    theirs = peft.PeftModel.from_pretrained(build("DistilBert", "ForSequenceClassification"), tmp_path / "ours")
    torch.testing.assert_close(first(theirs.eval()), wanted)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = load_adapters(build("DistilBert", "ForSequenceClassification"), tmp_path / "theirs")
    torch.testing.assert_close(first(ours), wanted)


def test_only_adapters_and_the_head_are_trained(start, data, tmp_path):
    options = {"model": start(), "train": data("text-classification"), "epochs": 1, "batch_size": 8}
    options |= {"learning_rate": 1e-2, "lora_rank": 2}
    done = finetune(out=tmp_path / "apart", **options)
    names = {path.name for path in (tmp_path / "apart").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= names
    assert "model.safetensors" not in names
    merged = finetune(out=tmp_path / "merged", lora_merge=True, **options)
    assert (tmp_path / "merged" / "model.safetensors").is_file()
    torch.testing.assert_close(first(merged.model), first(done.model))
    before = build("DistilBert", "ForSequenceClassification").state_dict().keys()
    assert merged.model.state_dict().keys() == before
    weights = {n: v for n, v in done.model.named_parameters() if v.requires_grad}
    assert all("lora_" in name or name.startswith(("classifier", "pre_classifier")) for name in weights)


def test_what_does_not_fit_is_refused(start, data, tmp_path):
    options = {"model": start(), "train": data("text-classification"), "out": tmp_path / "out"}
    with pytest.raises(InputError, match="int8 and lora_rank do not go together"):
        finetune(int8=True, lora_rank=2, **options)
    with pytest.raises(InputError, match="no linear layer is named qq"):
        add_adapters(build("DistilBert"), 2, targets=["qq"])
    save_adapters(adapted(), tmp_path)
    with pytest.raises(CheckpointError, match="do not fit this DistilBertForQuestionAnswering"):
        load_adapters(build("DistilBert", "ForQuestionAnswering"), tmp_path)
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "IA3"}')
    with pytest.raises(InputError, match="peft_type='IA3' is not supported"):
        load_adapters(build("DistilBert"), tmp_path)
