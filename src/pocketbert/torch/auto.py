"""AutoModel and its kind: the class of a checkpoint's ``model_type`` that has the head that is asked for."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any, ClassVar

from pocketbert.architecture import families
from pocketbert.architecture.config import AutoConfig, PretrainedConfig
from pocketbert.architecture.heads import BARE
from pocketbert.checkpoint.opened import Opened, open_model
from pocketbert.errors import ConfigError
from pocketbert.storage.keywords import loading_options
from pocketbert.torch.model import PreTrainedModel

__all__ = [
    "AutoModel",
    "AutoModelForPreTraining",
    "AutoModelForMaskedLM",
    "AutoModelForNextSentencePrediction",
    "AutoModelForSequenceClassification",
    "AutoModelForMultipleChoice",
    "AutoModelForTokenClassification",
    "AutoModelForQuestionAnswering",
    "model_class",
]

_registered: dict[tuple[type[PretrainedConfig], str], type[PreTrainedModel]] = {}


def model_class(config: PretrainedConfig, head: str) -> type[PreTrainedModel]:
    """Return the class of a configuration's family with a head; one that was registered comes first.

    Raises:
        ConfigError: the family has no such head, or nobody registered a class that has it.
    """
    if chosen := _registered.get((type(config), head)):
        return chosen
    family = families.family_of(config)
    name = family.class_name + family.head(head).suffix
    built_in: type[PreTrainedModel] | None = getattr(import_module(f"pocketbert.torch.{family.model_type}"), name, None)
    if built_in is None:
        raise ConfigError(f"there is no class {name}; write it and pass it to AutoModel.register")
    return built_in


class AutoModel:
    """The bare encoder of a checkpoint's family.

    >>> from pocketbert import AutoModel, DistilBertConfig
    >>> config = DistilBertConfig(vocab_size=99, dim=8, n_heads=2, n_layers=1, hidden_dim=16)
    >>> type(AutoModel.from_config(config)).__name__
    'DistilBertModel'
    """

    head: ClassVar[str] = BARE

    def __init__(self) -> None:
        raise TypeError(f"{type(self).__name__} is not built but loaded: use from_pretrained or from_config")

    @classmethod
    def register(cls, config_class: type[PretrainedConfig], model_class: type[PreTrainedModel]) -> None:
        """Let configurations of a class give a class of yours, wherever its ``head`` is asked for.

        Raises:
            ConfigError: the model class is for other configurations.
        """
        if not issubclass(config_class, model_class.config_class):
            wanted = model_class.config_class.__name__
            raise ConfigError(f"{model_class.__name__} needs a {wanted}, got {config_class.__name__}")
        _registered[config_class, model_class.head] = model_class

    @classmethod
    def class_for(cls, config: PretrainedConfig) -> type[PreTrainedModel]:
        """Return the class that a configuration and this head give.

        Raises:
            ConfigError: the family has no such head.
        """
        if cls.head not in families.family_of(config).heads:
            raise ConfigError(f"{cls.__name__}: {config.model_type} has no {cls.head} head")
        return model_class(config, cls.head)

    @classmethod
    def from_config(cls, config: PretrainedConfig, **kwargs: Any) -> PreTrainedModel:
        """Build a model with fresh weights; see ``PreTrainedModel.from_config``."""
        return cls.class_for(config).from_config(config, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str] | Opened, **kwargs: Any) -> Any:
        """Load a model; see ``PreTrainedModel.from_pretrained``."""
        source: Any = pretrained_model_name_or_path
        config, given = kwargs.get("config"), dict(kwargs)
        if config is None and kwargs.get("state_dict") is None:
            source = open_model(source, hub=loading_options(kwargs))
            config = source.config
        elif not isinstance(config, PretrainedConfig):
            named = source.config if isinstance(source, Opened) else None
            config = named or AutoConfig.from_pretrained(config or source, return_unused_kwargs=True, **given)[0]
        return cls.class_for(config).from_pretrained(source, **kwargs)


class AutoModelForPreTraining(AutoModel):
    """The model with its pre-training heads; a masked language model where the family has only that."""

    head = "pretraining"

    @classmethod
    def class_for(cls, config: PretrainedConfig) -> type[PreTrainedModel]:
        """See ``AutoModel.class_for``."""
        both = cls.head in families.family_of(config).heads
        return super().class_for(config) if both else AutoModelForMaskedLM.class_for(config)


class AutoModelForMaskedLM(AutoModel):
    """The model that predicts words."""

    head = "masked_lm"


class AutoModelForNextSentencePrediction(AutoModel):
    """The model that tells whether B continues A."""

    head = "next_sentence"


class AutoModelForSequenceClassification(AutoModel):
    """The model with one answer per text.

    >>> from pocketbert import AutoModelForSequenceClassification, DistilBertConfig
    >>> config = DistilBertConfig(vocab_size=99, dim=8, n_heads=2, n_layers=1, hidden_dim=16, num_labels=3)
    >>> AutoModelForSequenceClassification.from_config(config).classifier.out_features
    3
    """

    head = "sequence_classification"


class AutoModelForMultipleChoice(AutoModel):
    """The model that picks one of several texts."""

    head = "multiple_choice"


class AutoModelForTokenClassification(AutoModel):
    """The model with a class per token."""

    head = "token_classification"


class AutoModelForQuestionAnswering(AutoModel):
    """The model that finds an answer's start and end."""

    head = "question_answering"
