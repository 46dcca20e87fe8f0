"""The runtimes by name: which module runs a model, what it needs, and which is taken where none is named."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any, cast

from pocketbert.checkpoint.opened import Opened
from pocketbert.errors import InputError, MissingExtra
from pocketbert.extras import require
from pocketbert.notices import warn
from pocketbert.runtime.batching import Runner

__all__ = ["RUNTIMES", "check_runtime", "default_runtime", "load_runner", "wrap_model"]


# runtime -> its module, which has ``load`` (a checkpoint) and ``wrap`` (a loaded model), and the package that it needs
RUNTIMES: dict[str, tuple[str, str | None]] = {
    "native": ("pocketbert.runtime.native", None),
    "onnx": ("pocketbert.runtime.onnx.runner", "onnxruntime"),
    "torch": ("pocketbert.torch.runner", "torch"),
    "keras": ("pocketbert.keras.runner", "keras"),
}
_TORCH_DTYPES = ("auto", "bfloat16", "float16", "half", "float64", "double")


def check_runtime(runtime: str) -> None:
    """Check that a runtime is known and that its package is installed.

    Raises:
        InputError: there is no such runtime.
        MissingExtra: its package is not installed.
    """
    if runtime not in RUNTIMES:
        raise InputError(f"unknown runtime {runtime!r}; choose from {', '.join(RUNTIMES)}")
    _, package = RUNTIMES[runtime]
    if package is not None:
        require(package)


def default_runtime(device: str | None = None, dtype: str | None = None) -> str:
    """Return the runtime of a checkpoint for which none is named.

    The native engine, except for what only PyTorch has: another device than the CPU, or a dtype such as bfloat16. Where
    the engine was not built, ONNX Runtime takes its place, with a warning, if it is installed.

    Args:
        device: where the model is to run.
        dtype: in which it is to run.

    Raises:
        MissingExtra: neither the engine nor ONNX Runtime is there.
    """
    if device not in (None, "cpu") or dtype in _TORCH_DTYPES:
        return "torch"
    from pocketbert.runtime.native import native_paths

    try:
        native_paths()
    except MissingExtra as error:
        try:
            require("onnx"), require("onnxruntime")
        except MissingExtra:
            raise MissingExtra(
                f"{error}. Or pass runtime='onnx' (pip install 'pocketbert[onnx]') or runtime='torch' "
                "(pip install 'pocketbert[torch]')"
            ) from error
        warn(f"running on ONNX Runtime: {error}. Or pass runtime='onnx'")
        return "onnx"
    return "native"


def load_runner(
    source: str | os.PathLike[str] | Opened,
    head: str,
    runtime: str,
    *,
    device: str | None = None,
    dtype: str | None = None,
    threads: int | None = None,
) -> Runner:
    """Load a checkpoint into a runtime.

    Args:
        source: a folder, a hub name, or a checkpoint that is opened already.
        head: what to run.
        runtime: one of ``RUNTIMES``.
        device: where to run it; the CPU by default.
        dtype: of its parameters; float32 by default.
        threads: most CPU threads of a call; the runtime's own default where None.

    Raises:
        MissingExtra: the runtime's package is not installed, or the native engine was not built.
        InputError: the runtime does not have the device, dtype or number of threads.
        CheckpointError: the checkpoint is damaged or does not fit.
    """
    return cast(Runner, _module(runtime).load(source, head, device=device, dtype=dtype, threads=threads))


def wrap_model(
    model: Any,
    head: str,
    runtime: str | None = None,
    *,
    device: str | None = None,
    dtype: str | None = None,
    threads: int | None = None,
) -> Runner:
    """Return a runner of a loaded model, or the runner that ``model`` is.

    Raises:
        InputError: an argument does not go with what ``model`` is, or it has no such head.
    """
    if device is not None or dtype is not None:
        raise InputError(
            f"device={device!r} and dtype={dtype!r} are for checkpoints; a {type(model).__name__} keeps what it has: "
            "convert it first, as in model.to('cuda')"
        )
    own = _runtime_of(model)
    if own is None:
        for name, value in {"runtime": runtime, "threads": threads}.items():
            if value is not None:
                raise InputError(f"{name}={value!r}: a {type(model).__name__} is a runner already; leave it out")
        return cast(Runner, model)
    if own == "keras" and runtime not in (None, "keras"):
        raise InputError(
            f"runtime={runtime!r} does not run a Keras model; leave it out, or save the model and pass the folder"
        )
    return cast(Runner, _module(runtime or own).wrap(model, head, threads=threads))


def _module(runtime: str) -> Any:
    check_runtime(runtime)
    return import_module(RUNTIMES[runtime][0])


def _runtime_of(model: Any) -> str | None:
    """Return the runtime whose models ``model`` is one of, or None for a runner; imports no framework."""
    keras = sys.modules.get("pocketbert.keras.model")
    if keras is not None and isinstance(model, keras.TFPreTrainedModel):
        return "keras"  # which on the torch backend has a state_dict too
    return "torch" if hasattr(model, "state_dict") else None
