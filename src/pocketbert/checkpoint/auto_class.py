"""What ``AutoModel`` and ``TFAutoModel`` share: from a checkpoint's ``model_type`` and a head to a class."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from pocketbert.architecture import families
from pocketbert.architecture.config import AutoConfig, PretrainedConfig
from pocketbert.architecture.heads import BARE
from pocketbert.checkpoint.opened import Opened, open_model
from pocketbert.errors import ConfigError
from pocketbert.notices import renamed
from pocketbert.storage.keywords import loading_options

__all__ = ["AutoClass"]


class AutoClass:
    """Loads and builds models of the class that a configuration and ``head`` give.

    A framework defines ``find`` and ``add``.

    Attributes:
        head: what the models have.
        other_head: what they have where the family lacks ``head``.
        successor: what to use instead of a class that is kept for old code; else empty.
    """

    head: ClassVar[str] = BARE
    other_head: ClassVar[str | None] = None
    successor: ClassVar[str] = ""

    def __init__(self) -> None:
        raise TypeError(f"{type(self).__name__} is not built but loaded: use from_pretrained or from_config")

    @staticmethod
    def find(config: PretrainedConfig, head: str) -> Any:
        """Return the framework's class of a configuration with a head."""
        raise NotImplementedError

    @staticmethod
    def add(config_class: type[PretrainedConfig], model_class: Any) -> None:
        """Let ``find`` return a class of the user's."""
        raise NotImplementedError

    @classmethod
    def register(cls, config_class: type[PretrainedConfig], model_class: Any, exist_ok: bool = False) -> None:
        """Let configurations of a class give a class of yours, wherever its ``head`` is asked for.

        Args:
            config_class: the configurations.
            model_class: your class.
            exist_ok: accepted; a later class always replaces an earlier one.

        Raises:
            ConfigError: the model class is for other configurations.
        """
        del exist_ok
        if not issubclass(config_class, model_class.config_class):
            wanted = model_class.config_class.__name__
            raise ConfigError(f"{model_class.__name__} needs a {wanted}, got {config_class.__name__}")
        cls.add(config_class, model_class)

    @classmethod
    def class_for(cls, config: PretrainedConfig) -> Any:
        """Return the class that a configuration and this head give.

        Raises:
            ConfigError: the family has no such head.
        """
        if cls.successor:
            renamed(cls.__name__, cls.successor)
        heads = families.family_of(config).heads
        for head in (cls.head, cls.other_head):
            if head in heads:
                return cls.find(config, head)
        raise ConfigError(f"{cls.__name__}: {config.model_type} has no {cls.head} head")

    @classmethod
    def from_config(cls, config: PretrainedConfig, **kwargs: Any) -> Any:
        """Build a model with fresh weights; see ``from_config`` of its class."""
        return cls.class_for(config).from_config(config, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str] | Opened, **kwargs: Any) -> Any:
        """Load a model; see ``from_pretrained`` of its class."""
        source: Any = pretrained_model_name_or_path
        config, given = kwargs.get("config"), dict(kwargs)
        if config is None and kwargs.get("state_dict") is None:
            source = open_model(source, hub=loading_options(kwargs))
            config = source.config
        elif not isinstance(config, PretrainedConfig):
            named = source.config if isinstance(source, Opened) else None
            config = named or AutoConfig.from_pretrained(config or source, return_unused_kwargs=True, **given)[0]
        return cls.class_for(config).from_pretrained(source, **kwargs)
