"""Which model gives the answers: the files that they depend on, and a digest of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pocketbert.checkpoint.opened import Opened
from pocketbert.plan.int8.folder import WEIGHTS
from pocketbert.storage.hub import CONFIG_FILES, TOKENIZER_FILES

__all__ = ["model_digest", "model_files"]


def model_files(source: Opened) -> list[Path]:
    """Return the files of a checkpoint that are there: configuration, tokenizer and weights."""
    weights = [source.folder / WEIGHTS] if source.is_quantized else source.weights.files
    files = [*(source.folder / name for name in CONFIG_FILES + TOKENIZER_FILES), *weights]
    files += [] if source.sentences is None else source.sentences.files()
    return [path for path in files if path.is_file()]


def model_digest(source: Opened) -> str:
    """Return a digest of a checkpoint, wherever it lies."""
    digest = hashlib.sha256()
    for path in model_files(source):
        with path.open("rb") as file:
            digest.update(f"{path.name} ".encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
