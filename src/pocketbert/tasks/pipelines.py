"""``pipeline``: from a folder or hub name to a task that answers."""

from __future__ import annotations

import os
from typing import Any

from pocketbert.checkpoint.opened import Opened
from pocketbert.errors import InputError
from pocketbert.tasks.arguments import read_loading
from pocketbert.tasks.parts import open_source
from pocketbert.tasks.selection import TASKS, need_model, resolve, task_class, task_of
from pocketbert.tasks.task import Pipeline
from pocketbert.tokenizer.tokenizer_base import PreTrainedTokenizerBase

__all__ = ["pipeline"]


def pipeline(
    task: str | None = None,
    model: Any = None,
    config: Any = None,
    tokenizer: PreTrainedTokenizerBase | str | os.PathLike[str] | tuple[str, dict[str, Any]] | None = None,
    feature_extractor: Any = None,  # noqa: ARG001  # a text needs none
    image_processor: Any = None,  # noqa: ARG001
    processor: Any = None,  # noqa: ARG001
    framework: str | None = None,
    revision: str | None = None,
    use_fast: bool = True,
    token: str | bool | None = None,
    device: Any = None,
    device_map: Any = None,
    dtype: Any = None,
    trust_remote_code: bool | None = None,
    model_kwargs: dict[str, Any] | None = None,
    pipeline_class: type[Pipeline[Any, Any, Any]] | None = None,
    **options: Any,
) -> Pipeline[Any, Any, Any]:
    """Return a task that answers texts: ``pipeline("question-answering", model=FOLDER)(question=..., context=...)``.

    Args:
        task: ``"fill-mask"``, ``"text-classification"`` (also ``"sentiment-analysis"``),
            ``"zero-shot-classification"``, ``"token-classification"`` (also ``"ner"``), ``"question-answering"``,
            ``"multiple-choice"``, ``"next-sentence-prediction"`` or ``"feature-extraction"``; by default what the
            checkpoint was saved for.
        model: a folder, a hub name, a model that is already loaded, or a ``Runner``.
        config: a configuration, or where to read one, in place of the checkpoint's.
        tokenizer: a tokenizer, or where to load one; by default the model's folder.
        feature_extractor, image_processor, processor: accepted; a text needs none.
        framework: ``"pt"`` runs the PyTorch model, ``"tf"`` the Keras one; by default what ``runtime`` says.
        revision, token, trust_remote_code: hub options, as are ``cache_dir``, ``local_files_only`` and ``subfolder``.
        use_fast: whether to load the Fast tokenizer or the Python one.
        device: where a checkpoint's model runs; the CPU by default. -1 is the CPU, 0 and up a GPU; also ``"cuda:0"``
            or a ``torch.device``. A PyTorch model that is loaded already is moved there.
        device_map: the same, as transformers names it.
        dtype: of its parameters: float32 by default, ``"int8"`` on native and onnx, ``"bfloat16"``, ``"float16"`` or
            ``"float64"`` on torch.
        model_kwargs: further arguments of ``from_pretrained``.
        pipeline_class: the class to build, in place of the task's own.
        **options: ``runtime``, what runs the model: ``"native"`` (the C++ engine for CPUs), ``"onnx"``, ``"torch"`` or
            ``"keras"`` (by default ``default_runtime`` chooses for a checkpoint, and a loaded model stays as it is);
            ``threads``, the most CPU threads of a call; ``batch_tokens`` and ``lookahead``, see ``Pipeline``; and
            options of the task that hold for every call, such as ``top_k`` or ``overflow``.

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
    if model is None or (isinstance(model, str) and not model):
        need_model(task, model)
    given = dict(
        config=config,
        framework=framework,
        revision=revision,
        use_fast=use_fast,
        token=token,
        device=device,
        device_map=device_map,
        dtype=dtype,
        trust_remote_code=trust_remote_code,
        model_kwargs=model_kwargs,
        **options,
    )
    loading = read_loading(given)
    source = open_source(model, loading)
    if name is None and pipeline_class is not None:
        name = pipeline_class.name
    if name is None and not isinstance(source, Opened):
        raise InputError(f"pass task= one of {', '.join(TASKS)}; only a checkpoint folder tells it by itself")
    name = name or task_of(source)
    cls: type[Pipeline[Any, Any, Any]] = pipeline_class or task_class(name)
    return cls(source, tokenizer, task=task or name, loading=loading, **given)
