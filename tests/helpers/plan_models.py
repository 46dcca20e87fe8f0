"""Small models with every parameter random, and what the torch model gives for each text alone."""

from __future__ import annotations

import numpy as np
import torch

import pocketbert
from pocketbert.architecture import families
from pocketbert.runtime.batching import Row, pack

DISTILBERT = {"vocab_size": 61, "dim": 24, "n_heads": 4, "n_layers": 3, "hidden_dim": 40, "max_position_embeddings": 20}
MOBILEBERT = {
    "vocab_size": 61, "hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 20,
    "embedding_size": 12, "intra_bottleneck_size": 16, "max_position_embeddings": 20, "type_vocab_size": 3,
}  # fmt: skip
BERT = {
    "vocab_size": 61, "hidden_size": 24, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 40,
    "max_position_embeddings": 20,
}  # fmt: skip
SMALL = {"DistilBert": DISTILBERT, "MobileBert": MOBILEBERT, "Bert": BERT}

IB_BERT = {
    "normalization_type": "layer_norm", "key_query_shared_bottleneck": False, "intra_bottleneck_size": 64,
    "num_feedforward_networks": 1, "hidden_act": "gelu_new", "outer_layer_norm_eps": 1e-12,
}  # fmt: skip
TINY = {
    "use_bottleneck_attention": True, "key_query_shared_bottleneck": False, "num_feedforward_networks": 2,
    "classifier_activation": False,
}  # fmt: skip
UNEVEN = {"pruned_heads": {0: [1], 2: [0, 2, 3]}}


def randomize(model, seed=0, awkward_norms=True):
    """Fill every parameter; norm weights include negative, 0 and tiny ones."""
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = generator.standard_normal(tuple(parameter.shape))
            if "norm" in name.lower() and name.endswith("weight"):
                noise = 1 + 0.3 * noise
                if awkward_norms:
                    noise[generator.permutation(noise.size)[:4]] = [0.0, 1e-30, -0.7, -1e-9]
            elif parameter.dim() == 2 and "embeddings.weight" not in name:
                noise = 0.7 * noise / max(parameter.shape[1], 1) ** 0.5
            else:
                noise = 0.5 * noise
            parameter.copy_(torch.from_numpy(noise))


def make(family, head="none", changes=None, seed=0, awkward_norms=True, dtype=torch.float64, **options):
    """Return (torch model, its arrays)."""
    config = getattr(pocketbert, f"{family}Config")(**{**SMALL[family], **(changes or {})})
    model = getattr(pocketbert, families.class_name(config, head))(config, **options).to(dtype).eval()
    randomize(model, seed, awkward_norms)
    return model, arrays_of(model)


def arrays_of(model):
    return {name: value.detach().numpy().copy() for name, value in model.state_dict().items()}


def texts(vocabulary=61, lengths=(11, 1, 5, 20, 2), types=2, seed=3):
    """Return rows of mixed lengths, types included."""
    generator = np.random.default_rng(seed)
    return [
        Row(generator.integers(0, vocabulary, n).tolist(), generator.integers(0, types, n).tolist() if types else None)
        for n in lengths
    ]


def batch_of(rows):
    return pack(rows)


def torch_outputs(model, row):
    """Return the torch model's output for one text alone, as numpy arrays."""
    inputs = {"input_ids": torch.tensor([row.input_ids])}
    if row.token_type_ids is not None and model.config.model_type != "distilbert":
        inputs["token_type_ids"] = torch.tensor([row.token_type_ids])
    if model.head == "multiple_choice":
        inputs = {name: value[:, None] for name, value in inputs.items()}
    with torch.no_grad():
        return model(**inputs, output_hidden_states=True)


def relative(found, expected):
    """Return the largest difference, relative to the largest value."""
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30))
