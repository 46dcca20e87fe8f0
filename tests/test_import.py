"""Importing is light: no framework, no network client; every public name is there when asked for."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

import pocketbert

HEAVY = ("torch", "tensorflow", "keras", "jax", "transformers", "numpy", "tokenizers", "huggingface_hub", "safetensors")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)


def test_importing_brings_no_framework():
    code = f"import pocketbert, sys; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_configurations_bring_no_framework():
    code = (
        "import sys, pocketbert\n"
        "pocketbert.DistilBertConfig(); pocketbert.MobileBertConfig(); pocketbert.ModelOutput; pocketbert.ConfigError\n"
        f"print(*(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_every_public_name_exists():
    assert len(set(pocketbert.__all__)) == len(pocketbert.__all__)
    without_keras = find_spec("keras.ops") is None  # tests/keras answers to the bare name
    for name in pocketbert.__all__:
        if without_keras and pocketbert._WHERE.get(name, "").startswith("keras."):
            continue
        value = getattr(pocketbert, name)
        assert isinstance(value, str) or value.__name__ == name
    assert set(pocketbert.__all__) <= set(dir(pocketbert))


@pytest.mark.parametrize(
    ("family", "heads"),
    [
        (
            "DistilBert",
            "ForMaskedLM ForSequenceClassification ForMultipleChoice ForTokenClassification ForQuestionAnswering",
        ),
        (
            "MobileBert",
            "ForPreTraining ForMaskedLM ForNextSentencePrediction ForSequenceClassification ForMultipleChoice "
            "ForTokenClassification ForQuestionAnswering",
        ),
    ],
)
def test_the_documented_classes_are_public(family, heads):
    for suffix in ("Config", "Tokenizer", "TokenizerFast", "Model", "PreTrainedModel", *heads.split()):
        assert f"{family}{suffix}" in pocketbert.__all__
    assert {f"AutoModel{head}" for head in heads.split()} | {"AutoModel", "AutoConfig"} <= set(pocketbert.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'pocketbert' has no attribute 'RobertaModel'"):
        pocketbert.RobertaModel  # noqa: B018  # the access is what is tested
    with pytest.raises(ImportError):
        exec("from pocketbert import RobertaModel")


def test_without_torch_models_say_what_to_install_and_configurations_work():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import pocketbert\n"
        "assert pocketbert.DistilBertConfig().dim == 768\n"
        "for name in ('DistilBertModel', 'MobileBertForMaskedLM', 'AutoModel'):\n"
        "    try:\n"
        "        getattr(pocketbert, name)\n"
        "    except pocketbert.MissingExtra as error:\n"
        "        assert isinstance(error, ImportError)\n"
        "        print(error)\n"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "PyTorch models need torch; pip install 'pocketbert[torch]'\n" * 3


def test_without_torch_training_says_what_to_install():
    code = (
        "import sys; sys.modules['torch'] = sys.modules['accelerate'] = None\n"
        "import pocketbert\n"
        "for name in ('finetune', 'distil_distilbert', 'distil_mobilebert', 'pretrain', 'load_adapters', 'Callback'):\n"
        "    try:\n"
        "        getattr(pocketbert, name)\n"
        "    except pocketbert.MissingExtra as error:\n"
        "        print(error)\n"
        "from pocketbert.command.cli import main\n"
        "sys.argv = ['pocketbert', 'finetune', 'text-classification', '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as ending:\n"
        "    assert not ending.code\n"
        "sys.argv = ['pocketbert', *'finetune text-classification --model m --train t --out o'.split()]\n"
        "main()\n"
    )
    done = python(code)
    message = "training runs need accelerate; pip install 'pocketbert[train]'\n"
    assert done.returncode == 1
    assert done.stderr == f"error: {message}"
    assert done.stdout.startswith(message * 6)
    assert "--learning-rate" in done.stdout


def test_a_package_that_breaks_on_import_is_not_called_missing(tmp_path, monkeypatch):
    from pocketbert import extras

    (tmp_path / "broken_package.py").write_text("import a_module_that_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(extras._EXTRAS, "broken_package", ("Tests", "nothing"))
    with pytest.raises(ModuleNotFoundError, match="a_module_that_nobody_has"):
        extras.require("broken_package")


def test_the_error_tree():
    for name, built_in in (
        ("ConfigError", ValueError),
        ("InputError", ValueError),
        ("PrecisionError", ValueError),
        ("CheckpointError", OSError),
        ("CheckpointError", RuntimeError),
        ("UnsafeFileError", OSError),
        ("HubError", OSError),
        ("MissingExtra", ImportError),
    ):
        error = getattr(pocketbert, name)
        assert issubclass(error, pocketbert.PocketBertError)
        assert issubclass(error, built_in)
    assert issubclass(pocketbert.UnsafeFileError, pocketbert.CheckpointError)
