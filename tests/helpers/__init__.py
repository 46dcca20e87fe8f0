"""What tests share: small models, the comparisons with the original, damaged files, programs for other processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["HELPERS", "KERAS_OWN", "environment"]

HELPERS = Path(__file__).parent
KERAS_OWN = (  # warnings of Keras and TensorFlow about themselves
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning",
    "ignore:In the future `np.object` will be defined:FutureWarning",
)


def environment(**variables: str) -> Mapping[str, str]:
    """Return the environment of a process that imports what this one can, ``helpers`` too."""
    paths = [str(HELPERS.parent), *(path for path in sys.path if path), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))} | variables
