"""A tensor stored in a file, and the interface of all format readers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pocketbert.errors import CheckpointError
from pocketbert.extras import require

__all__ = ["PlainTensor", "Plain", "Tensor", "WeightsFile", "damaged"]


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
    """Files of a format whose tensors lie there as plain numbers: only their places were parsed."""

    def __init__(self, files: list[Path], tensors: list[PlainTensor]) -> None:
        self.files = files
        self.tensors: list[Tensor] = [*tensors]

    def array(self, tensor: Tensor) -> NDArray[Any]:
        """See ``WeightsFile``."""
        assert isinstance(tensor, PlainTensor)
        count = int(np.prod(tensor.shape, dtype=np.int64))
        dtype = np.dtype(tensor.dtype).newbyteorder("<")
        values = np.fromfile(tensor.file, dtype, count, offset=tensor.offset)
        if len(values) != count:
            raise CheckpointError(f"{tensor.file} was cut short while it was read; {tensor.stored_name} is incomplete")
        if tensor.transposed:
            return np.ascontiguousarray(values.reshape(tensor.shape[::-1]).T)
        return values.reshape(tensor.shape)

    def torch_tensor(self, tensor: Tensor) -> Any:
        """See ``WeightsFile``."""
        return require("torch").from_numpy(self.array(tensor))


def damaged(file: Path, kind: str, error: Exception) -> CheckpointError:
    """Return what to raise where a file cannot be read as what its name says."""
    size = file.stat().st_size
    return CheckpointError(f"{file} is damaged or no {kind} ({error}); it has {size} bytes: fetch it again")
