"""How much the library says, under the names of ``transformers.logging``.

The library warns with Python's ``warnings``. From ``set_verbosity_error`` on it does not, except for a
``FutureWarning``, which is about the code and not the run. Loggers are those of ``logging``, named ``pocketbert``.
"""

from __future__ import annotations

import logging
from logging import CRITICAL, DEBUG, ERROR, FATAL, INFO, NOTSET, WARN, WARNING
from typing import Any

from pocketbert.notices import silence

__all__ = ["CRITICAL", "DEBUG", "ERROR", "FATAL", "INFO", "NOTSET", "WARN", "WARNING"]
__all__ += ["get_logger", "get_verbosity", "set_verbosity", "set_verbosity_debug", "set_verbosity_error"]
__all__ += ["set_verbosity_info", "set_verbosity_warning", "disable_progress_bar", "enable_progress_bar"]
__all__ += ["enable_default_handler", "enable_explicit_format"]


def get_logger(name: str | None = None) -> logging.Logger:
    """Return the logger of a name, or the library's."""
    return logging.getLogger(name or "pocketbert")


def get_verbosity() -> int:
    """Return the level of the library's logger: 30 is ``WARNING``, the level at first."""
    return get_logger().getEffectiveLevel()


def set_verbosity(verbosity: int) -> None:
    """Set the level below which nothing is said."""
    get_logger().setLevel(verbosity)
    silence(verbosity > WARNING)


def set_verbosity_debug() -> None:
    """Say everything."""
    set_verbosity(DEBUG)


def set_verbosity_info() -> None:
    """Say everything but what is for finding mistakes in the library."""
    set_verbosity(INFO)


def set_verbosity_warning() -> None:
    """Warn."""
    set_verbosity(WARNING)


def set_verbosity_error() -> None:
    """Raise errors, and do not warn."""
    set_verbosity(ERROR)


def enable_default_handler() -> None:
    """Change nothing: the library adds no handler, and Python's own prints warnings."""


enable_explicit_format = enable_default_handler


def disable_progress_bar() -> None:
    """Show no progress of downloads."""
    _hub().disable_progress_bars()


def enable_progress_bar() -> None:
    """Show the progress of downloads."""
    _hub().enable_progress_bars()


def _hub() -> Any:
    import huggingface_hub.utils

    return huggingface_hub.utils
