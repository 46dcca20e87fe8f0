"""Scripts as users write them for transformers, run with it and with the import changed: the results are the same."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

from helpers.same_results import differences

transformers = pytest.importorskip("transformers")
transformers.utils.import_utils._tf_available = False  # its TensorFlow models do not run on Keras 3

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.py"))
_IMPORT = re.compile(r"^(\s*)(from|import) transformers\b", re.MULTILINE)


def results_of(script: Path, library: str, made, out: Path) -> dict:
    """Run a script with ``library`` in place of transformers, and return its ``results``.

    A script finds two more names: ``checkpoint(family, head, **fields)`` gives the folder of a small random checkpoint
    (see ``made``), and ``out`` is an empty folder. Its ``tolerance``, if it sets one, is that of floats.
    """
    source = _IMPORT.sub(lambda found: f"{found[1]}{found[2]} {library}", script.read_text("utf-8"))
    source = re.sub(rf"^import {library}$", f"import {library} as transformers", source, flags=re.MULTILINE)
    out.mkdir()
    names = {"__name__": "script", "checkpoint": lambda *of, **fields: str(made(*of, **fields)), "out": str(out)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(source, str(script), "exec"), names)
    return names


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])
def test_only_the_import_changes(script, made, tmp_path):
    theirs = results_of(script, "transformers", made, tmp_path / "theirs")
    ours = results_of(script, "pocketbert", made, tmp_path / "ours")
    assert theirs["results"]
    found = differences(ours["results"], theirs["results"], theirs.get("tolerance", 1e-5))
    assert not found, "\n".join(found)
