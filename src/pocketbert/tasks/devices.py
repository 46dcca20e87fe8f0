"""Where a pipeline runs: every form in which a device is named, as a name that a runtime knows."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from pocketbert.errors import InputError
from pocketbert.extras import require
from pocketbert.notices import warn

__all__ = ["device_name", "mapped_device"]


def device_name(device: Any, runtime: str | None) -> str | None:
    """Return the name of a device that was given as a number, a name or a ``torch.device``.

    -1 is the CPU, 0 and up are GPUs. Without a GPU a number falls back to the CPU with a warning, a name does not.

    Raises:
        InputError: it is no device, or PyTorch does not have it.
    """
    if device is None:
        return None
    if isinstance(device, (bool, float)):
        raise InputError(
            f"device={device!r} must be a number (-1 is the CPU), a name such as 'cuda:0' or a torch.device"
        )
    if isinstance(device, int):
        return _numbered(device, runtime)
    name = str(device).lower()
    if name in ("cpu", "cpu:0"):
        return "cpu"
    if runtime in (None, "torch"):
        _check_torch(name)
    return name


def mapped_device(device_map: Any) -> Any:
    """Return the one device of a ``device_map``.

    Raises:
        InputError: it names several.
    """
    if isinstance(device_map, Mapping):
        devices = {str(device): device for device in device_map.values()}
        if len(devices) != 1:
            raise InputError(f"device_map={dict(device_map)!r}: these models fit on one device; pass device=")
        return next(iter(devices.values()))
    if device_map in ("auto", "balanced", "balanced_low_0", "sequential"):
        return "cuda:0" if _has_cuda() else "cpu"
    return device_map


def _numbered(number: int, runtime: str | None) -> str:
    if number < 0:
        return "cpu"
    if runtime == "keras":
        return f"gpu:{number}"
    if runtime == "onnx":
        if number:
            raise InputError(f"device={number}: runtime='onnx' uses the first GPU; pass 0, or set CUDA_VISIBLE_DEVICES")
        return "cuda"
    if _has_cuda():
        _check_torch(f"cuda:{number}")
        return f"cuda:{number}"
    if _has_metal():
        return f"mps:{number}"
    warn(f"device={number}: there is no GPU that PyTorch can use, so this runs on the CPU; pass device=-1 if it is to")
    return "cpu"


def _check_torch(name: str) -> None:
    torch: Any = require("torch")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device={name!r} is none: {str(error).partition(chr(10))[0]}") from error
    cure = "pass device='cpu' or leave it out, or install a build of PyTorch for it (pytorch.org/get-started)"
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise InputError(f"device={name!r}: PyTorch sees {count} CUDA GPUs; {cure}")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError(f"device={name!r}: PyTorch sees no Metal GPU; {cure}")


def _has_cuda() -> bool:
    return find_spec("torch") is not None and bool(require("torch").cuda.is_available())


def _has_metal() -> bool:
    return find_spec("torch") is not None and bool(require("torch").backends.mps.is_available())
