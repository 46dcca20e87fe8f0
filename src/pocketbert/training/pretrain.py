"""Pre-training: an encoder learns to guess hidden words of unlabeled text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pocketbert.architecture.config import AutoConfig
from pocketbert.checkpoint.opened import open_model
from pocketbert.extras import require
from pocketbert.settings.runs import Pretrain
from pocketbert.tokenizer import AutoTokenizer
from pocketbert.torch.auto import model_class
from pocketbert.training.callbacks import Callback
from pocketbert.training.corpus_runs import corpus_session, names_of
from pocketbert.training.examples import check_tokenizer
from pocketbert.training.objectives.words import MaskedWords
from pocketbert.training.session import Session, Trained
from pocketbert.training.starting import load_to_train
from pocketbert.training.tables import digest
from pocketbert.training.teachers import fingerprint_of_weights

__all__ = ["pretrain", "session"]


def pretrain(
    *,
    model: str | Path,
    corpus: str | Path | Sequence[str | Path],
    out: str | Path,
    callbacks: Sequence[Callback] = (),
    resume: bool = False,
    **settings: Any,
) -> Trained:
    """Train a model to guess hidden words of unlabeled text, from fresh weights or from a checkpoint's.

    Args:
        model: a ``config.json`` to start afresh, with a tokenizer's files beside it or in ``tokenizer=``; or a
            checkpoint, whose head may be fresh.
        corpus: text files or patterns, a text a line; see ``corpus.read_corpus``.
        out: folder to write; it also gets the run's settings, its history and its checkpoints.
        callbacks: who listens.
        resume: go on from the latest checkpoint in ``out``.
        **settings: see ``runs.Pretrain``: ``epochs``, ``batch_size``, ``max_length``, ``optimizer``, ...

    Returns:
        the model in eval mode, its tokenizer, and what was measured.

    Raises:
        InputError: a setting or the corpus is wrong.
        ConfigError: the configuration describes no model.
        CheckpointError: the model does not load.
        TrainingError: the loss or the gradient is not finite.
        MissingExtra: ``pocketbert[train]`` is not installed.

    Example:
        >>> from pocketbert import pretrain
        >>> done = pretrain(model="small/config.json", corpus="texts/*.txt.gz", out="mine")  # doctest: +SKIP
    """
    run = Pretrain(model=str(model), corpus=names_of(corpus), out=str(out)).changed(settings)
    return session(run, callbacks).run(resume)


def session(settings: Pretrain, callbacks: Sequence[Callback] = ()) -> Session:
    """Return the run that settings describe. See ``pretrain``."""
    settings.check()
    require("accelerate")
    head = "pretraining" if settings.next_sentence else "masked_lm"
    torch.manual_seed(settings.seed)
    if settings.model.endswith(".json"):
        folder = Path(settings.model).parent
        config = AutoConfig.from_pretrained(settings.model)
        model: Any = model_class(config, head)(config)
        begun = digest(config.to_diff_dict())
    else:
        opened = open_model(settings.model, tokenizer=True)
        folder = opened.folder
        model = load_to_train(opened, head)
        begun = fingerprint_of_weights(opened)
    tokenizer = AutoTokenizer.from_pretrained(settings.tokenizer or folder)
    check_tokenizer(tokenizer, model.config)
    objective = MaskedWords(settings.next_sentence)
    return corpus_session(settings, model, tokenizer, objective, callbacks, begun, pairs=settings.next_sentence)
