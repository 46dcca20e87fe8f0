"""Small checkpoints with a tokenizer and every parameter random."""

from __future__ import annotations

import numpy as np
import torch

import pocketbert

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "a", "cat", "dog", "sat", "ran", "on", "under", "mat", "tree", "who", "what", "where", "?", ".", ",",
         "good", "bad", "film", "was", "very", "not", "we", "they", "saw", "in", "old", "new"]  # fmt: skip
SMALL = {
    "DistilBert": {"dim": 32, "n_heads": 4, "n_layers": 3, "hidden_dim": 48},
    "MobileBert": {
        "hidden_size": 48, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 32,
        "embedding_size": 16, "intra_bottleneck_size": 24, "num_feedforward_networks": 2,
    },
    "Bert": {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 48},
}  # fmt: skip
SENTENCES = [" ".join(words) for words in np.random.default_rng(5).choice(WORDS, (24, 9)).tolist()]
LOOSE = {"texts": SENTENCES, "max_loss": 0.5}  # small and random models keep less than real ones


def checkpoint_of(folder, family="DistilBert", kind="ForSequenceClassification", **fields):
    torch.manual_seed(0)
    config = getattr(pocketbert, f"{family}Config")(
        vocab_size=len(SPECIAL + WORDS), max_position_embeddings=32, **SMALL[family], **fields
    )
    model = getattr(pocketbert, family + kind)(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape) / (parameter.shape[-1] ** 0.5 if parameter.dim() > 1 else 5)
            parameter.copy_(1 + noise if "norm" in name.lower() and name.endswith("weight") else noise)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(SPECIAL + WORDS) + "\n", "utf-8")
    return folder
