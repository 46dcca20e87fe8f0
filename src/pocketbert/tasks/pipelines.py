"""``pipeline``: from a folder or hub name to a task that answers."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from pocketbert.batching import BATCH_TOKENS, LOOKAHEAD, Runner
from pocketbert.config import AutoConfig
from pocketbert.errors import InputError
from pocketbert.extras import require
from pocketbert.hub import CONFIG_FILES, TOKENIZER_FILES, HubOptions, local_folder
from pocketbert.tasks.base import Task
from pocketbert.tasks.select import TASKS, check_head, resolve, task_class, task_of
from pocketbert.tokenizer.auto import AutoTokenizer
from pocketbert.tokenizer.base import TokenizerBase

__all__ = ["RUNTIMES", "pipeline"]

# runtime -> the module with its ``load`` and ``wrap``, and the optional package that it needs
RUNTIMES: dict[str, tuple[str, str | None]] = {
    "torch": ("pocketbert.torch.runner", "torch"),
    "native": ("pocketbert.runtime.native", None),
    "onnx": ("pocketbert.runtime.onnx", "onnxruntime"),
}


def pipeline(
    task: str | None = None,
    model: Any = None,
    *,
    tokenizer: TokenizerBase | str | os.PathLike[str] | None = None,
    runtime: str = "torch",
    device: str | None = None,
    dtype: str | None = None,
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
        runtime: what runs the model: ``"torch"``, ``"native"`` (the C++ engine, no torch needed) or ``"onnx"``.
        device: where the model runs; the CPU by default.
        dtype: of the model's parameters; float32 by default. The native and onnx runtimes also know ``"int8"``.
        batch_tokens: tokens of a batch.
        lookahead: inputs that an iterator is read ahead of its answers.
        revision, cache_dir, local_files_only, token, subfolder: hub options.
        **options: options of the task that hold for every call, such as ``top_k`` or ``overflow``.

    Raises:
        InputError: the task, the runtime or an option is unknown, or ``model`` is missing.
        CheckpointError: the checkpoint is damaged, or lacks the head that the task needs.
        MissingExtra: the runtime's package is not installed.
    """
    name = None if task is None else resolve(task)
    if runtime not in RUNTIMES:
        raise InputError(f"unknown runtime {runtime!r}; choose from {', '.join(RUNTIMES)}")
    if model is None or (isinstance(model, str) and not model):
        raise InputError(f"model={model!r}: pass a checkpoint folder or a hub name")
    hub = HubOptions(revision, cache_dir, local_files_only, token, subfolder=subfolder)
    room, package = RUNTIMES[runtime]
    source = tokenizer
    if isinstance(model, (str, os.PathLike)):
        folder = local_folder(model, CONFIG_FILES, TOKENIZER_FILES, weights=True, options=hub)
        config = AutoConfig.from_pretrained(folder)
        name = name or task_of(folder, config)
        head = task_class(name).head
        check_head(folder, config, name, head)
        if package is not None:
            require(package)
        runner: Runner = import_module(room).load(folder, head, device=device, dtype=dtype)
        source = folder if tokenizer is None else tokenizer
    else:
        if name is None:
            raise InputError(f"pass task= one of {', '.join(TASKS)}; only a checkpoint folder tells it by itself")
        # a loaded model has weights of its own to show; a runner is used as it is
        runner = import_module(room).wrap(model, task_class(name).head) if hasattr(model, "state_dict") else model
        source = runner.config.name_or_path if tokenizer is None else tokenizer
    if isinstance(source, (str, os.PathLike)):
        if not source:
            raise InputError("this model came from no folder; pass tokenizer=")
        source = AutoTokenizer.from_pretrained(source)
    cls: type[Task[Any, Any, Any]] = task_class(name)
    return cls(runner, source, batch_tokens=batch_tokens, lookahead=lookahead, **options)
