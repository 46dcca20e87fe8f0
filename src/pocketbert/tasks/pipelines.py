"""``pipeline``: from a folder or hub name to a task that answers."""

from __future__ import annotations

import os
from typing import Any

from pocketbert.checkpoint.opened import open_model
from pocketbert.errors import InputError
from pocketbert.runtime.batching import BATCH_TOKENS, LOOKAHEAD
from pocketbert.runtime.registry import check_runtime, default_runtime, load_runner, wrap_model
from pocketbert.storage.hub import HubOptions
from pocketbert.tasks.selection import TASKS, check_head, resolve, task_class, task_of
from pocketbert.tasks.task import Task
from pocketbert.tokenizer.auto import AutoTokenizer, load_tokenizer
from pocketbert.tokenizer.tokenizer_base import PreTrainedTokenizerBase

__all__ = ["pipeline"]


def pipeline(
    task: str | None = None,
    model: Any = None,
    *,
    tokenizer: PreTrainedTokenizerBase | str | os.PathLike[str] | None = None,
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
        threads: maximum CPU threads; by default all that the process may use. Not for Keras, which sets its own.
        batch_tokens: token budget of a batch.
        lookahead: maximum inputs read from an iterator before their answers are returned.
        revision, cache_dir, local_files_only, token, subfolder: hub options.
        **options: options of the task that hold for every call, such as ``top_k`` or ``overflow``.

    Example:
        >>> from pathlib import Path
        >>> from pocketbert import BertTokenizer, DistilBertConfig, DistilBertForSequenceClassification, pipeline
        >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "film"]
        >>> _ = Path("vocab.txt").write_text("\\n".join(words) + "\\n")
        >>> config = DistilBertConfig(vocab_size=7, dim=8, n_heads=2, n_layers=1, hidden_dim=16)
        >>> DistilBertForSequenceClassification(config).save_pretrained("tiny")
        >>> _ = BertTokenizer("vocab.txt").save_pretrained("tiny")
        >>> classify = pipeline("text-classification", model="tiny")
        >>> [sorted(label) for label in classify("good film")]
        [['label', 'score']]

    Raises:
        InputError: the task, the runtime or an option is unknown, ``model`` is missing, or ``runtime``, ``device``,
            ``dtype`` or ``threads`` does not go with it.
        CheckpointError: the checkpoint is damaged, or lacks the head that the task needs.
        MissingExtra: the runtime's package is not installed, or the native engine was not built.
    """
    name = None if task is None else resolve(task)
    if runtime is not None:
        check_runtime(runtime)
    if model is None or (isinstance(model, str) and not model):
        raise InputError(f"model={model!r}: pass a checkpoint folder or a hub name")
    if isinstance(model, (str, os.PathLike)):
        device, dtype = (None if value is None else str(value).removeprefix("torch.") for value in (device, dtype))
        if runtime is None:
            runtime = default_runtime(device, dtype)
            check_runtime(runtime)
        hub = HubOptions(revision, cache_dir, local_files_only, token, subfolder=subfolder)
        opened = open_model(model, tokenizer=True, hub=hub)
        name = name or task_of(opened)
        head = task_class(name).head
        check_head(opened, name, head)
        runner = load_runner(opened, head, runtime, device=device, dtype=dtype, threads=threads)
        is_plain = options.get("pooling", "auto") in (None, "none")
        if name == "feature-extraction" and opened.sentences is not None and not is_plain:
            options = {"sentences": opened.sentences.read(), **options}
        if tokenizer is None:
            tokenizer = load_tokenizer(opened.folder, model_type=opened.config.model_type)
    else:
        if name is None:
            raise InputError(f"pass task= one of {', '.join(TASKS)}; only a checkpoint folder tells it by itself")
        runner = wrap_model(model, task_class(name).head, runtime, device=device, dtype=dtype, threads=threads)
        tokenizer = runner.config.name_or_path if tokenizer is None else tokenizer
    if isinstance(tokenizer, (str, os.PathLike)):
        if not tokenizer:
            raise InputError("this model came from no folder; pass tokenizer=")
        tokenizer = AutoTokenizer.from_pretrained(tokenizer)
    cls: type[Task[Any, Any, Any]] = task_class(name)
    return cls(runner, tokenizer, batch_tokens=batch_tokens, lookahead=lookahead, **options)
