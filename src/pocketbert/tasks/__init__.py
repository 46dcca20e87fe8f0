"""What models are for: one file a task, and ``pipeline`` to choose one.

Text becomes tokens and rows (``windows``), rows become packed batches (``pocketbert.runtime.batching``), a runner turns
them into arrays, and the task's file turns those into typed answers (``answers``). No framework is imported.

Answers are those of the pipelines of transformers 4.57 on the same weights, but for these, each with a test:

* A text that is too long is refused unless ``overflow`` says what to do; unknown arguments are refused.
* Text classification and question answering give a list whatever ``top_k`` is; a string key reads the best answer.
* Question answering gives ``top_k`` answers wherever the context has them, never cuts a word where a window ends, and
  no score exceeds 1 where an answer stands in several windows.
* Entities are grouped by the tokenizer's words: ``"simple"`` splits no word, and a word with a soft hyphen or the like
  is not fused with the one before it. BILOU and BIOES tags are read. Windows are merged by token, not by entity.
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
