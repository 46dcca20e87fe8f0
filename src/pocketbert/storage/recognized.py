"""Why code of transformers takes a model or tokenizer of this library for one of its own.

Its ``Trainer`` saves the configuration, and shared weights once, only of what ``isinstance`` says is its
``PreTrainedModel``, and pads only with what is its tokenizer; of any other module it saves the bare ``state_dict``,
which fails where weights are shared and loads nowhere. ``isinstance`` asks an object's ``__class__``, so code inside
transformers (or sentence-transformers), and no other, is told a class that derives from both. Nothing of theirs is
imported or called here.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any, ClassVar

__all__ = ["Recognized"]

_CALLERS = ("transformers", "sentence_transformers")  # whose code is told
_own_class: Any = object.__dict__["__class__"]


@lru_cache
def _joined(ours: type, theirs: type) -> type:
    return type(ours)(ours.__name__, (ours, theirs), {"__module__": ours.__module__, "__doc__": ours.__doc__})


class Recognized:
    """What transformers' own code may handle; a subclass names the class that it stands for."""

    _stands_for: ClassVar[tuple[str, str]]  # module and name

    @property
    def _class_told(self) -> type:
        ours: type = type(self)
        module, name = ours._stands_for  # type: ignore[attr-defined]  # a subclass of this one
        caller = str(sys._getframe(1).f_globals.get("__name__", "")).partition(".")[0]
        if module not in sys.modules or caller not in _CALLERS:
            return ours
        return _joined(ours, getattr(sys.modules[module], name))

    @_class_told.setter
    def _class_told(self, value: type) -> None:
        _own_class.__set__(self, value)

    __class__ = _class_told
