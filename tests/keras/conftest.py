"""Keras on one thread, quiet, and without the warnings that are its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from helpers import KERAS_OWN

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            for warning in KERAS_OWN:
                item.add_marker(pytest.mark.filterwarnings(warning))
