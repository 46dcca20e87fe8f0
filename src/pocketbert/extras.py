"""The one door to optional packages: import them here, or learn what to install."""

from __future__ import annotations

import importlib
from types import ModuleType

from pocketbert.errors import MissingExtra

__all__ = ["require"]

# package -> (what needs it, the extra that brings it)
_EXTRAS = {
    "torch": ("PyTorch models", "torch"),
}


def require(package: str) -> ModuleType:
    """Import ``package``.

    Raises:
        MissingExtra: the package is not installed; the message names the extra that brings it.
    """
    what, extra = _EXTRAS[package]
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise MissingExtra(f"{what} need {package}; pip install 'pocketbert[{extra}]'") from error
