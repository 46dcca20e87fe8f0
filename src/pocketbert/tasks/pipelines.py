"""``pipeline``: from a folder or hub name to a task that answers."""

from __future__ import annotations

import os
import sys
import warnings
from importlib import import_module
from typing import Any

from pocketbert.architecture.config import AutoConfig
from pocketbert.architecture.parameters import Head
from pocketbert.errors import InputError, MissingExtra
from pocketbert.extras import require
from pocketbert.runtime.batching import BATCH_TOKENS, LOOKAHEAD, Runner
from pocketbert.storage.hub import CONFIG_FILES, TOKENIZER_FILES, HubOptions, local_folder
from pocketbert.tasks.base import Task
from pocketbert.tasks.select import TASKS, check_head, resolve, task_class, task_of
from pocketbert.tokenizer.auto import AutoTokenizer
from pocketbert.tokenizer.base import TokenizerBase

__all__ = ["RUNTIMES", "default_runtime", "pipeline"]

# runtime -> the module with its ``load`` and ``wrap``, and the optional package that it needs
RUNTIMES: dict[str, tuple[str, str | None]] = {
    "native": ("pocketbert.runtime.native", None),
    "onnx": ("pocketbert.runtime.onnx.runner", "onnxruntime"),
    "torch": ("pocketbert.torch.runner", "torch"),
    "keras": ("pocketbert.keras.runner", "keras"),
}
_TORCH_DTYPES = ("auto", "bfloat16", "float16", "half", "float64", "double")


def pipeline(
    task: str | None = None,
    model: Any = None,
    *,
    tokenizer: TokenizerBase | str | os.PathLike[str] | None = None,
    runtime: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    threads: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
    lookahead: int = LOOKAHEAD,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
    subfolder: str = "",
    **options: Any,
) -> Task[Any, Any, Any]:
    """Return a task that answers texts: ``pipeline("question-answering", model=FOLDER)(question=..., context=...)``.

    Args:
        task: ``"fill-mask"``, ``"text-classification"`` (also ``"sentiment-analysis"``),
            ``"zero-shot-classification"``, ``"token-classification"`` (also ``"ner"``), ``"question-answering"``,
            ``"multiple-choice"``, ``"next-sentence-prediction"`` or ``"feature-extraction"``; by default what the
            checkpoint was saved for.
        model: a folder, a hub name, a model that is already loaded, or a ``Runner``.
        tokenizer: a tokenizer, or where to load one; by default the model's folder.
        runtime: what runs the model: ``"native"`` (the C++ engine for CPUs), ``"onnx"``, ``"torch"`` or ``"keras"``.
            By default ``default_runtime`` chooses for a folder or a hub name, and a loaded model stays as it is.
        device: where a checkpoint's model runs; the CPU by default.
        dtype: of its parameters: float32 by default, ``"int8"`` on native and onnx, ``"bfloat16"``, ``"float16"`` or
            ``"float64"`` on torch.
        threads: CPU threads; by default as many as the process may use.
        batch_tokens: tokens of a batch.
        lookahead: inputs that an iterator is read ahead of its answers.
        revision, cache_dir, local_files_only, token, subfolder: hub options.
        **options: options of the task that hold for every call, such as ``top_k`` or ``overflow``.

    Raises:
        InputError: the task, the runtime or an option is unknown, ``model`` is missing, or ``runtime``, ``device`` or
            ``dtype`` does not go with it.
        CheckpointError: the checkpoint is damaged, or lacks the head that the task needs.
        MissingExtra: the runtime's package is not installed, or the native engine was not built.
    """
    name = None if task is None else resolve(task)
    if runtime is not None and runtime not in RUNTIMES:
        raise InputError(f"unknown runtime {runtime!r}; choose from {', '.join(RUNTIMES)}")
    if model is None or (isinstance(model, str) and not model):
        raise InputError(f"model={model!r}: pass a checkpoint folder or a hub name")
    hub = HubOptions(revision, cache_dir, local_files_only, token, subfolder=subfolder)
    source = tokenizer
    if isinstance(model, (str, os.PathLike)):
        device, dtype = (None if value is None else str(value).removeprefix("torch.") for value in (device, dtype))
        room, package = RUNTIMES[runtime or default_runtime(device, dtype)]
        if package is not None:
            require(package)
        folder = local_folder(model, CONFIG_FILES, TOKENIZER_FILES, weights=True, options=hub)
        config = AutoConfig.from_pretrained(folder)
        name = name or task_of(folder, config)
        head = task_class(name).head
        check_head(folder, config, name, head)
        given: dict[str, Any] = {"device": device, "dtype": dtype}
        if threads is not None and package == "torch":
            require("torch").set_num_threads(threads)
        elif threads is not None:
            given["threads"] = threads
        runner: Runner = import_module(room).load(folder, head, **given)
        source = folder if tokenizer is None else tokenizer
    else:
        if name is None:
            raise InputError(f"pass task= one of {', '.join(TASKS)}; only a checkpoint folder tells it by itself")
        runner = _runner_of(model, task_class(name).head, runtime, device, dtype)
        source = runner.config.name_or_path if tokenizer is None else tokenizer
    if isinstance(source, (str, os.PathLike)):
        if not source:
            raise InputError("this model came from no folder; pass tokenizer=")
        source = AutoTokenizer.from_pretrained(source)
    cls: type[Task[Any, Any, Any]] = task_class(name)
    return cls(runner, source, batch_tokens=batch_tokens, lookahead=lookahead, **options)


