"""The reader of safetensors files, PyTorch's and TensorFlow's."""

from __future__ import annotations

from pathlib import Path

from pocketbert.checkpoint.formats.names import keras_name, modern_name
from pocketbert.checkpoint.formats.stored import Plain, PlainTensor
from pocketbert.errors import CheckpointError
from pocketbert.storage.safetensors_header import StoredTensor, read_header
from pocketbert.storage.watched import WatchedFile

__all__ = ["read_safetensors"]

# safetensors dtype names -> numpy and torch names
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_DTYPES |= {"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool"}


def read_safetensors(file: Path) -> Plain:
    """List the tensors of one file.

    Raises:
        CheckpointError: it is damaged, holds an int8 plan or a dtype that no one reads.
    """
    watched = WatchedFile(file)
    try:
        metadata, stored = read_header(watched.file)
    except CheckpointError as error:
        raise CheckpointError(f"{file} {error}; it has {file.stat().st_size} bytes: fetch it again") from error
    if metadata.get("format") == "pocketbert plan":
        raise CheckpointError(
            f"{file} is in int8, written by pocketbert quantize; it runs with runtime='native' or 'onnx'. For "
            "everything else use the checkpoint that it was made from"
        )
    from_tensorflow = metadata.get("format") == "tf"
    return Plain([file], [_tensor(file, name, place, from_tensorflow) for name, place in stored.items()], [watched])


def _tensor(file: Path, stored_name: str, place: StoredTensor, from_tensorflow: bool) -> PlainTensor:
    if place.dtype not in _DTYPES:
        raise CheckpointError(
            f"{stored_name} in {file} has dtype {place.dtype[:20]}; supported are {', '.join(_DTYPES)}"
        )
    translated = keras_name(stored_name) if from_tensorflow else None
    name, transposed = translated or (modern_name(stored_name), False)
    shape = place.shape[::-1] if transposed else place.shape
    return PlainTensor(file, stored_name, name, shape, _DTYPES[place.dtype], place.offset, transposed)
