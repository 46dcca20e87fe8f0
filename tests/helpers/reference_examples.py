"""The folders that the examples of the reference documentation name, and their code."""

from __future__ import annotations

import doctest
import json

import torch

import pocketbert

_WORDS = """
, . ? ; ( ) a as at because blue by capital company cute defeated dog eaten fork formal france hand held hello henson
huggingface in is it italy jim knife light my new nice of paris pizza presented puppet restaurant served settings
shorter sky such the to unsliced was wavelength while who with york based and due
"""
WORDS = _WORDS.split()
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *(word.capitalize() for word in WORDS[6:])]
SIZES = {
    "MobileBert": {
        "hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 20,
        "embedding_size": 12, "intra_bottleneck_size": 16, "max_position_embeddings": 64,
    },
    "DistilBert": {"dim": 24, "n_heads": 4, "n_layers": 2, "hidden_dim": 40, "max_position_embeddings": 64},
}  # fmt: skip
ENTITIES = dict(enumerate(["O", "I-ORG", "I-LOC"]))
EMOTIONS = dict(enumerate(["others", "happy", "sad", "angry"]))
# the name in the examples -> the class that it was saved from, and its labels
CHECKPOINTS = {
    "google/mobilebert-uncased": ("MobileBert", "ForPreTraining", None),
    "lordtt13/emo-mobilebert": ("MobileBert", "ForSequenceClassification", EMOTIONS),
    "mrm8488/mobilebert-finetuned-ner": ("MobileBert", "ForTokenClassification", ENTITIES),
    "csarron/mobilebert-uncased-squad-v2": ("MobileBert", "ForQuestionAnswering", None),
    "distilbert-base-cased": ("DistilBert", "ForMaskedLM", None),
}


def make_checkpoints(folder):
    """Write a small random checkpoint for each name in the examples; returns the folder."""
    torch.manual_seed(0)
    for name, (family, head, labels) in CHECKPOINTS.items():
        fields = {**SIZES[family], "vocab_size": len(VOCABULARY), "id2label": labels}
        config = getattr(pocketbert, f"{family}Config")(**fields)
        getattr(pocketbert, f"{family}{head}")(config).save_pretrained(folder / name)
        (folder / name / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", "utf-8")
        stored = {"do_lower_case": family == "MobileBert", "model_max_length": 64}
        (folder / name / "tokenizer_config.json").write_text(json.dumps(stored), "utf-8")
    return folder


def sources(text):
    """Return the code of a doctest as one program."""
    return "".join(example.source for example in doctest.DocTestParser().get_examples(text))