def default_runtime(device: str | None = None, dtype: str | None = None) -> str:
    """Return the runtime of a checkpoint for which none is named.

    The native engine, except for what only PyTorch has: another device than the CPU, or a dtype such as bfloat16. Where
    the engine was not built, ONNX Runtime takes its place, with a warning, if it is installed.

    Raises:
        MissingExtra: neither the engine nor ONNX Runtime is there.
    """
    if device not in (None, "cpu") or dtype in _TORCH_DTYPES:
        return "torch"
    from pocketbert.runtime.native import native_paths

    try:
        native_paths()
    except MissingExtra as error:
        try:
            require("onnx"), require("onnxruntime")
        except MissingExtra:
            raise MissingExtra(
                f"{error}. Or pass runtime='onnx' (pip install 'pocketbert[onnx]') or runtime='torch' "
                "(pip install 'pocketbert[torch]')"
            ) from error
        warnings.warn(f"running on ONNX Runtime, for {error}. Or pass runtime='onnx'", stacklevel=3)
        return "onnx"
    return "native"


def _runner_of(model: Any, head: Head, runtime: str | None, device: str | None, dtype: str | None) -> Runner:
    """Return a runner of a loaded model, or the runner that ``model`` is."""
    if device is not None or dtype is not None:
        raise InputError(
            f"device={device!r} and dtype={dtype!r} are for checkpoints; a {type(model).__name__} keeps what it has: "
            "convert it first, as in model.to('cuda')"
        )
    own = _runtime_of(model)
    if own is None:
        if runtime is not None:
            raise InputError(f"runtime={runtime!r}: a {type(model).__name__} is a runner already; leave it out")
        runner: Runner = model
    elif own == "keras" and runtime not in (None, "keras"):
        raise InputError(
            f"runtime={runtime!r} does not run a Keras model; leave it out, or save the model and pass the folder"
        )
    else:
        runner = import_module(RUNTIMES[runtime or own][0]).wrap(model, head)
    return runner


def _runtime_of(model: Any) -> str | None:
    """Return the runtime whose models ``model`` is one of, or None for a runner; imports no framework."""
    keras = sys.modules.get("pocketbert.keras.model")
    if keras is not None and isinstance(model, keras.TFPreTrainedModel):
        return "keras"  # which on the torch backend has a state_dict too
    return "torch" if hasattr(model, "state_dict") else None
