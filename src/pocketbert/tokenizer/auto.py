"""The tokenizer that a checkpoint's files call for."""

from __future__ import annotations

import os
from typing import Any

from pocketbert.errors import CheckpointError
from pocketbert.storage.hub import CONFIG_FILES, TOKENIZER_FILES, HubOptions, local_folder
from pocketbert.tokenizer import models
from pocketbert.tokenizer.tokenizer_base import TokenizerBase
from pocketbert.tokenizer.tokenizer_files import read_json

__all__ = ["AutoTokenizer"]

# model_type of config.json -> the tokenizer's name, without "Fast".
_MODEL_TYPES = {"bert": "BertTokenizer", "distilbert": "DistilBertTokenizer", "mobilebert": "MobileBertTokenizer"}
_HUB_ARGUMENTS = ("revision", "cache_dir", "local_files_only", "token", "force_download", "subfolder")


class AutoTokenizer:
    """Chooses by ``model_type`` in ``config.json``, else by ``tokenizer_class`` in ``tokenizer_config.json``."""

    def __init__(self) -> None:
        """There are no instances: use :meth:`from_pretrained`."""
        raise TypeError("AutoTokenizer has no instances; call AutoTokenizer.from_pretrained(name_or_path)")

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *, use_fast: bool = True, **settings: Any
    ) -> TokenizerBase:
        """Load a tokenizer from a folder or by hub name.

        Args:
            pretrained_model_name_or_path: a folder, or a name such as ``"distilbert-base-uncased"``.
            use_fast: whether to choose the Fast tokenizer or the Python one.
            settings: arguments of the tokenizer's own ``from_pretrained``.

        Raises:
            CheckpointError: the files name no tokenizer of this library.
        """
        hub = {name: settings[name] for name in _HUB_ARGUMENTS if name in settings}
        files = (*CONFIG_FILES, *TOKENIZER_FILES)
        folder = local_folder(pretrained_model_name_or_path, optional=files, options=HubOptions(**hub))
        name = _class_name(folder) + ("Fast" if use_fast else "")
        tokenizer: TokenizerBase = getattr(models, name).from_pretrained(pretrained_model_name_or_path, **settings)
        return tokenizer


def _class_name(folder: os.PathLike[str]) -> str:
    found = []
    for file, field in (("config.json", "model_type"), ("tokenizer_config.json", "tokenizer_class")):
        path = os.path.join(folder, file)
        value = str(read_json(path).get(field)) if os.path.isfile(path) else "None"
        if value != "None":
            found.append(f"{field}={value!r}")
        name = _MODEL_TYPES.get(value, value.removesuffix("Fast"))
        if name in _MODEL_TYPES.values():
            return name
    raise CheckpointError(
        f"{folder} names no tokenizer of {', '.join(_MODEL_TYPES.values())} ({', '.join(found) or 'it names none'}); "
        "call from_pretrained of the one that you want"
    )
