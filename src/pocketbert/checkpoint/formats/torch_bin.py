"""The reader of ``pytorch_model.bin``, through torch's weights-only loader, which runs no code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketbert.checkpoint.formats.names import modern_name
from pocketbert.checkpoint.formats.stored import Tensor
from pocketbert.errors import CheckpointError, UnsafeFileError
from pocketbert.extras import require

__all__ = ["TorchFile"]


class TorchFile:
    """One file in torch's own format.

    Raises:
        CheckpointError: it is damaged or holds something else.
        UnsafeFileError: it holds more than tensors.
        MissingExtra: torch is not installed.
    """

    def __init__(self, file: Path) -> None:
        self.files = [file]
        self._content = _read(file)
        self.tensors = [
            Tensor(file, name, modern_name(name), tuple(value.shape), str(value.dtype).removeprefix("torch."))
            for name, value in self._content.items()
        ]

    def array(self, tensor: Tensor) -> NDArray[Any]:
        """See ``WeightsFile``."""
        value = self.torch_tensor(tensor)
        return np.asarray((value.float() if tensor.dtype == "bfloat16" else value).numpy())

    def torch_tensor(self, tensor: Tensor) -> Any:
        """See ``WeightsFile``."""
        return self._content[tensor.stored_name]


def _read(file: Path) -> Mapping[str, Any]:
    torch = require("torch")
    import pickle

    try:
        try:
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # the format from before torch 1.6 cannot be memory-mapped
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnsafeFileError(
            f"{file} holds more than tensors, or is damaged; nothing in it was run. "
            "Ask its author for model.safetensors"
        ) from error
    except Exception as error:  # what a damaged pickle makes torch raise has no common root
        raise CheckpointError(f"{file} is damaged or no torch file: {error}") from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in content.items()
    ):
        raise CheckpointError(f"{file} holds no mapping of names to tensors")
    return content
