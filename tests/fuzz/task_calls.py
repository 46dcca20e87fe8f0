"""Calls of every task with random texts and options: an answer, or an error of ours."""

from __future__ import annotations

import json
import random
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fuzz.target import Target, changed_value
from fuzz.tokenizer_calls import _text
from helpers.mutations import dumped
from helpers.vocabularies import made_vocab
from pocketbert import BertConfig, BertTokenizerFast, pipeline
from pocketbert.architecture import families
from pocketbert.checkpoint import write_arrays

__all__ = ["TaskCalls"]

_PAIR = {"question": "who was jim", "context": "jim was a nice puppet in paris"}
_CALLS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "text-classification": ("sequence_classification", ["hello", {"text": "a", "text_pair": "b"}], {"top_k": 2}),
    "token-classification": ("token_classification", "jim hello paris", {"aggregation_strategy": "simple"}),
    "question-answering": ("question_answering", _PAIR, {"top_k": 2, "max_answer_len": 5}),
    "fill-mask": ("masked_lm", "the [MASK] is cute", {"top_k": 3, "targets": ["dog"]}),
    "zero-shot-classification": ("sequence_classification", ["hello"], {"candidate_labels": ["dog", "world"]}),
    "multiple-choice": ("multiple_choice", {"prompt": "the", "choices": ["dog", "cute"]}, {}),
    "next-sentence-prediction": ("next_sentence", {"text": "hello", "text_pair": "world"}, {}),
    "feature-extraction": ("none", ["hello world"], {"pooling": "mean", "normalize": True}),
}
_OPTIONS: dict[str, tuple[Any, ...]] = {
    "overflow": ("truncate", "window", "error"), "stride": (0, 1, 8, 100), "max_length": (1, 3, 5, 40, 41, 10**9),
    "top_k": (0, 1, 3, 10**6, None), "max_characters": (0, 1, 10, 10**9), "batch_size": (0, 1, 2), "padding": (True,),
    "function_to_apply": ("softmax", "sigmoid", "none"), "aggregation_strategy": ("none", "first", "average", "max"),
    "truncation": (True, False), "pooling": ("cls", "max", None), "multi_label": (True,), "threshold": (0.5, 2, -1),
    "handle_impossible_answer": (True,), "doc_stride": (0, 1, 128), "max_answer_len": (0, 1, 9), "targets": ("dog", []),
    "hypothesis_template": ("this is {}", "no place", "{} {}", "{0.__class__}"), "ignore_labels": ([], ["LABEL_0"]),
}  # fmt: skip


@cache
def _task(name: str, folder: Path) -> Any:
    head = _CALLS[name][0]
    path = folder / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    vocab = made_vocab()
    labels = {"id2label": {0: "contradiction", 1: "neutral", 2: "entailment"}} if "zero" in name else {}
    config = BertConfig(
        vocab_size=len(vocab), hidden_size=24, num_attention_heads=3, num_hidden_layers=2, intermediate_size=40,
        max_position_embeddings=40, architectures=[families.class_name(BertConfig(), head)], **labels,
    )  # fmt: skip
    generator = np.random.default_rng(0)
    wanted = families.parameters(config, head)
    write_arrays(path, config, {p.name: generator.standard_normal(p.shape).astype(np.float32) for p in wanted})
    BertTokenizerFast(vocab).save_pretrained(path)
    return pipeline(name, model=path, runtime="native", threads=1)


class TaskCalls(Target):
    """An input is a task, what it is called with, and its options."""

    calls = 800

    def begin(self, folder: Path) -> list[bytes]:
        """See ``Target``."""
        self.folder = folder / "models"
        return [
            dumped({"task": name, "inputs": inputs, "options": options})
            for name, (_, inputs, options) in _CALLS.items()
        ]

    def change(self, data: bytes, chance: random.Random) -> bytes:
        """See ``Target``."""
        call = json.loads(data)
        kind = chance.randrange(6)
        if kind == 0:
            options = changed_value(call["options"], chance)
            call["options"] = options if isinstance(options, dict) else {}
        elif kind == 1:
            name = chance.choice([*_OPTIONS])
            call["options"][name] = chance.choice(_OPTIONS[name])
        elif kind == 2:
            call["inputs"] = changed_value(call["inputs"], chance)
        else:
            call["inputs"] = _with_text(call["inputs"], chance)
        return dumped(call)

    def run(self, data: bytes) -> str:
        """See ``Target``."""
        call = json.loads(data)
        answer = _task(call["task"], self.folder)(call["inputs"], **call["options"])
        return f"{call['task']} {type(answer).__name__} {sorted(call['options'])[:3]}"


def _with_text(value: Any, chance: random.Random) -> Any:
    """Return the inputs with one of their texts replaced, or lengthened."""
    if isinstance(value, dict) and value:
        name = chance.choice([*value])
        return value | {name: _with_text(value[name], chance)}
    if isinstance(value, list) and value:
        at = chance.randrange(len(value))
        return [*value[:at], _with_text(value[at], chance), *value[at + 1 :]]
    if isinstance(value, str) and chance.random() < 0.5:
        return (value + " " + _text(chance) * chance.choice((1, 1, 1, 40)))[:4000]
    return _text(chance) * chance.choice((1, 1, 20))
