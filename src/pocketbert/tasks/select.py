"""Which task, which head: names and aliases, and whether a checkpoint has what a task needs; nothing is built yet."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from pocketbert.architecture import parameters as schema
from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.config.quantization import is_quantized
from pocketbert.architecture.parameters import Head
from pocketbert.checkpoint import Checkpoint, Fit, fit, open_checkpoint
from pocketbert.errors import CheckpointError, ConfigError, InputError
from pocketbert.tasks.checks import suggest

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

# head that a checkpoint was saved with -> the task that it is for
_TASK_OF_HEAD: dict[Head, str] = {
    "none": "feature-extraction",
    "pretraining": "fill-mask",
    "masked_lm": "fill-mask",
    "next_sentence": "next-sentence-prediction",
    "sequence_classification": "text-classification",
    "multiple_choice": "multiple-choice",
    "token_classification": "token-classification",
    "question_answering": "question-answering",
}
# Heads whose tensors have the same names, so that only ``architectures`` tells them apart.
_ALIKE: tuple[Head, ...] = ("sequence_classification", "multiple_choice", "token_classification")


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
    room, cls = TASKS[name]
    return getattr(import_module(f"pocketbert.tasks.{room}"), cls)


def task_of(folder: str | os.PathLike[str], config: PretrainedConfig) -> str:
    """Return the task that a checkpoint is for: what its ``architectures`` say, else what its tensors can only be.

    Raises:
        InputError: neither tells.
    """
    saved = _saved_heads(config)
    if not saved:
        checkpoint = open_checkpoint(folder)
        saved = [h for h in _heads(config) if h not in ("none", "pretraining") and _fits(checkpoint, config, h)]
    tasks = {_TASK_OF_HEAD[head] for head in saved}
    if len(tasks) != 1:
        raise InputError(
            f"{folder}/config.json does not say which task it is for; pass task= one of {', '.join(TASKS)}"
        )
    return tasks.pop()


def check_head(folder: str | os.PathLike[str], config: PretrainedConfig, task: str, head: Head) -> None:
    """Refuse a checkpoint that lacks the head of a task; of one in int8, ``plan.int8.folder.load_quantized`` does.

    Raises:
        CheckpointError: the head is not in the file, is another's, or the file does not fit its configuration.
    """
    if is_quantized(config):
        return
    checkpoint = open_checkpoint(folder)
    try:
        found = _fit(checkpoint, config, head)
    except ConfigError as error:
        raise CheckpointError(f"{task} cannot run on {folder}: {error}") from error
    saved = _saved_heads(config)
    absent = [p.name for p in found.missing if p.part not in ("embeddings", "encoder", "pooler")]
    mistaken = head in _ALIKE and any(h in _ALIKE for h in saved) and head not in saved
    if absent or mistaken:
        why = f"{', '.join(absent)} are not in the file" if absent else "its classifier is another head's"
        whose = f"it was saved from {', '.join(config.architectures or ())}" if saved else "it names no architecture"
        able = [name for name, (room, _) in TASKS.items() if room and _able(checkpoint, config, saved, name)]
        raise CheckpointError(
            f"{folder} has no {head.replace('_', '-')} head, which {task} needs: {why}, and {whose}; pass a checkpoint "
            f"that was trained for {task}, or use this one for {', '.join(able)}"
        )
    complaint = found.complaint()
    if complaint:
        raise CheckpointError(f"{folder} does not fit {schema.class_name(config, head)}: {complaint}")


def _able(checkpoint: Checkpoint, config: PretrainedConfig, saved: list[Head], task: str) -> bool:
    head = task_class(task).head
    alike = head in _ALIKE and any(h in _ALIKE for h in saved)
    return head in _heads(config) and _fits(checkpoint, config, head) and (not alike or head in saved)


def _heads(config: PretrainedConfig) -> list[Head]:
    lacking = ("pretraining", "next_sentence") if config.model_type == "distilbert" else ()
    return [head for head in schema.HEADS if head not in lacking]


def _saved_heads(config: PretrainedConfig) -> list[Head]:
    """Return the heads that ``architectures`` names."""
    heads: list[Head] = []
    for name in config.architectures or ():
        try:
            heads.append(schema.head_of_class(name)[1])
        except ConfigError:
            continue  # a class of someone else's
    return heads


def _fit(checkpoint: Checkpoint, config: PretrainedConfig, head: Head) -> Fit:
    shapes = {name: tensor.shape for name, tensor in checkpoint.tensors.items()}
    pooler = False if head == "none" else None  # no task reads the bare encoder's pooler
    return fit(shapes, schema.parameters(config, head, pooler=pooler), config)


def _fits(checkpoint: Checkpoint, config: PretrainedConfig, head: Head) -> bool:
    return _fit(checkpoint, config, head).complaint() is None
