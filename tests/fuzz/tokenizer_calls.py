"""Texts, added tokens and options: the Python tokenizer gives what the Fast one gives, or both refuse."""

from __future__ import annotations

import json
import random
import unicodedata
from pathlib import Path
from typing import Any

from fuzz.target import Difference, Target, changed_value
from helpers.mutations import dumped
from helpers.tokenizer_texts import EVERY
from helpers.vocabularies import made_vocab
from pocketbert import AddedToken, BertTokenizer, BertTokenizerFast, InputError, PocketBertError

__all__ = ["TokenizerCalls"]

_SETTINGS: tuple[dict[str, Any], ...] = (
    {}, {"do_lower_case": False}, {"strip_accents": False}, {"tokenize_chinese_chars": False},
    {"do_lower_case": False, "strip_accents": True},
)  # fmt: skip
_GAVE_UP = "the tokenizers library cannot split these texts"  # it panics at some added tokens, which Python finds
_RULES = ("special", "normalized", "lstrip", "rstrip", "single_word")


def _text(chance: random.Random) -> str:
    """Return a text of pieces of the awkward ones, random characters, and words of the vocabulary."""
    parts = []
    for _ in range(chance.randrange(1, 7)):
        kind = chance.randrange(4)
        if kind == 0:
            text = chance.choice(EVERY)[:200]
            at = chance.randrange(len(text) + 1)
            parts.append(text[at : at + chance.randrange(12)])
        elif kind == 1:
            parts.append(chr(chance.randrange(chance.choice((128, 0x3000, 0x110000)))))
        elif kind == 2:
            parts.append(chance.choice((" ", "", "\n", "[MASK]", "[SEP]", "<new>", "##", "'")))
        else:
            parts.append(chance.choice(("the", "hello", "unaffable", "Running", "strasse", "cafe")))
    text = "".join(parts)
    return unicodedata.normalize(chance.choice(("NFC", "NFD")), text) if chance.random() < 0.2 else text


class TokenizerCalls(Target):
    """An input is the settings, the added tokens with their rules, the texts and the options of a call."""

    calls = 500

    def begin(self, folder: Path) -> list[bytes]:
        """See ``Target``."""
        self.vocab = made_vocab()
        inputs = [{"settings": n, "added": [], "texts": EVERY[n :: len(_SETTINGS)], "options": {}} for n in range(5)]
        added = [["<new>", {"special": True}], ["hello the", {"normalized": False}], ["é", {"single_word": True}]]
        options = {"padding": True, "truncation": True, "max_length": 9}
        return [dumped(each) for each in (*inputs, {**inputs[0], "added": added, "options": options})]

    def change(self, data: bytes, chance: random.Random) -> bytes:
        """See ``Target``."""
        call = json.loads(data)
        kind = chance.randrange(8)
        if kind == 0:
            call["settings"] = chance.randrange(len(_SETTINGS))
        elif kind == 1:
            rules = {rule: chance.random() < 0.7 for rule in _RULES if chance.random() < 0.4}
            call["added"] = [*call["added"][-4:], [_text(chance)[:12] or "x", rules]]
        elif kind == 2:
            options = changed_value(call["options"], chance)
            call["options"] = options if isinstance(options, dict) else {}
        elif kind == 3:
            names = ("padding", "truncation", "max_length", "stride", "add_special_tokens", "return_overflowing_tokens")
            values = (True, False, 0, 1, 5, 12, "max_length", "longest", "only_first", None, -1, 1.5)
            call["options"][chance.choice(names)] = chance.choice(values)
        elif kind == 4 and call["texts"]:
            call["texts"][chance.randrange(len(call["texts"]))] += _text(chance)
        else:
            call["texts"] = [_text(chance) for _ in range(chance.randrange(1, 6))]
        call["texts"] = call["texts"][:12]
        return dumped(call)

    def run(self, data: bytes) -> str:
        """See ``Target``."""
        call = json.loads(data)
        answers: list[Any] = []
        refusals: list[PocketBertError] = []
        for kind in (BertTokenizerFast, BertTokenizer):
            try:
                answers.append(self._answer(kind, call))
            except PocketBertError as error:
                refusals.append(error)
        if refusals and _GAVE_UP in str(refusals[0]):
            raise refusals[0]
        if answers and refusals:
            raise Difference(f"one tokenizer refuses what the other takes: {refusals[0]!r}")
        if refusals:
            if type(refusals[0]) is not type(refusals[1]):
                raise Difference(f"the tokenizers refuse in different ways: {refusals!r}")
            raise refusals[0]
        for name, one in answers[0].items():
            if one != answers[1][name]:
                raise Difference(f"the tokenizers differ in {name}: Fast {one}, Python {answers[1][name]}")
        return f"{call['settings']} {len(call['added'])} added, {sorted(call['options'])}"

    def _answer(self, kind: Any, call: dict[str, Any]) -> dict[str, Any]:
        tokenizer = kind(self.vocab, **_SETTINGS[call["settings"]])
        for content, rules in call["added"]:
            tokenizer.add_tokens([AddedToken(content, **rules)])
        options = {"verbose": False, "return_offsets_mapping": True, **call["options"]}
        batch = tokenizer(call["texts"], **options)
        if not isinstance(batch["input_ids"], list):
            raise InputError("tensors are not compared here")
        rows = batch["input_ids"]
        return {
            "ids": rows,
            "batch": {name: value for name, value in batch.items() if name != "input_ids"},
            "words": [batch.word_ids(row) for row in range(len(rows))],
            "texts": [tokenizer.decode(row) for row in rows],
            "vocabulary": tokenizer.get_vocab(),
        }
