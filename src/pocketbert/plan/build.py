"""From a configuration and arrays, or a checkpoint folder, to a plan."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pocketbert import checkpoint
from pocketbert.architecture import families
from pocketbert.architecture.config import BertConfig, DistilBertConfig, MobileBertConfig, PretrainedConfig
from pocketbert.architecture.heads import BARE
from pocketbert.checkpoint.opened import Opened, open_model
from pocketbert.errors import CheckpointError, InputError
from pocketbert.plan.check import used_buffers
from pocketbert.plan.fold import bert, heads, mobilebert
from pocketbert.plan.fold.algebra import Reader
from pocketbert.plan.structure import Plan

__all__ = ["make_plan", "plan_checkpoint"]


def make_plan(
    config: PretrainedConfig,
    head: str,
    arrays: Mapping[str, NDArray[Any]],
    dtype: DTypeLike = np.float32,
) -> Plan:
    """Fold a model into a plan. Everything is computed in float64 and then cast.

    Args:
        config: the architecture.
        head: the head that the plan has; a pre-training checkpoint also serves ``"masked_lm"``.
        arrays: every parameter by its name on disk, with or without the family's prefix; a bare encoder has a pooler
            where they hold one. Names of other heads are left alone.
        dtype: float32 or float64.

    Raises:
        CheckpointError: a parameter is missing, misshaped, unknown or no float, or holds NaN or infinity.
        ConfigError: the family has no such head, or an activation is a function.
        InputError: the dtype is neither.
    """
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise InputError(f"dtype {dtype} must be float32 or float64; quantize makes int8 weights")
    stored = {checkpoint.modern_name(name): array for name, array in arrays.items()}
    pooler = head == BARE and any(name.endswith("pooler.dense.weight") for name in stored)
    wanted = families.parameters(config, head, pooler=pooler if head == BARE else None)
    fit = checkpoint.fit({name: (array.shape, array.dtype.name) for name, array in stored.items()}, wanted, config)
    if complaint := fit.complaint():
        raise CheckpointError(complaint)
    prefix = "" if head == BARE else families.family_of(config).prefix
    reader = Reader({name: stored[source] for name, source in fit.sources.items()}, prefix, dtype)
    table = reader.table(f"{prefix}embeddings.word_embeddings.weight")
    if isinstance(config, MobileBertConfig):
        first = mobilebert.embeddings(reader, config, table)
        layers, to_hidden = mobilebert.layers(reader, config)
    else:
        assert isinstance(config, BertConfig | DistilBertConfig)  # families.parameters knows no other
        first = bert.embeddings(reader, config, table)
        layers, to_hidden = bert.layers(reader, config)
    branches = heads.branches(reader, config, head, to_hidden, table, pooler=pooler)
    plan = Plan(copy.deepcopy(config), head, {}, first, None, tuple(layers), tuple(branches))
    return replace(plan, buffers=used_buffers(plan))


def plan_checkpoint(
    source: str | os.PathLike[str] | Opened, head: str | None = None, dtype: DTypeLike = np.float32
) -> Plan:
    """Fold a checkpoint.

    Args:
        source: a folder, a hub name, or a checkpoint that is opened already.
        head: which head; the one that the checkpoint was saved with by default.
        dtype: float32 or float64.

    Raises:
        CheckpointError: see ``make_plan``; or there is no checkpoint, or a file is damaged.
        ConfigError: see ``make_plan``.
        HubError: the hub has no such name.
    """
    opened = open_model(source)
    try:
        return make_plan(opened.config, head or opened.head, opened.weights.arrays(), dtype)
    except CheckpointError as error:
        raise CheckpointError(f"{opened.folder}: {error}") from error
