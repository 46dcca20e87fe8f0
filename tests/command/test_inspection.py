"""What a checkpoint is, and the command that prints it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import pocketbert
from pocketbert.command.cli import app
from pocketbert.command.inspection import inspect_checkpoint

FIELDS = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "intermediate_size": 20,
}
FIELDS |= {"embedding_size": 12, "intra_bottleneck_size": 16, "max_position_embeddings": 20}


def save(folder, head="ForSequenceClassification", **fields):
    model = getattr(pocketbert, f"MobileBert{head}")(pocketbert.MobileBertConfig(**FIELDS, **fields))
    model.save_pretrained(folder)
    return model


def test_a_complete_checkpoint(tmp_path):
    model = save(tmp_path, num_labels=5)
    found = inspect_checkpoint(tmp_path)
    assert (found.architecture, found.head) == ("MobileBertForSequenceClassification", "sequence_classification")
    assert found.complete
    assert found.parameters == model.num_parameters()
    assert dict(found.parts)["classifier"] == 5 * 32 + 5
    assert found.dtypes == {"float32": len(load_file(tmp_path / "model.safetensors"))}
    assert found.size == (tmp_path / "model.safetensors").stat().st_size
    assert found.facts["labels"] == "LABEL_0, LABEL_1, LABEL_2, LABEL_3, LABEL_4"


def test_tied_parameters_count_once(tmp_path):
    model = save(tmp_path, "ForPreTraining")
    assert inspect_checkpoint(tmp_path).parameters == model.num_parameters()


def test_names_that_do_not_fit(tmp_path):
    save(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["classifier.bias"]
    tensors["classifier.weight"] = torch.zeros(7, 32)
    tensors["my.own.weight"] = torch.zeros(3)
    tensors["mobilebert.embeddings.position_ids"] = torch.arange(20)[None]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    found = inspect_checkpoint(tmp_path)
    assert found.missing == ["classifier.bias"]
    assert found.misshaped == [("classifier.weight", (7, 32), (2, 32))]
    assert found.unexpected == ["my.own.weight"]
    assert found.unused == ["mobilebert.embeddings.position_ids"]
    assert not found.complete
    result = CliRunner().invoke(app, ["inspect", str(tmp_path)])
    assert result.exit_code == 2
    for name in ("classifier.bias", "my.own.weight", "(7, 32) on disk", "cannot be loaded"):
        assert name in result.output


@pytest.mark.parametrize("head", ["Model", "ForPreTraining", "ForMaskedLM", "ForNextSentencePrediction"])
def test_head_is_told_from_the_names_without_architectures(tmp_path, head):
    save(tmp_path, head)
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    del config["architectures"]
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    found = inspect_checkpoint(tmp_path)
    assert found.architecture == f"MobileBert{head}"
    assert found.guessed
    assert found.complete


def test_json(tmp_path):
    model = save(tmp_path)
    result = CliRunner().invoke(app, ["inspect", str(tmp_path), "--json"])
    assert result.exit_code == 0
    printed = json.loads(result.output)
    assert printed["parameters"] == model.num_parameters()
    assert printed["missing"] == []
    assert printed["complete"] is True


@pytest.mark.parametrize("command", [["-m", "pocketbert"], ["-c", "from pocketbert.command.cli import main; main()"]])
def test_errors_are_one_line_without_a_traceback(tmp_path, command):
    (tmp_path / "config.json").write_text('{"model_type": "bert"', "utf-8")
    run = subprocess.run(
        [sys.executable, *command, "inspect", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert run.stderr.startswith("error: ")
    assert "config.json" in run.stderr
    assert "Traceback" not in run.stderr


def test_version_and_no_framework():
    code = "import sys; from pocketbert.command.cli import main; sys.argv = ['pocketbert', '--version']\n"
    code += "try:\n main()\nexcept SystemExit: pass\n"
    code += "print(sorted({'torch', 'tensorflow', 'transformers', 'numpy', 'tokenizers'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == f"pocketbert {pocketbert.__version__}\n[]\n"


def test_convert_command(tmp_path):
    fields = {key: FIELDS[key] for key in list(FIELDS)[:5]}
    pocketbert.BertModel(pocketbert.BertConfig(**fields)).save_pretrained(tmp_path / "bert")
    result = CliRunner().invoke(app, ["convert", str(tmp_path / "bert"), str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert inspect_checkpoint(tmp_path / "out").architecture == "DistilBertModel"
