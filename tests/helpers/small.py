"""Small checkpoints with random parameters, written by transformers: the same folder feeds our tasks and the oracle."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers

from helpers.oracle import SMALL, randomize

_WORDS = (
    "the a cat dog sat on mat in paris london berlin is city capital of france germany big small and or not "
    "who where what likes wolf gang hug face new york works at lives happy sad this example about sports music "
    "politics movie was good bad name my i it he she john smith acme corp street river runs to for with by "
    "from great awful why when don t s euro 10 20 "
)
WORDS = _WORDS.split()
PIECES = ["##s", "##ing", "##ed", "##gang", "##face", "##ton", "##ly", "##er", "##a", "##e", "##n", "##o"]
LETTERS = list("abcdefghijklmnopqrstuvwxyz0123456789") + ["##" + c for c in "bcdfghijklmpqrtuvwxyz0123456789"]
MARKS = [*list(".,!?'\"-:;()[]/&%$"), "é", "日", "本", "😀"]
VOCAB = list(dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *PIECES, *LETTERS, *MARKS]))

TEXTS = [
    "The cat sat on the mat.",
    "Who works at Acme-Corp? John Smith, in New York!",
    "Paris",
    "wolfgang hugged the dog's face; it was great",
    "Café in 日本 😀 costs $20",
    "I am not happy with this awful movie, and the music by John was bad. London is a big city on a river.",
    "",
]
CONTEXT = (
    "My name is Wolfgang Smith and I live in Berlin, the capital of Germany. John works at Acme Corp in New York. "
    "Paris is the capital of France; the river runs to the city. "
)


def folder(path: Path, family: str, head: str, positions: int = 64, scale: float = 1.0, **fields) -> Path:
    """Write a checkpoint of ``family`` (``"Bert"``, ...) and ``head`` (``"ForMaskedLM"``, ...) with a tokenizer."""
    if "id2label" in fields:
        fields["label2id"] = {label: index for index, label in fields["id2label"].items()}
    made = {**SMALL[family], "vocab_size": len(VOCAB), "max_position_embeddings": positions, **fields}
    model = getattr(transformers, f"{family}{head}")(getattr(transformers, f"{family}Config")(**made)).eval()
    randomize(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(("classifier", "qa_outputs", "vocab_projector", "cls.")):
                parameter.mul_(scale)
    path.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(path)
    (path / "vocab.txt").write_text("\n".join(VOCAB) + "\n", "utf-8")
    name = {"Bert": "BertTokenizer", "DistilBert": "DistilBertTokenizer", "MobileBert": "MobileBertTokenizer"}[family]
    fast = getattr(transformers, f"{name}Fast")(str(path / "vocab.txt"), model_max_length=positions)
    fast.save_pretrained(path)
    return path


def theirs(task: str, path: Path, **options):
    """Return the oracle's pipeline."""
    return transformers.pipeline(task, model=str(path), tokenizer=str(path), framework="pt", device="cpu", **options)
