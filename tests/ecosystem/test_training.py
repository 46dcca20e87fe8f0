"""Trainers of others with our models and tokenizers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

import pocketbert
from helpers.small import TEXTS

accelerate = pytest.importorskip("accelerate")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


class Rows(torch.utils.data.Dataset):
    def __init__(self, tokenizer, labels):
        self.rows = [{**tokenizer(text, truncation=True), **labels(i)} for i, text in enumerate(TEXTS)]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


def arguments(folder, **more):
    return transformers.TrainingArguments(
        str(folder), max_steps=4, per_device_train_batch_size=3, save_steps=2, report_to=[], use_cpu=True,
        learning_rate=1e-3, **more,
    )  # fmt: skip


@pytest.mark.parametrize("family", ["DistilBert", "MobileBert"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_trainer(family, checkpointing, made, tmp_path):
    folder = made(family, "ForSequenceClassification", num_labels=2)
    model = pocketbert.AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = pocketbert.AutoTokenizer.from_pretrained(folder)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rows = Rows(tokenizer, lambda i: {"labels": i % 2})
    trainer = transformers.Trainer(
        model, arguments(tmp_path, gradient_checkpointing=checkpointing), train_dataset=rows, eval_dataset=rows,
        processing_class=tokenizer, data_collator=transformers.DataCollatorWithPadding(tokenizer),
        compute_metrics=lambda found: {"accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())},
    )  # fmt: skip
    trainer.train()
    assert any(not torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert 0 <= trainer.evaluate()["eval_accuracy"] <= 1
    trainer.save_model(tmp_path / "saved")
    again = pocketbert.AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    torch.testing.assert_close(again.state_dict(), model.eval().state_dict())
    kept = pocketbert.AutoModelForSequenceClassification.from_pretrained(tmp_path / "checkpoint-2")
    assert pocketbert.AutoTokenizer.from_pretrained(tmp_path / "checkpoint-2").get_vocab() == tokenizer.get_vocab()
    assert any(not torch.equal(value, again.state_dict()[name]) for name, value in kept.state_dict().items())
    transformers.Trainer(
        pocketbert.AutoModelForSequenceClassification.from_pretrained(folder), arguments(tmp_path), train_dataset=rows,
        processing_class=tokenizer,
    ).train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))  # fmt: skip


@pytest.mark.parametrize("family", ["DistilBert", "MobileBert"])
@pytest.mark.parametrize("whole_word", [False, True])
def test_masked_language_models(family, whole_word, made, tmp_path):
    folder = made(family, "ForMaskedLM")
    model = pocketbert.AutoModelForMaskedLM.from_pretrained(folder)
    tokenizer = pocketbert.AutoTokenizer.from_pretrained(folder)
    kind = transformers.DataCollatorForWholeWordMask if whole_word else transformers.DataCollatorForLanguageModeling
    rows = Rows(tokenizer, lambda i: {})
    trainer = transformers.Trainer(
        model, arguments(tmp_path), train_dataset=rows, data_collator=kind(tokenizer), processing_class=tokenizer
    )
    trainer.train()
    trainer.save_model(tmp_path / "saved")
    again = pocketbert.AutoModelForMaskedLM.from_pretrained(tmp_path / "saved")
    torch.testing.assert_close(again.state_dict(), model.eval().state_dict())
    other = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "saved").eval()
    batch = tokenizer(TEXTS[:2], padding=True, return_tensors="pt")
    with torch.no_grad():
        np.testing.assert_allclose(again(**batch).logits, other(**batch).logits, atol=1e-5)


def test_accelerate(made, tmp_path):
    model = pocketbert.DistilBertForSequenceClassification.from_pretrained(
        made("DistilBert", "ForSequenceClassification", num_labels=2)
    )
    engine = accelerate.Accelerator(cpu=True)
    ids = torch.randint(5, 90, (4, 7))
    loader = torch.utils.data.DataLoader(list(zip(ids, torch.tensor([0, 1, 0, 1]), strict=True)), batch_size=2)
    model, optimizer, loader = engine.prepare(model, torch.optim.AdamW(model.parameters(), lr=1e-3), loader)
    for batch, labels in loader:
        loss = model(batch, labels=labels).loss
        engine.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
    whole = engine.unwrap_model(model)
    whole.save_pretrained(
        tmp_path, is_main_process=engine.is_main_process, save_function=engine.save,
        state_dict=engine.get_state_dict(model),
    )  # fmt: skip
    again = type(whole).from_pretrained(tmp_path)
    torch.testing.assert_close(again.state_dict(), whole.state_dict())
