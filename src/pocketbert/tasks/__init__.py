"""One file per task, and ``pipeline``, which chooses and builds one.

Text becomes tokens and rows (``windows``), rows become packed batches (``pocketbert.runtime.batching``), a runner turns
them into arrays, and the task's file turns those into typed answers (``answers``). No framework is imported.

Answers equal those of transformers 4.57 pipelines on the same weights, in types, nesting and values. The exceptions,
each tested, are listed in ``docs/differences.md``.
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
        ZeroShot,
    )
    from pocketbert.tasks.feature_extraction import FeatureExtractionPipeline
    from pocketbert.tasks.fill_mask import FillMaskPipeline
    from pocketbert.tasks.multiple_choice import MultipleChoicePipeline
    from pocketbert.tasks.next_sentence import NextSentencePredictionPipeline
    from pocketbert.tasks.pipelines import pipeline
    from pocketbert.tasks.question_answering import QuestionAnsweringPipeline
    from pocketbert.tasks.task import Pipeline
    from pocketbert.tasks.text_classification import TextClassificationPipeline
    from pocketbert.tasks.token_classification import TokenClassificationPipeline
    from pocketbert.tasks.zero_shot import ZeroShotClassificationPipeline

__all__ = [
    "Answer",
    "Choice",
    "Entity",
    "EntityGroup",
    "FeatureExtractionPipeline",
    "Fill",
    "FillMaskPipeline",
    "Label",
    "MultipleChoicePipeline",
    "NextSentence",
    "NextSentencePredictionPipeline",
    "Pipeline",
    "QuestionAnsweringPipeline",
    "TextClassificationPipeline",
    "TokenClassificationPipeline",
    "ZeroShot",
    "ZeroShotClassificationPipeline",
    "pipeline",
]

_HOMES = {
    "Pipeline": "task",
    "pipeline": "pipelines",
    "FeatureExtractionPipeline": "feature_extraction",
    "FillMaskPipeline": "fill_mask",
    "MultipleChoicePipeline": "multiple_choice",
    "NextSentencePredictionPipeline": "next_sentence",
    "QuestionAnsweringPipeline": "question_answering",
    "TextClassificationPipeline": "text_classification",
    "TokenClassificationPipeline": "token_classification",
    "ZeroShotClassificationPipeline": "zero_shot",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'answers')}"), name)
