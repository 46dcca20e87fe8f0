"""The reader of ``tf_model.h5``: h5py only locates each tensor, and only plain uncompressed floats are accepted."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pocketbert.checkpoint.formats.names import keras_name
from pocketbert.checkpoint.formats.stored import Plain, PlainTensor, damaged
from pocketbert.errors import CheckpointError, UnsafeFileError
from pocketbert.extras import require
from pocketbert.storage.watched import WatchedFile

__all__ = ["read_h5"]

_MOST_OBJECTS = 20_000  # groups and datasets of a file; a 24-layer MobileBERT has 5,000
_CURE = "load the model where it was saved, and save it again with save_pretrained"


def read_h5(file: Path, *, is_shard: bool = False) -> Plain:
    """List the tensors of a file that transformers' TensorFlow classes wrote.

    A whole model's file names a variable ``LAYER/MODEL/LAYER/...``, a shard ``LAYER/...``. A variable that two layers
    share (the word table and the head that it is tied to) stands under both, ``USER/MODEL/OWNER/...``; the owner's is
    taken.

    Nothing outside the file is opened and no filter runs: links other than hard ones, external and virtual storage,
    chunks and compression, none of which those classes write, are refused.

    Raises:
        CheckpointError: the file is damaged, truncated, or something else.
        UnsafeFileError: it refers to another file.
        MissingExtra: h5py is not installed.
    """
    h5py = require("h5py")
    watched = WatchedFile(file)
    try:
        with h5py.File(file, "r") as opened:
            if opened.userblock_size:
                raise CheckpointError(f"{file} starts with {opened.userblock_size} bytes that are not HDF5; {_CURE}")
            size = file.stat().st_size
            found = [
                _tensor(h5py, file, size, path, dataset, path if is_shard else "/".join(path.split("/")[2:]))
                for path, dataset in _datasets(h5py, file, opened)
            ]
    except CheckpointError:
        raise
    except Exception as error:  # what damage makes h5py raise has no common root
        raise damaged(file, "HDF5 file", error) from error
    if not found:
        raise CheckpointError(f"{file} holds no tensors; {_CURE}")
    if is_shard:
        return Plain([file], found, [watched])
    borrowed = {tensor.name: tensor for tensor in found}
    owned = {t.name: t for t in found if (parts := t.stored_name.split("/"))[0] == parts[2]}
    return Plain([file], list((borrowed | owned).values()), [watched])


def _datasets(h5py: Any, file: Path, root: Any) -> Iterator[tuple[str, Any]]:
    """Walk every dataset once; ``root`` is the opened file."""
    open_groups, seen = [("", root)], set()
    while open_groups:
        path, group = open_groups.pop()
        for name in group:
            where = f"{path}/{name}".removeprefix("/")
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise UnsafeFileError(f"{where} in {file} is a link to the file {link.filename!r}; it was not followed")
            if not isinstance(link, h5py.HardLink):
                raise CheckpointError(f"{where} in {file} is a link to another name; {_CURE}")
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                raise CheckpointError(f"{where} in {file} is another name of something else there; {_CURE}")
            seen.add(address)
            if len(seen) > _MOST_OBJECTS:
                raise CheckpointError(f"{file} holds more than {_MOST_OBJECTS} groups and datasets: no model of these")
            if isinstance(item, h5py.Group):
                open_groups.append((where, item))
            elif isinstance(item, h5py.Dataset):
                yield where, item
            else:
                raise CheckpointError(f"{where} in {file} is a {type(item).__name__}, not a tensor; {_CURE}")


def _tensor(h5py: Any, file: Path, size: int, path: str, dataset: Any, variable: str) -> PlainTensor:
    """Check that a dataset is floats in one piece within the file's ``size`` bytes, and return its place."""
    floats = {"float16": h5py.h5t.IEEE_F16LE, "float32": h5py.h5t.IEEE_F32LE, "float64": h5py.h5t.IEEE_F64LE}
    stored = dataset.id.get_type()
    dtype = next((name for name, known in floats.items() if stored.equal(known)), None)
    if dtype is None:
        raise CheckpointError(f"{path} in {file} is no tensor of {', '.join(floats)} (little-endian)")
    layout = dataset.id.get_create_plist()
    if layout.get_external_count():
        raise UnsafeFileError(f"{path} in {file} has its data in another file; it was not opened")
    if layout.get_layout() != h5py.h5d.CONTIGUOUS or layout.get_nfilters():
        raise CheckpointError(f"{path} in {file} is not stored in one piece without compression; {_CURE}")
    length, offset = math.prod(dataset.shape) * stored.get_size(), dataset.id.get_offset()
    if offset is None or dataset.id.get_storage_size() != length or offset + length > size:
        what = f"needs {length} bytes for the shape {dataset.shape}, and they are not in the file: fetch it again"
        raise CheckpointError(f"{path} in {file} {what}")
    translated = keras_name(variable)
    if translated is None:
        raise CheckpointError(f"{path} in {file} is no variable of transformers' TensorFlow classes; {_CURE}")
    name, transposed = translated
    shape = dataset.shape[::-1] if transposed else dataset.shape
    return PlainTensor(file, path, name, shape, dtype, offset, transposed)
