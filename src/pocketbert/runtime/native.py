"""The native CPU engine behind the runner's interface: a plan goes in once, packed batches come and go.

The engine gives every text the bits that it gives alone, in any batch and with any number of threads. The path (the
instruction set) is chosen by the CPU; ``POCKETBERT_CPU`` may name another that it can run: ``portable``, ``avx2``,
``avxvnni``, ``avx512`` or ``amx``. int8 gives the same bits on all of them but amx, where attention rounds to bfloat16.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pocketbert.architecture.heads import BARE
from pocketbert.checkpoint.opened import Opened
from pocketbert.errors import CheckpointError, InputError, MissingExtra
from pocketbert.plan.check import check_structure
from pocketbert.plan.structure import STREAM, Array, Attention, Dense, Embeddings, Int8, Norm, Plan, Span
from pocketbert.runtime.batching import PackedBatch
from pocketbert.runtime.plans import plan_of_checkpoint, plan_of_model
from pocketbert.runtime.results import answer_of, check_positions, split_tokens
from pocketbert.runtime.threads import check_threads

__all__ = ["CPU_VARIABLE", "NativeRunner", "load", "native_paths", "wrap"]

CPU_VARIABLE = "POCKETBERT_CPU"

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


def native_paths() -> list[str]:
    """Return the engine's paths that this CPU can run, best first.

    Raises:
        MissingExtra: the extension was not built.
    """
    return [str(name) for name in _extension().paths()]


class NativeRunner:
    """Runs a plan on the native engine; see ``pocketbert.runtime.batching.Runner`` for what comes out.

    Several Python threads may call one runner at once.

    Args:
        plan: float32, or int8 as ``plan.quantize`` makes it.
        head: which answer, where the plan has several; ``"none"`` gives hidden states.
        threads: most CPU threads of a call; as many as the process may use where None.

    Raises:
        MissingExtra: the extension was not built.
        InputError: the plan has no such answer or is not float32, ``threads`` is no positive number, or
            ``POCKETBERT_CPU`` names a path that this CPU cannot run.
        CheckpointError: the plan holds NaN or infinity, or its parts do not fit together.
    """

    def __init__(self, plan: Plan, head: str | None = None, *, threads: int | None = None) -> None:
        self.config, self.head = plan.config, plan.head if head is None else head
        self.threads = check_threads(threads)
        names = [branch.name for branch in plan.branches]
        if self.head not in (BARE, *names):
            raise InputError(f"the plan has no {self.head} answer; it has: {', '.join(names) or 'none'}")
        self._answer = answer_of(plan.head, self.head)
        self._branch: int | None = None if self.head == BARE else names.index(self.head)
        dtype = getattr(plan.embeddings.positions, "dtype", None)
        if dtype != np.float32:
            raise InputError(f"the native engine runs float32 and int8 plans, this one is {dtype}")
        self._takes_types = plan.embeddings.types is not None
        self._engine = _build(plan, os.environ.get(CPU_VARIABLE, ""))
        _check(plan)
        self._width = int(self._engine.result_width(self._branch))

    @property
    def path(self) -> str:
        """The path that the engine runs on."""
        return str(self._engine.path)

    def __call__(self, batch: PackedBatch) -> list[Floats]:
        """Run every text; see ``pocketbert.runtime.batching.Runner``.

        Raises:
            InputError: an id, a type, a position or a length is out of range, or an array is of the wrong type.
        """
        ids = _ints("input_ids", batch.input_ids)
        ends = _ints("cu_seqlens", batch.cu_seqlens)
        types = None
        if batch.token_type_ids is not None and self._takes_types:
            types = _ints("token_type_ids", batch.token_type_ids)
        if len(ends) < 2:
            raise InputError("a batch needs at least one text")
        rows, counts = None, np.diff(ends).tolist()  # the engine checks the ends
        if self._answer.per == "text":
            rows = np.ascontiguousarray(ends[:-1])
        elif self._answer.per == "position" and batch.positions is not None:
            positions = [_ints("positions", places) for places in batch.positions]
            check_positions(counts, positions)
            rows = np.concatenate([start + places for start, places in zip(ends[:-1], positions, strict=True)])
            counts = [len(places) for places in positions]
        out = np.empty((len(ids) if rows is None else len(rows), self._width), np.float32)
        try:
            self._engine.run(ids, types, ends, self._branch, rows, self.threads, out)
        except ValueError as error:
            raise InputError(str(error)) from error
        return split_tokens(self._answer, out, counts)


def load(
    source: str | os.PathLike[str] | Opened,
    head: str | None = None,
    *,
    device: str | None = None,
    dtype: str | None = None,
    threads: int | None = None,
) -> NativeRunner:
    """Fold a checkpoint and hand it to the engine.

    Arguments and errors are those of ``registry.load_runner``. ``device`` can only be the CPU; ``dtype`` is
    ``"float32"`` or ``"int8"``, which quantizes now. A checkpoint that is quantized already runs in int8.
    """
    if device not in (None, "cpu"):
        raise InputError(f"device={device!r}: the native engine runs on the CPU; runtime='torch' knows other devices")
    plan = plan_of_checkpoint(source, head, dtype)
    return NativeRunner(replace(plan, embeddings=_alone(plan.embeddings)), threads=threads)


def wrap(model: Any, head: str, *, threads: int | None = None) -> NativeRunner:
    """Return a runner of a torch model's present parameters."""
    return NativeRunner(plan_of_model(model, head), threads=threads)


