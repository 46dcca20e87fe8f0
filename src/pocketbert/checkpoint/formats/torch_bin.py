"""The reader of ``pytorch_model.bin``: zip files, and the format from before torch 1.6. It needs no torch."""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from pocketbert.checkpoint.formats.names import modern_name
from pocketbert.checkpoint.formats.stored import Tensor, as_torch, number_dtype, widened
from pocketbert.checkpoint.formats.tensor_pickle import Storage, View, read_pickle
from pocketbert.errors import CheckpointError
from pocketbert.storage.watched import WatchedFile

__all__ = ["TorchFile"]

ByteOrder = Literal["<", ">"]

_ZIP = b"PK\x03\x04"
_MAGIC = 0x1950A86A20F9469CFC6C  # first pickle of an older file; its version is 1001


class TorchFile:
    """One file in torch's own format.

    Raises:
        CheckpointError: it is damaged or holds something else.
        UnsafeFileError: it holds more than tensors.
    """

    def __init__(self, file: Path) -> None:
        self.files, self._watched = [file], WatchedFile(file)
        try:
            stream = self._watched.file
            is_zip = stream.read(4) == _ZIP
            stream.seek(0)
            content, self._places, self._order = _read_zip(stream) if is_zip else _read_older(stream)
            self._views = _views(content)
            self.tensors = [
                Tensor(file, name, modern_name(name), view.shape, view.storage.dtype)
                for name, view in self._views.items()
            ]
        except CheckpointError as error:
            raise type(error)(f"{file} {error}") from error.__cause__

    def array(self, tensor: Tensor) -> NDArray[Any]:
        """See ``WeightsFile``."""
        return widened(tensor, self._words(tensor))

    def torch_tensor(self, tensor: Tensor) -> Any:
        """See ``WeightsFile``."""
        return as_torch(tensor, self._words(tensor))

    def _words(self, tensor: Tensor) -> NDArray[Any]:
        """Read a tensor's numbers; see ``number_dtype``."""
        view = self._views[tensor.stored_name]
        dtype = number_dtype(view.storage.dtype).newbyteorder(self._order)
        native = dtype.newbyteorder("=")
        if not math.prod(view.shape):
            return np.zeros(view.shape, native)
        count = 1 + sum((size - 1) * stride for size, stride in zip(view.shape, view.strides, strict=True))
        start = self._places[view.storage.key] + (view.storage.start + view.offset) * dtype.itemsize
        numbers = self._watched.numbers(dtype, count, start)
        strides = [stride * dtype.itemsize for stride in view.strides]
        strided = np.lib.stride_tricks.as_strided(numbers, view.shape, strides)
        return strided.astype(native, order="C", copy=not strided.flags.c_contiguous)


def _read_zip(stream: BinaryIO) -> tuple[Any, dict[str, int], ByteOrder]:
    """Return what a file holds, the place of each storage's first byte, and the byte order (``"<"`` or ``">"``)."""
    try:
        with zipfile.ZipFile(stream) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, zipfile.LargeZipFile, OSError, ValueError, NotImplementedError, UnicodeError) as error:
        raise CheckpointError(f"is damaged or no torch file: {error}") from error
    names = {entry.filename: entry for entry in entries}
    pickles = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(names) != len(entries) or len(pickles) != 1:
        raise CheckpointError("is a zip file, but none of torch.save: it must hold one data.pkl, and no name twice")
    if any(name.rpartition("/")[2] == "constants.pkl" for name in names):
        raise CheckpointError("is a TorchScript program, which holds code; save the model's state_dict() instead")
    folder, size = pickles[0].partition("/")[0], os.fstat(stream.fileno()).st_size
    order: ByteOrder = ">" if _content(stream, names.get(f"{folder}/byteorder"), size) == b"big" else "<"
    stream.seek(_place(stream, names[pickles[0]], size))
    content = read_pickle(stream)
    places = {}
    for storage in _storages(content):
        entry = names.get(f"{folder}/data/{storage.key}")
        needed = (storage.start + storage.count) * number_dtype(storage.dtype).itemsize
        if entry is None or entry.file_size < needed:
            raise CheckpointError(f"is damaged: storage {storage.key[:40]!r} is absent or has not {needed} bytes")
        places[storage.key] = _place(stream, entry, size)
    return content, places, order


