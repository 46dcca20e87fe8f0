"""AutoModel and its kind: the class of a checkpoint's ``model_type`` that has the head that is asked for."""

from __future__ import annotations

from importlib import import_module

from pocketbert.architecture import families
from pocketbert.architecture.config import PretrainedConfig
from pocketbert.checkpoint.auto_class import AutoClass
from pocketbert.errors import ConfigError
from pocketbert.torch.model import PreTrainedModel

__all__ = [
    "AutoModel",
    "AutoModelForPreTraining",
    "AutoModelForMaskedLM",
    "AutoModelWithLMHead",
    "AutoModelForNextSentencePrediction",
    "AutoModelForSequenceClassification",
    "AutoModelForMultipleChoice",
    "AutoModelForTokenClassification",
    "AutoModelForQuestionAnswering",
]

_registered: dict[tuple[type[PretrainedConfig], str], type[PreTrainedModel]] = {}


def register(config_class: type[PretrainedConfig], model_class: type[PreTrainedModel]) -> None:
    """Let configurations of a class give a class of yours, wherever its ``head`` is asked for."""
    _registered[config_class, model_class.head] = model_class


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


class AutoModel(AutoClass):
    """The bare encoder of a checkpoint's family.

    >>> from pocketbert import AutoModel, DistilBertConfig
    >>> config = DistilBertConfig(vocab_size=99, dim=8, n_heads=2, n_layers=1, hidden_dim=16)
    >>> type(AutoModel.from_config(config)).__name__
    'DistilBertModel'
    """

    find = staticmethod(model_class)
    add = staticmethod(register)


class AutoModelForPreTraining(AutoModel):
    """The model with its pre-training heads; a masked language model where the family has only that."""

    head = "pretraining"
    other_head = "masked_lm"


class AutoModelForMaskedLM(AutoModel):
    """The model that predicts words."""

    head = "masked_lm"


class AutoModelWithLMHead(AutoModelForMaskedLM):
    """The older name of ``AutoModelForMaskedLM``."""

    successor = "AutoModelForMaskedLM"


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
