"""Distillation into a DistilBERT: the recipe of arXiv 1910.01108."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pocketbert.architecture.config import DistilBertConfig
from pocketbert.architecture.heads import BARE
from pocketbert.checkpoint.opened import Opened, open_model
from pocketbert.errors import ConfigError, InputError
from pocketbert.extras import require
from pocketbert.settings.runs import Distilbert
from pocketbert.tokenizer import AutoTokenizer, DistilBertTokenizerFast
from pocketbert.torch.auto import model_class
from pocketbert.training.callbacks import Callback
from pocketbert.training.corpus_runs import corpus_session, names_of
from pocketbert.training.objectives.triple import TripleLoss
from pocketbert.training.session import Session, Trained
from pocketbert.training.starting import load_to_train
from pocketbert.training.tables import digest
from pocketbert.training.teachers import (
    check_teacher,
    check_vocabulary,
    choose_layers,
    fingerprint_of_weights,
    start_from_layers,
)

__all__ = ["distil_distilbert", "session"]


def distil_distilbert(
    *,
    teacher: str | Path,
    corpus: str | Path | Sequence[str | Path],
    out: str | Path,
    callbacks: Sequence[Callback] = (),
    resume: bool = False,
    **settings: Any,
) -> Trained:
    """Make a DistilBERT that begins as some of a teacher's layers and learns from it on unlabeled text.

    The loss is ``5 L_ce + 2 L_mlm + 1 L_cos``: the teacher's words at temperature 2, the hidden words, and the
    direction of the last hidden states.

    Args:
        teacher: a BERT or DistilBERT, a folder or a name on the hub. One without the head that predicts words (such as
            a sentence encoder) can teach its hidden states only: pass ``alpha_ce=0``, and ``alpha_mlm=0`` for a student
            without that head.
        corpus: text files or patterns, a text a line; see ``corpus.read_corpus``.
        out: folder to write; it also gets the run's settings, its history and its checkpoints.
        callbacks: who listens.
        resume: go on from the latest checkpoint in ``out``.
        **settings: see ``runs.Distilbert``: ``layers``, ``epochs``, ``batch_size``, ``max_length``, ...

    Returns:
        the student in eval mode, its tokenizer, and what was measured.

    Raises:
        InputError: a setting or the corpus is wrong, or the teacher lacks what the losses need.
        ConfigError: the teacher does not fit the student; all differences are named.
        CheckpointError: a model does not load.
        TrainingError: the loss or the gradient is not finite.
        MissingExtra: ``pocketbert[train]`` is not installed.

    Example:
        >>> from pocketbert import distil_distilbert
        >>> done = distil_distilbert(
        ...     teacher="bert-base-uncased", corpus="texts/*.txt.gz", out="mine", max_length=128
        ... )  # doctest: +SKIP
    """
    run = Distilbert(teacher=str(teacher), corpus=names_of(corpus), out=str(out)).changed(settings)
    return session(run, callbacks).run(resume)


def session(settings: Distilbert, callbacks: Sequence[Callback] = ()) -> Session:
    """Return the run that settings describe. See ``distil_distilbert``."""
    settings.check()
    require("accelerate")
    opened = open_model(settings.teacher, tokenizer=True)
    head = "masked_lm" if settings.alpha_ce or settings.alpha_mlm else BARE
    if settings.eval is not None and head == BARE:
        raise InputError(f"eval={settings.eval} needs a student that predicts words; raise alpha_ce or alpha_mlm")
    if settings.alpha_ce and not opened.has_words:
        raise InputError(
            f"{opened.folder} has no head that predicts words, and alpha_ce={settings.alpha_ce} needs one; pass "
            "alpha_ce=0 and alpha_mlm=0 to learn its hidden states alone (alpha_mlm above 0 trains a fresh head), "
            f"or train the head first: pocketbert pretrain --model {settings.teacher}"
        )
    torch.manual_seed(settings.seed)
    begun = None
    if settings.student is not None and not settings.student.endswith(".json"):
        begun = open_model(settings.student, tokenizer=True)
    student = _student(settings, opened, begun, head)
    tokenizer = DistilBertTokenizerFast.from_pretrained(opened.folder)
    needed = ["vocab_size", *(["hidden_size"] if settings.alpha_cos else [])]
    check_teacher(student.config, opened.config, needed)
    if begun is not None:
        check_vocabulary(AutoTokenizer.from_pretrained(begun.folder), tokenizer)
    taught_by = load_to_train(opened, "masked_lm" if settings.alpha_ce else BARE)
    objective = TripleLoss(
        taught_by,
        ce=settings.alpha_ce,
        mlm=settings.alpha_mlm,
        cos=settings.alpha_cos,
        temperature=settings.temperature,
        masked_only=settings.masked_only,
    )
    made_of = (fingerprint_of_weights(opened), begun and fingerprint_of_weights(begun), student.config.to_diff_dict())
    return corpus_session(settings, student, tokenizer, objective, callbacks, digest(*made_of))


def _student(settings: Distilbert, teacher: Opened, begun: Opened | None, head: str) -> Any:
    """Return the student as it begins: as a checkpoint of its own, as layers of the teacher, or fresh."""
    if begun is not None:
        if not isinstance(begun.config, DistilBertConfig):
            raise ConfigError(f"student={settings.student} is a {begun.family.class_name}; pass a DistilBERT")
        return load_to_train(begun, head)
    if settings.student is None:
        layers = choose_layers(settings.layers, teacher.config.num_hidden_layers)
        config, arrays = start_from_layers(teacher, layers, head)
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return load_to_train(None, head, config, state_dict=tensors)
    config = DistilBertConfig.from_pretrained(settings.student)
    return model_class(config, head)(config)
