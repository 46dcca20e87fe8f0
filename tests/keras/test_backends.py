"""The models on each backend of Keras, one process each: a process has one backend for life."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

from helpers import HELPERS, environment

pytest.importorskip("keras.ops", exc_type=ImportError)
SCRIPT = HELPERS / "backend_script.py"


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_backend(backend):
    if find_spec(backend) is None:
        pytest.skip(f"needs {backend}")
    done = subprocess.run(
        [sys.executable, SCRIPT], env=environment(KERAS_BACKEND=backend), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines() == [
        f"{backend} {name}"
        for name in (
            "DistilBert ForSequenceClassification",
            "DistilBert ForMaskedLM",
            "DistilBert ForMultipleChoice",
            "MobileBert ForPreTraining",
            "MobileBert ForQuestionAnswering",
        )
    ]


@pytest.mark.parametrize(
    ("hidden", "message"),
    [
        ("keras", "Keras models need keras; pip install 'pocketbert[keras]'"),
        (
            "tensorflow",
            "Keras models need tensorflow, the backend that Keras is set to; pip install 'pocketbert[keras]'",
        ),
    ],
)
def test_without_its_packages_a_class_says_what_to_install(hidden, message):
    code = (
        f"import sys; sys.modules[{hidden!r}] = None\n"
        "import pocketbert\n"
        "pocketbert.TFMobileBertForPreTrainingOutput\n"
        "try:\n"
        "    pocketbert.TFDistilBertModel\n"
        "except pocketbert.MissingExtra as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(KERAS_BACKEND="tensorflow"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == message
