"""A checkpoint folder as named arrays: found, verified and read without any framework; written whole or not at all.

Reads ``model.safetensors``, sharded safetensors with an index, and ``pytorch_model.bin`` (sharded or not) through
torch's weights-only loader, which runs no code. Writes safetensors only.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pocketbert import schema
from pocketbert.config import PretrainedConfig
from pocketbert.errors import CheckpointError, InputError, UnsafeFileError
from pocketbert.extras import require
from pocketbert.files import replacing
from pocketbert.hub import WEIGHT_FILES, shard_names

__all__ = ["Checkpoint", "Fit", "Tensor", "fit", "modern_name", "open_checkpoint", "parse_size", "write_checkpoint"]

# safetensors' names of dtypes -> everybody else's
_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
_STALE = ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors")


@dataclass(frozen=True)
class Tensor:
    """A tensor that lies in a file: where, what shape, what dtype (``"float32"``, ``"bfloat16"``, ...)."""

    file: Path
    stored_name: str
    shape: tuple[int, ...]
    dtype: str


class Checkpoint:
    """The weights of a folder, listed but not yet read.

    Attributes:
        folder: where it lies.
        tensors: every tensor under its present-day name (old ``gamma`` / ``beta`` are read as ``weight`` / ``bias``).
    """

    def __init__(self, folder: Path, files: Sequence[Path]) -> None:
        self.folder = folder
        self.files = list(files)
        self.tensors: dict[str, Tensor] = {}
        self._pickles: dict[Path, Mapping[str, Any]] = {}
        self._opened: dict[tuple[Path, str], Any] = {}
        for file in self.files:
            for tensor in self._list(file):
                name = modern_name(tensor.stored_name)
                if name in self.tensors:
                    raise CheckpointError(f"{name} stands twice, in {self.tensors[name].file.name} and {file.name}")
                self.tensors[name] = tensor

    @property
    def is_pickle(self) -> bool:
        """Whether the weights are in torch's own format."""
        return bool(self._pickles)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.stat().st_size for file in self.files)

    def array(self, name: str) -> np.ndarray[Any, Any]:
        """Read one tensor; bfloat16 comes as float32."""
        tensor = self.tensors[name]
        if self.is_pickle:
            value = self.torch_tensor(name)
            return np.asarray((value.float() if tensor.dtype == "bfloat16" else value).numpy())
        if tensor.dtype == "bfloat16":
            halves = self._raw(tensor).astype(np.uint32) << 16
            return halves.view(np.float32).reshape(tensor.shape)
        return np.asarray(self._file(tensor.file, "np").get_tensor(tensor.stored_name))

    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """Read every tensor."""
        return {name: self.array(name) for name in self.tensors}

    def torch_tensor(self, name: str) -> Any:
        """Read one tensor as a torch tensor of the stored dtype; needs torch."""
        tensor = self.tensors[name]
        if self.is_pickle:
            return self._pickles[tensor.file][tensor.stored_name]
        require("torch")
        return self._file(tensor.file, "pt").get_tensor(tensor.stored_name)

    def _file(self, file: Path, framework: str) -> Any:
        """Open a safetensors file once: its header may name a thousand tensors."""
        from safetensors import safe_open

        if (file, framework) not in self._opened:
            self._opened[file, framework] = safe_open(file, framework)
        return self._opened[file, framework]

    def _list(self, file: Path) -> list[Tensor]:
        if file.suffix == ".bin":
            self._pickles[file] = _read_pickle(file)
            return [
                Tensor(file, name, tuple(value.shape), str(value.dtype).removeprefix("torch."))
                for name, value in self._pickles[file].items()
            ]
        return _list_safetensors(file)

    def _raw(self, tensor: Tensor) -> np.ndarray[Any, Any]:
        """Read the 16-bit words of a tensor for which numpy has no dtype."""
        with tensor.file.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            start, end = json.loads(file.read(length))[tensor.stored_name]["data_offsets"]
            file.seek(8 + length + start)
            return np.frombuffer(file.read(end - start), np.uint16)


