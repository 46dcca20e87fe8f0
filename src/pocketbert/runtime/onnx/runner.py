"""The folded plan on ONNX Runtime: where the native engine was not built, and for other hardware.

A graph takes rectangles, so rows of similar length are padded together; no row notices (see ``operations``). In
float32 a row is the same alone and in a batch to a few roundings; in int8 these may move a value to the next step.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketbert.architecture.heads import BARE, head_named
from pocketbert.checkpoint.opened import Opened
from pocketbert.errors import CheckpointError, InputError
from pocketbert.extras import require
from pocketbert.plan import Plan
from pocketbert.plan.batch import check_batch
from pocketbert.runtime.batching import PackedBatch, groups, rectangle
from pocketbert.runtime.onnx.graph import ROWS, build_model
from pocketbert.runtime.onnx.onnx_file import SIZE_LIMIT, inspect_model
from pocketbert.runtime.plans import check_dtype, plan_of_checkpoint, plan_of_model
from pocketbert.runtime.results import answer_of, chosen_tokens, split_padded, split_tokens
from pocketbert.runtime.threads import check_threads
from pocketbert.storage.opening import read_bytes

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
# on x86 without VNNI, int8 products would otherwise saturate at 16 bits, silently; elsewhere it has no effect
_NO_SATURATION = "session.x64quantprecision"
_ERRORS_ONLY = 4  # log severity: what goes wrong is raised, so nothing needs to be printed

Floats = NDArray[np.float32]


class OnnxRunner:
    """Runs an ONNX file's content; see ``pocketbert.runtime.batching.Runner`` for what comes out.

    Several Python threads may call one runner at once.

    Args:
        content: what ``build_model`` made, or that of a file.
        head: which answer, where the model has several; ``None`` is the model's own head.
        device: one of ``DEVICES``; the CPU by default.
        threads: most CPU threads of a call; as many as the process may use where None.

    Raises:
        MissingExtra: onnx or onnxruntime is not installed.
        InputError: the model has no such head, or ``device`` or ``threads`` is none.
        CheckpointError: ONNX Runtime cannot run the content.
    """

    def __init__(
        self, content: bytes, head: str | None = None, *, device: str | None = None, threads: int | None = None
    ) -> None:
        facts = inspect_model(content)
        self.config, self.head = facts.config, facts.head if head is None else head
        self.int8 = facts.int8
        self._answer = answer_of(facts.head, self.head)
        if self.head != facts.head and self.head == BARE:
            serves = " or ".join(answer.name for answer in head_named(facts.head).answers)
            raise InputError(f"this file gives no hidden states; load it with head {serves}")
        if missing := set(self._answer.fields) - set(facts.outputs):
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
        shape = feed["input_ids"].shape
        positions = None if batch.positions is None else [batch.positions[row] for row in rows]
        tokens = chosen_tokens(self._answer, [int(batch.lengths[row]) for row in rows], positions)
        if self._choose:
            feed[ROWS] = np.concatenate([line * shape[1] + places for line, places in enumerate(tokens)])
        try:
            values = self._session.run(self._answer.fields, feed)
        except Exception as error:  # onnxruntime's errors have no base of their own
            raise CheckpointError(f"ONNX Runtime cannot run this graph: {error}") from error
        chosen = self._choose and self._answer.per == "position"
        self._check_shapes(values, (sum(map(len, tokens)),) if chosen else shape)
        if chosen:
            return split_tokens(self._answer, values[0], [len(places) for places in tokens])
        return split_padded(self._answer, values, tokens)

    def _check_shapes(self, values: Sequence[Any], shape: tuple[int, ...]) -> None:
        """Check that a graph, which may be a stranger's, gave what its head promises for these tokens."""
        answer = self._answer
        promised = shape[:1] if answer.per == "text" else shape
        promised += (answer.width(self.config),) if len(answer.fields) == 1 else ()
        for name, value in zip(answer.fields, values, strict=True):
            if value.shape != promised or value.dtype != np.float32:
                raise CheckpointError(f"the graph gave {name} of shape {value.shape}, its head promises {promised}")


def load(
    source: str | os.PathLike[str] | Opened,
    head: str | None = None,
    *,
    device: str | None = None,
    dtype: str | None = None,
    threads: int | None = None,
) -> OnnxRunner:
    """Load a checkpoint, whose graph is made in memory, or a file that ``export_onnx`` wrote.

    Arguments and errors are those of ``registry.load_runner``. ``dtype`` is ``"float32"`` or ``"int8"``; a file and a
    quantized checkpoint have their own.

    Raises:
        CheckpointError: the checkpoint does not fit, or the file is damaged or no export of this library.
        UnsafeFileError: the file refers to others, or holds an operation that no export has.
    """
    check_dtype(dtype)
    path = None if isinstance(source, Opened) else Path(os.path.expanduser(os.fspath(source)))
    if path is None or not (path.suffix == ".onnx" or path.is_file()):
        return _made(plan_of_checkpoint(source, head, dtype), device, threads)
    content = read_bytes(path, SIZE_LIMIT)
    try:
        runner = OnnxRunner(content, head, device=device, threads=threads)
    except CheckpointError as error:
        raise type(error)(f"{path}: {error}") from error
    if dtype is not None and (dtype == "int8") != runner.int8:
        raise InputError(f"dtype={dtype!r}, but {path} is in {'int8' if runner.int8 else 'float32'}; leave it out")
    runner.config.name_or_path = str(path.parent)
    return runner


def wrap(model: Any, head: str, *, threads: int | None = None) -> OnnxRunner:
    """Return a runner of a torch model's present parameters; errors are those of ``plan_of_model``."""
    return _made(plan_of_model(model, head), None, threads)


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


def _made(plan: Plan, device: str | None, threads: int | None) -> OnnxRunner:
    content = build_model(plan, choose=any(a.per == "position" for a in head_named(plan.head).answers))
    runner = OnnxRunner(content, device=device, threads=threads)
    runner.config = plan.config
    return runner
