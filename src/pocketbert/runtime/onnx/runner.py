"""The folded program on ONNX Runtime: where the native engine was not built, and for other hardware.

A graph takes rectangles, so rows of similar length are padded together; no row notices (see ``export.operations``). In
float32 a row is the same alone and in a batch to a few roundings; in int8 these may move a value to the next step.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.parameters import Head
from pocketbert.errors import CheckpointError, InputError
from pocketbert.extras import require
from pocketbert.plan import Plan
from pocketbert.plan.batch import check_batch
from pocketbert.runtime.batching import PackedBatch, groups, rectangle
from pocketbert.runtime.onnx.file import inspect_model, read_model
from pocketbert.runtime.onnx.graph import ROWS, build_model
from pocketbert.runtime.plans import check_dtype, program_of_folder, program_of_model
from pocketbert.runtime.threads import check_threads

__all__ = ["DEVICES", "OnnxRunner", "load", "open_session", "wrap"]

# device -> what ONNX Runtime calls it; all but the CPU need a build of onnxruntime that has them
DEVICES = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "webgpu": "WebGpuExecutionProvider",
}
_BY_TEXT = ("sequence_classification", "multiple_choice", "next_sentence")  # heads that answer once a row
# on x86 without VNNI, int8 products would otherwise saturate at 16 bits, silently; elsewhere it has no effect
_NO_SATURATION = "session.x64quantprecision"
_ERRORS_ONLY = 4  # log severity: what goes wrong is raised, so nothing needs to be printed

Floats = NDArray[np.float32]


class OnnxRunner:
    """Runs an ONNX file's content; see ``pocketbert.runtime.batching.Runner`` for what comes out.

    Several Python threads may call one runner at once.

    Args:
        content: what ``export.graph.build_model`` made or ``export.files.read_model`` read.
        head: which answer, where the model has several; ``None`` is the model's own head.
        device: one of ``DEVICES``; the CPU by default.
        threads: most CPU threads of a call; as many as the process may use where None.

    Raises:
        MissingExtra: onnx or onnxruntime is not installed.
        InputError: the model has no such head, or ``device`` or ``threads`` is none.
        CheckpointError: ONNX Runtime cannot run the content.
    """

    def __init__(
        self, content: bytes, head: Head | None = None, *, device: str | None = None, threads: int | None = None
    ) -> None:
        facts = inspect_model(content)
        self.config: PretrainedConfig = facts.config
        self.head: Head = facts.head if head is None else head
        self.int8 = facts.int8
        self._outputs = _answer(facts.head, self.head)
        if missing := set(self._outputs) - set(facts.outputs):
            raise CheckpointError(f"the graph lacks {', '.join(sorted(missing))}, which its head needs")
        self._typed, self._choose = "token_type_ids" in facts.inputs, ROWS in facts.inputs
        self._session = open_session(content, device=device, threads=threads)

    def __call__(self, batch: PackedBatch) -> list[Floats]:
        """Run every row; see ``pocketbert.runtime.batching.Runner``.

        Raises:
            InputError: an id, a type or a position is out of range, or a row is empty or too long.
            CheckpointError: the graph fails or gives what its head does not promise.
        """
        check_batch(self.config, batch, typed=self._typed)
        found: list[Any] = [None] * len(batch)
        for rows in groups(batch.lengths.tolist()):
            for row, output in zip(rows, self._run(batch, rows), strict=True):
                found[row] = output
        return found

    def _run(self, batch: PackedBatch, rows: Sequence[int]) -> list[Floats]:
        """Run rows that are padded together."""
        feed = rectangle(batch, rows, self._typed)
        width = feed["input_ids"].shape[1]
        lengths = [int(length) for length in batch.lengths[list(rows)]]
        wanted = _positions(batch, rows) if self.head == "masked_lm" else [np.arange(length) for length in lengths]
        if self._choose:
            feed[ROWS] = np.concatenate([line * width + where for line, where in enumerate(wanted)])
        try:
            values = self._session.run(self._outputs, feed)
        except Exception as error:  # onnxruntime's errors have no base of their own
            raise CheckpointError(f"ONNX Runtime cannot run this graph: {error}") from error
        return self._split(values, feed["input_ids"].shape, wanted)

    def _split(self, values: list[Any], shape: tuple[int, ...], wanted: list[NDArray[np.int64]]) -> list[Floats]:
        """Check outputs of a graph that ran on ``shape``, and return what belongs to each row."""
        chosen = self._choose and self.head == "masked_lm"
        lead = (sum(map(len, wanted)),) if chosen else shape[:1] if self.head in _BY_TEXT else shape
        promised = lead + _columns(self.config, self.head)
        for name, value in zip(self._outputs, values, strict=True):
            if value.shape != promised or value.dtype != np.float32:
                raise CheckpointError(f"the graph gave {name} of shape {value.shape}, its head promises {promised}")
        value = np.stack(values, axis=-1) if len(values) > 1 else values[0]
        if chosen:
            return np.split(value, np.cumsum([len(where) for where in wanted])[:-1])
        if self.head in _BY_TEXT:
            return list(value)
        return [value[line, where] for line, where in enumerate(wanted)]


def load(
    folder: str | os.PathLike[str],
    head: Head | None = None,
    *,
    device: str | None = None,
    dtype: str | None = None,
    threads: int | None = None,
) -> OnnxRunner:
    """Load the model of a checkpoint folder, or a file that ``export_onnx`` wrote.

    Args:
        folder: a folder, whose graph is made in memory; a hub name; or a file.
        head: what to run; the model's own head by default.
        device: one of ``DEVICES``; the CPU by default.
        dtype: ``"float32"`` or ``"int8"``; float32 by default, and what a file or a quantized checkpoint holds.
        threads: most CPU threads of a call; as many as the process may use where None.

    Raises:
        MissingExtra: onnx or onnxruntime is not installed.
        CheckpointError: the checkpoint does not fit, or the file is damaged or no export of this library.
        UnsafeFileError: the file refers to others, or holds an operation that no export has.
        InputError: the model has no such head, or an argument is none of those.
    """
    check_dtype(dtype)
    path = Path(os.path.expanduser(os.fspath(folder)))
    if path.suffix == ".onnx" or path.is_file():
        try:
            runner = OnnxRunner(read_model(path), head, device=device, threads=threads)
        except CheckpointError as error:
            raise type(error)(f"{path}: {error}") from error
        if dtype is not None and (dtype == "int8") != runner.int8:
            raise InputError(f"dtype={dtype!r}, but {path} is in {'int8' if runner.int8 else 'float32'}; leave it out")
        runner.config.name_or_path = str(path.parent)
        return runner
    return _made(program_of_folder(folder, head, dtype), device, threads)


def wrap(model: Any, head: Head) -> OnnxRunner:
    """Return a runner of a torch model's present parameters.

    Raises:
        InputError: it is no model of this library.
        CheckpointError: it has another head.
    """
    return _made(program_of_model(model, head), device=None, threads=None)


def open_session(content: bytes, *, device: str | None = None, threads: int | None = None) -> Any:
    """Return an ``onnxruntime.InferenceSession``.

    Raises:
        MissingExtra: onnxruntime is not installed.
        InputError: it has no such device, or ``threads`` is no positive number.
        CheckpointError: it cannot run the content.
    """
    ort = require("onnxruntime")
    name = "cpu" if device is None else str(device)
    have = [known for known, provider in DEVICES.items() if provider in ort.get_available_providers()]
    if name not in have:
        raise InputError(f"device={name!r}: this onnxruntime runs on {', '.join(have)}")
    options = ort.SessionOptions()
    options.intra_op_num_threads = check_threads(threads)
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # it keeps a plan for each shape, and here every length is one
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry(_NO_SATURATION, "1")
    try:
        return ort.InferenceSession(content, options, providers=list(dict.fromkeys([DEVICES[name], DEVICES["cpu"]])))
    except Exception as error:  # onnxruntime's errors have no base of their own
        raise CheckpointError(f"ONNX Runtime cannot run this graph: {error}") from error


def _made(program: Plan, device: str | None, threads: int | None) -> OnnxRunner:
    content = build_model(program, choose=program.head == "masked_lm")
    runner = OnnxRunner(content, device=device, threads=threads)
    runner.config = program.config
    return runner


def _answer(has: Head, head: Head) -> list[str]:
    """Return the outputs of a graph with one head that answer for another."""
    if has == "pretraining" and head in ("masked_lm", "next_sentence"):
        return ["prediction_logits" if head == "masked_lm" else "seq_relationship_logits"]
    if has != head or head == "pretraining":
        serves = "masked_lm or next_sentence" if has == "pretraining" else has
        raise InputError(f"the graph has no {head} answer; load it with head {serves}")
    if head == "question_answering":
        return ["start_logits", "end_logits"]
    return ["last_hidden_state" if head == "none" else "logits"]


def _columns(config: PretrainedConfig, head: Head) -> tuple[int, ...]:
    """Return the shape of an answer behind rows and tokens."""
    if head == "question_answering":
        return ()  # for each of two outputs
    if head == "multiple_choice":
        return (1,)
    widths = {"none": config.hidden_size, "masked_lm": config.vocab_size, "next_sentence": 2}
    return (widths.get(head, config.num_labels),)


def _positions(batch: PackedBatch, rows: Sequence[int]) -> list[NDArray[np.int64]]:
    """Return the tokens of each row whose word logits are wanted."""
    if batch.positions is None:
        return [np.arange(batch.lengths[row]) for row in rows]
    for row in rows:
        where, length = batch.positions[row], batch.lengths[row]
        if where.size and (where.min() < 0 or where.max() >= length):
            raise InputError(f"positions of row {row} must be within its {length} tokens")
    return [batch.positions[row] for row in rows]
