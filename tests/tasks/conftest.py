"""Checkpoints that tests of tasks share, written once a session."""

from __future__ import annotations

from functools import partial

import pytest
import small
import torch

from pocketbert.tasks import pipeline

torch.set_num_threads(1)  # models this small lose more to waiting for a second thread than they win


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Return ``made(family, head, **fields)``, which gives the folder of a small random checkpoint."""
    folders = {}

    def make(family: str, head: str, **fields):
        key = repr((family, head, sorted(fields.items(), key=str)))
        if key not in folders:
            folders[key] = small.folder(tmp_path_factory.mktemp("checkpoint") / "model", family, head, **fields)
        return folders[key]

    return make


@pytest.fixture(params=["torch", "native"])
def pipe(request):
    """Return ``pipeline`` on PyTorch, then on the native engine where it was built."""
    if request.param == "native":
        pytest.importorskip("pocketbert._native")
    return partial(pipeline, runtime=request.param)
