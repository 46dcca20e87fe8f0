"""The native engine's tests need the extension; without it they are skipped, with the reason."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

BUILT = importlib.util.find_spec("pocketbert._native") is not None
PATHS = ["portable", "avx2", "avxvnni", "avx512", "amx"]


def pytest_collection_modifyitems(items):
    if BUILT:
        return
    folder = Path(__file__).parent
    for item in items:
        if folder in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="pocketbert._native is not built (pip install . with a compiler)"))


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    """Run the test on each path of this CPU."""
    from pocketbert.runtime.native import native_paths

    if request.param not in native_paths():
        pytest.skip(f"this CPU cannot run {request.param}")
    monkeypatch.setenv("POCKETBERT_CPU", request.param)
    return request.param
