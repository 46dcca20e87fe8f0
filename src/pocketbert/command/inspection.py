"""What a checkpoint is, without loading it: architecture, head, parameters, dtype, size, names that do not fit."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from pocketbert.architecture import families
from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.heads import BARE
from pocketbert.checkpoint.opened import Opened, open_model
from pocketbert.plan.int8.folder import WEIGHTS, load_quantized
from pocketbert.storage.hub import HubOptions
from pocketbert.storage.safetensors_header import read_tensors

__all__ = ["Inspection", "inspect_checkpoint"]


@dataclass(frozen=True)
class Inspection:
    """What ``pocketbert inspect`` prints.

    Attributes:
        folder: where the checkpoint lies.
        model_type: ``"distilbert"``, ``"mobilebert"`` or ``"bert"``.
        architecture: name of the class that the checkpoint is read as.
        head: that class's head, ``"none"`` for a bare encoder.
        guessed: the configuration names no class, so the head was told from the names in the file.
        facts: the numbers that describe the architecture, by name.
        parts: (part, parameters), shared parameters counted once.
        dtypes: dtype -> number of tensors.
        files: names of the weight files.
        size: bytes of the weight files.
        missing: names that the architecture needs and the files lack.
        misshaped: (name, shape on disk, shape that the configuration gives).
        not_floats: (name, dtype) of parameters that are integers or the like.
        unexpected: names that belong to no head of the family.
        unused: names of other heads, and known buffers.
    """

    folder: str
    model_type: str
    architecture: str
    head: str
    guessed: bool
    facts: dict[str, Any]
    parts: list[tuple[str, int]]
    dtypes: dict[str, int]
    files: list[str]
    size: int
    missing: list[str] = field(default_factory=list)
    misshaped: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    not_floats: list[tuple[str, str]] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    @property
    def parameters(self) -> int:
        """Number of parameters that the architecture takes from the files, shared ones counted once."""
        return sum(count for _, count in self.parts)

    @property
    def complete(self) -> bool:
        """Whether the architecture loads from these files."""
        return not (self.missing or self.misshaped or self.not_floats or self.unexpected)


def inspect_checkpoint(source: str | os.PathLike[str] | Opened, options: HubOptions | None = None) -> Inspection:
    """Look at a checkpoint without building a model; of safetensors files only the headers are read.

    Args:
        source: a folder, a hub name, or a checkpoint that is opened already.
        options: how to reach the hub.

    Raises:
        CheckpointError, HubError: there is no checkpoint, or a file is damaged.
        ConfigError: the configuration belongs to no family of this library.
    """
    opened = open_model(source, hub=options)
    return _inspect_quantized(opened) if opened.is_quantized else _inspect_float(opened)


def _inspect_float(opened: Opened) -> Inspection:
    pooler = opened.has_pooler if opened.head == BARE else None
    fit = opened.fit(opened.head, pooler=pooler)
    return Inspection(
        **_common(opened, opened.head, pooler),
        guessed=not opened.saved_heads,
        facts=_facts(opened.config),
        dtypes=dict(Counter(tensor.dtype for tensor in opened.weights.tensors.values())),
        files=[file.name for file in opened.weights.files],
        size=opened.weights.size,
        missing=[parameter.name for parameter in fit.missing],
        misshaped=[(parameter.name, disk, ours) for parameter, disk, ours in fit.misshaped],
        not_floats=[(parameter.name, dtype) for parameter, dtype in fit.not_floats],
        unexpected=fit.unexpected,
        unused=fit.unused,
    )


def _inspect_quantized(opened: Opened) -> Inspection:
    """Return what an int8 checkpoint is; its parameters are those of the checkpoint that it was made from."""
    plan, file = load_quantized(opened), opened.folder / WEIGHTS
    return Inspection(
        **_common(opened, plan.head, plan.branch("pooled") is not None if plan.head == BARE else None),
        guessed=False,
        facts=_facts(opened.config) | {"quantized": "int8, for the native and onnx runtimes"},
        dtypes=dict(Counter(str(tensor.dtype) for tensor in read_tensors(file)[1].values())),
        files=[file.name],
        size=file.stat().st_size,
    )


def _common(opened: Opened, head: str, pooler: bool | None) -> dict[str, Any]:
    """Return what is told alike of every checkpoint; a parameter counts where the file has it."""
    sources = None if opened.is_quantized else opened.fit(head, pooler=pooler).sources
    parts: Counter[str] = Counter()
    for parameter in families.parameters(opened.config, head, pooler=pooler):
        if parameter.tied_to is None and (sources is None or parameter.name in sources):
            parts[parameter.part] += parameter.size
    return {
        "folder": str(opened.folder),
        "model_type": opened.config.model_type,
        "architecture": families.class_name(opened.config, head),
        "head": head,
        "parts": list(parts.items()),
    }


def _facts(config: PretrainedConfig) -> dict[str, Any]:
    names = "num_hidden_layers hidden_size num_attention_heads intermediate_size vocab_size max_position_embeddings"
    facts = {name: getattr(config, name) for name in names.split()}
    more = "intra_bottleneck_size embedding_size num_feedforward_networks normalization_type hidden_act"
    facts |= {name: getattr(config, name) for name in more.split() if hasattr(config, name)}
    if config.pruned_heads:
        facts["pruned_heads"] = config.pruned_heads
    if config.id2label != {0: "LABEL_0", 1: "LABEL_1"}:
        facts["labels"] = ", ".join(list(config.id2label.values())[:8]) + (", ..." if config.num_labels > 8 else "")
    return facts
