"""The texts that a model is calibrated and measured on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.errors import InputError
from pocketbert.plan.batch import PackedBatch, Row, pack
from pocketbert.plan.int8.ranges import calibration_batch
from pocketbert.quantization.sentences import SENTENCES
from pocketbert.storage.hub import TOKENIZER_FILES
from pocketbert.tokenizer.auto import AutoTokenizer
from pocketbert.tokenizer.tokenizer_base import PreTrainedTokenizerBase

__all__ = ["batch_of_texts", "beginning", "tokenizer_of"]

_PAIRED = 3  # every third text is a pair, where the model has token types
_LOGITS = 4  # words per text whose logits a masked language model computes
_MAX_TEXTS = 256


def tokenizer_of(folder: Path) -> PreTrainedTokenizerBase | None:
    """Return the tokenizer of a folder, or None if there is none."""
    exists = any((folder / name).is_file() for name in TOKENIZER_FILES)
    return AutoTokenizer.from_pretrained(folder) if exists else None


def batch_of_texts(
    tokenizer: PreTrainedTokenizerBase | None, config: PretrainedConfig, texts: Sequence[str] | None
) -> tuple[PackedBatch, str]:
    """Return the batch and its origin: ``"given texts"``, ``"built-in texts"`` or ``"pseudo-random words"``.

    Where ``texts`` is None, they are built-in ones, or pseudo-random words if there is no tokenizer or it knows fewer
    than half of the built-in words.

    Raises:
        InputError: fewer than two texts, or texts without a tokenizer.
    """
    if texts is not None and (isinstance(texts, str) or not all(isinstance(text, str) for text in texts)):
        raise InputError("texts must be a list of strings")
    if texts is not None and len(texts) < 2:
        raise InputError(f"{len(texts)} texts are too few to compare on; pass at least 2")
    if tokenizer is None and texts is not None:
        raise InputError("texts were given, but the checkpoint's folder has no tokenizer files; put them beside it")
    if tokenizer is not None:
        rows = _rows(tokenizer, config, SENTENCES if texts is None else list(texts)[:_MAX_TEXTS])
        if texts is not None:
            return pack(rows), "given texts"
        ids = [token for row in rows for token in row.input_ids]
        if 2 * sum(token == tokenizer.unk_token_id for token in ids) <= len(ids):
            return pack(rows), "built-in texts"
    return calibration_batch(config), "pseudo-random words"


def beginning(batch: PackedBatch, tokens: int) -> PackedBatch:
    """Return the first texts of a batch that together have at most ``tokens`` tokens, and at least two."""
    count = max(2, int(np.searchsorted(batch.cu_seqlens, tokens, side="right")) - 1)
    ends = batch.cu_seqlens[: count + 1]
    types = None if batch.token_type_ids is None else batch.token_type_ids[: ends[-1]]
    return PackedBatch(batch.input_ids[: ends[-1]], types, ends, batch.positions and batch.positions[:count])


def _rows(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig, texts: Sequence[str]) -> list[Row]:
    typed = getattr(config, "type_vocab_size", 1) > 1
    limit = min(config.max_position_embeddings, tokenizer.model_max_length)
    rows = []
    for index, text in enumerate(texts):
        pair = texts[index - 1] if typed and index % _PAIRED == 1 else None
        encoded = tokenizer(text, pair, truncation=True, max_length=limit, verbose=False)
        ids = encoded["input_ids"]
        types = encoded.get("token_type_ids") if typed else None
        rows.append(Row(ids, types, range(1, len(ids), max(1, len(ids) // _LOGITS))))
    return rows
