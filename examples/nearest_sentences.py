"""Embed the sentences of a text and print each one's nearest neighbor.

    python examples/nearest_sentences.py CHECKPOINT [FILE]

CHECKPOINT is a folder that holds an encoder and its tokenizer; FILE is plain text, split into sentences at line ends
and after ``.``, ``!`` and ``?`` (the text beside this file if absent). A sentence's vector is the mean of its tokens'
last hidden states, normalized; similarity is the cosine.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pocketbert import PocketBertError, pipeline


def sentences_of(text: str) -> list[str]:
    """Split at line ends and after sentence marks; keep each distinct sentence once, in order."""
    pieces = re.split(r"\n+|(?<=[.!?])\s+", text)
    return list(dict.fromkeys(piece.strip() for piece in pieces if piece.strip()))


def embed(sentences: list[str], checkpoint: str) -> np.ndarray:
    """Return unit vectors (sentences, width); a sentence longer than the model goes through it in windows."""
    encode = pipeline("feature-extraction", model=checkpoint, pooling="mean", normalize=True, overflow="window")
    return np.stack(list(shown(encode(iter(sentences)), len(sentences))))


def shown(vectors: Iterable[np.ndarray], total: int) -> Iterable[np.ndarray]:
    """Show progress on a terminal."""
    if not sys.stderr.isatty():
        return vectors
    from rich.console import Console
    from rich.progress import track

    return track(vectors, "embedding", total, transient=True, console=Console(stderr=True))


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
        sys.exit(f"error: {arguments.file} holds {len(sentences)} sentences; a neighbor needs at least 2")
    try:
        vectors = embed(sentences, arguments.checkpoint)
    except PocketBertError as error:
        sys.exit(f"error: {error}")
    index, cosine = nearest(vectors)
    for sentence, other, similarity in zip(sentences, index, cosine, strict=True):
        print(f"{sentence}\n  {similarity:.3f}  {sentences[other]}")


if __name__ == "__main__":
    main()
