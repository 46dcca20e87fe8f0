"""Ids that must never change: a change here is a regression.

``goldens.json`` holds the ids, then the offsets, that the fast tokenizer of ``transformers`` 4.57 gives for the texts
of ``helpers/tokenizer_texts.py``.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.tokenizer_texts import UTF8
from helpers.vocabularies import SHARED_VOCAB
from pocketbert.tokenizer import BertTokenizer, BertTokenizerFast

GOLDENS = json.loads(Path(__file__).with_name("goldens.json").read_text("utf-8"))


@pytest.mark.parametrize("kind", [BertTokenizer, BertTokenizerFast])
@pytest.mark.parametrize("name", sorted(GOLDENS))
def test_goldens(kind: Any, name: str, vocab: dict[str, int]) -> None:
    source, _, case = name.partition(" ")
    path = SHARED_VOCAB / f"bert-{source}.txt"
    if source != "made" and not path.is_file():
        pytest.skip(f"no {path.name} at hand")
    tokenizer = kind(vocab if source == "made" else path, do_lower_case=case == "lower")
    batch = tokenizer(UTF8, return_offsets_mapping=True)
    for text, ids, offsets, golden in zip(
        UTF8, batch["input_ids"], batch["offset_mapping"], GOLDENS[name], strict=True
    ):
        assert [ids, [bound for span in offsets for bound in span]] == golden, ascii(text)
