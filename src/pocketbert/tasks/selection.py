"""Which task, which head: names and aliases, and whether a checkpoint has what a task needs; nothing is built yet."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NoReturn

from pocketbert.architecture import families
from pocketbert.architecture.heads import BARE, head_named
from pocketbert.checkpoint.opened import Opened
from pocketbert.errors import CheckpointError, ConfigError, InputError
from pocketbert.tasks.option_checks import suggest

__all__ = ["ALIASES", "TASKS", "check_head", "need_model", "resolve", "task_class", "task_of"]

# task -> where its class is
TASKS = {
    "fill-mask": ("fill_mask", "FillMaskPipeline"),
    "text-classification": ("text_classification", "TextClassificationPipeline"),
    "zero-shot-classification": ("zero_shot", "ZeroShotClassificationPipeline"),
    "token-classification": ("token_classification", "TokenClassificationPipeline"),
    "question-answering": ("question_answering", "QuestionAnsweringPipeline"),
    "multiple-choice": ("multiple_choice", "MultipleChoicePipeline"),
    "next-sentence-prediction": ("next_sentence", "NextSentencePredictionPipeline"),
    "feature-extraction": ("feature_extraction", "FeatureExtractionPipeline"),
}
ALIASES = {"ner": "token-classification", "sentiment-analysis": "text-classification"}
# tasks of transformers that need another kind of model
_OTHERS = frozenset(
    """
    audio-classification automatic-speech-recognition conversational depth-estimation document-question-answering
    image-classification image-feature-extraction image-segmentation image-text-to-text image-to-image image-to-text
    keypoint-matching mask-generation object-detection summarization table-question-answering text-generation
    text-to-audio text-to-speech text2text-generation translation video-classification visual-question-answering vqa
    zero-shot-audio-classification zero-shot-image-classification zero-shot-object-detection
    """.split()  # noqa: SIM905  # one name per line would be a page
)
# what transformers loads where no model is named, as far as it is a DistilBERT
_DEFAULTS = {
    "text-classification": "distilbert/distilbert-base-uncased-finetuned-sst-2-english",
    "question-answering": "distilbert/distilbert-base-cased-distilled-squad",
    "feature-extraction": "distilbert/distilbert-base-cased",
}


def resolve(task: str) -> str:
    """Return a task's full name.

    Raises:
        InputError: there is no such task.
    """
    name = ALIASES.get(task, task) if isinstance(task, str) else task
    if isinstance(name, str) and (name in _OTHERS or name.startswith("translation_")):
        raise InputError(f"task {task!r} needs another kind of model; these models do {', '.join(TASKS)}")
    if name not in TASKS:
        raise InputError(f"unknown task {task!r}; choose from {', '.join(TASKS)}{suggest(task, [*TASKS, *ALIASES])}")
    return name


def need_model(task: str | None, model: Any) -> NoReturn:
    """Say that a model is to be named.

    Raises:
        InputError: always.
    """
    known = _DEFAULTS.get(ALIASES.get(str(task), str(task)))
    cure = f", such as {known!r}, which transformers takes if none is named" if known else ""
    raise InputError(f"model={model!r}: pass a checkpoint folder or a hub name{cure}")


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
