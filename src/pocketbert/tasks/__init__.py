"""One file per task, and ``pipeline``, which chooses and builds one.

Text becomes tokens and rows (``windows``), rows become packed batches (``pocketbert.runtime.batching``), a runner turns
them into arrays, and the task's file turns those into typed answers (``answers``). No framework is imported.

Answers equal those of transformers 4.57 pipelines on the same weights, with these exceptions, each tested:

* A text that is too long raises an error unless ``overflow`` is set; so do unknown arguments.
* Text classification and question answering always give a list; a string key reads the best answer.
* Question answering gives ``top_k`` answers if the context has that many, never cuts a word at a window's end, and a
  score never exceeds 1 when an answer appears in several windows.
* Entities are grouped by the tokenizer's words: ``"simple"`` never splits a word, and a word with an ignored
  character such as a soft hyphen is not merged with the previous one. BILOU and BIOES tags are read. Windows are merged
  by token, not by entity.
* Zero-shot finds the contradiction label by its name, and refuses a model in which it cannot find entailment.
* Fill-mask refuses targets that are not one token, instead of taking their first piece.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketbert.tasks.answers import (
        Answer,
        Choice,
        Entity,
        EntityGroup,
        Fill,
        Label,
        NextSentence,
        Ranked,
        ZeroShot,
    )
    from pocketbert.tasks.pipelines import pipeline
    from pocketbert.tasks.task import Task

__all__ = [
    "Answer",
    "Choice",
    "Entity",
    "EntityGroup",
    "Fill",
    "Label",
    "NextSentence",
    "Ranked",
    "Task",
    "ZeroShot",
    "pipeline",
]

_HOMES = {"Task": "task", "pipeline": "pipelines"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'answers')}"), name)
