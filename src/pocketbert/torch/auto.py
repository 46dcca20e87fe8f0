"""AutoModel and its kind: the class of a checkpoint's ``model_type`` that has the head that is asked for."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from pocketbert.architecture import families
from pocketbert.architecture.config import AutoConfig, PretrainedConfig
from pocketbert.errors import ConfigError
from pocketbert.torch import bert, distilbert, mobilebert
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
]

_ROOMS = {"bert": bert, "distilbert": distilbert, "mobilebert": mobilebert}


class AutoModel:
    """The bare encoder of a checkpoint's family."""

    head: ClassVar[str] = "none"

    def __init__(self) -> None:
        raise TypeError(f"{type(self).__name__} is not built but loaded: use from_pretrained or from_config")

    @classmethod
    def class_for(cls, config: PretrainedConfig) -> type[PreTrainedModel]:
        """Return the class that a configuration and this head give.

        Raises:
            ConfigError: the family has no such head.
        """
        name = families.class_name(config, cls.head)
        found = getattr(_ROOMS[config.model_type], name, None)
        if found is None:
            raise ConfigError(f"{cls.__name__}: {config.model_type} has no {cls.head} head")
        return found  # type: ignore[no-any-return]

    @classmethod
    def from_config(cls, config: PretrainedConfig, **kwargs: Any) -> PreTrainedModel:
        """Build a model with fresh weights; see ``PreTrainedModel.from_config``."""
        return cls.class_for(config).from_config(config, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> Any:
        """Load a model; see ``PreTrainedModel.from_pretrained``."""
        config = kwargs.get("config")
        if not isinstance(config, PretrainedConfig):
            names = ("revision", "cache_dir", "local_files_only", "token", "force_download", "subfolder")
            hub = {name: kwargs[name] for name in names if name in kwargs}
            config = AutoConfig.from_pretrained(config or pretrained_model_name_or_path, **hub)
        return cls.class_for(config).from_pretrained(pretrained_model_name_or_path, **kwargs)


class AutoModelForPreTraining(AutoModel):
    """The model with its pre-training heads; a masked language model where the family has only that."""

    head = "pretraining"

    @classmethod
    def class_for(cls, config: PretrainedConfig) -> type[PreTrainedModel]:
        """See ``AutoModel.class_for``."""
        if config.model_type == "distilbert":
            return AutoModelForMaskedLM.class_for(config)
        return super().class_for(config)


class AutoModelForMaskedLM(AutoModel):
    """The model that predicts words."""

    head = "masked_lm"


class AutoModelForNextSentencePrediction(AutoModel):
    """The model that tells whether B continues A."""

    head = "next_sentence"


class AutoModelForSequenceClassification(AutoModel):
    """The model with one answer a text."""

    head = "sequence_classification"


class AutoModelForMultipleChoice(AutoModel):
    """The model that picks one of several texts."""

    head = "multiple_choice"


class AutoModelForTokenClassification(AutoModel):
    """The model with one class a token."""

    head = "token_classification"


class AutoModelForQuestionAnswering(AutoModel):
    """The model that finds an answer's start and end."""

    head = "question_answering"
