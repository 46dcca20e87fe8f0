"""The parts of a pipeline: what a model, a tokenizer and the arguments of loading become."""

from __future__ import annotations

import os
import sys
from typing import Any

from pocketbert.architecture.config import AutoConfig, PretrainedConfig
from pocketbert.checkpoint.opened import Opened, open_model
from pocketbert.errors import InputError
from pocketbert.notices import warn
from pocketbert.runtime.batching import Runner
from pocketbert.runtime.registry import check_runtime, default_runtime, load_runner, wrap_model
from pocketbert.tasks.arguments import Loading
from pocketbert.tasks.model_view import Device, ModelView
from pocketbert.tasks.selection import check_head
from pocketbert.tokenizer.auto import AutoTokenizer, load_tokenizer
from pocketbert.tokenizer.tokenizer_base import PreTrainedTokenizerBase

__all__ = ["device_of", "make_runner", "make_tokenizer", "model_of", "open_source", "with_runtime"]


def open_source(model: Any, loading: Loading) -> Any:
    """Return the checkpoint that ``model`` names, opened, or the model or runner that it is.

    Raises:
        InputError: it is nothing, or a field of ``model_kwargs`` is unknown.
        CheckpointError, ConfigError, HubError: there is no such checkpoint, or it is damaged.
    """
    if model is None or (isinstance(model, str) and not model):
        raise InputError(f"model={model!r}: pass a checkpoint folder or a hub name")
    if isinstance(model, (str, os.PathLike)):
        opened = open_model(model, tokenizer=True, hub=loading.hub)
        config = _config(opened, loading)
        return opened if config is None else opened.with_config(config)
    if type(model).__module__.partition(".")[0] == "peft":
        return _adapted(model)
    return model


def with_runtime(source: Any, loading: Loading) -> str | None:
    """Return the runtime of ``loading``, or for a checkpoint the one that it runs on by default.

    Raises:
        InputError, MissingExtra: there is no such runtime, or it is not installed.
    """
    runtime = loading.runtime
    if runtime is None and isinstance(source, Opened):
        runtime = default_runtime(loading.device, loading.dtype)
    if runtime is not None:
        check_runtime(runtime)
    return runtime


def make_runner(source: Any, task: str, head: str, loading: Loading) -> Runner:
    """Return what runs a checkpoint or a loaded model.

    Raises:
        CheckpointError: the checkpoint is damaged, or lacks the head.
        InputError: the model lacks it, or an argument does not go with it.
    """
    if isinstance(source, Opened):
        check_head(source, task, head)
        assert loading.runtime is not None
        return load_runner(
            source, head, loading.runtime, device=loading.device, dtype=loading.dtype, threads=loading.threads
        )
    device, dtype = loading.device, loading.dtype
    if hasattr(source, "save_pretrained"):  # a model, not a runner
        if device is not None and hasattr(source, "state_dict") and not loading.stays:
            source.to(device)
        if device == "cpu" or hasattr(source, "state_dict"):
            device = None
        own = str(getattr(source, "dtype", None)).removeprefix("torch.")
        if dtype not in (None, "auto", own):
            warn(
                f"dtype={dtype!r} is for checkpoints: this {type(source).__name__} keeps its {own}; convert it first, "
                "as in model.to(torch.bfloat16)"
            )
        dtype = None
    return wrap_model(source, head, loading.runtime, device=device, dtype=dtype, threads=loading.threads)


def make_tokenizer(tokenizer: Any, source: Any, config: PretrainedConfig, loading: Loading) -> PreTrainedTokenizerBase:
    """Return the tokenizer: as it is, from where ``tokenizer`` says, or from the model's folder.

    Raises:
        InputError: the model came from no folder.
        CheckpointError, HubError: it cannot be loaded.
    """
    settings: dict[str, Any] = {"use_fast": loading.use_fast}
    if isinstance(tokenizer, tuple):
        tokenizer, more = tokenizer
        settings |= more
    if tokenizer is None and isinstance(source, Opened):
        return load_tokenizer(source.folder, model_type=source.config.model_type, **settings)
    if tokenizer is None:
        tokenizer = config.name_or_path
    if isinstance(tokenizer, (str, os.PathLike)):
        if not tokenizer:
            raise InputError("this model came from no folder; pass tokenizer=")
        return AutoTokenizer.from_pretrained(tokenizer, token=loading.hub.token, **settings)
    return tokenizer  # type: ignore[no-any-return]


def device_of(runner: Any) -> Any:
    """Return where a runner runs: a ``torch.device`` where PyTorch is loaded."""
    if hasattr(getattr(runner, "model", None), "state_dict"):
        return runner.model.device
    name = str(getattr(runner, "device", None) or "cpu")
    torch = sys.modules.get("torch")
    if torch is not None and name == "cpu":
        return torch.device(name)
    kind, _, number = name.partition(":")
    return Device(kind, int(number) if number else None)


def model_of(source: Any, runner: Any, loading: Loading) -> Any:
    """Return the model object: the one that was given, the one that was loaded, or a view of what runs."""
    if not isinstance(source, Opened) and source is not runner:
        return source
    if (model := getattr(runner, "model", None)) is not None:
        return model
    quantized = isinstance(source, Opened) and source.is_quantized
    name = "int8" if quantized or loading.dtype == "int8" else "float32"
    dtype = getattr(sys.modules.get("torch"), name, name)  # PyTorch's own where it is loaded
    return ModelView(runner.config, device_of(runner), dtype, loading.runtime or type(runner).__name__)


def _config(opened: Opened, loading: Loading) -> PretrainedConfig | None:
    """Return the configuration that takes the place of the checkpoint's, if one does."""
    if loading.config is None and not loading.fields:
        return None
    if opened.is_quantized:
        raise InputError(f"{opened.folder} is in int8, whose configuration cannot be replaced; leave config= out")
    fields = dict(loading.fields)
    config: Any
    if isinstance(loading.config, PretrainedConfig):
        config = type(loading.config).from_dict({**loading.config.to_dict(), **fields})
    else:
        where = opened.folder if loading.config is None else loading.config
        config, unknown = AutoConfig.from_pretrained(where, return_unused_kwargs=True, **fields)
        if unknown:
            raise InputError(f"model_kwargs has an unknown name {next(iter(unknown))!r}; it takes from_pretrained's")
    config.name_or_path = opened.config.name_or_path
    found: PretrainedConfig = config
    return found


def _adapted(model: Any) -> Any:
    """Return the model inside a peft model, whose layers hold the adapter."""
    if any(config.is_prompt_learning for config in model.peft_config.values()):
        raise InputError(
            "a pipeline does not run learned prompts; call the peft model itself, or merge another adapter"
        )
    return model.get_base_model()
