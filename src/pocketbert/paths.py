"""The modules that code written for transformers imports from, such as ``pocketbert.pipelines``.

Such a module has no file: it is an entry of the table below, put into ``sys.modules`` when the package is imported, and
looks a name up in its rooms when the name is first used. So none of them imports anything before.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["RENAMED", "ROOMS_OF", "add_modules"]

_FAMILIES = {"distilbert": "torch.distilbert", "mobilebert": "torch.mobilebert", "bert": "torch.bert"}
_TOKENIZERS = ("tokenizer", "constants")
_UTILS = ("architecture.outputs", *_TOKENIZERS, "extras")

_PIPELINES = ("tasks", "errors", "constants")

# module -> the rooms that its names live in
ROOMS_OF: dict[str, tuple[str, ...]] = {
    "activations": ("torch.activations",),
    "configuration_utils": ("architecture.config",),
    "data": ("torch.training",),
    "data.data_collator": ("torch.training",),
    "file_utils": _UTILS,
    "modeling_outputs": ("architecture.outputs",),
    "modeling_tf_outputs": ("architecture.outputs",),
    "modeling_tf_utils": ("keras.model",),
    "modeling_utils": ("torch.model",),
    "models": (),
    "models.auto": ("architecture.config", "tokenizer", "torch.auto", "keras.auto"),
    "models.auto.configuration_auto": ("architecture.config",),
    "models.auto.modeling_auto": ("torch.auto",),
    "models.auto.modeling_tf_auto": ("keras.auto",),
    "models.auto.tokenization_auto": ("tokenizer",),
    "optimization": ("torch.training",),
    "pipelines": _PIPELINES,
    "pipelines.base": _PIPELINES,
    "pipelines.feature_extraction": _PIPELINES,
    "pipelines.fill_mask": _PIPELINES,
    "pipelines.pt_utils": ("tasks.key_dataset",),
    "pipelines.question_answering": _PIPELINES,
    "pipelines.text_classification": _PIPELINES,
    "pipelines.token_classification": _PIPELINES,
    "pipelines.zero_shot_classification": _PIPELINES,
    "tokenization_utils": _TOKENIZERS,
    "tokenization_utils_base": _TOKENIZERS,
    "tokenization_utils_fast": _TOKENIZERS,
    "trainer_utils": ("seeds",),
    "utils": _UTILS,
    "utils.generic": _UTILS,
    "utils.logging": ("verbosity",),
}
for _family, _models in _FAMILIES.items():
    _keras = () if _family == "bert" else (f"keras.{_family}",)
    _parts: dict[str, tuple[str, ...]] = {
        f"configuration_{_family}": ("architecture.config",),
        f"modeling_{_family}": (_models, "architecture.outputs"),
        f"tokenization_{_family}": ("tokenizer",),
        f"tokenization_{_family}_fast": ("tokenizer",),
        **({f"modeling_tf_{_family}": (*_keras, "architecture.outputs")} if _keras else {}),
    }
    ROOMS_OF[f"models.{_family}"] = ("architecture.config", "tokenizer", _models, *_keras)
    ROOMS_OF |= {f"models.{_family}.{_part}": _rooms for _part, _rooms in _parts.items()}
    ROOMS_OF |= _parts  # where transformers 2 and 3 had them
ROOMS_OF |= {  # likewise
    "configuration_auto": ("architecture.config",),
    "modeling_auto": ("torch.auto",),
    "modeling_tf_auto": ("keras.auto",),
    "tokenization_auto": ("tokenizer",),
}

# transformers' name -> ours
RENAMED = {
    "NerPipeline": "TokenClassificationPipeline",
    "get_activation": "activation",
    **{
        f"TF{name}": name
        for name in (
            "BaseModelOutput",
            "BaseModelOutputWithPooling",
            "MaskedLMOutput",
            "MultipleChoiceModelOutput",
            "NextSentencePredictorOutput",
            "QuestionAnsweringModelOutput",
            "SequenceClassifierOutput",
            "TokenClassifierOutput",
        )
    },
}


class _Module(ModuleType):
    """A module whose names live in rooms."""

    def __init__(self, name: str, rooms: tuple[str, ...]) -> None:
        super().__init__(name, f"Names that transformers has in its module of this name; they live in {rooms}.")
        self.__spec__ = ModuleSpec(name, None, is_package=True)
        self.__path__: list[str] = []
        self.__rooms__ = rooms

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            return [public for room in self.__rooms__ for public in _room(room).__all__]
        ours = RENAMED.get(name, name)
        for room in () if name.startswith("__") else self.__rooms__:
            home = _room(room)
            if hasattr(home, ours):
                setattr(self, name, value := getattr(home, ours))
                return value
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


def _room(name: str) -> ModuleType:
    return importlib.import_module(f"pocketbert.{name}")


def add_modules() -> None:
    """Make the modules importable, and attributes of those that they lie in."""
    for name in sorted(ROOMS_OF):  # a package comes before its modules
        full = f"pocketbert.{name}"
        above, _, last = full.rpartition(".")
        module = sys.modules[full] = _Module(full, ROOMS_OF[name])
        if above in sys.modules:
            setattr(sys.modules[above], last, module)
    sys.modules["pocketbert"].logging = sys.modules["pocketbert.utils.logging"]  # type: ignore[attr-defined]
