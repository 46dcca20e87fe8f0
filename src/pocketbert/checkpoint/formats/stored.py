"""A tensor stored in a file, and the interface of all format readers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pocketbert.errors import CheckpointError
from pocketbert.extras import require
from pocketbert.storage.watched import WatchedFile

__all__ = ["PlainTensor", "Plain", "Tensor", "WeightsFile", "as_torch", "damaged", "number_dtype", "widened"]


@dataclass(frozen=True)
class Tensor:
    """A tensor that lies in a file.

    Attributes:
        file: where.
        stored_name: what the file calls it.
        name: its present-day Hugging Face name.
        shape: in PyTorch's layout.
        dtype: ``"float32"``, ``"bfloat16"``, ...
    """

    file: Path
    stored_name: str
    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        """Bytes of its numbers."""
        return math.prod(self.shape) * number_dtype(self.dtype).itemsize


class WeightsFile(Protocol):
    """The tensors of one format's files, listed; each is read when it is asked for."""

    @property
    def files(self) -> list[Path]:
        """What was opened."""

    @property
    def tensors(self) -> list[Tensor]:
        """What lies in it."""

    def array(self, tensor: Tensor) -> NDArray[Any]:
        """Read one tensor; bfloat16 comes as float32."""

    def torch_tensor(self, tensor: Tensor) -> Any:
        """Read one tensor as a torch tensor of the stored dtype; needs torch."""


@dataclass(frozen=True)
class PlainTensor(Tensor):
    """A tensor that lies in its file as plain little-endian numbers.

    Attributes:
        offset: of its first byte.
        transposed: it is stored as the transpose of ``shape``.
    """

    offset: int
    transposed: bool


class Plain:
    """Files of a format whose tensors lie there as plain numbers: only their places were parsed.

    Args:
        files: what was opened.
        tensors: what lies there.
        watched: the files that hold ``tensors``.
    """

    def __init__(self, files: list[Path], tensors: list[PlainTensor], watched: Sequence[WatchedFile]) -> None:
        self.files = files
        self.tensors: list[Tensor] = [*tensors]
        self._places = {tensor.stored_name: tensor for tensor in tensors}
        self._watched = {file.path: file for file in watched}

    def array(self, tensor: Tensor) -> NDArray[Any]:
        """See ``WeightsFile``."""
        return widened(tensor, self._words(tensor))

    def torch_tensor(self, tensor: Tensor) -> Any:
        """See ``WeightsFile``."""
        return as_torch(tensor, self._words(tensor))

    def _words(self, tensor: Tensor) -> NDArray[Any]:
        """Read a tensor in PyTorch's layout; see ``number_dtype``."""
        place = self._places[tensor.stored_name]
        dtype = number_dtype(tensor.dtype).newbyteorder("<")
        numbers = self._watched[tensor.file].numbers(dtype, math.prod(tensor.shape), place.offset)
        if place.transposed:
            return np.ascontiguousarray(numbers.reshape(tensor.shape[::-1]).T)
        return numbers.reshape(tensor.shape)


def number_dtype(name: str) -> np.dtype[Any]:
    """Return the numpy dtype that a tensor's numbers are read as: 16-bit words for bfloat16, which numpy lacks."""
    return np.dtype("uint16" if name == "bfloat16" else name)


def widened(tensor: Tensor, numbers: NDArray[Any]) -> NDArray[Any]:
    """Return what was read of a tensor with bfloat16 as float32."""
    return (numbers.astype(np.uint32) << 16).view(np.float32) if tensor.dtype == "bfloat16" else numbers


def as_torch(tensor: Tensor, numbers: NDArray[Any]) -> Any:
    """Return what was read of a tensor as a torch tensor of its dtype."""
    torch = require("torch")
    if tensor.dtype == "bfloat16":
        return torch.from_numpy(numbers.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(numbers)


def damaged(file: Path, kind: str, error: Exception) -> CheckpointError:
    """Return what to raise where a file cannot be read as what its name says."""
    size = file.stat().st_size
    return CheckpointError(f"{file} is damaged or no {kind} ({error}); it has {size} bytes: fetch it again")
