"""What a checkpoint is, without loading it: architecture, head, parameters, dtype, size, names that do not fit."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketbert.architecture import parameters as schema
from pocketbert.architecture.config import AutoConfig, PretrainedConfig
from pocketbert.architecture.config.quantization import is_quantized
from pocketbert.checkpoint import Checkpoint, fit, open_checkpoint
from pocketbert.errors import ConfigError
from pocketbert.storage.hub import CONFIG_FILES, HubOptions, local_folder

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
        unexpected: names that belong to no head of the family.
        unused: names of other heads, and known buffers.
    """

    folder: str
    model_type: str
    architecture: str
    head: schema.Head
    guessed: bool
    facts: dict[str, Any]
    parts: list[tuple[str, int]]
    dtypes: dict[str, int]
    files: list[str]
    size: int
    missing: list[str]
    misshaped: list[tuple[str, tuple[int, ...], tuple[int, ...]]]
    unexpected: list[str]
    unused: list[str]

    @property
    def parameters(self) -> int:
        """Number of parameters that the architecture takes from the files, shared ones counted once."""
        return sum(count for _, count in self.parts)

    @property
    def complete(self) -> bool:
        """Whether the architecture loads from these files."""
        return not (self.missing or self.misshaped or self.unexpected)


def inspect_checkpoint(name_or_path: str | os.PathLike[str], options: HubOptions | None = None) -> Inspection:
    """Look at a folder (or hub name) without building a model; reads the headers of safetensors files only.

    Raises:
        CheckpointError, HubError: there is no checkpoint, or a file is damaged.
        ConfigError: the configuration belongs to no family of this library.
    """
    folder = local_folder(name_or_path, CONFIG_FILES, weights=True, options=options)
    config: PretrainedConfig = AutoConfig.from_pretrained(folder)
    if is_quantized(config):
        return _inspect_quantized(folder, config)
    checkpoint = open_checkpoint(folder)
    shapes = {name: tensor.shape for name, tensor in checkpoint.tensors.items()}
    head, guessed = _head(config, checkpoint)
    prefix = schema.PREFIXES[config.model_type] + "."
    pooled = any(name.removeprefix(prefix).startswith("pooler.") for name in shapes)
    wanted = schema.parameters(config, head, pooler=pooled if head == "none" else None)
    found = fit(shapes, wanted, config)
    parts: Counter[str] = Counter()
    for parameter in wanted:
        if parameter.name in found.sources:
            parts[parameter.part] += parameter.size
    return Inspection(
        folder=str(folder),
        model_type=config.model_type,
        architecture=schema.class_name(config, head),
        head=head,
        guessed=guessed,
        facts=_facts(config),
        parts=list(parts.items()),
        dtypes=dict(Counter(tensor.dtype for tensor in checkpoint.tensors.values())),
        files=[file.name for file in checkpoint.files],
        size=checkpoint.size,
        missing=[parameter.name for parameter in found.missing],
        misshaped=[(parameter.name, disk, ours) for parameter, disk, ours in found.misshaped],
        unexpected=found.unexpected,
        unused=found.unused,
    )


def _inspect_quantized(folder: Path, config: PretrainedConfig) -> Inspection:
    """Return what an int8 checkpoint is; its parameters are those of the checkpoint that it was made from."""
    from pocketbert.plan.int8.folder import WEIGHTS, load_quantized  # plans are made of checkpoints that were inspected
    from pocketbert.storage.mapped import map_tensors

    program, file = load_quantized(folder), folder / WEIGHTS
    pooler = program.branch("pooled") is not None if program.head == "none" else None
    parts: Counter[str] = Counter()
    for parameter in schema.parameters(config, program.head, pooler=pooler):
        if parameter.tied_to is None:
            parts[parameter.part] += parameter.size
    return Inspection(
        folder=str(folder),
        model_type=config.model_type,
        architecture=schema.class_name(config, program.head),
        head=program.head,
        guessed=False,
        facts=_facts(config) | {"quantised": "int8, for the native and onnx runtimes"},
        parts=list(parts.items()),
        dtypes=dict(Counter(str(tensor.dtype) for tensor in map_tensors(file)[1].values())),
        files=[file.name],
        size=file.stat().st_size,
        missing=[],
        misshaped=[],
        unexpected=[],
        unused=[],
    )


def _head(config: PretrainedConfig, checkpoint: Checkpoint) -> tuple[schema.Head, bool]:
    """Return the head, and whether it had to be told from the names in the files."""
    for name in config.architectures or ():
        try:
            model_type, head = schema.head_of_class(name)
        except ConfigError:
            continue
        if model_type == config.model_type:
            return head, False
    names = set(checkpoint.tensors)
    if "qa_outputs.weight" in names:
        return "question_answering", True
    if "classifier.weight" in names:
        pooled = "pre_classifier.weight" in names or any(name.endswith("pooler.dense.weight") for name in names)
        return "sequence_classification" if pooled else "token_classification", True
    words = any(name.startswith(("cls.predictions.transform", "vocab_transform")) for name in names)
    follows = any(name.startswith("cls.seq_relationship") for name in names)
    if words:
        return "pretraining" if follows else "masked_lm", True
    return "next_sentence" if follows else "none", True


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
