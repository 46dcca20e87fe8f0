"""Fine-tuning: a checkpoint, labeled records, and a head that learns them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.heads import BARE
from pocketbert.checkpoint.opened import Opened, open_model
from pocketbert.checkpoint.sentence_transformers import copy_sentences, write_sentences
from pocketbert.errors import InputError
from pocketbert.evaluation.labeled import UNLABELED, read_labeled
from pocketbert.evaluation.scoring import scores
from pocketbert.evaluation.sources import Labeled, in_memory, read_columns, source_name
from pocketbert.extras import require
from pocketbert.settings.runs import TASKS, Finetune
from pocketbert.tokenizer import AutoTokenizer
from pocketbert.torch.auto import model_class
from pocketbert.torch.runner import TorchRunner
from pocketbert.training.batches import Padder
from pocketbert.training.callbacks import Callback
from pocketbert.training.card import Card
from pocketbert.training.examples import Encoder, fingerprint
from pocketbert.training.labels import HAVE_LABELS, Labels, labels_in
from pocketbert.training.lora import add_adapters, merge_adapters, save_adapters
from pocketbert.training.objectives.objective import HeadLoss, Objective
from pocketbert.training.objectives.task import TaskDistillation
from pocketbert.training.pairs import check_vectors, pairs_to_learn
from pocketbert.training.session import Session, Trained
from pocketbert.training.starting import load_to_train
from pocketbert.training.tables import digest, make_table
from pocketbert.training.teachers import check_task_teacher, fingerprint_of_weights, labels_of

__all__ = ["finetune", "session"]

_LENGTHS = {"question_answering": 384}  # most tokens of a row, by head; else _LENGTH
_LENGTH = 128


def finetune(
    task: str = "text-classification",
    *,
    model: str | Path,
    train: Labeled,
    out: str | Path,
    eval: Labeled | None = None,
    callbacks: Sequence[Callback] = (),
    resume: bool = False,
    **settings: Any,
) -> Trained:
    """Fine-tune a checkpoint on labeled records, and write the best model with its tokenizer into ``out``.

    Args:
        task: what the model learns: ``"text-classification"``, ``"token-classification"``, ``"question-answering"``,
            ``"multiple-choice"``, ``"next-sentence-prediction"`` or ``"embeddings"``.
        model: a checkpoint folder or a name on the hub.
        train: labeled records (``evaluation.labeled`` lists the fields): a file, a data set or its name on the hub (see
            ``evaluation.sources``), or dicts.
        out: folder to write; it also gets the run's settings, its history and its checkpoints.
        eval: records to score the model on.
        callbacks: who listens.
        resume: go on from the latest checkpoint in ``out``.
        **settings: see ``Finetune``: ``epochs``, ``batch_size``, ``learning_rate``, ...

    Returns:
        the model in eval mode, its tokenizer, and what was measured.

    Raises:
        InputError: a setting or the data is wrong; records are named by line.
        CheckpointError: the model does not load.
        TrainingError: the loss or the gradient is not finite.
        MissingExtra: ``pocketbert[train]`` is not installed.

    Example:
        >>> from pocketbert import finetune
        >>> done = finetune(
        ...     "text-classification", model="minilm", train="train.jsonl", eval="dev.jsonl", out="mine"
        ... )  # doctest: +SKIP
        >>> done.scores["accuracy"]  # doctest: +SKIP
    """
    run = Finetune(
        task=task, model=str(model), train=source_name(train), out=str(out),
        eval=None if eval is None else source_name(eval), **settings,
    )  # fmt: skip
    return session(run, callbacks, train, eval).run(resume)


def session(
    settings: Finetune,
    callbacks: Sequence[Callback] = (),
    train: Labeled | None = None,
    eval: Labeled | None = None,
) -> Session:
    """Return the run that settings describe; records that are given take the place of files. See ``finetune``."""
    settings.check()
    require("accelerate")
    head = TASKS[settings.task]
    train = settings.train if train is None else in_memory(train)
    eval = settings.eval if eval is None else in_memory(eval)
    opened = open_model(settings.model, tokenizer=True)
    columns = read_columns(settings.columns)
    teacher = None if settings.teacher is None else open_model(settings.teacher, tokenizer=True)
    tokenizer = AutoTokenizer.from_pretrained(opened.folder)
    if teacher is None:
        config = _configuration(opened, labels_in(train, head.name, settings.problem, columns))
    else:
        config = _configuration(opened, None)
        if head.name in HAVE_LABELS:
            config.override(labels_of(teacher.config))
    limit = _limit(settings, head.name, config)
    if teacher is not None:
        check_task_teacher(teacher, head.name, tokenizer, limit)
    unlabeled = teacher is not None and head.name in UNLABELED
    records = read_labeled(train, head.name, config, least=1, columns=columns, scored=False, unlabeled=unlabeled)
    judged = None if eval is None else read_labeled(eval, head.name, config, columns=columns)
    objective: Objective
    if head.name == BARE:
        check_vectors(opened)
        records, objective = pairs_to_learn(records, settings)
    else:
        objective = HeadLoss(head)
    encoder = Encoder(head.name, config, tokenizer, limit, settings.stride)
    made_of = [head.name, records, config.label2id, fingerprint(tokenizer), limit, settings.stride]
    if teacher is not None:
        encoder = replace(encoder, typed=encoder.has_types or teacher.family.has_types, marked=True)
        made_of += [encoder.typed, fingerprint_of_weights(teacher)]
        answering = model_class(teacher.config, head.name).from_pretrained(teacher)
        objective = TaskDistillation(head, answering, settings.temperature, settings.teacher_share)
    key = digest("finetune", *made_of)
    table = make_table(encoder(records), key)
    model = _start(settings, opened, config, head.name)

    def describe(folder: Path) -> None:
        if head.name != BARE or (settings.lora_rank is not None and not settings.lora_merge):  # adapters are no encoder
            return
        if opened.sentences is not None:
            copy_sentences(opened.sentences, folder)
        else:
            write_sentences(folder, config.hidden_size, limit)

    def evaluate(bare: Any) -> dict[str, float]:
        return scores(judged, TorchRunner(bare), tokenizer, lambda _: None) if judged else {}

    return Session(
        settings=settings,
        model=model,
        tokenizer=tokenizer,
        objective=objective,
        table=table,
        collate=Padder(tokenizer.pad_token_id or 0, together=head.input_rank == 3),
        evaluate=evaluate if judged else None,
        callbacks=callbacks,
        data=digest(key, fingerprint_of_weights(opened)),
        int8=settings.int8,
        save=_save_merged if settings.lora_merge else save_adapters if settings.lora_rank else None,
        beside=describe,
        card=Card(f"fine-tuned for {settings.task}", head.task, settings.model, settings.train, settings.eval),
    )


def _start(settings: Finetune, opened: Opened, config: PretrainedConfig, head: str) -> Any:
    """Return the model as its training begins."""
    torch.manual_seed(settings.seed)
    model = load_to_train(opened, head, config, ignore_mismatched_sizes=True)
    if settings.lora_rank is not None:
        targets = (settings.lora_targets or "").replace(" ", "").split(",")
        add_adapters(
            model,
            settings.lora_rank,
            alpha=settings.lora_alpha,
            dropout=settings.lora_dropout,
            targets=[name for name in targets if name],
        )
    return model


def _save_merged(model: Any, folder: Path) -> None:
    merge_adapters(model).save_pretrained(folder)


def _configuration(opened: Opened, labels: Labels | None) -> PretrainedConfig:
    """Return the checkpoint's configuration with the labels of the data; its own, if they have the same names."""
    config: PretrainedConfig = type(opened.config).from_dict(opened.config.to_dict())
    if labels is not None and (labels.problem == "regression" or set(labels.names) != set(config.label2id)):
        config.override(labels.fields())
    elif labels is not None and labels.problem is not None:
        config.override({"problem_type": labels.fields()["problem_type"]})
    return config


def _limit(settings: Finetune, head: str, config: PretrainedConfig) -> int:
    positions: int = config.max_position_embeddings
    if settings.max_length is None:
        return min(_LENGTHS.get(head, _LENGTH), positions)
    if settings.max_length > positions:
        raise InputError(f"max_length={settings.max_length} exceeds the model's {positions} positions")
    return settings.max_length
