"""A runner without a model: what it says of a token depends on that token alone, so windows cannot change it."""

from __future__ import annotations

import numpy as np

from helpers.small import VOCAB
from pocketbert.architecture.config import BertConfig
from pocketbert.runtime.batching import PackedBatch
from pocketbert.tokenizer import BertTokenizerFast

WIDTHS = {"none": 6, "token_classification": None, "question_answering": 2, "masked_lm": len(VOCAB)}


def tokenizer(**options) -> BertTokenizerFast:
    return BertTokenizerFast({token: index for index, token in enumerate(VOCAB)}, **options)


class FakeRunner:
    """Token heads look their row up in a random table; text heads sum it over the tokens, [CLS] and [SEP] aside."""

    def __init__(self, head: str, positions: int = 512, seed: int = 0, **fields) -> None:
        self.head = head
        self.config = BertConfig(vocab_size=len(VOCAB), max_position_embeddings=positions, **fields)
        width = WIDTHS.get(head) or {"multiple_choice": 1, "next_sentence": 2}.get(head, self.config.num_labels)
        self.table = np.random.default_rng(seed).normal(size=(len(VOCAB), width)).astype(np.float32)
        self.seen: list[PackedBatch] = []

    def __call__(self, batch: PackedBatch) -> list[np.ndarray]:
        self.seen.append(batch)
        rows = np.split(batch.input_ids, batch.cu_seqlens[1:-1])
        if self.head in WIDTHS:
            outputs = [self.table[row] for row in rows]
            if batch.positions is not None:
                outputs = [output[places] for output, places in zip(outputs, batch.positions, strict=True)]
            return outputs
        return [self.table[row[(row != 2) & (row != 3)]].sum(axis=0) for row in rows]

    @property
    def rows(self) -> int:
        return sum(map(len, self.seen))
