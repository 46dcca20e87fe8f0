"""Adapters of peft on our models: what they add trains, is saved, and comes back."""

from __future__ import annotations

import pytest
import torch

peft = pytest.importorskip("peft")

from helpers.torch_models import build  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # peft's own
]
IDS = torch.tensor([[2, 5, 8, 3, 0], [2, 9, 4, 7, 3]])
MASK = (IDS != 0).long()
TARGETS = {"DistilBert": ["q_lin", "v_lin"], "MobileBert": ["query", "value"], "Bert": ["query", "value"]}
FEED_FORWARD = {"DistilBert": ["lin2"], "MobileBert": ["output.dense"], "Bert": ["output.dense"]}


def adapters(family: str):
    lora = {"task_type": "SEQ_CLS", "r": 2, "target_modules": TARGETS[family], "init_lora_weights": False}
    yield "lora", peft.LoraConfig(**lora)
    yield "dora", peft.LoraConfig(**lora, use_dora=True)
    words = [*TARGETS[family], "word_embeddings", "position_embeddings"]
    yield "lora on tables", peft.LoraConfig(**{**lora, "target_modules": words})
    yield "ia3", peft.IA3Config(
        task_type="SEQ_CLS", target_modules=[*TARGETS[family], *FEED_FORWARD[family]],
        feedforward_modules=FEED_FORWARD[family], init_ia3_weights=False,
    )  # fmt: skip
    layers = {"num_virtual_tokens": 3, "num_layers": 3, "token_dim": None, "num_attention_heads": 4}
    yield "prompt tuning", peft.PromptTuningConfig(task_type="SEQ_CLS", **layers)
    yield "p-tuning", peft.PromptEncoderConfig(task_type="SEQ_CLS", encoder_hidden_size=8, **layers)


@pytest.mark.parametrize("family", list(TARGETS))
@pytest.mark.parametrize("kind", ["lora", "dora", "lora on tables", "ia3", "prompt tuning", "p-tuning"])
def test_adapters(family, kind, tmp_path):
    torch.manual_seed(0)
    base = build(family, "ForSequenceClassification").eval()
    with torch.no_grad():
        plain = base(IDS, attention_mask=MASK).logits
    config = dict(adapters(family))[kind]
    if hasattr(config, "token_dim"):
        config.token_dim = base.get_input_embeddings().embedding_dim
    model = peft.get_peft_model(base, config)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        model.train()
        loss = model(input_ids=IDS, attention_mask=MASK, labels=torch.tensor([0, 1])).loss
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        tuned = model.eval()(input_ids=IDS, attention_mask=MASK).logits
    assert torch.isfinite(tuned).all()
    assert not torch.allclose(tuned, plain, atol=1e-4)
    model.save_pretrained(tmp_path)
    fresh = build(family, "ForSequenceClassification").eval()
    again = peft.PeftModel.from_pretrained(fresh, tmp_path).eval()
    with torch.no_grad():
        torch.testing.assert_close(again(input_ids=IDS, attention_mask=MASK).logits, tuned, atol=1e-5, rtol=1e-5)
        if kind in ("lora", "dora", "ia3"):
            merged = again.merge_and_unload()
            torch.testing.assert_close(merged(IDS, attention_mask=MASK).logits, tuned, atol=1e-4, rtol=1e-4)
            merged.save_pretrained(tmp_path / "merged")
            loaded = type(fresh).from_pretrained(tmp_path / "merged")
            torch.testing.assert_close(loaded(IDS, attention_mask=MASK).logits, tuned, atol=1e-4, rtol=1e-4)
