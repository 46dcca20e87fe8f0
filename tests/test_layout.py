"""Names of files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("folder", ["src/pocketbert", "tests", "benchmarks", "examples"])
def test_no_file_hides_a_module_of_the_standard_library(folder):
    """Python puts the folder of a script first on its path, where such a file would be imported instead."""
    if not (ROOT / folder).is_dir():
        pytest.skip(f"{folder} is not here")
    names = {path.relative_to(ROOT).as_posix(): path.stem for path in (ROOT / folder).rglob("*.py")}
    assert names
    assert [path for path, name in names.items() if name in sys.stdlib_module_names - {"__main__"}] == []
