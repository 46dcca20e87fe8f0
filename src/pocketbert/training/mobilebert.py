"""Distillation into a MobileBERT: the recipe of arXiv 2004.02984, from an IB-BERT or a BERT of the student's width."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pocketbert.architecture.config import BertConfig, MobileBertConfig, PretrainedConfig
from pocketbert.architecture.heads import BARE
from pocketbert.checkpoint.opened import open_model
from pocketbert.errors import ConfigError, InputError
from pocketbert.extras import require
from pocketbert.settings.runs import Mobilebert
from pocketbert.tokenizer import AutoTokenizer, MobileBertTokenizerFast
from pocketbert.torch.auto import model_class
from pocketbert.training.callbacks import Callback
from pocketbert.training.corpus_runs import corpus_session, names_of
from pocketbert.training.objectives.transfer import Transfer
from pocketbert.training.phases import Phase
from pocketbert.training.schedules import rate, transfer_rate
from pocketbert.training.session import Session, Trained
from pocketbert.training.starting import load_to_train
from pocketbert.training.tables import digest
from pocketbert.training.teachers import check_teacher, check_vocabulary, fingerprint_of_weights

__all__ = ["distil_mobilebert", "session", "start_as_teacher", "student_config", "transfer_phases"]

_EARLIER = 0.1  # factor of the learning rate of layers that were transferred before
_COPIED = ("embeddings.word_", "embeddings.position_", "embeddings.token_type_", "embeddings.embedding_tr", "cls.")
_NARROWER = 4  # the paper's blocks are this many times narrower inside than between them


def distil_mobilebert(
    *,
    teacher: str | Path,
    corpus: str | Path | Sequence[str | Path],
    out: str | Path,
    callbacks: Sequence[Callback] = (),
    resume: bool = False,
    **settings: Any,
) -> Trained:
    """Make a MobileBERT that learns from a teacher, layer by layer and then its words, on unlabeled text.

    The student has as many layers and attention heads as the teacher, and its ``hidden_size`` is the teacher's width.
    It begins with the teacher's embeddings and its head that predicts words, as far as their shapes agree. There is no
    dropout while it learns; its configuration keeps the probabilities for fine-tuning.

    Args:
        teacher: an IB-BERT (``MobileBertConfig.ib_bert_large``) or a BERT, a folder or a name on the hub. One without
            the head that predicts words (such as a sentence encoder) can teach its layers only: pass ``pd_steps=0``,
            and ``mask_share=0`` if it was never shown hidden words.
        corpus: text files or patterns, a text a line; see ``corpus.read_corpus``.
        out: folder to write; it also gets the run's settings, its history and its checkpoints.
        callbacks: who listens.
        resume: go on from the latest checkpoint in ``out``.
        **settings: see ``runs.Mobilebert``: ``strategy``, ``transfer_steps``, ``pd_steps``, ``student``, ...

    Returns:
        the student in eval mode, its tokenizer, and what was measured.

    Raises:
        InputError: a setting or the corpus is wrong, or the teacher has no head that predicts words.
        ConfigError: the teacher does not fit the student; all differences are named.
        CheckpointError: a model does not load.
        TrainingError: the loss or the gradient is not finite.
        MissingExtra: ``pocketbert[train]`` is not installed.

    Example:
        >>> from pocketbert import distil_mobilebert
        >>> done = distil_mobilebert(
        ...     teacher="minilm", corpus="texts/*.txt.gz", out="mine", transfer_steps=6000, pd_steps=0, batch_size=32
        ... )  # doctest: +SKIP
    """
    run = Mobilebert(teacher=str(teacher), corpus=names_of(corpus), out=str(out)).changed(settings)
    return session(run, callbacks).run(resume)


def session(settings: Mobilebert, callbacks: Sequence[Callback] = ()) -> Session:
    """Return the run that settings describe. See ``distil_mobilebert``."""
    settings.check()
    require("accelerate")
    opened = open_model(settings.teacher, tokenizer=True)
    head = "masked_lm" if settings.learns_words else BARE
    if settings.eval is not None and head == BARE:
        raise InputError(f"eval={settings.eval} needs a student that predicts words; pass pd_steps above 0")
    if head != BARE and settings.teacher_share and not opened.has_words:
        raise InputError(
            f"{opened.folder} has no head that predicts words; pass pd_steps=0 with strategy pkt or jkt to learn its "
            "layers alone, or teacher_share=0 to learn words from the text alone, or train the head first: "
            f"pocketbert pretrain --model {settings.teacher}"
        )
    tokenizer = MobileBertTokenizerFast.from_pretrained(opened.folder)
    begun = None
    if settings.student is not None and not settings.student.endswith(".json"):
        begun = open_model(settings.student, tokenizer=True)
        check_vocabulary(AutoTokenizer.from_pretrained(begun.folder), tokenizer)
    config = student_config(opened.config, begun.config if begun else settings.student)
    teacher = load_to_train(opened, "masked_lm" if head != BARE and opened.has_words else BARE)
    torch.manual_seed(settings.seed)
    if begun is None:
        options = {} if head != BARE else {"add_pooling_layer": False}
        student: Any = model_class(config, head)(config, **options)
        alone = start_as_teacher(student, teacher)
    else:
        student, alone = load_to_train(begun, head), set()
    for module in student.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    phases = transfer_phases(settings, teacher, alone)
    made_of = (fingerprint_of_weights(opened), begun and fingerprint_of_weights(begun), config.to_diff_dict())
    return corpus_session(settings, student, tokenizer, phases, callbacks, digest(*made_of))


def student_config(teacher: PretrainedConfig, student: PretrainedConfig | str | None) -> MobileBertConfig:
    """Return the configuration of the student.

    Args:
        teacher: its configuration.
        student: a configuration or its file; by default MobileBERT's proportions at the teacher's width.

    Raises:
        ConfigError: the teacher is no BERT or MobileBERT, or does not fit the student.
    """
    if not isinstance(teacher, (BertConfig, MobileBertConfig)):
        raise ConfigError(f"a {teacher.model_type} teaches no MobileBERT; pass a BERT or an IB-BERT")
    if teacher.pruned_heads:
        raise ConfigError("the teacher lacks attention heads in some layers; a student needs whole layers")
    if student is None:
        shared = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings")
        fields = {name: getattr(teacher, name) for name in (*shared, "type_vocab_size", "pad_token_id")}
        width, heads = teacher.hidden_size, teacher.num_attention_heads
        return MobileBertConfig(
            **fields,
            embedding_size=getattr(teacher, "embedding_size", width),
            intra_bottleneck_size=-(-width // (_NARROWER * heads)) * heads,
            intermediate_size=width,
            classifier_activation=False,
        )
    config = MobileBertConfig.from_pretrained(student) if isinstance(student, str) else student
    if not isinstance(config, MobileBertConfig):
        raise ConfigError(f"the student is a {config.model_type}; pass a MobileBERT")
    check_teacher(config, teacher)
    return config


@torch.no_grad()
def start_as_teacher(student: Any, teacher: Any) -> set[str]:
    """Copy the teacher's embeddings and head where shapes agree; return the embedding parameters that are left.

    What widens MobileBERT's three word vectors begins, where the teacher has no such layer and the width allows it, as
    the vector in the middle. An affine norm then begins as what the teacher's layer norm does to a word of usual size.
    """
    theirs = {_plain(name, teacher): value for name, value in teacher.named_parameters()}
    mine = {_plain(name, student): (name, value) for name, value in student.named_parameters()}
    copied = set()
    for plain, (_, value) in mine.items():
        source = theirs.get(plain)
        if plain.startswith(_COPIED) and source is not None and source.shape == value.shape:
            value.copy_(source)
            copied.add(plain)
    widening = "embeddings.embedding_transformation.weight"
    if widening in copied:
        return set()
    embeddings, width = student.base_model.embeddings, student.config.hidden_size
    if {"embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight"} <= copied:
        if student.config.trigram_input:
            weight = embeddings.embedding_transformation.weight.zero_()
            weight[:, width : 2 * width] = torch.eye(width)
        _start_norm(embeddings.LayerNorm, teacher.base_model.embeddings)
    return {name for plain, (name, _) in mine.items() if plain.startswith("embeddings.") and plain not in copied}


def _plain(name: str, model: Any) -> str:
    return name.removeprefix(f"{model.base_model_prefix}.")


def _start_norm(norm: Any, teacher: Any) -> None:
    """Let a norm begin as the teacher's layer norm, or where it is affine as the affine map nearest to it."""
    norm.weight.copy_(teacher.LayerNorm.weight)
    norm.bias.copy_(teacher.LayerNorm.bias)
    if not isinstance(norm, nn.LayerNorm):
        words = teacher.word_embeddings.weight + teacher.position_embeddings.weight.mean(dim=0)
        words = words + teacher.token_type_embeddings.weight[0]
        mean, deviation = words.mean(dim=1).mean(), words.std(dim=1, correction=0).mean()
        norm.weight.div_(deviation)
        norm.bias.sub_(norm.weight * mean)


