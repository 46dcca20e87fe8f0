"""Writes checkpoints as Google's code left them, and what transformers' own loaders make of them.

Run as ``python tf1_oracle.py OUT``. ``OUT/mobilebert/`` and ``OUT/bert/`` hold ``NAME.ckpt.*`` with the variables of
google-research's ``run_pretraining.py``, optimizer state included, all random, and ``bert_config.json``;
``OUT/FAMILY/expected.npz`` is the state of the ``ForPreTraining`` model that transformers loads from them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

MOBILEBERT = {
    "vocab_size": 41, "hidden_size": 16, "num_hidden_layers": 12, "num_attention_heads": 2, "intermediate_size": 20,
    "hidden_act": "relu", "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 10, "type_vocab_size": 2, "initializer_range": 0.02, "embedding_size": 6,
    "trigram_input": True, "use_bottleneck": True, "intra_bottleneck_size": 8, "use_bottleneck_attention": False,
    "key_query_shared_bottleneck": True, "num_feedforward_networks": 4, "normalization_type": "no_norm",
    "classifier_activation": False,
}  # fmt: skip
BERT = {
    "vocab_size": 41, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 20,
    "hidden_act": "relu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 10, "type_vocab_size": 2, "initializer_range": 0.02,
}  # fmt: skip
NAMES = {"mobilebert": "mobilebert_variables.ckpt", "bert": "bert_model.ckpt"}

Shapes = Iterator[tuple[str, tuple[int, ...]]]


def dense(scope: str, into: int, out: int) -> Shapes:
    yield f"{scope}/kernel", (into, out)
    yield f"{scope}/bias", (out,)


def norm(scope: str, width: int) -> Shapes:
    yield f"{scope}/beta", (width,)
    yield f"{scope}/gamma", (width,)


def mobilebert(c: dict) -> Shapes:
    """List the variables that ``modeling.py`` of google-research ``mobilebert`` makes."""
    outer, inner, middle = c["hidden_size"], c["intra_bottleneck_size"], c["intermediate_size"]
    yield "bert/embeddings/word_embeddings", (c["vocab_size"], c["embedding_size"])
    yield from dense("bert/embeddings/embedding_transformation", 3 * c["embedding_size"], outer)
    yield "bert/embeddings/token_type_embeddings", (2, outer)
    yield "bert/embeddings/position_embeddings", (c["max_position_embeddings"], outer)
    yield from norm("bert/embeddings/FakeLayerNorm", outer)
    for index in range(c["num_hidden_layers"]):
        layer = f"bert/encoder/layer_{index}"
        for part in ("input", "attention"):
            yield from dense(f"{layer}/bottleneck/{part}/dense", outer, inner)
            yield from norm(f"{layer}/bottleneck/{part}/FakeLayerNorm", inner)
        yield from dense(f"{layer}/attention/self/query", inner, inner)
        yield from dense(f"{layer}/attention/self/key", inner, inner)
        yield from dense(f"{layer}/attention/self/value", outer, inner)
        yield from dense(f"{layer}/attention/output/dense", inner, inner)
        yield from norm(f"{layer}/attention/output/FakeLayerNorm", inner)
        for ffn in [f"/ffn_layer_{k}" for k in range(c["num_feedforward_networks"] - 1)] + [""]:
            yield from dense(f"{layer}{ffn}/intermediate/dense", inner, middle)
            yield from dense(f"{layer}{ffn}/output/dense", middle, inner)
            yield from norm(f"{layer}{ffn}/output/FakeLayerNorm", inner)
        yield from dense(f"{layer}/output/bottleneck/dense", inner, outer)
        yield from norm(f"{layer}/output/bottleneck/FakeLayerNorm", outer)
    yield "cls/predictions/extra_output_weights", (c["vocab_size"], outer - c["embedding_size"])
    yield from heads(c)


def bert(c: dict) -> Shapes:
    """List the variables that ``modeling.py`` of google-research ``bert`` makes."""
    width = c["hidden_size"]
    for name, rows in (("word", c["vocab_size"]), ("token_type", 2), ("position", c["max_position_embeddings"])):
        yield f"bert/embeddings/{name}_embeddings", (rows, width)
    yield from norm("bert/embeddings/LayerNorm", width)
    for index in range(c["num_hidden_layers"]):
        layer = f"bert/encoder/layer_{index}"
        for name in ("query", "key", "value"):
            yield from dense(f"{layer}/attention/self/{name}", width, width)
        yield from dense(f"{layer}/attention/output/dense", width, width)
        yield from norm(f"{layer}/attention/output/LayerNorm", width)
        yield from dense(f"{layer}/intermediate/dense", width, c["intermediate_size"])
        yield from dense(f"{layer}/output/dense", c["intermediate_size"], width)
        yield from norm(f"{layer}/output/LayerNorm", width)
    yield from dense("bert/pooler/dense", width, width)
    yield from heads(c)


def heads(c: dict) -> Shapes:
    """List the variables of ``run_pretraining.py``."""
    yield "cls/predictions/output_bias", (c["vocab_size"],)
    yield from dense("cls/predictions/transform/dense", c["hidden_size"], c["hidden_size"])
    yield from norm("cls/predictions/transform/LayerNorm", c["hidden_size"])
    yield "cls/seq_relationship/output_weights", (2, c["hidden_size"])
    yield "cls/seq_relationship/output_bias", (2,)


def variables(shapes: Shapes, *, training: bool = True) -> dict[str, np.ndarray]:
    """Return random values, with the optimizer's where ``training``."""
    generator = np.random.default_rng(3)
    out = {}
    for name, shape in shapes:
        for slot in ("", "/adam_m", "/adam_v") if training else ("",):
            out[name + slot] = generator.standard_normal(shape).astype(np.float32)
    return out | ({"global_step": np.asarray(7, np.int64)} if training else {})


def main(out: Path) -> None:
    import tensorflow.compat.v1 as tf
    import transformers
    from transformers.models.bert.modeling_bert import load_tf_weights_in_bert
    from transformers.models.mobilebert.modeling_mobilebert import load_tf_weights_in_mobilebert

    transformers.logging.set_verbosity_error()
    for family, config, values in (
        ("mobilebert", MOBILEBERT, variables(mobilebert(MOBILEBERT))),
        ("bert", BERT, variables(bert(BERT))),
    ):
        folder = out / family
        folder.mkdir(parents=True)
        (folder / "bert_config.json").write_text(json.dumps(config))
        with tf.Graph().as_default(), tf.Session() as session:
            for name, value in values.items():
                tf.get_variable(name, initializer=value)
            session.run(tf.global_variables_initializer())
            tf.train.Saver().save(session, str(folder / NAMES[family]))
        if family == "mobilebert":
            theirs = transformers.MobileBertForPreTraining(transformers.MobileBertConfig(**config))
            load_tf_weights_in_mobilebert(theirs, theirs.config, str(folder / NAMES[family]))
        else:
            theirs = transformers.BertForPreTraining(transformers.BertConfig(**config))
            load_tf_weights_in_bert(theirs, theirs.config, str(folder / NAMES[family]))
        np.savez(folder / "expected.npz", **{name: value.numpy() for name, value in theirs.state_dict().items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