def open_checkpoint(folder: str | os.PathLike[str]) -> Checkpoint:
    """Find and list the weights of a folder.

    Raises:
        CheckpointError: there are none, or a file is damaged (truncated, not safetensors, not JSON).
        UnsafeFileError: an index names a file outside the folder, or a pickle holds more than tensors.
    """
    folder = Path(folder)
    for name in WEIGHT_FILES:
        path = folder / name
        if not path.is_file():
            continue
        return Checkpoint(folder, _shards(path) if name.endswith(".index.json") else [path])
    found = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) if folder.is_dir() else "no such folder"
    raise CheckpointError(f"no weights in {folder}: none of {', '.join(WEIGHT_FILES)} (it holds: {found or 'nothing'})")


def modern_name(name: str) -> str:
    """Return a parameter's present-day name: old files say ``gamma`` and ``beta`` for a norm's weight and bias."""
    return re.sub(r"\.(gamma|beta)$", lambda m: ".weight" if m[1] == "gamma" else ".bias", name)


# -- does it fit? ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fit:
    """How a checkpoint's names and shapes compare with what a model needs.

    Attributes:
        sources: parameter -> the checkpoint's name for it, with or without the family's prefix.
        missing: parameters that the checkpoint lacks.
        misshaped: (parameter, shape on disk, shape that the configuration gives).
        unexpected: names on disk that belong to no head of this family, or that stand twice, with and without prefix.
        unused: names on disk that belong to another head, or are known buffers.
    """

    sources: dict[str, str]
    missing: list[schema.Parameter]
    misshaped: list[tuple[schema.Parameter, tuple[int, ...], tuple[int, ...]]]
    unexpected: list[str]
    unused: list[str]

    def complaint(self) -> str | None:
        """Return one line that lists every name that does not fit, or None."""
        parts = []
        if self.missing:
            parts.append(f"{len(self.missing)} missing ({', '.join(p.name for p in self.missing)})")
        if self.misshaped:
            listed = ", ".join(
                f"{p.name} is {disk}, the configuration gives {ours}" for p, disk, ours in self.misshaped
            )
            parts.append(f"{len(self.misshaped)} misshaped ({listed})")
        if self.unexpected:
            parts.append(f"{len(self.unexpected)} unexpected ({', '.join(self.unexpected)})")
        return "; ".join(parts) or None


def fit(shapes: Mapping[str, Sequence[int]], wanted: Sequence[schema.Parameter], config: PretrainedConfig) -> Fit:
    """Compare names and shapes on disk with the parameters that a model needs.

    Args:
        shapes: name on disk (present-day) -> shape. The family's prefix may be there or not.
        wanted: what the model needs, from ``schema.parameters``.
        config: the model's configuration.
    """
    prefix = schema.PREFIXES[config.model_type] + "."
    by_bare: dict[str, str] = {}
    twice = [name for name in shapes if by_bare.setdefault(name.removeprefix(prefix), name) != name]
    aliases: dict[str, list[str]] = {}
    for parameter in wanted:
        if parameter.tied_to is not None:
            aliases.setdefault(parameter.tied_to, []).append(parameter.name)
    sources: dict[str, str] = {}
    missing, misshaped = [], []
    for parameter in wanted:
        if parameter.tied_to is not None:
            continue
        names = [parameter.name, *aliases.get(parameter.name, [])]
        source = next((by_bare[b] for n in names if (b := n.removeprefix(prefix)) in by_bare), None)
        if source is None:
            missing.append(parameter)
        elif tuple(shapes[source]) != parameter.shape:
            misshaped.append((parameter, tuple(shapes[source]), parameter.shape))
        else:
            sources[parameter.name] = source
    used = {p.name.removeprefix(prefix) for p in wanted}
    known = schema.known_names(config)
    rest = sorted(name for bare, name in by_bare.items() if bare not in used)
    foreign = [name for name in rest if name.removeprefix(prefix) not in known]
    unused = [name for name in rest if name.removeprefix(prefix) in known]
    return Fit(sources, missing, misshaped, sorted(foreign + twice), unused)


