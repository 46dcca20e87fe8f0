"""Examples in docstrings of public names run as written, and every name that the README shows has one."""

from __future__ import annotations

import doctest
import inspect
from pathlib import Path
from typing import Any

import pytest

import pocketbert
from helpers import KERAS_OWN
from pocketbert.errors import MissingExtra

SHOWN = """
    DistilBertConfig MobileBertConfig BertConfig AutoConfig AutoTokenizer BertTokenizer BertTokenizerFast
    BatchEncoding PreTrainedModel DistilBertModel MobileBertModel AutoModel AutoModelForSequenceClassification
    TFDistilBertForSequenceClassification ModelOutput pipeline quantize
""".split()  # noqa: SIM905  # one name per line would be a page
KERAS = [pytest.mark.slow, *map(pytest.mark.filterwarnings, KERAS_OWN)]
NAMES = [
    pytest.param(name, marks=KERAS) if name.startswith("TF") else name
    for name in pocketbert.__all__
    if not name.startswith("__")
]


def _examples(name: str) -> list[doctest.DocTest]:
    """Return the examples of a public name and of its public methods, inherited ones too; skip without its extra."""
    try:
        public: Any = getattr(pocketbert, name)
    except MissingExtra as error:
        pytest.skip(str(error))
    texts = [(name, public.__doc__)]
    if inspect.isclass(public):
        for key, value in inspect.getmembers_static(public):
            method = getattr(value, "fget", None) or getattr(value, "__func__", value)
            if not key.startswith("_") and str(getattr(method, "__module__", "")).startswith("pocketbert"):
                texts.append((f"{name}.{key}", method.__doc__))
    tests = [doctest.DocTestParser().get_doctest(text or "", {}, label, None, 0) for label, text in texts]
    return [test for test in tests if test.examples]


@pytest.mark.parametrize("name", NAMES)
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    report: list[str] = []
    for test in _examples(name):
        runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)


@pytest.mark.parametrize("name", SHOWN)
def test_a_name_in_the_readme_has_an_example(name: str) -> None:
    assert _examples(name), f"{name} has no >>> example"
