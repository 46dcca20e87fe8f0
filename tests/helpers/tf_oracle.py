"""Writes what TensorFlow users have: folders saved by transformers' TensorFlow classes, and their answers.

Run as ``python tf_oracle.py OUT`` with ``TF_USE_LEGACY_KERAS=1`` in a process of its own: the choice of Keras holds for
the whole process. ``OUT/CLASS/`` is a folder as ``save_pretrained`` leaves it, every parameter random;
``OUT/CLASS/answers.npz`` holds the inputs (``in.*``) and the outputs (``out.*``) of that model, and for a head of the
compact families labels (``label.*``) and their ``loss``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

CLASSES = [
    *(
        f"MobileBert{head}"
        for head in (
            "Model",
            "ForPreTraining",
            "ForMaskedLM",
            "ForNextSentencePrediction",
            "ForSequenceClassification",
            "ForMultipleChoice",
            "ForTokenClassification",
            "ForQuestionAnswering",
        )
    ),
    *(
        f"DistilBert{head}"
        for head in (
            "Model",
            "ForMaskedLM",
            "ForSequenceClassification",
            "ForMultipleChoice",
            "ForTokenClassification",
            "ForQuestionAnswering",
        )
    ),
    "BertModel",
    "BertForPreTraining",
    "BertForSequenceClassification",
]
SIZES = {
    "DistilBert": {"vocab_size": 41, "dim": 12, "n_heads": 3, "n_layers": 2, "hidden_dim": 20},
    "Bert": {
        "vocab_size": 41,
        "hidden_size": 12,
        "num_attention_heads": 3,
        "num_hidden_layers": 2,
        "intermediate_size": 20,
    },
    "MobileBert": {
        "vocab_size": 41,
        "hidden_size": 16,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "intermediate_size": 20,
        "intra_bottleneck_size": 8,
        "embedding_size": 6,
        "num_feedforward_networks": 3,
    },
}
IN_VARIANTS = ["MobileBertForPreTraining", "DistilBertForMaskedLM"]
VARIANTS = {"sharded": {"max_shard_size": "5KB"}, "safetensors": {"safe_serialization": True}}


def main(out: Path) -> None:
    import transformers

    for name in CLASSES:
        family = name.partition("For")[0].removesuffix("Model")
        config = getattr(transformers, f"{family}Config")(
            max_position_embeddings=10,
            pad_token_id=0,
            **SIZES[family],
            **({"num_labels": 3} if "Classif" in name else {}),
        )
        model = getattr(transformers, f"TF{name}")(config)
        inputs = example(family, name)
        model(inputs)  # makes the variables
        randomize(model)
        model.save_pretrained(out / name)
        outputs = model(inputs)
        labels = {} if family == "Bert" else labels_for(name, inputs)
        losses = {"loss": model({**inputs, **labels}).loss.numpy()} if labels else {}
        np.savez(
            out / name / "answers.npz",
            **{f"in.{key}": value for key, value in inputs.items()},
            **{f"out.{key}": value.numpy() for key, value in outputs.items()},
            **{f"label.{key}": value for key, value in labels.items()},
            **losses,
        )
        if name in IN_VARIANTS:
            for variant, options in VARIANTS.items():
                model.save_pretrained(out / f"{name}-{variant}", **options)


def example(family: str, name: str) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    shape = (2, 3, 7) if "MultipleChoice" in name else (2, 7)
    inputs = {"input_ids": generator.integers(1, 41, shape), "attention_mask": np.ones(shape, np.int64)}
    inputs["attention_mask"][1, ..., 5:] = 0
    if family != "DistilBert":
        inputs["token_type_ids"] = generator.integers(0, 2, shape)
    return inputs


def labels_for(name: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    rows = {"next_sentence_label": np.array([1, 0])}
    head = name.partition("For")[2]
    if head in ("MaskedLM", "PreTraining"):
        words = np.where(inputs["attention_mask"] == 0, -100, inputs["input_ids"][::-1])
        return {"labels": words, **(rows if head == "PreTraining" else {})}
    if head == "NextSentencePrediction":
        return rows
    if head in ("SequenceClassification", "MultipleChoice"):
        return {"labels": np.array([2, 0])}
    if head == "TokenClassification":
        return {"labels": np.where(inputs["attention_mask"] == 0, -100, inputs["input_ids"] % 3)}
    if head == "QuestionAnswering":
        return {"start_positions": np.array([1, 4]), "end_positions": np.array([3, 4])}
    return {}


def randomize(model) -> None:
    """Make every parameter random, and the words' two tables the same: PyTorch knows only one of them."""
    generator = np.random.default_rng(2)
    for variable in model.variables:
        scope, _, leaf = variable.name.removesuffix(":0").rpartition("/")
        is_scale = leaf == "gamma" or (scope.endswith("LayerNorm") and leaf == "weight")
        variable.assign(is_scale + 0.3 * generator.standard_normal(variable.shape))
    words = next(v for v in model.variables if v.name.endswith("word_embeddings/weight:0"))
    for variable in model.variables:
        if variable.name.endswith("decoder/weight:0"):
            variable.assign(words)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
