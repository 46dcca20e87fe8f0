"""A pipeline on its way to disk, or to another process."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.families import class_name
from pocketbert.checkpoint import WRITTEN, write_arrays
from pocketbert.checkpoint.opened import Opened, open_model
from pocketbert.checkpoint.sentence_transformers import copy_sentences
from pocketbert.errors import InputError
from pocketbert.plan.int8.folder import REPORT, WEIGHTS
from pocketbert.storage.hub import CONFIG_FILES, HubOptions
from pocketbert.storage.replacing import replacing
from pocketbert.tokenizer.tokenizer_base import PreTrainedTokenizerBase

__all__ = ["Folder", "packed", "save_parts", "unpacked"]


@dataclass(frozen=True)
class Folder:
    """A checkpoint to be opened again: its folder, and the configuration that it was used with."""

    path: str
    weight_files: tuple[str, ...]
    config: PretrainedConfig


def packed(source: Any, config: PretrainedConfig) -> Any:
    """Return what pickles in place of an opened checkpoint that runs with ``config``; anything else stays as it is."""
    if not isinstance(source, Opened):
        return source
    config = source.config if source.is_quantized else config
    return Folder(os.path.abspath(source.folder), tuple(source.weight_files), config)


def unpacked(source: Any) -> Any:
    """Open the checkpoint again.

    Raises:
        CheckpointError: its folder is not there any more.
    """
    if not isinstance(source, Folder):
        return source
    opened = open_model(source.path, tokenizer=True, hub=HubOptions(weight_files=source.weight_files))
    return opened.with_config(source.config)


def save_parts(
    source: Any,
    runner: Any,
    tokenizer: PreTrainedTokenizerBase,
    folder: str | os.PathLike[str],
    options: dict[str, Any],
) -> None:
    """Save the model and the tokenizer of a pipeline; see ``Pipeline.save_pretrained``.

    Raises:
        InputError: there is no model to save.
    """
    model: Any = getattr(runner, "model", None) if isinstance(source, Opened) else source
    if not hasattr(model, "save_pretrained") and not isinstance(source, Opened):
        raise InputError(f"a {type(source).__name__} cannot be saved; build the pipeline from a folder or a model")
    if options.get("push_to_hub"):  # by default the repository is named after the folder
        options.setdefault("repo_id", Path(folder).name)
    with replacing(folder) as stage:
        if hasattr(model, "save_pretrained"):
            model.save_pretrained(stage, **options)
        else:
            _save_checkpoint(source, runner.head, stage, options)
        tokenizer.save_pretrained(stage)
        if isinstance(source, Opened):
            copy_sentences(source.sentences, stage)


def _save_checkpoint(opened: Opened, head: str, folder: Path, options: dict[str, Any]) -> None:
    safe = options.pop("safe_serialization", True)
    if options or not safe:
        name = next(iter(options), "safe_serialization")
        raise InputError(f"{name} needs a model object; build the pipeline with framework='pt'")
    if opened.is_quantized:
        with replacing(folder, stale=WRITTEN) as stage:
            for name in (*CONFIG_FILES, WEIGHTS, REPORT):
                if (opened.folder / name).is_file():
                    shutil.copyfile(opened.folder / name, stage / name)
        return
    fit = opened.fit(head, pooler=opened.has_pooler)
    config = type(opened.config).from_dict(opened.config.to_dict())
    config.architectures = [class_name(config, head)]
    write_arrays(folder, config, {name: opened.weights.array(key) for name, key in fit.sources.items()})
