"""Pairs of models, ours and the oracle's, with the same random parameters; nothing is left at its initial value."""

from __future__ import annotations

import numpy as np
import torch
import transformers

import pocketbert

# Small but with every joint of the real thing: odd sizes, several layers, more positions than tokens.
DISTILBERT = {
    "vocab_size": 97, "dim": 24, "n_heads": 4, "n_layers": 3, "hidden_dim": 40, "max_position_embeddings": 40,
    "dropout": 0.0, "attention_dropout": 0.0, "qa_dropout": 0.0, "seq_classif_dropout": 0.0,
}  # fmt: skip
MOBILEBERT = {
    "vocab_size": 97, "hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 20,
    "embedding_size": 12, "intra_bottleneck_size": 16, "max_position_embeddings": 40,
    "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
BERT = {
    "vocab_size": 97, "hidden_size": 24, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 40,
    "max_position_embeddings": 40, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
# what the variants of MobileBERT change
MOBILE_CONFIGS = {
    "default": {},
    "layer_norm": {"normalization_type": "layer_norm"},
    "no bottleneck": {"use_bottleneck": False},
    "no bottleneck, layer_norm, dropout fields": {"use_bottleneck": False, "normalization_type": "layer_norm"},
    "no trigram": {"trigram_input": False},
    "bottleneck attention": {"use_bottleneck_attention": True, "key_query_shared_bottleneck": False},
    "shared bottleneck unused": {"use_bottleneck_attention": True},
    "nothing shared": {"key_query_shared_bottleneck": False, "intra_bottleneck_size": 32},
    "raw pooler": {"classifier_activation": False},
    "1 ffn": {"num_feedforward_networks": 1},
    "2 ffns": {"num_feedforward_networks": 2},
    "gelu": {"hidden_act": "gelu"},
    "gelu_new": {"hidden_act": "gelu_new"},
    "silu": {"hidden_act": "silu"},
    "relu6": {"hidden_act": "relu6"},
    "wide embedding, no trigram": {"embedding_size": 32, "trigram_input": False},
    "norm eps": {"normalization_type": "layer_norm", "layer_norm_eps": 1e-3},
    "tiny": {
        "use_bottleneck_attention": True,
        "key_query_shared_bottleneck": False,
        "num_feedforward_networks": 2,
        "classifier_activation": False,
    },
    "without opt": {"normalization_type": "layer_norm", "hidden_act": "gelu_new", "classifier_activation": False},
}
SMALL = {"DistilBert": DISTILBERT, "MobileBert": MOBILEBERT, "Bert": BERT}

HEADS = {
    "Bert": [
        "ForPreTraining", "ForMaskedLM", "ForNextSentencePrediction", "ForSequenceClassification", "ForMultipleChoice",
        "ForTokenClassification", "ForQuestionAnswering",
    ],
    "DistilBert": [
        "ForMaskedLM", "ForSequenceClassification", "ForMultipleChoice", "ForTokenClassification",
        "ForQuestionAnswering",
    ],
}  # fmt: skip
HEADS["MobileBert"] = HEADS["Bert"]
CLASSES = [(family, head) for family, heads in HEADS.items() for head in ["Model", *heads]]


def randomize(model: torch.nn.Module, seed: int = 0) -> None:
    """Give every parameter random values: norms near 1, the rest near 0, at scales that keep activations near 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if "norm" in name.lower() and name.endswith("weight"):
                noise = 1 + 0.3 * noise
            elif parameter.dim() == 2 and "embeddings.weight" not in name:
                noise = 0.5 * noise / max(parameter.shape[1], 1) ** 0.5
            else:
                noise = 0.5 * noise
            parameter.copy_(noise)


def pair(family: str, head: str, changes: dict | None = None, dtype: torch.dtype = torch.float64, **options):
    """Return (ours, the oracle's) in eval mode, with equal random parameters."""
    fields = {**SMALL[family], **(changes or {})}
    config = getattr(transformers, f"{family}Config")(**fields)
    config._attn_implementation = "eager"
    theirs = getattr(transformers, f"{family}{head}")(config, **options).to(dtype).eval()
    randomize(theirs)
    ours = getattr(pocketbert, f"{family}{head}")(getattr(pocketbert, f"{family}Config")(**fields), **options)
    ours = ours.to(dtype).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    ours.tie_weights()
    return ours, theirs


def batch(vocabulary: int = 97, rows: int = 3, tokens: int = 11, choices: int | None = None) -> dict[str, torch.Tensor]:
    """Return rows of mixed lengths, padded with 0."""
    generator = np.random.default_rng(5)
    shape = (rows, tokens) if choices is None else (rows, choices, tokens)
    ids = generator.integers(1, vocabulary, shape)
    mask = np.ones(shape, dtype=np.int64)
    lengths = np.resize([tokens, tokens // 2, 2], shape[:-1])
    for index in np.ndindex(*shape[:-1]):
        mask[index][lengths[index] :] = 0
    return {"input_ids": torch.from_numpy(ids * mask), "attention_mask": torch.from_numpy(mask)}


def labels_for(head: str, inputs: dict[str, torch.Tensor], num_labels: int = 3) -> dict[str, torch.Tensor]:
    """Return labels that suit a head, some of them -100 or out of the sequence where that is allowed."""
    ids = inputs["input_ids"]
    rows, tokens = ids.shape[0], ids.shape[-1]
    words = torch.where(inputs["attention_mask"] == 1, ids, -100)
    return {
        "ForPreTraining": {"labels": words, "next_sentence_label": torch.arange(rows) % 2},
        "ForMaskedLM": {"labels": words},
        "ForNextSentencePrediction": {"labels": torch.arange(rows) % 2},
        "ForSequenceClassification": {"labels": torch.arange(rows) % num_labels},
        "ForMultipleChoice": {"labels": torch.arange(rows) % 2},
        "ForTokenClassification": {"labels": torch.where(words < 0, words, words % num_labels)},
        "ForQuestionAnswering": {
            "start_positions": torch.tensor([1, 0, tokens + 5][:rows]),
            "end_positions": torch.tensor([3, tokens, 1][:rows]),
        },
        "Model": {},
    }[head]


def assert_equal_outputs(ours, theirs, rtol: float) -> None:
    """Compare every tensor of two outputs, relative to the largest value of each."""
    keys = [key for key in theirs if key not in ("past_key_values",)]
    assert list(ours) == keys
    for key in keys:
        mine, other = ours[key], theirs[key]
        assert isinstance(mine, tuple) == isinstance(other, tuple), key
        for index, (a, b) in enumerate(
            zip(*((x if isinstance(x, tuple) else (x,)) for x in (mine, other)), strict=True)
        ):
            assert a.shape == b.shape, (key, index)
            error = (a - b).abs().max() / b.abs().max().clamp_min(1e-30)
            assert error <= rtol, f"{key}[{index}] differs by {error:.2e}"
