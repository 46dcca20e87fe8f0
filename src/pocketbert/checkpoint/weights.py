"""The weights of a folder: which files are read, and what they hold."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketbert.checkpoint.formats.h5 import read_h5
from pocketbert.checkpoint.formats.safetensors_file import read_safetensors
from pocketbert.checkpoint.formats.stored import Tensor, WeightsFile
from pocketbert.checkpoint.formats.tf1 import find_index, read_tf1
from pocketbert.checkpoint.formats.torch_bin import TorchFile
from pocketbert.errors import CheckpointError
from pocketbert.notices import warn
from pocketbert.storage.hub import WEIGHT_FILES, shard_names
from pocketbert.storage.pointers import refuse_pointer

__all__ = ["Checkpoint", "open_checkpoint"]

_MOST_TENSORS = 2**16  # the largest model here has about a thousand
_MOST_SHARDS = 256
_MOST_TIMES = 4  # as many bytes as the files; a table that a head shares is read twice
_FREE = 2**20  # bytes of tensors that are always read
_TORCH = (".bin", ".pt", ".pth")


class Checkpoint:
    """The weights of a folder, listed but not yet read.

    Attributes:
        folder: where it lies.
        files: the files that hold the weights.
        tensors: every tensor under its present-day Hugging Face name.
    """

    def __init__(self, folder: Path, opened: Sequence[WeightsFile]) -> None:
        self.folder = folder
        self.files = [file for weights in opened for file in weights.files]
        self.tensors: dict[str, Tensor] = {}
        self._holders: dict[str, WeightsFile] = {}
        for weights in opened:
            for tensor in weights.tensors:
                if tensor.name in self.tensors:
                    first = self.tensors[tensor.name].file.name
                    raise CheckpointError(f"{tensor.name} stands twice, in {first} and {tensor.file.name}")
                self.tensors[tensor.name] = tensor
                self._holders[tensor.name] = weights
        self._check_size()

    def _check_size(self) -> None:
        """Refuse tensors that share their numbers until they take far more memory than the files have."""
        if len(self.tensors) > _MOST_TENSORS:
            raise CheckpointError(f"{self.folder} holds {len(self.tensors)} tensors; at most {_MOST_TENSORS} are read")
        needed = sum(tensor.nbytes for tensor in self.tensors.values())
        if needed > _MOST_TIMES * self.size + _FREE:
            raise CheckpointError(
                f"the tensors of {self.folder} share their numbers: they take {needed} bytes, and the files have "
                f"{self.size}; at most {_MOST_TIMES} times as many are read"
            )

    @property
    def is_pickle(self) -> bool:
        """Whether the weights are in torch's own format."""
        return any(isinstance(weights, TorchFile) for weights in self._holders.values())

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.stat().st_size for file in self.files)

    def array(self, name: str) -> NDArray[Any]:
        """Read one tensor; bfloat16 comes as float32."""
        return self._holders[name].array(self.tensors[name])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Read every tensor."""
        return {name: self.array(name) for name in self.tensors}

    def torch_tensor(self, name: str) -> Any:
        """Read one tensor as a torch tensor of the stored dtype; needs torch."""
        return self._holders[name].torch_tensor(self.tensors[name])


def open_checkpoint(
    folder: str | os.PathLike[str], *, tied: bool = True, files: Sequence[str] = WEIGHT_FILES
) -> Checkpoint:
    """Find and list the weights of a folder, or those of one file.

    Of several formats the first of this order is read, and the others are ignored: safetensors, ``pytorch_model.bin``,
    ``tf_model.h5`` (each whole before sharded), a TensorFlow 1 checkpoint (``*.index`` with its ``*.data-*``).

    Args:
        folder: where they lie; or the one file, or shard index, that holds them, whatever its name.
        tied: the model's decoder is its word table; where a file holds two that differ, a warning says so.
        files: the files that may hold them, the preferred one first.

    Raises:
        CheckpointError: there are none, or a file is damaged (truncated, of another format).
        UnsafeFileError: a file names another outside the folder, or a pickle holds more than tensors.
        MissingExtra: a ``.h5`` file without h5py.
    """
    folder = Path(folder)
    for path in [folder] if folder.is_file() else [folder / name for name in files]:
        if path.is_file():
            is_index = ".index." in path.name and path.suffix == ".json"
            opened = [_open(file, is_index) for file in (_shards(path) if is_index else [path])]
            checkpoint = Checkpoint(path.parent, opened)
            if tied and path.match("*.h5*"):
                _warn_of_two_tables(checkpoint)
            return checkpoint
    index = find_index(folder) if "tf_model.h5" in files else None
    if index is not None:
        return Checkpoint(folder, [_open(index)])
    found = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) if folder.is_dir() else "no such folder"
    raise CheckpointError(
        f"no weights in {folder}: none of {', '.join(files)}, no TensorFlow 1 checkpoint "
        f"(it holds: {found or 'nothing'})"
    )


def _warn_of_two_tables(checkpoint: Checkpoint) -> None:
    """Say so where TensorFlow's MobileBERT, which does not tie its decoder, was trained until the two tables differ."""
    decoder, words = "cls.predictions.decoder.weight", "mobilebert.embeddings.word_embeddings.weight"
    if checkpoint.tensors.keys() >= {decoder, words} and not np.array_equal(
        checkpoint.array(decoder), checkpoint.array(words)
    ):
        warn(
            f"{checkpoint.folder} holds a decoder that is not its word table, and the configuration ties the two: the "
            'word table is used for both; write "tie_word_embeddings": false into config.json to use the decoder'
        )


def _open(file: Path, is_shard: bool = False) -> WeightsFile:
    try:
        if file.suffix in _TORCH:
            return TorchFile(file)
        if file.suffix == ".index":
            return read_tf1(file)
        return read_h5(file, is_shard=is_shard) if file.suffix == ".h5" else read_safetensors(file)
    except CheckpointError:
        for name in (file, *file.parent.glob(f"{glob.escape(file.stem)}.data-*")):
            refuse_pointer(name)
        raise
    except OSError as error:
        raise CheckpointError(f"cannot read {file}: {error}") from error


def _shards(index: Path) -> list[Path]:
    files = [index.parent / name for name in shard_names(index)]
    absent = [file.name for file in files if not os.path.isfile(file)]  # also of names that no file can have
    if len(files) > _MOST_SHARDS:
        raise CheckpointError(f"{index} names {len(files)} files; at most {_MOST_SHARDS} are read")
    if absent or not files:
        raise CheckpointError(f"{index} names files that are not there: {', '.join(absent) or 'none at all'}")
    return files
