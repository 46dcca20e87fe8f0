"""The runtimes that tests of tasks run on."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from pocketbert.tasks import pipeline

torch.set_num_threads(1)  # models this small lose more to waiting for a second thread than they win


@pytest.fixture(params=["torch", "native"])
def pipe(request):
    """Return ``pipeline`` on PyTorch, then on the native engine where it was built."""
    if request.param == "native":
        pytest.importorskip("pocketbert._native")
    return partial(pipeline, runtime=request.param)
