"""Which task, which head: names and aliases, and whether a checkpoint has what a task needs; nothing is built yet."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pocketbert.architecture import families
from pocketbert.architecture.heads import BARE, head_named
from pocketbert.checkpoint.opened import Opened
from pocketbert.errors import CheckpointError, ConfigError, InputError
from pocketbert.tasks.option_checks import suggest

__all__ = ["ALIASES", "TASKS", "check_head", "resolve", "task_class", "task_of"]

# task -> where its class is
TASKS = {
    "fill-mask": ("fill_mask", "FillMask"),
    "text-classification": ("text_classification", "TextClassification"),
    "zero-shot-classification": ("zero_shot", "ZeroShotClassification"),
    "token-classification": ("token_classification", "TokenClassification"),
    "question-answering": ("question_answering", "QuestionAnswering"),
    "multiple-choice": ("multiple_choice", "MultipleChoice"),
    "next-sentence-prediction": ("next_sentence", "NextSentencePrediction"),
    "feature-extraction": ("feature_extraction", "FeatureExtraction"),
}
ALIASES = {"ner": "token-classification", "sentiment-analysis": "text-classification"}


def resolve(task: str) -> str:
    """Return a task's full name.

    Raises:
        InputError: there is no such task.
    """
    name = ALIASES.get(task, task) if isinstance(task, str) else task
    if name not in TASKS:
        raise InputError(f"unknown task {task!r}; choose from {', '.join(TASKS)}{suggest(task, [*TASKS, *ALIASES])}")
    return name


def task_class(name: str) -> Any:
    """Return the class of a task."""
    module, cls = TASKS[name]
    return getattr(import_module(f"pocketbert.tasks.{module}"), cls)


def task_of(opened: Opened) -> str:
    """Return the task that a checkpoint is for: what its ``architectures`` say, else what its weights can only be.

    A folder of sentence-transformers is for vectors.

    Raises:
        InputError: nothing tells.
    """
    if opened.sentences is not None and opened.sentences.makes_vectors:
        return "feature-extraction"
    heads = opened.saved_heads or [
        name
        for name in opened.family.heads
        if name != BARE and len(head_named(name).answers) == 1 and opened.fit(name).complaint() is None
    ]
    tasks = {head_named(head).task for head in heads}
    if len(tasks) != 1:
        raise InputError(
            f"{opened.folder}/config.json does not say which task it is for; pass task= one of {', '.join(TASKS)}"
        )
    return tasks.pop()


def check_head(opened: Opened, task: str, head: str) -> None:
    """Refuse a checkpoint that lacks the head of a task; of one in int8, its plan says so later.

    Raises:
        CheckpointError: the head is not in the file, is another's, or the file does not fit its configuration.
    """
    if opened.is_quantized:
        return
    try:
        fit = opened.fit(head, pooler=_pooler(head))
    except ConfigError as error:
        raise CheckpointError(f"{task} cannot run on {opened.folder}: {error}") from error
    absent = [p.name for p in fit.missing if p.part not in ("embeddings", "encoder", "pooler")]
    if absent or _is_anothers(opened, head):
        saved = ", ".join(opened.config.architectures or ())
        why = f"{', '.join(absent)} are not in the file" if absent else "its classifier is another head's"
        whose = f"it was saved from {saved}" if opened.saved_heads else "it names no architecture"
        able = [name for name in TASKS if _able(opened, task_class(name).head)]
        raise CheckpointError(
            f"{opened.folder} has no {head.replace('_', '-')} head, which {task} needs: {why}, and {whose}; pass a "
            f"checkpoint that was trained for {task}, or use this one for {', '.join(able)}"
        )
    complaint = fit.complaint()
    if complaint:
        raise CheckpointError(f"{opened.folder} does not fit {families.class_name(opened.config, head)}: {complaint}")


def _pooler(head: str) -> bool | None:
    return False if head == BARE else None  # no task reads the bare encoder's pooler


def _is_anothers(opened: Opened, head: str) -> bool:
    """Whether the layer of this name was trained for another head, as ``architectures`` tells."""
    alike = [saved for saved in opened.saved_heads if head_named(saved).same_names_as(head_named(head))]
    return bool(alike) and not any(head_named(saved).answer(head) for saved in alike)


def _able(opened: Opened, head: str) -> bool:
    fits = head in opened.family.heads and opened.fit(head, pooler=_pooler(head)).complaint() is None
    return fits and not _is_anothers(opened, head)
