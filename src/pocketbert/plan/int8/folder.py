"""The int8 checkpoint: a folder with ``config.json`` and a ``model.safetensors`` that holds a plan.

``quantization_config`` in ``config.json`` marks it, as in Hugging Face's quantized checkpoints.
"""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from pocketbert.architecture import families
from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.config.quantization import QUANTIZATION
from pocketbert.architecture.heads import BARE
from pocketbert.checkpoint.opened import Opened, open_model
from pocketbert.errors import CheckpointError
from pocketbert.plan.check import used_buffers
from pocketbert.plan.plan_file import load_plan, save_plan
from pocketbert.plan.structure import Plan

__all__ = ["REPORT", "WEIGHTS", "load_quantized", "save_quantized", "with_head"]

WEIGHTS = "model.safetensors"
REPORT = "report.json"  # what quantizing cost, beside the weights
# fields of config.json that may differ from the plan's: users rename labels
_NAMES = ("id2label", "label2id", "architectures", "quantization_config", "_name_or_path")


def save_quantized(plan: Plan, folder: Path) -> None:
    """Write an int8 plan as ``config.json`` and ``model.safetensors`` into an existing folder."""
    config = copy.deepcopy(plan.config)
    config.architectures = [families.class_name(config, plan.head)]
    config.dtype = None
    config.quantization_config = QUANTIZATION
    save_plan(replace(plan, config=config), folder / WEIGHTS)
    (folder / "config.json").write_text(config.to_json_string(), "utf-8")


def load_quantized(source: str | os.PathLike[str] | Opened, head: str | None = None) -> Plan:
    """Read an int8 checkpoint, with all its heads or one of them.

    Raises:
        CheckpointError: a file is missing, damaged or not of an int8 checkpoint, the two files contradict each other,
            or the checkpoint has no such head.
        ConfigError: the configuration belongs to no family of this library.
    """
    opened = open_model(source)
    folder, config = opened.folder, opened.config
    try:
        plan = load_plan(folder / WEIGHTS)
    finally:
        opened.check_unchanged()
    ours, theirs = _facts(config), _facts(plan.config)
    if different := sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)):
        raise CheckpointError(f"{folder}: config.json and {WEIGHTS} contradict each other: {', '.join(different)}")
    plan = replace(plan, config=config)
    try:
        return plan if head is None else with_head(plan, head)
    except CheckpointError as error:
        raise CheckpointError(f"{folder} {error}") from error


def with_head(plan: Plan, head: str) -> Plan:
    """Return a plan with one of the heads that it can serve; ``"none"`` gives hidden states.

    Raises:
        CheckpointError: it has no such head.
    """
    if head == plan.head:
        return plan
    branches = tuple(branch for branch in plan.branches if branch.name == head)
    if head != BARE and not branches:
        raise CheckpointError(f"has the head {plan.head}, not {head}; quantize a checkpoint that has it")
    smaller = replace(plan, head=head, branches=branches)
    return replace(smaller, buffers=used_buffers(smaller))


def _facts(config: PretrainedConfig) -> dict[str, Any]:
    return {k: v for k, v in config.to_diff_dict().items() if k not in _NAMES} | {"num_labels": config.num_labels}