def _place(stream: BinaryIO, entry: zipfile.ZipInfo, size: int) -> int:
    """Return where an entry's bytes begin; they lie there as they are."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
        raise CheckpointError(f"is no file of torch.save: {entry.filename[:60]} is compressed or encrypted")
    begin = entry.header_offset
    stream.seek(begin if 0 <= begin < size else size)
    header = stream.read(30)
    if len(header) != 30 or header[:4] != _ZIP:
        raise CheckpointError(f"is damaged: {entry.filename[:60]} is not where it should be")
    start = begin + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    if start + entry.file_size > size:
        raise CheckpointError(f"is cut short: {entry.filename[:60]} ends at byte {start + entry.file_size} of {size}")
    return start


def _content(stream: BinaryIO, entry: zipfile.ZipInfo | None, size: int) -> bytes:
    if entry is None:
        return b""
    stream.seek(_place(stream, entry, size))
    return stream.read(min(entry.file_size, 16))


def _read_older(stream: BinaryIO) -> tuple[Any, dict[str, int], ByteOrder]:
    """Read pickles one after the other: magic number, version, system, content, keys; then each storage's numbers."""
    size = os.fstat(stream.fileno()).st_size
    if (first := stream.read(1)) != b"\x80":
        raise CheckpointError("is damaged or no torch file" if first else "is empty")
    stream.seek(0)
    if read_pickle(stream) != _MAGIC or read_pickle(stream) != 1001:
        raise CheckpointError("is no torch file: the magic number or version that torch.save writes is absent")
    system = read_pickle(stream)
    order: ByteOrder = ">" if isinstance(system, dict) and system.get("little_endian") is False else "<"
    content, keys = read_pickle(stream), read_pickle(stream)
    sizes: dict[str, int] = {}
    for storage in _storages(content):
        width = number_dtype(storage.dtype).itemsize
        if sizes.setdefault(storage.key, width) != width:
            raise CheckpointError(f"is damaged: storage {storage.key[:40]!r} has two dtypes")
    if not isinstance(keys, list) or not all(type(key) is str for key in keys) or not sizes.keys() <= {*keys}:
        raise CheckpointError("is damaged: its list of storages does not match its tensors")
    places, counts = {}, {}
    for key in keys:
        if key not in sizes:
            raise CheckpointError(f"is damaged: storage {key[:40]!r} is of no tensor")
        counts[key] = int.from_bytes(stream.read(8), "little" if order == "<" else "big")
        places[key] = stream.tell()
        if counts[key] > (size - places[key]) // sizes[key]:
            raise CheckpointError(f"is cut short: storage {key[:40]!r} ends after byte {size}")
        stream.seek(counts[key] * sizes[key], os.SEEK_CUR)
    if any(storage.start + storage.count > counts[storage.key] for storage in _storages(content)):
        raise CheckpointError("is damaged: a storage has fewer numbers than its tensors")
    return content, places, order


def _views(content: Any) -> dict[str, View]:
    """Return the tensors by name: of the content, or of the ``state_dict`` that a trainer kept in it."""
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(
        type(name) is str and type(value) is View for name, value in content.items()
    ):
        raise CheckpointError("holds no mapping of names to tensors")
    return content


def _storages(content: Any) -> list[Storage]:
    """List the storages of every tensor in a value; a list or dict that is met twice is read once."""
    found, seen, left = [], set(), [content]
    while left:
        value = left.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if type(value) is View:
            found.append(value.storage)
        elif type(value) is Storage:
            found.append(value)
        elif isinstance(value, (list, tuple)):
            left.extend(value)
        elif isinstance(value, dict):
            left.extend(value.values())
    return found
