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
from pocketbert.architecture import parameters as schema
from pocketbert.architecture.config import AutoConfig, BertConfig, DistilBertConfig, MobileBertConfig, PretrainedConfig
from pocketbert.command.inspection import inspect_checkpoint
from pocketbert.errors import CheckpointError, InputError
from pocketbert.plan.check import used_buffers
from pocketbert.plan.fold import bert, heads, mobilebert
from pocketbert.plan.fold.algebra import Reader
from pocketbert.plan.structure import Plan

__all__ = ["make_plan", "plan_checkpoint"]


def make_plan(
    config: PretrainedConfig,
    head: schema.Head,
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
        CheckpointError: a parameter is missing, misshaped or unknown, or holds NaN or infinity.
        ConfigError: the family has no such head, or an activation is a function.
        InputError: the dtype is neither.
    """
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise InputError(f"dtype {dtype} must be float32 or float64; quantize makes int8 weights")
    shapes = {checkpoint.modern_name(name): array.shape for name, array in arrays.items()}
    pooler = head == "none" and any(name.endswith("pooler.dense.weight") for name in shapes)
    wanted = schema.parameters(config, head, pooler=pooler if head == "none" else None)
    fit = checkpoint.fit(shapes, wanted, config)
    if complaint := fit.complaint():
        raise CheckpointError(complaint)
    stored = {checkpoint.modern_name(name): array for name, array in arrays.items()}
    prefix = "" if head == "none" else schema.PREFIXES[config.model_type] + "."
    reader = Reader({name: stored[source] for name, source in fit.sources.items()}, prefix, dtype)
    table = reader.table(f"{prefix}embeddings.word_embeddings.weight")
    if isinstance(config, MobileBertConfig):
        first = mobilebert.embeddings(reader, config, table)
        layers, to_hidden = mobilebert.layers(reader, config)
    else:
        assert isinstance(config, BertConfig | DistilBertConfig)  # schema.parameters knows no other
        first = bert.embeddings(reader, config, table)
        layers, to_hidden = bert.layers(reader, config)
    branches = heads.branches(reader, config, head, to_hidden, table, pooler=pooler)
    plan = Plan(copy.deepcopy(config), head, {}, first, None, tuple(layers), tuple(branches))
    return replace(plan, buffers=used_buffers(plan))


def plan_checkpoint(
    folder: str | os.PathLike[str], head: schema.Head | None = None, dtype: DTypeLike = np.float32
) -> Plan:
    """Fold the checkpoint of a folder (or hub name).

    Args:
        folder: a folder with ``config.json`` and weights, or a hub name.
        head: which head; the one that the checkpoint was saved with by default.
        dtype: float32 or float64.

    Raises:
        CheckpointError: see ``make_plan``; or there is no checkpoint, or a file is damaged.
        ConfigError: see ``make_plan``.
        HubError: the hub has no such name.
    """
    found = inspect_checkpoint(folder)
    config = AutoConfig.from_pretrained(found.folder)
    try:
        return make_plan(config, head or found.head, checkpoint.open_checkpoint(found.folder).arrays(), dtype)
    except CheckpointError as error:
        raise CheckpointError(f"{found.folder}: {error}") from error
