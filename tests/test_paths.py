"""Modules of transformers' names: each imports, has what its rooms have, and costs nothing before."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
import warnings

import pytest

import pocketbert
from pocketbert import logging
from pocketbert.notices import warn
from pocketbert.paths import ROOMS_OF


@pytest.mark.parametrize("name", sorted(ROOMS_OF))
def test_a_module_has_the_names_of_its_rooms(name):
    if any(room.startswith("keras.") for room in ROOMS_OF[name]) and importlib.util.find_spec("keras.ops") is None:
        pytest.skip("tests/keras answers to the name of Keras")
    module = importlib.import_module(f"pocketbert.{name}")
    assert module.__name__ == f"pocketbert.{name}"
    for room in ROOMS_OF[name]:
        home = importlib.import_module(f"pocketbert.{room}")
        for public in home.__all__:
            getattr(module, public)
            assert public in module.__all__
    with pytest.raises(AttributeError, match=f"module 'pocketbert.{name}' has no attribute 'RobertaModel'"):
        module.RobertaModel  # noqa: B018  # the access is what is tested


def test_a_module_that_is_not_there_is_an_import_error():
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'pocketbert.models.roberta'"):
        importlib.import_module("pocketbert.models.roberta")
    with pytest.raises(ImportError, match="cannot import name 'TextGenerationPipeline'"):
        exec("from pocketbert.pipelines import TextGenerationPipeline")


def test_they_are_attributes_and_import_nothing():
    code = (
        "import sys, pocketbert, pocketbert.models.distilbert.modeling_distilbert as modeling\n"
        "import pocketbert.pipelines\n"
        "assert pocketbert.models.distilbert.modeling_distilbert is modeling\n"
        "assert pocketbert.pipelines is sys.modules['pocketbert.pipelines']\n"
        "print(*(name for name in ('torch', 'numpy', 'pocketbert.tasks') if name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_verbosity_error_gives_no_warning_and_keeps_those_of_what_will_change():
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            warn("silent")
            warn("said", FutureWarning)
    finally:
        logging.set_verbosity_warning()
    assert [str(each.message) for each in found] == ["said"]
    with pytest.warns(UserWarning, match="said again"):
        warn("said again")


def test_a_tokenizer_is_registered_once():
    class Mine(pocketbert.BertConfig):
        model_type = "mine-once"

    with pytest.raises(pocketbert.InputError, match="pass slow_tokenizer_class, fast_tokenizer_class or both"):
        pocketbert.AutoTokenizer.register(Mine)
    pocketbert.AutoTokenizer.register(Mine, pocketbert.BertTokenizer)
    with pytest.raises(pocketbert.InputError, match="Mine has tokenizers already; pass exist_ok=True"):
        pocketbert.AutoTokenizer.register(Mine, pocketbert.BertTokenizer)
