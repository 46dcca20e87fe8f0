"""Pairs of texts of which the second follows the first, or is a random one: BERT's next-sentence prediction.

A line is a sentence, and an empty line ends a document. As in BERT's own data, consecutive sentences of a document are
put together until they fill a row, and divided at random into two texts; in half of the rows the second text comes from
another document, and the sentences that it replaced are used again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from pocketbert.errors import InputError
from pocketbert.training.corpus import Corpus, corpus_files, counted, documents_of, is_kept, no_row
from pocketbert.training.examples import Example, fingerprint
from pocketbert.training.order import random_of
from pocketbert.training.tables import digest

__all__ = ["read_pairs"]

_PAIRS = 0x70616972  # tells these random numbers from those of other purposes
_WINDOW = 256  # documents among which a random one is chosen
_SHORT = 0.1  # share of the rows that are filled to a random length only
_RANDOM = 0.5  # share of the rows whose second text is a random one

Document = list[list[int]]  # the ids of each sentence


def read_pairs(
    names: Sequence[str | os.PathLike[str]],
    tokenizer: Any,
    max_length: int,
    min_length: int = 12,
    most_unknown: float = 0.5,
    seed: int = 0,
) -> Corpus:
    """Return rows ``[CLS] A [SEP] B [SEP]`` with token types and ``next_sentence_label``: 0 if B follows A, else 1.

    Args:
        names, tokenizer, max_length, min_length, most_unknown: see ``corpus.read_corpus``.
        seed: decides lengths, where rows are divided, and random texts.

    Raises:
        InputError: a file is missing or broken, there is only one document, or no row is left.
    """
    files = corpus_files(names)
    key = digest("pairs", *files, fingerprint(tokenizer), max_length, min_length, most_unknown, seed)

    def examples() -> Iterator[Example]:
        for a, b, label in _pairs(_tokenized(documents_of(files), tokenizer), max_length - 3, random_of(seed, _PAIRS)):
            first = [tokenizer.cls_token_id, *a, tokenizer.sep_token_id]
            second = [*b, tokenizer.sep_token_id]
            row = first + second
            if is_kept(row, tokenizer, min_length, most_unknown):
                types = [0] * len(first) + [1] * len(second)
                yield {"rows": [row], "types": [types], "size": len(row), "next_sentence_label": label}

    return counted(examples(), key, len(tokenizer), no_row(files, min_length, most_unknown))


def _tokenized(documents: Iterable[list[str]], tokenizer: Any) -> Iterator[Document]:
    for lines in documents:
        sentences = tokenizer(lines, add_special_tokens=False, verbose=False)["input_ids"]
        if kept := [ids for ids in sentences if ids]:
            yield kept


def _pairs(
    documents: Iterator[Document], most: int, random: np.random.Generator
) -> Iterator[tuple[list[int], list[int], int]]:
    """Yield two texts of at most ``most`` tokens together, and whether the second is a random one."""
    held = list(islice(documents, _WINDOW))
    if len(held) < 2:
        raise InputError("next_sentence needs at least two documents; an empty line ends a document")
    place = 0
    while place < len(held):
        others = held[:place] + held[place + 1 :]
        yield from _pairs_of(held[place], others, most, random)
        following = next(documents, None)
        if following is None:
            place += 1
        elif place < _WINDOW // 2:  # those before are kept for a while, to be chosen from
            held.append(following)
            place += 1
        else:
            held = [*held[1:], following]


def _pairs_of(
    document: Document, others: Sequence[Document], most: int, random: np.random.Generator
) -> Iterator[tuple[list[int], list[int], int]]:
    start = 0
    while start < len(document):
        wanted = most if random.random() >= _SHORT else int(random.integers(2, most + 1))
        stop = start + 1
        while stop < len(document) and sum(map(len, document[start:stop])) < wanted:
            stop += 1
        cut = start + (int(random.integers(1, stop - start)) if stop - start > 1 else 1)
        a = [token for sentence in document[start:cut] for token in sentence]
        is_random = stop - start == 1 or random.random() < _RANDOM
        if is_random:
            other = others[int(random.integers(len(others)))]
            b = []
            for sentence in other[int(random.integers(len(other))) :]:
                b += sentence
                if len(a) + len(b) >= wanted:
                    break
        else:
            b = [token for sentence in document[cut:stop] for token in sentence]
        yield *_cut(a, b, wanted, random), int(is_random)
        start = cut if is_random else stop


def _cut(a: list[int], b: list[int], most: int, random: np.random.Generator) -> tuple[list[int], list[int]]:
    """Shorten the longer text until both fit, each time by its first or last token as chance decides."""
    half = most // 2
    if len(a) + len(b) <= most:
        return a, b
    first = len(a) if len(a) <= half else max(most - len(b), most - half)
    return _shortened(a, first, random), _shortened(b, most - first, random)


def _shortened(text: list[int], length: int, random: np.random.Generator) -> list[int]:
    start = int(random.binomial(max(len(text) - length, 0), 0.5))
    return text[start : start + length]