# -- writing ---------------------------------------------------------------------------------------------------


def write_checkpoint(
    folder: str | os.PathLike[str],
    config: PretrainedConfig,
    sizes: Mapping[str, int],
    save: Callable[[Iterable[str], Path], None],
    max_shard_size: int | str = "5GB",
) -> None:
    """Write ``config.json`` and safetensors files; the folder's old checkpoint stays if anything fails.

    Args:
        folder: made if absent; its other files (a tokenizer's) are left alone.
        config: what to write as ``config.json``.
        sizes: name -> bytes of every tensor, in order.
        save: ``save(names, path)`` writes these tensors as one safetensors file.
        max_shard_size: largest file, in bytes or as ``"200MB"``.
    """
    limit, shards = parse_size(max_shard_size), [[]]  # type: tuple[int, list[list[str]]]
    filled = 0
    for name, size in sizes.items():
        if shards[-1] and filled + size > limit:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    text = config.to_json_string()
    with replacing(folder, stale=_STALE) as stage:
        (stage / "config.json").write_text(text, "utf-8")
        if len(shards) == 1:
            save(shards[0], stage / "model.safetensors")
            return
        weight_map = {}
        for number, names in enumerate(shards, 1):
            file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
            save(names, stage / file)
            weight_map.update(dict.fromkeys(names, file))
        index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": weight_map}
        (stage / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", "utf-8")


def write_arrays(
    folder: str | os.PathLike[str], config: PretrainedConfig, arrays: Mapping[str, np.ndarray[Any, Any]]
) -> None:
    """Write a checkpoint from numpy arrays; see ``write_checkpoint``."""
    from safetensors.numpy import save_file

    def save(names: Iterable[str], path: Path) -> None:
        save_file({name: np.ascontiguousarray(arrays[name]) for name in names}, path, metadata={"format": "pt"})

    write_checkpoint(folder, config, {name: array.nbytes for name, array in arrays.items()}, save)


def parse_size(size: int | str) -> int:
    """Return bytes: ``"5GB"`` is 5e9, ``"5GiB"`` is 5 * 2**30.

    Raises:
        InputError: it is no positive size.
    """
    units = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(size))
    if not match or match[2].upper() not in units or float(match[1]) <= 0:
        raise InputError(f"max_shard_size {size!r} is no size; write bytes, or a number with KB, MB or GB")
    return int(float(match[1]) * units[match[2].upper()])


# -- files -----------------------------------------------------------------------------------------------------


def _shards(index: Path) -> list[Path]:
    files = [index.parent / name for name in shard_names(index)]
    absent = [file.name for file in files if not file.is_file()]
    if absent or not files:
        raise CheckpointError(f"{index} names files that are not there: {', '.join(absent) or 'none at all'}")
    return files


def _list_safetensors(file: Path) -> list[Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "np") as opened:
            tensors = []
            for name in opened.keys():  # noqa: SIM118  # not a dict
                view = opened.get_slice(name)
                tensors.append(Tensor(file, name, tuple(view.get_shape()), view.get_dtype()))
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{file} is damaged or no safetensors file ({error}); it has {file.stat().st_size} bytes: fetch it again"
        ) from error
    for tensor in tensors:
        if tensor.dtype not in _DTYPES:
            raise CheckpointError(
                f"{tensor.stored_name} in {file} has dtype {tensor.dtype}; supported are {', '.join(_DTYPES)}"
            )
    return [replace(tensor, dtype=_DTYPES[tensor.dtype]) for tensor in tensors]


def _read_pickle(file: Path) -> Mapping[str, Any]:
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
