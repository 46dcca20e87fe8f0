"""Embed the sentences of a text and print each one's nearest neighbour.

    python examples/nearest_sentences.py CHECKPOINT [FILE]

CHECKPOINT is a folder that holds a DistilBERT encoder and its tokenizer; FILE is plain text, split into sentences at
line ends and after ``.``, ``!`` and ``?`` (the text beside this file if absent). A sentence's vector is the mean of its
tokens' last hidden states, normalised; similarity is the cosine.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from pocketbert import AutoTokenizer, DistilBertModel, PocketBertError

BATCH = 32


def sentences_of(text: str) -> list[str]:
    """Split at line ends and after sentence marks; keep each distinct sentence once, in order."""
    pieces = re.split(r"\n+|(?<=[.!?])\s+", text)
    return list(dict.fromkeys(piece.strip() for piece in pieces if piece.strip()))


def embed(sentences: list[str], checkpoint: str) -> tuple[np.ndarray, int]:
    """Return unit vectors (sentences, width), and how many sentences were cut to the model's length."""
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = DistilBertModel.from_pretrained(checkpoint)
    limit = model.config.max_position_embeddings
    ids = tokenizer(sentences)["input_ids"]
    cut = sum(len(row) > limit for row in ids)
    ids = [row if len(row) <= limit else [*row[: limit - 1], row[-1]] for row in ids]
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))  # rows of like length waste no padding
    vectors = np.empty((len(ids), model.config.dim), dtype=np.float32)
    batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    for batch in track(
        batches, "embedding", transient=True, disable=not sys.stderr.isatty(), console=Console(stderr=True)
    ):
        width = max(len(ids[index]) for index in batch)
        rows = torch.tensor([ids[index] + [0] * (width - len(ids[index])) for index in batch])
        mask = torch.tensor([[1] * len(ids[index]) + [0] * (width - len(ids[index])) for index in batch])
        with torch.inference_mode():
            hidden = model(rows, attention_mask=mask).last_hidden_state  # (B, T, W)
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        vectors[batch] = torch.nn.functional.normalize(mean, dim=1).numpy()
    return vectors, cut


def nearest(vectors: np.ndarray, block: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's nearest other row, and their cosine."""
    index = np.empty(len(vectors), dtype=np.int64)
    cosine = np.empty(len(vectors), dtype=np.float32)
    for start in range(0, len(vectors), block):
        similar = vectors[start : start + block] @ vectors.T
        rows = np.arange(len(similar))
        similar[rows, start + rows] = -np.inf
        index[start : start + block] = similar.argmax(1)
        cosine[start : start + block] = similar.max(1)
    return index, cosine


def main() -> None:
    """Print one pair of lines a sentence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("file", nargs="?", type=Path, default=Path(__file__).with_name("sentences.txt"))
    arguments = parser.parse_args()
    try:
        text = arguments.file.read_text("utf-8")
    except OSError as error:
        sys.exit(f"error: cannot read {arguments.file}: {error.strerror}")
    except UnicodeDecodeError as error:
        sys.exit(f"error: {arguments.file} is not UTF-8 text: {error.reason} at byte {error.start}")
    sentences = sentences_of(text)
    if len(sentences) < 2:
        sys.exit(f"error: {arguments.file} holds {len(sentences)} sentences; a neighbour needs at least 2")
    try:
        vectors, cut = embed(sentences, arguments.checkpoint)
    except PocketBertError as error:
        sys.exit(f"error: {error}")
    index, cosine = nearest(vectors)
    for sentence, other, similarity in zip(sentences, index, cosine, strict=True):
        print(f"{sentence}\n  {similarity:.3f}  {sentences[other]}")
    if cut:
        print(f"note: {cut} sentences were longer than the model's positions and were cut", file=sys.stderr)


if __name__ == "__main__":
    main()