def transfer_phases(settings: Mobilebert, teacher: Any, alone: set[str]) -> list[Phase]:
    """Return the phases of a strategy.

    Args:
        settings: of the run.
        teacher: the teacher.
        alone: parameters of the embeddings that no teacher gave: they learn with the first layer, the others are
            frozen until words are learned.

    Raises:
        InputError: there are fewer steps than layers.
    """
    layers = range(teacher.config.num_hidden_layers)
    share = settings.teacher_share
    whole = settings.transfer_steps + settings.pd_steps
    later = partial(rate, settings.schedule, warmup=settings.warmup, final=settings.final_rate)
    if settings.strategy == "akt":
        return [Phase("all", whole, Transfer(teacher, layers, words=share), partial(later, steps=whole))]
    stages = [layers] if settings.strategy == "jkt" else [[layer] for layer in layers]
    steps = settings.transfer_steps // len(stages)
    if settings.transfer_steps and not steps:
        raise InputError(
            f"transfer_steps={settings.transfer_steps} leaves no step for some of the {len(stages)} layers; raise it"
        )
    phases = []
    if steps:
        for stage in stages:
            name = f"layer {stage[0]}" if len(stage) == 1 else "layers"
            factor = _factor(set(stage), alone)
            phases.append(Phase(name, steps, Transfer(teacher, stage), partial(transfer_rate, steps=steps), factor))
    if settings.pd_steps:
        objective = Transfer(teacher, (), words=share)
        phases.append(Phase("words", settings.pd_steps, objective, partial(later, steps=settings.pd_steps)))
    return phases


def _factor(stage: set[int], alone: set[str]) -> Callable[[str], float]:
    """Return a parameter's factor in the phase of some layers: those before learn more slowly, others not at all."""

    def factor(name: str) -> float:
        found = re.search(r"\bencoder\.layer\.(\d+)\.", name)
        if found is None and name not in alone:
            return 0.0
        layer = 0 if found is None else int(found[1])
        if layer in stage:
            return 1.0
        return _EARLIER if layer < min(stage) else 0.0

    return factor
