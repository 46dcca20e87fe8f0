"""The model card, what trackers hear, and folders that a run refuses before it starts."""

from __future__ import annotations

import errno
import json
import sys
from collections import namedtuple
from pathlib import Path
from types import ModuleType

import pytest

from pocketbert import Callback, CheckpointError, InputError, MissingExtra, finetune
from pocketbert.settings.runs import Finetune
from pocketbert.training.card import Card, write_card

hub = pytest.importorskip("huggingface_hub")


def test_a_run_writes_its_card(start, data, tmp_path):
    path, out = data("token-classification", 10), tmp_path / "tagger"
    options = {"model": start(), "train": path, "epochs": 1, "learning_rate": 1e-3}
    done = finetune("token-classification", eval=path, out=out, **options)
    card = hub.ModelCard.load(out / "README.md")
    assert card.data.library_name == "pocketbert"
    assert card.data.pipeline_tag == "token-classification"
    assert card.data.metrics == ["f1", "precision", "recall"]
    assert {r.metric_name: r.metric_value for r in card.data.eval_results} == {
        name: round(done.scores[name], 4) for name in ("entity F1", "entity precision", "entity recall")
    }
    for wanted in (
        "from `DistilBert`",
        "| F1 of LOC |",
        "learning_rate = 0.001",
        "![curves](curves.png)",
        "in 1 steps",
    ):
        assert wanted in card.text
    assert str(tmp_path) not in card.content  # a card is published, and this machine's folders are not
    first = (out / "README.md").read_text("utf-8")
    with pytest.raises(CheckpointError, match="holds a run"):
        finetune("token-classification", out=out, **options)
    assert (out / "README.md").read_text("utf-8") == first


def test_a_card_of_ones_own_stays(start, data, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "README.md").write_text("mine", "utf-8")
    finetune(model=start(), train=data("text-classification", 8), out=out, epochs=1)
    assert (out / "README.md").read_text("utf-8") == "mine"


def test_names_on_the_hub_are_in_the_head_of_a_card(tmp_path):
    model = namedtuple("Model", "parameters")(list)
    base, data = "google/mobilebert-uncased", ("glue:sst2@train", "glue:sst2@validation")
    card = Card("fine-tuned", "text-classification", base, *data)
    for scores in ({"accuracy": 0.5, "macro F1": 0.4}, {}):
        write_card(tmp_path, tmp_path, card, Finetune(), model, scores, 1)
        found = hub.ModelCard.load(tmp_path / "README.md").data
        assert (found.base_model, found.datasets) == (base, ["glue"])
        assert found.metrics == (["accuracy", "f1"] if scores else None)
    assert "model-index" not in (tmp_path / "README.md").read_text("utf-8")


class FakeTracker:
    """What accelerate would make of a tracker's name."""

    name, requires_logging_directory, main_process_only = "fake", False, True

    def __init__(self, heard):
        self.heard = heard

    def store_init_configuration(self, values):
        self.heard.append(("settings", values))

    def log(self, values, step, **_):
        self.heard.append((step, values))

    def finish(self):
        self.heard.append("end")


@pytest.fixture
def heard(monkeypatch):
    """Stand in for tensorboard; return what it hears."""
    from accelerate import tracking

    heard: list = []
    monkeypatch.setitem(sys.modules, "tensorboard", ModuleType("tensorboard"))

    class Fake(FakeTracker):
        def __init__(self, run_name, **_):
            super().__init__(heard)

        def start(self):
            pass

    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "tensorboard", Fake)
    monkeypatch.setattr(tracking, "get_available_trackers", lambda: [tracking.LoggerType.TENSORBOARD])
    return heard


def test_a_tracker_hears_of_a_run(start, data, tmp_path, heard):
    path = data("text-classification", 8)
    done = finetune(
        model=start(), train=path, eval=path, out=tmp_path / "out", epochs=1, batch_size=4, report_to="tensorboard"
    )
    (kind, settings), *rest, last = heard
    assert (kind, last) == ("settings", "end")
    assert settings["batch_size"] == 4
    assert [(step, values["loss"]) for step, values in rest if "loss" in values] == [
        (row["step"], row["loss"]) for row in done.history if "loss" in row
    ]
    assert [values for _, values in rest if "eval/accuracy" in values] == [
        {f"eval/{name}": value for name, value in done.scores.items()}
    ]


def test_a_tracker_is_told_of_a_run_that_fails(start, data, tmp_path, heard):
    class Fail(Callback):
        def on_step(self, run, values):
            raise KeyError("mine")

    with pytest.raises(KeyError):
        finetune(
            model=start(), train=data("text-classification", 8), out=tmp_path / "o", callbacks=[Fail()],
            report_to="tensorboard",
        )  # fmt: skip
    assert heard[-1] == "end"


def test_trackers_that_are_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtra, match="runs with report_to=wandb need wandb; pip install wandb"):
        Finetune(report_to="wandb").check()
    with pytest.raises(InputError, match="report_to='comet'"):
        Finetune(report_to="comet").check()


# -- folders -----------------------------------------------------------------------------------------------------------


class Never(Callback):
    def on_start(self, run):
        raise AssertionError("training began")


def test_a_folder_that_cannot_be_written_is_refused_at_once(start, data, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointError, match=r"out='.*file/out' cannot be written: Not a directory"):
        finetune(model=start(), train=data("text-classification"), out=tmp_path / "file" / "out", callbacks=[Never()])


def test_a_disk_that_is_too_small_is_refused_at_once(start, data, tmp_path, monkeypatch):
    usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(0, 0, 20_000))
    with pytest.raises(CheckpointError, match=r"has room for 0 MB, and a run with keep=2 writes about \d MB"):
        finetune(model=start(), train=data("text-classification"), out=tmp_path / "o", keep=2, callbacks=[Never()])


def test_a_disk_that_fills_up_keeps_the_last_checkpoint(start, data, tmp_path, monkeypatch):
    import safetensors.torch

    write, out = safetensors.torch.save_file, tmp_path / "out"

    def full(tensors, path, **options):
        if "00000004" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(tensors, path, **options)

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    options = {"model": start(), "train": data("text-classification"), "epochs": 1, "batch_size": 8, "save_every": 2}
    with pytest.raises(CheckpointError, match="step 4 cannot be written: No space left on device; step 2 is kept"):
        finetune(out=out, **options)
    monkeypatch.setattr(safetensors.torch, "save_file", write)
    assert finetune(out=out, resume=True, **options).history[-1]["step"] == 5


def test_a_model_that_cannot_be_saved_leaves_the_folder_as_it_was(start, data, tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    (out / "config.json").write_text("{}")
    monkeypatch.setattr("pocketbert.training.history.draw_curves", lambda *_: (tmp_path / "no" / "file").read_text())
    with pytest.raises(CheckpointError, match="which stays as it was"):
        finetune(model=start(), train=data("text-classification", 8), out=out, epochs=1)
    assert (out / "config.json").read_text() == "{}"
    assert not (out / "model.safetensors").exists()


def test_a_tokenizer_that_does_not_fit_is_refused(start, data, tmp_path):
    folder = Path(start())
    with (folder / "vocab.txt").open("a") as file:
        file.write("more\n")
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    with pytest.raises(InputError, match=f"ids up to {size}, and the model's word table ends at {size - 1}"):
        finetune(model=folder, train=data("text-classification"), out=tmp_path / "out")
