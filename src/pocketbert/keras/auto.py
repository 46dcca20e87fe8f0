"""TFAutoModel and its kind: the Keras class of a checkpoint's ``model_type`` that has the head that is asked for."""

from __future__ import annotations

from importlib import import_module

from pocketbert.architecture import families
from pocketbert.architecture.config import PretrainedConfig
from pocketbert.checkpoint.auto_class import AutoClass
from pocketbert.errors import ConfigError
from pocketbert.keras.model import TFPreTrainedModel

__all__ = [
    "TFAutoModel",
    "TFAutoModelForPreTraining",
    "TFAutoModelForMaskedLM",
    "TFAutoModelWithLMHead",
    "TFAutoModelForNextSentencePrediction",
    "TFAutoModelForSequenceClassification",
    "TFAutoModelForMultipleChoice",
    "TFAutoModelForTokenClassification",
    "TFAutoModelForQuestionAnswering",
    "register",
]

_registered: dict[tuple[type[PretrainedConfig], str], type[TFPreTrainedModel]] = {}


def register(config_class: type[PretrainedConfig], model_class: type[TFPreTrainedModel]) -> None:
    """Let configurations of a class give a class of yours, wherever its ``head`` is asked for."""
    _registered[config_class, model_class.head] = model_class


def model_class(config: PretrainedConfig, head: str) -> type[TFPreTrainedModel]:
    """Return the class of a configuration's family with a head; one that was registered comes first.

    Raises:
        ConfigError: the family has no such head, or the library has no Keras class of it, as for all of BERT.
    """
    if chosen := _registered.get((type(config), head)):
        return chosen
    family = families.family_of(config)
    room = import_module(f"pocketbert.keras.{family.model_type}")
    if not hasattr(room, f"TF{family.class_name}Model"):
        raise ConfigError(
            f"{config.name_or_path or 'this'} is a {family.class_name.upper()}, and Keras models are DistilBERT and "
            "MobileBERT; export it to ONNX or choose another runtime"
        )
    name = f"TF{family.class_name}{family.head(head).suffix}"
    built_in: type[TFPreTrainedModel] | None = getattr(room, name, None)
    if built_in is None:
        raise ConfigError(f"there is no class {name}; write it and pass it to TFAutoModel.register")
    return built_in


class TFAutoModel(AutoClass):
    """The bare Keras encoder of a checkpoint's family.

    >>> from pocketbert import DistilBertConfig, TFAutoModel
    >>> config = DistilBertConfig(vocab_size=99, dim=8, n_heads=2, n_layers=1, hidden_dim=16)
    >>> type(TFAutoModel.from_config(config)).__name__
    'TFDistilBertModel'
    """

    find = staticmethod(model_class)
    add = staticmethod(register)


class TFAutoModelForPreTraining(TFAutoModel):
    """The Keras model with its pre-training heads; a masked language model where the family has only that."""

    head = "pretraining"
    other_head = "masked_lm"


class TFAutoModelForMaskedLM(TFAutoModel):
    """The Keras model that predicts words."""

    head = "masked_lm"


class TFAutoModelWithLMHead(TFAutoModelForMaskedLM):
    """The older name of ``TFAutoModelForMaskedLM``."""

    successor = "TFAutoModelForMaskedLM"


class TFAutoModelForNextSentencePrediction(TFAutoModel):
    """The Keras model that tells whether B continues A."""

    head = "next_sentence"


class TFAutoModelForSequenceClassification(TFAutoModel):
    """The Keras model with one answer per text."""

    head = "sequence_classification"


class TFAutoModelForMultipleChoice(TFAutoModel):
    """The Keras model that picks one of several texts."""

    head = "multiple_choice"


class TFAutoModelForTokenClassification(TFAutoModel):
    """The Keras model with a class per token."""

    head = "token_classification"


class TFAutoModelForQuestionAnswering(TFAutoModel):
    """The Keras model that finds an answer's start and end."""

    head = "question_answering"
