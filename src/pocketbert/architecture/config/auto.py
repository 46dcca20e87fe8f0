"""The configuration class that a checkpoint's ``model_type`` names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

from pocketbert.architecture.config.bert import BertConfig
from pocketbert.architecture.config.distilbert import DistilBertConfig
from pocketbert.architecture.config.mobilebert import MobileBertConfig
from pocketbert.architecture.config.pretrained_config import (
    GOOGLE_FILE,
    PretrainedConfig,
    read_config,
)
from pocketbert.architecture.config.recognition import family_by_fields, family_by_path, family_by_tensors
from pocketbert.errors import ConfigError

__all__ = ["AutoConfig"]


class AutoConfig:
    """The configuration class that a checkpoint's ``model_type`` names.

    Example:
        >>> from pocketbert import AutoConfig
        >>> AutoConfig.for_model("distilbert", n_layers=2).save_pretrained("auto")
        >>> type(AutoConfig.from_pretrained("auto")).__name__
        'DistilBertConfig'
    """

    classes: ClassVar[dict[str, type[PretrainedConfig]]] = {
        config.model_type: config for config in (DistilBertConfig, MobileBertConfig, BertConfig)
    }

    @classmethod
    def for_model(cls, model_type: str, **kwargs: Any) -> PretrainedConfig:
        """Return a configuration of ``model_type`` with these fields."""
        return cls._class(model_type)(**kwargs)

    @classmethod
    def register(cls, model_type: str, config: type[PretrainedConfig], exist_ok: bool = False) -> None:
        """Let files of a ``model_type`` give a class of yours.

        Raises:
            ConfigError: the class has another ``model_type``, or the name is taken and ``exist_ok`` is false.
        """
        if config.model_type != model_type:
            raise ConfigError(f"{config.__name__}.model_type is {config.model_type!r}, not {model_type!r}")
        if model_type in cls.classes and not exist_ok:
            raise ConfigError(f"model_type {model_type!r} is {cls.classes[model_type].__name__}; pass exist_ok=True")
        cls.classes[model_type] = config

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> Any:
        """As ``PretrainedConfig.from_pretrained``, for whichever class ``model_type`` names.

        A file without it is of the family that its fields tell, else of the one whose name stands in the path.

        Raises:
            ConfigError: the file is of another family, or nothing tells which.
        """
        return cls._read(pretrained_model_name_or_path, kwargs)

    @classmethod
    def from_folder(
        cls, folder: Path, names_of_weights: Callable[[], Iterable[str]], **kwargs: Any
    ) -> PretrainedConfig:
        """As ``from_pretrained`` for a local folder, whose weights tell the family before its path does.

        Args:
            folder: where ``config.json`` lies.
            names_of_weights: lists them; called only for a file that does not tell.
            **kwargs: see ``from_pretrained``.
        """
        config: PretrainedConfig = cls._read(folder, kwargs, names_of_weights)
        return config

    @classmethod
    def _read(
        cls,
        name: str | os.PathLike[str],
        kwargs: dict[str, Any],
        names_of_weights: Callable[[], Iterable[str]] = tuple,
    ) -> Any:
        path, fields = read_config(name, kwargs)
        if "model_type" in fields:
            family = fields["model_type"]
        else:
            google = "bert" if path.name == GOOGLE_FILE else None  # which is BERT's if nothing tells
            family = family_by_fields(fields) or google or family_by_tensors(names_of_weights()) or family_by_path(name)
            if family is None:
                raise ConfigError(f"{path} has no model_type; load it with the class that it belongs to")
        return cls._class(family)._from_fields(fields, path, name, kwargs)

    @classmethod
    def _class(cls, model_type: str) -> type[PretrainedConfig]:
        if not isinstance(model_type, str) or model_type not in cls.classes:
            raise ConfigError(f"model_type {model_type!r} is not supported; choose from {', '.join(cls.classes)}")
        return cls.classes[model_type]
