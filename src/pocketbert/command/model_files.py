"""Which model gave the answers: a digest of the files that they depend on."""

from __future__ import annotations

import hashlib

from pocketbert.checkpoint.opened import Opened
from pocketbert.plan.int8.folder import WEIGHTS
from pocketbert.storage.hub import CONFIG_FILES, TOKENIZER_FILES

__all__ = ["model_digest"]


def model_digest(source: Opened) -> str:
    """Return the digest of a checkpoint: of configuration, tokenizer and weights, wherever they lie."""
    weights = [source.folder / WEIGHTS] if source.is_quantized else source.weights.files
    files = [*(source.folder / name for name in CONFIG_FILES + TOKENIZER_FILES), *weights]
    files += [] if source.sentences is None else source.sentences.files()
    digest = hashlib.sha256()
    for path in files:
        if path.is_file():
            with path.open("rb") as file:
                digest.update(f"{path.name} ".encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
