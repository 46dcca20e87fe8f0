"""Imports of optional packages; a missing one raises an error that says what to install."""

from __future__ import annotations

import importlib
from types import ModuleType

from pocketbert.errors import MissingExtra

__all__ = ["require"]

# package -> (what needs it, what to install)
_EXTRAS = {
    "torch": ("PyTorch models", "'pocketbert[torch]'"),
    "keras": ("Keras models", "'pocketbert[keras]'"),
    "tensorflow": ("TensorFlow tensors", "'pocketbert[keras]'"),
    "onnx": ("ONNX files", "'pocketbert[onnx]'"),
    "onnxruntime": ("ONNX files", "'pocketbert[onnx]'"),
    "pyarrow": ("Parquet files", "'pocketbert[parquet]'"),
    "h5py": (".h5 files", "'pocketbert[h5]'"),
}


def require(package: str) -> ModuleType:
    """Import ``package``.

    Raises:
        MissingExtra: the package is not installed; the message says what to install.
    """
    what, install = _EXTRAS[package]
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise MissingExtra(f"{what} need {package}; pip install {install}") from error