def _alone(e: Embeddings) -> Embeddings:
    """Copy tables that are views: the engine keeps them, and would keep the weights around them, which it packs."""

    def own(array: Array) -> Array:
        return array if array.base is None else array.copy()

    words = e.words
    if isinstance(words, Int8):
        words = Int8(own(words.values), own(words.scale), own(words.outliers), own(words.outlier_weight))
    else:
        words = own(words)
    return replace(e, words=words, positions=own(e.positions), types=None if e.types is None else own(e.types))


# -- building --------------------------------------------------------------------------------------------------


def _extension() -> ModuleType:
    try:
        return importlib.import_module("pocketbert._native")
    except ImportError as error:
        raise MissingExtra(
            "the native engine was not built for this Python; install a binary wheel of pocketbert, or a C++20 "
            "compiler (g++ 12, clang 14 or later) and then: "
            "pip install --force-reinstall --no-deps --no-binary pocketbert pocketbert"
        ) from error


def _check(plan: Plan) -> None:
    """Check what the engine was not told of a plan; the values of arrays it checked as it packed them."""
    try:
        check_structure(plan)
    except (AttributeError, LookupError, TypeError, ValueError) as error:  # a part is of another type altogether
        raise CheckpointError(f"the plan does not hold together: {error}") from error


def _build(plan: Plan, path: str) -> Any:
    extension = _extension()
    try:
        builder = extension.Builder(path)
    except ValueError as error:
        raise InputError(f"{CPU_VARIABLE}={path!r}: {error}") from error
    try:
        return _Writer(extension, builder, plan).finish()
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(f"the native engine cannot run this plan: {error}") from error


class _Writer:
    """Hands a plan to a builder."""

    def __init__(self, extension: ModuleType, builder: Any, plan: Plan) -> None:
        self.extension, self.builder, self.plan = extension, builder, plan
        names = [STREAM, *(name for name in plan.buffers if name != STREAM)]
        self.buffers = {name: int(builder.buffer(plan.buffers[name])) for name in names}

    def finish(self) -> Any:
        self._embeddings(self.plan.embeddings)
        for op in (op for layer in self.plan.layers for op in layer.ops):
            if isinstance(op, Attention):
                spans = (self._columns(span) for span in (op.query, op.key, op.value, op.target))
                self.builder.attention(*spans, op.heads)
            else:
                self._dense(op)
        state = self.plan.to_hidden
        if state is not None:
            self.builder.state(_floats(state.scale), _floats(state.shift))
        for branch in self.plan.branches:
            self.builder.branch()
            for op in branch.ops:
                self._dense(op)
        return self.builder.finish()

    def _embeddings(self, e: Embeddings) -> None:
        words, positions, types = self._weight(e.words), _floats(e.positions), _maybe(e.types)
        gathered = None if e.projection is None else self._columns(e.projection.source)[0]
        self.builder.embeddings(words, positions, types, e.trigram, gathered, _norm(e.norm))
        if e.projection is not None:
            self._dense(e.projection)

    def _dense(self, op: Dense) -> None:
        source, target, weight = self._columns(op.source), self._columns(op.target), self._weight(op.weight)
        residual = None if op.residual is None else self._columns(op.residual)
        carry, norm = _maybe(op.residual_scale), _norm(op.norm)
        self.builder.dense(source, target, weight, _floats(op.bias), op.activation, residual, carry, norm)

    def _weight(self, weight: Array | Int8) -> Any:
        if not isinstance(weight, Int8):
            return self.extension.Weight.floats(_floats(weight))
        values, outliers = _typed(weight.values, np.int8), _typed(weight.outliers, np.int64)
        return self.extension.Weight.int8(values, _floats(weight.scale), outliers, _floats(weight.outlier_weight))

    def _columns(self, span: Span) -> tuple[int, int, int]:
        if span.buffer not in self.buffers:
            raise ValueError(f"there is no buffer {span.buffer!r}")
        return self.buffers[span.buffer], span.start, span.stop


def _typed(array: Any, dtype: DTypeLike) -> NDArray[Any]:
    """Return the array laid out row by row; its type must be right already, for a conversion could hide damage."""
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        found = getattr(array, "dtype", type(array).__name__)
        raise TypeError(f"an array of {np.dtype(dtype)} is expected, not {found}")
    return np.ascontiguousarray(array)


def _floats(array: Any) -> Floats:
    return _typed(array, np.float32)


def _maybe(array: Any) -> Floats | None:
    return None if array is None else _floats(array)


def _norm(norm: Norm | None) -> tuple[Floats, Floats, float] | None:
    return None if norm is None else (_floats(norm.scale), _floats(norm.bias), float(norm.eps))


def _ints(name: str, array: Any) -> Ints:
    if not isinstance(array, np.ndarray) or array.dtype != np.int64 or array.ndim != 1:
        shape = getattr(array, "shape", type(array).__name__)
        raise InputError(f"{name} must be a one-dimensional int64 array, not {getattr(array, 'dtype', '')} {shape}")
    return np.ascontiguousarray(array)
