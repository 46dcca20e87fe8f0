"""Files of weights and plans, damaged byte by byte, or in a part that is put into a whole file."""

from __future__ import annotations

import io
import json
import random
import shutil
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from fuzz.target import Target, changed_json
from helpers.mutations import damaged_bytes
from helpers.plan_mutations import program
from helpers.stranger_files import checkpoint_files
from pocketbert.checkpoint import open_checkpoint
from pocketbert.checkpoint.formats import tf1_bundle
from pocketbert.plan import load_plan, quantize, save_plan
from pocketbert.runtime.batching import Row, pack
from pocketbert.runtime.native import NativeRunner

__all__ = ["H5", "OlderBin", "PickleOfBin", "PlanDescription", "PlanFile", "Safetensors", "SafetensorsHeader"]
__all__ += ["TensorFlowIndex", "ZippedBin"]

_BATCH = pack([Row([1, 2, 3]), Row([7])])


class _WeightsFile(Target):
    """A file of a checkpoint's weights; ``content`` makes it of the input."""

    file: str

    def begin(self, folder: Path) -> list[bytes]:
        """See ``Target``."""
        whole = folder / "whole"
        shutil.rmtree(whole, ignore_errors=True)
        whole.mkdir(parents=True)
        self.files = checkpoint_files(whole)
        self.arrays = load_file(whole / "model.safetensors")
        self.folder = folder / "damaged"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        (self.folder / "config.json").write_bytes(self.files["config.json"])
        return list(self.whole())

    def whole(self) -> Sequence[bytes]:
        """Return inputs to begin with."""
        return [self.files[self.file]]

    def content(self, data: bytes) -> bytes:
        """Return the file of an input."""
        return data

    def change(self, data: bytes, chance: random.Random) -> bytes:
        """See ``Target``."""
        return damaged_bytes(data, chance)

    def run(self, data: bytes) -> str:
        """See ``Target``."""
        (self.folder / self.file).write_bytes(self.content(data))
        arrays = open_checkpoint(self.folder).arrays()
        return f"{len(arrays)} arrays of {sorted({str(array.dtype) for array in arrays.values()})}"


class Safetensors(_WeightsFile):
    """``model.safetensors``."""

    file = "model.safetensors"


class SafetensorsHeader(_WeightsFile):
    """The JSON in front of ``model.safetensors``, with the numbers that belong to it."""

    file = "model.safetensors"

    def whole(self) -> Sequence[bytes]:
        """See ``_WeightsFile``."""
        content = self.files[self.file]
        size = struct.unpack("<Q", content[:8])[0]
        self.numbers = content[8 + size :]
        return [content[8 : 8 + size]]

    def content(self, data: bytes) -> bytes:
        """See ``_WeightsFile``."""
        return struct.pack("<Q", len(data)) + data + self.numbers

    def change(self, data: bytes, chance: random.Random) -> bytes:
        """See ``Target``."""
        return changed_json(data, chance)


def _saved_by_torch(arrays: dict[str, np.ndarray], zipped: bool) -> bytes:
    import torch

    tensors: dict[str, Any] = {name: torch.from_numpy(array) for name, array in list(arrays.items())[:12]}
    tensors["half"] = torch.ones(2, 3, dtype=torch.bfloat16)[:, 1:]
    tensors["parameter"] = torch.nn.Parameter(torch.ones(2))
    out = io.BytesIO()
    torch.save({"state_dict": tensors, "epoch": 3}, out, _use_new_zipfile_serialization=zipped)
    return out.getvalue()


class ZippedBin(_WeightsFile):
    """``pytorch_model.bin`` as ``torch.save`` writes it."""

    file = "pytorch_model.bin"
    memory_gib = 12

    def whole(self) -> Sequence[bytes]:
        """See ``_WeightsFile``."""
        return [_saved_by_torch(self.arrays, zipped=True)]


class OlderBin(_WeightsFile):
    """``pytorch_model.bin`` as older versions wrote it."""

    file = "pytorch_model.bin"
    memory_gib = 12

    def whole(self) -> Sequence[bytes]:
        """See ``_WeightsFile``."""
        return [_saved_by_torch(self.arrays, zipped=False)]


