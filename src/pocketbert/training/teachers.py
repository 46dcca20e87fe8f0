"""Teachers: opened, compared with the student, and the DistilBERT that begins as some of a teacher's layers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketbert.architecture.config import BertConfig, DistilBertConfig, PretrainedConfig
from pocketbert.architecture.families import FAMILIES, family_of, parameters
from pocketbert.architecture.heads import BARE, HEADS
from pocketbert.checkpoint.convert import bert_to_distilbert
from pocketbert.checkpoint.opened import Opened
from pocketbert.errors import CheckpointError, ConfigError, InputError
from pocketbert.tokenizer import AutoTokenizer
from pocketbert.training.tables import digest

__all__ = [
    "check_task_teacher",
    "check_teacher",
    "check_vocabulary",
    "choose_layers",
    "fingerprint_of_weights",
    "labels_of",
    "start_from_layers",
]

Arrays = dict[str, NDArray[Any]]

_NAMES = {
    "vocab_size": "vocabulary",
    "hidden_size": "width",
    "num_attention_heads": "attention heads",
    "num_hidden_layers": "layers",
}


def check_teacher(student: PretrainedConfig, teacher: PretrainedConfig, fields: Sequence[str] = tuple(_NAMES)) -> None:
    """Refuse a teacher whose architecture does not fit the student's.

    Args:
        student: its configuration.
        teacher: its configuration.
        fields: what must be equal: ``vocab_size``, ``hidden_size``, ``num_attention_heads``, ``num_hidden_layers``.

    Raises:
        ConfigError: the message names everything that differs.
    """
    pairs = {name: (getattr(teacher, name), getattr(student, name)) for name in fields}
    differing = [
        f"{_NAMES[name]} ({name}) {theirs}, the student's {mine}"
        for name, (theirs, mine) in pairs.items()
        if theirs != mine
    ]
    if differing:
        raise ConfigError(f"the teacher does not fit the student: {'; '.join(differing)}")


def check_vocabulary(student: Any, teacher: Any) -> None:
    """Refuse a teacher whose tokenizer gives other ids than the student's.

    Raises:
        InputError: it names the first tokens that differ.
    """
    mine, theirs = student.get_vocab(), teacher.get_vocab()
    differing = sorted(token for token in mine.keys() | theirs.keys() if mine.get(token) != theirs.get(token))
    if differing:
        shown = ", ".join(f"{t!r} is {theirs.get(t)}, the student's is {mine.get(t)}" for t in differing[:3])
        raise InputError(f"the teacher's vocabulary is not the student's: {len(differing)} tokens differ ({shown})")


def check_task_teacher(teacher: Opened, head: str, tokenizer: Any, limit: int) -> None:
    """Refuse a teacher that can't answer what a student with a head learns.

    Args:
        teacher: its checkpoint.
        head: the student's.
        tokenizer: the student's.
        limit: most tokens of a row.

    Raises:
        InputError: it has another head or vocabulary, or too few positions.
        CheckpointError: its weights are not complete.
    """
    if teacher.head != head:
        task, other = HEADS[head].task, HEADS[teacher.head].task
        raise InputError(f"teacher={teacher.folder} was saved for {other}; fine-tune it for {task} first")
    if complaint := teacher.fit(head).complaint():
        raise CheckpointError(f"teacher={teacher.folder} is not complete: {complaint}")
    check_vocabulary(tokenizer, AutoTokenizer.from_pretrained(teacher.folder))
    positions = teacher.config.max_position_embeddings
    if limit > positions:
        raise InputError(f"max_length={limit} exceeds the teacher's {positions} positions; pass max_length={positions}")


def labels_of(config: PretrainedConfig) -> dict[str, Any]:
    """Return the fields of a configuration that say what labels are."""
    return {
        "id2label": dict(config.id2label),
        "label2id": dict(config.label2id),
        "problem_type": config.problem_type,
    }


def fingerprint_of_weights(opened: Opened) -> str:
    """Return a name for a checkpoint's configuration and weights."""
    return digest(opened.config.to_diff_dict(), *opened.weights.files)


def choose_layers(layers: str | None, there: int) -> list[int]:
    """Return the teacher's layers that the student begins with, from 0.

    Args:
        layers: numbers that commas separate; by default half of the layers, from the first to the last in even steps.
        there: how many layers the teacher has.

    Raises:
        InputError: a number is none of the teacher's layers.

    >>> choose_layers(None, 12)
    [0, 2, 4, 7, 9, 11]
    >>> choose_layers("0, 3", 4)
    [0, 3]
    """
    if layers is None:
        return [int(place) for place in np.linspace(0, there - 1, max(there // 2, 1)).round()]
    try:
        chosen = [int(each) for each in layers.split(",")]
    except ValueError:
        raise InputError(f"layers={layers!r} must be whole numbers that commas separate, such as '0,2,4'") from None
    if wrong := [each for each in chosen if not 0 <= each < there]:
        raise InputError(f"layers={layers!r} names layer {wrong[0]}; the teacher has {there} layers, 0 to {there - 1}")
    return chosen


def start_from_layers(teacher: Opened, layers: Sequence[int], head: str) -> tuple[DistilBertConfig, Arrays]:
    """Return the configuration and weights of a DistilBERT that begins as these layers of a BERT or a DistilBERT.

    BERT's token type 0 is added to the positions; the pooler has no place in DistilBERT.

    Args:
        teacher: the checkpoint.
        layers: see ``choose_layers``.
        head: ``"masked_lm"`` to take the head that predicts words over, too, where there is one; else ``"none"``.

    Raises:
        ConfigError: the teacher is of another family, or lacks attention heads in some layer.
        CheckpointError: its weights are not complete.
    """
    config = teacher.config
    if isinstance(config, BertConfig):
        same = type(config).from_dict(config.to_dict())
        same.layer_norm_eps = FAMILIES["distilbert"].eps(None)  # the student learns, so it need not be the same
        ours, arrays = bert_to_distilbert(same, teacher.weights.arrays())
    elif isinstance(config, DistilBertConfig):
        ours = type(config).from_dict(config.to_dict())
        fitting = teacher.fit(head if teacher.has_words else BARE)
        if complaint := fitting.complaint():
            raise CheckpointError(f"{teacher.folder} is no complete DistilBERT: {complaint}")
        arrays = {name: teacher.weights.array(source) for name, source in fitting.sources.items()}
    else:
        raise ConfigError(
            f"{teacher.folder} is a {family_of(config).class_name}; a student begins as layers of a BERT or DistilBERT"
        )
    if ours.pruned_heads:
        raise ConfigError(f"{teacher.folder} lacks attention heads in some layers; a student needs whole layers")
    ours.n_layers = len(layers)
    wanted = {parameter.name for parameter in parameters(ours, head)}
    prefix = FAMILIES["distilbert"].prefix
    begun = {}
    for name, array in _of_layers(arrays, layers).items():
        plain = name.removeprefix(prefix)
        if found := {plain, prefix + plain} & wanted:
            begun[found.pop()] = array
    return ours, begun


def _of_layers(arrays: Mapping[str, NDArray[Any]], layers: Sequence[int]) -> Arrays:
    """Return the arrays with these layers, numbered anew, in place of all."""
    chosen: Arrays = {}
    for name, array in arrays.items():
        found = re.fullmatch(r"(.*\btransformer\.layer\.)(\d+)(\..*)", name)
        if found is None:
            chosen[name] = array
            continue
        for new, old in enumerate(layers):
            if int(found[2]) == old:
                chosen[f"{found[1]}{new}{found[3]}"] = array
    return chosen
