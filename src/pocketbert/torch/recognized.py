"""Why code of transformers takes a model of this library for one of its own.

Its ``Trainer`` saves the configuration, and shared weights once, only of what ``isinstance`` says is its
``PreTrainedModel``; of any other module it saves the bare ``state_dict``, which fails where weights are shared and
loads nowhere. ``isinstance`` asks an object's ``__class__``, so code inside transformers, and no other, is told a class
that derives from both. Nothing of transformers is imported or called for this.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any, ClassVar

__all__ = ["Recognized"]

_own_class: Any = object.__dict__["__class__"]


@lru_cache
def _joined(ours: type, theirs: type) -> type:
    return type(ours.__name__, (ours, theirs), {"__module__": ours.__module__, "__doc__": ours.__doc__})


class Recognized:
    """A model that transformers' own code may handle, with the facts about saving that its ``Trainer`` reads."""

    _keys_to_ignore_on_save: ClassVar[None] = None
    is_parallelizable: ClassVar[bool] = False
    model_parallel: ClassVar[bool] = False

    @property
    def _class_told(self) -> type:
        ours: type = type(self)
        theirs = sys.modules.get("transformers.modeling_utils")
        if theirs is None or not sys._getframe(1).f_globals.get("__name__", "").startswith("transformers."):
            return ours
        return _joined(ours, theirs.PreTrainedModel)

    @_class_told.setter
    def _class_told(self, value: type) -> None:
        _own_class.__set__(self, value)

    __class__ = _class_told
