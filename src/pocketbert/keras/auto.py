"""The Keras class of a configuration that has the head that is asked for."""

from __future__ import annotations

from importlib import import_module

from pocketbert.architecture import families
from pocketbert.architecture.config import PretrainedConfig
from pocketbert.errors import ConfigError
from pocketbert.keras.model import TFPreTrainedModel

__all__ = ["model_class", "register"]

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
        raise ConfigError(f"there is no class {name}; write it and pass it to pocketbert.keras.auto.register")
    return built_in
