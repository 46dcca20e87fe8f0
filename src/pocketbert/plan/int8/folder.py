"""The int8 checkpoint: a folder like any other, whose ``model.safetensors`` is a plan.

Its ``config.json`` says so under ``quantization_config``, as Hugging Face's quantised checkpoints do.
"""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from pocketbert.architecture import parameters as schema
from pocketbert.architecture.config import AutoConfig, PretrainedConfig
from pocketbert.architecture.config.quantization import QUANTIZATION
from pocketbert.architecture.parameters import Head
from pocketbert.errors import CheckpointError
from pocketbert.plan.check import used_buffers
from pocketbert.plan.file import load_plan, save_plan
from pocketbert.plan.structure import Program

__all__ = ["WEIGHTS", "load_quantised", "save_quantised", "with_head"]

WEIGHTS = "model.safetensors"
_NAMES = ("id2label", "label2id", "architectures", "quantization_config")  # of config.json; a user may rename labels


def save_quantised(program: Program, folder: Path) -> None:
    """Write ``config.json`` and ``model.safetensors`` into a folder that exists.

    Args:
        program: from ``plan.quantize``.
        folder: where; see ``files.replacing`` for replacing a folder's files as a whole.
    """
    config = copy.deepcopy(program.config)
    config.architectures = [schema.class_name(config, program.head)]
    config.torch_dtype = None
    config.quantization_config = QUANTIZATION
    save_plan(replace(program, config=config), folder / WEIGHTS)
    (folder / "config.json").write_text(config.to_json_string(), "utf-8")


def load_quantised(folder: str | os.PathLike[str], head: Head | None = None) -> Program:
    """Read an int8 checkpoint; weights are views into the mapped file.

    Args:
        folder: a local folder.
        head: the head that is wanted; the checkpoint's own by default.

    Raises:
        CheckpointError: a file is missing, damaged or no part of an int8 checkpoint, the two files contradict each
            other, or the checkpoint has no such head.
        ConfigError: the configuration belongs to no family of this library.
    """
    folder = Path(folder)
    config = AutoConfig.from_pretrained(folder)
    program = load_plan(folder / WEIGHTS)
    ours, theirs = _facts(config), _facts(program.config)
    if different := sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)):
        raise CheckpointError(f"{folder}: config.json and {WEIGHTS} contradict each other: {', '.join(different)}")
    program = replace(program, config=config)
    try:
        return program if head is None else with_head(program, head)
    except CheckpointError as error:
        raise CheckpointError(f"{folder} {error}") from error


def with_head(program: Program, head: Head) -> Program:
    """Return a program with one of the heads that it can serve; ``"none"`` gives hidden states.

    Raises:
        CheckpointError: it has no such head.
    """
    if head == program.head:
        return program
    branches = tuple(branch for branch in program.branches if branch.name == head)
    if head != "none" and not branches:
        raise CheckpointError(f"has the head {program.head}, not {head}; quantise a checkpoint that has it")
    smaller = replace(program, head=head, branches=branches)
    return replace(smaller, buffers=used_buffers(smaller))


def _facts(config: PretrainedConfig) -> dict[str, Any]:
    facts = {name: value for name, value in config.to_dict().items() if name not in _NAMES}
    return facts | {"num_labels": config.num_labels}
