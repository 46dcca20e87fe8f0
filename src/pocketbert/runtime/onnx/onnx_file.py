"""ONNX files of this library, read without trust: a graph is refused if no export of this library writes its like.

An exported file refers to no other file, has no loops, functions or custom operations, and describes its model in its
metadata.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from typing import Any

from pocketbert.architecture.config import AutoConfig, PretrainedConfig
from pocketbert.architecture.heads import HEADS
from pocketbert.errors import CheckpointError, ConfigError, UnsafeFileError
from pocketbert.extras import require
from pocketbert.runtime.onnx.graph import METADATA, ROWS, VERSION
from pocketbert.runtime.onnx.writer import OPERATIONS

__all__ = ["SIZE_LIMIT", "Facts", "inspect_model"]

SIZE_LIMIT = 2**31 - 1  # bytes; protobuf's own
_NODES_LIMIT = 2**16  # a real graph has a few thousand
_INPUTS = ["input_ids", "attention_mask", "token_type_ids", ROWS]


@dataclass(frozen=True)
class Facts:
    """The description of its model in an ONNX file, and the names of the graph's inputs and outputs."""

    config: PretrainedConfig
    head: str
    int8: bool
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def inspect_model(content: bytes) -> Facts:
    """Check the content of an ONNX file, without running it, and return its description.

    Raises:
        MissingExtra: onnx is not installed.
        CheckpointError: it is damaged, or no export of this library.
        UnsafeFileError: it refers to other files, or holds an operation that no export has.
    """
    onnx = require("onnx")
    damage = importlib.import_module("google.protobuf.message").DecodeError  # onnx brings protobuf
    try:
        model = onnx.load_model_from_string(content)
    except damage as error:
        raise CheckpointError("damaged, or no ONNX file") from error
    properties = {entry.key: entry.value for entry in model.metadata_props}
    if METADATA not in properties:
        raise CheckpointError("no export of this library; make one with export_onnx")
    _check_graph(onnx, model)
    inputs, outputs = (tuple(value.name for value in values) for values in (model.graph.input, model.graph.output))
    facts = _facts(properties[METADATA], inputs, outputs)
    if inputs[:2] != tuple(_INPUTS[:2]) or not set(inputs) <= set(_INPUTS) or not outputs:
        raise CheckpointError(f"its inputs are {', '.join(inputs)} and its outputs {', '.join(outputs)}")
    return facts


def _check_graph(onnx: Any, model: Any) -> None:
    """Refuse what an export does not write."""
    graph = model.graph
    if model.functions or model.training_info or graph.sparse_initializer:
        raise UnsafeFileError("it has functions, training steps or sparse tensors, which no export of this library has")
    if len(graph.node) > _NODES_LIMIT:
        raise CheckpointError(f"it has {len(graph.node)} nodes, more than {_NODES_LIMIT}")
    for tensor in graph.initializer:
        if tensor.external_data or tensor.data_location != onnx.TensorProto.DEFAULT:
            raise UnsafeFileError(f"its tensor {tensor.name[:60]!r} lies in another file; that file was not opened")
    kinds = onnx.AttributeProto
    plain = {kinds.INT, kinds.INTS, kinds.FLOAT, kinds.STRING}
    for node in graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATIONS:
            kind = f"{node.domain}.{node.op_type}"[:60].strip(".")
            raise UnsafeFileError(f"it holds the operation {kind}, which no export of this library has")
        if any(attribute.type not in plain for attribute in node.attribute):
            raise UnsafeFileError(f"its node {node.name[:60]!r} holds a graph or a tensor, which no export has")


def _facts(text: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Facts:
    try:
        content = json.loads(text)
        version, head, int8, config = (content[name] for name in ("version", "head", "int8", "config"))
        if version != VERSION:
            raise CheckpointError(f"it has version {version!r} and this library reads {VERSION}; export it again")
        if head not in HEADS or type(int8) is not bool:
            raise CheckpointError(f"its metadata is wrong: head {head!r}, int8 {int8!r}")
        return Facts(AutoConfig.classes[config["model_type"]].from_dict(config), head, int8, inputs, outputs)
    except CheckpointError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, ConfigError) as error:
        raise CheckpointError(f"its metadata is damaged: {error!r}") from error
