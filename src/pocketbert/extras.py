"""Imports of optional packages; a missing one raises an error that says what to install."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType

from pocketbert.errors import MissingExtra

__all__ = ["is_tf_available", "is_torch_available", "require"]

# package -> (what needs it, what to install)
_EXTRAS = {
    "torch": ("PyTorch models", "'pocketbert[torch]'"),
    "keras": ("Keras models", "'pocketbert[keras]'"),
    "tensorflow": ("TensorFlow tensors", "'pocketbert[keras]'"),
    "onnx": ("ONNX files", "'pocketbert[onnx]'"),
    "onnxruntime": ("ONNX files", "'pocketbert[onnx]'"),
    "pyarrow": ("Parquet files", "'pocketbert[parquet]'"),
    "accelerate": ("training runs", "'pocketbert[train]'"),
    "datasets": ("training runs and data sets", "'pocketbert[train]'"),
    "matplotlib": ("curves", "'pocketbert[train]'"),
    **{name: (f"runs with report_to={name}", name) for name in ("tensorboard", "trackio", "wandb", "mlflow")},
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


def is_torch_available() -> bool:
    """Return whether PyTorch is installed."""
    return _installed("torch")


def is_tf_available() -> bool:
    """Return whether TensorFlow and Keras 3 are installed."""
    return _installed("tensorflow") and _installed("keras")


def _installed(package: str) -> bool:
    if package in sys.modules:
        return sys.modules[package] is not None
    return importlib.util.find_spec(package) is not None
