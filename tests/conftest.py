"""Shared by all tests: where optional material is, and one thread so that parallel workers do not fight."""

from __future__ import annotations

import importlib.util
import os
import signal
from pathlib import Path

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in what a shell runs in the background: tests send Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test touches the network
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("USE_TF", "0")  # its TensorFlow classes need Keras 2; the tests that compare with them say so

if importlib.util.find_spec("hypothesis"):  # the engine's own tests run without it
    from hypothesis import settings

    settings.register_profile("same everywhere", deadline=None, derandomize=True)  # no test depends on time or luck
    settings.load_profile("same everywhere")

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


# rooms of which no test is quick, or all of them together are not
_SLOW_ROOMS = ("bench", "checkpoint", "dropin", "engine", "export", "fuzz", "hostile", "keras", "plan", "training")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave whole rooms out of the quick tests."""
    for item in items:
        if item.path.relative_to(Path(__file__).parent).parts[0] in _SLOW_ROOMS:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of references and data sets beside the project, or skip."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared")
    return SHARED


def _encoder(name: str) -> Path:
    folder = ROOT / ".cache" / name
    if not (folder / "model.safetensors").is_file():
        pytest.skip(f"needs .cache/{name} (scripts/fetch-encoders --all)")
    return folder


@pytest.fixture(scope="session")
def minilm() -> Path:
    """Return the folder of a real 6-layer BERT encoder, or skip."""
    return _encoder("minilm-bert")


@pytest.fixture(scope="session")
def splade() -> Path:
    """Return the folder of a real 2-layer BertForMaskedLM with old parameter names, or skip."""
    return _encoder("splade-bert")


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Return ``made(family, head, **fields)``, which gives the folder of a small random checkpoint."""
    small = importlib.import_module("helpers.small")  # needs torch
    folders = {}

    def make(family: str, head: str, **fields):
        key = repr((family, head, sorted(fields.items(), key=str)))
        if key not in folders:
            folders[key] = small.folder(tmp_path_factory.mktemp("checkpoint") / "model", family, head, **fields)
        return folders[key]

    return make
