"""The reader of safetensors files, PyTorch's and TensorFlow's."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketbert.checkpoint.formats.names import keras_name, modern_name
from pocketbert.checkpoint.formats.stored import Tensor, damaged
from pocketbert.errors import CheckpointError
from pocketbert.extras import require
from pocketbert.storage.mapped import StoredTensor, read_header

__all__ = ["SafetensorsFile"]

# safetensors dtype names -> numpy and torch names
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_DTYPES |= {"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool"}


class SafetensorsFile:
    """One safetensors file.

    Raises:
        CheckpointError: it is damaged, or holds a dtype that no one reads.
    """

    def __init__(self, file: Path) -> None:
        from safetensors import SafetensorError, safe_open

        self.files = [file]
        self._transposed: set[str] = set()
        try:
            opened: Any = safe_open(file, "np")
            self._opened = opened  # once, since a header may list a thousand tensors
            stored_as = (opened.metadata() or {}).get("format")
            if stored_as == "pocketbert plan":
                raise CheckpointError(
                    f"{file} is in int8, written by pocketbert quantize; it runs with runtime='native' or 'onnx'. For "
                    "everything else use the checkpoint that it was made from"
                )
            self._from_tensorflow = stored_as == "tf"
            self.tensors = [self._tensor(file, name) for name in opened.keys()]  # noqa: SIM118  # not a dict
        except CheckpointError:
            raise
        except (SafetensorError, OSError, ValueError) as error:
            raise damaged(file, "safetensors file", error) from error

    def array(self, tensor: Tensor) -> NDArray[Any]:
        """See ``WeightsFile``."""
        values = self._read(tensor)
        return (values.astype(np.uint32) << 16).view(np.float32) if tensor.dtype == "bfloat16" else values

    def torch_tensor(self, tensor: Tensor) -> Any:
        """See ``WeightsFile``."""
        torch, values = require("torch"), self._read(tensor)
        if tensor.dtype == "bfloat16":
            return torch.from_numpy(values.view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(values)

    def _tensor(self, file: Path, stored_name: str) -> Tensor:
        view = self._opened.get_slice(stored_name)
        shape, dtype = tuple(view.get_shape()), view.get_dtype()
        if dtype not in _DTYPES:
            raise CheckpointError(f"{stored_name} in {file} has dtype {dtype}; supported are {', '.join(_DTYPES)}")
        translated = keras_name(stored_name) if self._from_tensorflow else None
        name, transposed = translated or (modern_name(stored_name), False)
        if transposed:
            self._transposed.add(name)
            shape = shape[::-1]
        return Tensor(file, stored_name, name, shape, _DTYPES[dtype])

    @cached_property
    def _stored(self) -> dict[str, StoredTensor]:
        return read_header(self.files[0])[1]

    def _read(self, tensor: Tensor) -> NDArray[Any]:
        """Read one tensor in PyTorch's layout; bfloat16, which numpy lacks, as words of 16 bits."""
        if tensor.dtype == "bfloat16":
            place = self._stored[tensor.stored_name]
            stored = np.fromfile(tensor.file, np.uint16, place.size // 2, offset=place.offset).reshape(place.shape)
        else:
            stored = np.asarray(self._opened.get_tensor(tensor.stored_name))
        return np.ascontiguousarray(stored.T) if tensor.name in self._transposed else stored