class PickleOfBin(_WeightsFile):
    """The pickle in a zipped ``pytorch_model.bin``, whose checksum is made right again."""

    file = "pytorch_model.bin"
    memory_gib = 12

    def whole(self) -> Sequence[bytes]:
        """See ``_WeightsFile``."""
        with zipfile.ZipFile(io.BytesIO(_saved_by_torch(self.arrays, zipped=True))) as found:
            self.members = {name: found.read(name) for name in found.namelist()}
        self.pickle = next(name for name in self.members if name.endswith("data.pkl"))
        return [self.members[self.pickle]]

    def content(self, data: bytes) -> bytes:
        """See ``_WeightsFile``."""
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as made:
            for name, member in self.members.items():
                made.writestr(name, data if name == self.pickle else member)
        return out.getvalue()


class H5(_WeightsFile):
    """``tf_model.h5``."""

    file = "tf_model.h5"

    def whole(self) -> Sequence[bytes]:
        """See ``_WeightsFile``."""
        import h5py

        path = self.folder / "made.h5"
        for compressed in (None, "gzip"):
            with h5py.File(path, "w") as file:
                for number in range(3):
                    name = f"mobilebert/tf_model/mobilebert/encoder/layer_._{number}/output/dense"
                    file.create_dataset(f"{name}/kernel:0", data=np.ones((3, 4), np.float32), compression=compressed)
                    file.create_dataset(f"{name}/bias:0", data=np.zeros(4, np.float32))
                file.attrs["layer_names"] = [b"mobilebert"]
            yield path.read_bytes()


class TensorFlowIndex(_WeightsFile):
    """The names in a TensorFlow 1 index, in a block whose checksum is made right again."""

    file = "model.ckpt.index"

    def whole(self) -> Sequence[bytes]:
        """See ``_WeightsFile``."""
        names = [f"bert/encoder/layer_{n}/output/dense/bias" for n in range(8)]
        (self.folder / "model.ckpt.data-00000-of-00001").write_bytes(np.ones(8 * 4, np.float32).tobytes())
        content = b"\0\0\x02\x08\x01"  # the entry without a name, which counts the files of numbers
        for number, name in enumerate(names):
            value = (
                b"\x08\x01\x12\x04\x12\x02\x08\x04" + (b"\x20" + bytes([16 * number]) if number else b"") + b"\x28\x10"
            )
            content += b"\0" + bytes([len(name), len(value)]) + name.encode() + value
        return [content + struct.pack("<II", 0, 1)]

    def content(self, data: bytes) -> bytes:
        """See ``_WeightsFile``."""

        def block(body: bytes) -> bytes:
            return body + b"\0" + tf1_bundle._masked_crc32c(body + b"\0").to_bytes(4, "little")

        first = block(data)
        handle = _varint(0) + _varint(len(data))
        directory = b"\0\x01" + bytes([len(handle)]) + b"z" + handle + struct.pack("<II", 0, 1)
        footer = _varint(0) * 2 + _varint(len(first)) + _varint(len(directory))
        return first + block(directory) + footer.ljust(40, b"\0") + tf1_bundle._MAGIC.to_bytes(8, "little")


def _varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


class _AnyPlan(Target):
    """A plan's file; what is read is run."""

    def begin(self, folder: Path) -> list[bytes]:
        """See ``Target``."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "plan.safetensors"
        found = []
        for name in ("MobileBERT", "DistilBERT"):
            save_plan(quantize(program(name)), self.path)
            found.append(self.path.read_bytes())
        return found

    def change(self, data: bytes, chance: random.Random) -> bytes:
        """See ``Target``."""
        return damaged_bytes(data, chance)

    def run(self, data: bytes) -> str:
        """See ``Target``."""
        self.path.write_bytes(data)
        plan = load_plan(self.path)
        NativeRunner(plan, threads=1)(_BATCH)
        return f"{plan.head} {len(plan.layers)} layers, {len(plan.buffers)} buffers"


class PlanFile(_AnyPlan):
    """The file, byte by byte."""


class PlanDescription(_AnyPlan):
    """The JSON that describes a plan, beside the arrays of a whole one."""

    calls = 150

    def begin(self, folder: Path) -> list[bytes]:
        """See ``Target``."""
        self.file = super().begin(folder)[0]
        self.path.write_bytes(self.file)
        with safe_open(self.path, "np") as file:
            self.metadata = file.metadata()
        self.tensors = load_file(self.path)
        return [self.metadata["plan"].encode()]

    def change(self, data: bytes, chance: random.Random) -> bytes:
        """See ``Target``."""
        return changed_json(data, chance)

    def run(self, data: bytes) -> str:
        """See ``Target``."""
        save_file(self.tensors, self.path, self.metadata | {"plan": json.dumps(json.loads(data))})
        return super().run(self.path.read_bytes())
