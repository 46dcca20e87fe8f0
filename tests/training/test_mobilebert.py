"""Distillation into a MobileBERT: how it begins, what each strategy trains when, and what is refused."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import pocketbert
from helpers.oracle import SMALL
from helpers.runs import StopAfter
from helpers.small import folder
from pocketbert import Callback, ConfigError, InputError, distil_mobilebert, finetune, pipeline
from pocketbert.settings.runs import Mobilebert
from pocketbert.training.loop import Stopped
from pocketbert.training.mobilebert import start_as_teacher, student_config, transfer_phases
from pocketbert.training.schedules import transfer_rate

LAYERS = 2
FAST = {
    "save_every": 1000,
    "batch_size": 6,
    "micro_batch_size": 4,
    "min_length": 5,
    "optimizer": "adamw",
    "learning_rate": 2e-3,
}
IB = {
    "intra_bottleneck_size": 64, "hidden_act": "gelu_new", "normalization_type": "layer_norm",
    "key_query_shared_bottleneck": False, "num_feedforward_networks": 1, "num_hidden_layers": LAYERS,
}  # fmt: skip


@pytest.fixture
def teacher(tmp_path):
    """Return ``teacher(family, head)``, a checkpoint of two layers and width 32."""

    def make(family: str = "Bert", head: str = "ForMaskedLM", **fields):
        given = IB if family == "MobileBert" else {"hidden_size": 32, "num_hidden_layers": LAYERS}
        return folder(tmp_path / f"teacher-{family}{head}", family, head, **{**given, **fields})

    return make


@pytest.fixture
def ib_bert(tmp_path):
    """Return the folder of an IB-BERT, which transformers has no class for."""
    path = folder(tmp_path / "ib", "MobileBert", "ForMaskedLM", **IB | {"key_query_shared_bottleneck": True})
    config = pocketbert.MobileBertConfig.from_pretrained(path)
    config.key_query_shared_bottleneck = False
    torch.manual_seed(0)
    pocketbert.MobileBertForMaskedLM(config).save_pretrained(path)
    return path


@pytest.mark.parametrize("strategy", ["pkt", "jkt", "akt"])
def test_layers_and_words_are_learned_and_the_folder_answers(teacher, corpus, tmp_path, strategy):
    options = {"transfer_steps": 40, "pd_steps": 20, "strategy": strategy, **FAST, "learning_rate": 3e-3}
    done = distil_mobilebert(teacher=teacher(), corpus=corpus, out=tmp_path / "out", **options)
    phases = list(dict.fromkeys(row["phase"] for row in done.history))
    assert phases == {"pkt": ["layer 0", "layer 1", "words"], "jkt": ["layers", "words"], "akt": ["all"]}[strategy]
    for phase in phases:
        rows = [row for row in done.history if row["phase"] == phase]
        assert np.mean([row["loss"] for row in rows[-5:]]) < 0.8 * np.mean([row["loss"] for row in rows[:5]])
    assert done.model.config.attention_probs_dropout_prob == 0.1
    assert len(pipeline("fill-mask", model=tmp_path / "out", top_k=3)("the cat [MASK] on the mat")) == 3
    assert 'kind = "mobilebert"' in (tmp_path / "out" / "run.toml").read_text()


def test_an_inverted_bottleneck_teaches(ib_bert, corpus, tmp_path):
    done = distil_mobilebert(
        teacher=ib_bert, corpus=corpus, out=tmp_path / "out", transfer_steps=40, pd_steps=2, **FAST
    )
    rows = [row["loss"] for row in done.history if row["phase"] == "layer 1"]
    assert rows[-1] < rows[0]
    assert done.model.config.embedding_size == 12


def test_a_teacher_without_words_teaches_its_layers(teacher, corpus, tmp_path):
    options = {"teacher": teacher("Bert", "Model"), "corpus": corpus, "transfer_steps": 4, **FAST}
    with pytest.raises(InputError, match="has no head that predicts words; pass pd_steps=0"):
        distil_mobilebert(out=tmp_path / "no", pd_steps=2, **options)
    done = distil_mobilebert(out=tmp_path / "layers", pd_steps=0, **options)
    assert isinstance(done.model, pocketbert.MobileBertModel)
    assert [row["phase"] for row in done.history] == ["layer 0"] * 2 + ["layer 1"] * 2
    words = distil_mobilebert(out=tmp_path / "words", pd_steps=2, teacher_share=0.0, **options)
    assert words.history[-1]["phase"] == "words"
    options |= {"transfer_steps": 0, "pd_steps": 2, "teacher_share": 0.0}
    on = distil_mobilebert(
        out=tmp_path / "on", student=str(tmp_path / "layers"), **options
    )  # goes on from that student
    assert torch.equal(on.model.mobilebert.embeddings.position_embeddings.weight[60:],
                       done.model.embeddings.position_embeddings.weight[60:]) is False  # fmt: skip


@pytest.mark.parametrize("optimizer", ["adamw", "lamb"])
def test_going_on_gives_the_same_bits(teacher, corpus, tmp_path, optimizer):
    options = {"teacher": teacher(), "corpus": corpus, "transfer_steps": 6, "pd_steps": 3, **FAST}
    options["optimizer"] = optimizer
    whole = distil_mobilebert(out=tmp_path / "whole", **options)
    for stop in (2, 3, 5, 7):  # within a phase, and at its end
        with pytest.raises(Stopped):
            distil_mobilebert(out=tmp_path / "parts", callbacks=[StopAfter(stop)], resume=True, **options)
    parts = distil_mobilebert(out=tmp_path / "parts", resume=True, **options)
    for (name, one), other in zip(whole.model.state_dict().items(), parts.model.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


_RUN = "import json, sys, pocketbert; pocketbert.distil_mobilebert(**json.loads(sys.argv[1]))"


@pytest.mark.slow
def test_two_processes_make_the_steps_of_one_in_every_phase(teacher, corpus, tmp_path):
    options = {"teacher": str(teacher()), "corpus": str(corpus), "transfer_steps": 6, "pd_steps": 3, **FAST}
    one = distil_mobilebert(out=tmp_path / "one", **options)
    script = tmp_path / "run.py"
    script.write_text(_RUN, "utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run([*command, json.dumps({**options, "out": str(tmp_path / "two")})], capture_output=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"}, text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    two = type(one.model).from_pretrained(tmp_path / "two").state_dict()
    for name, value in one.model.state_dict().items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5)


def test_what_is_not_in_its_phase_stays(teacher, corpus, tmp_path):
    moved = []

    class Watch(Callback):
        def on_start(self, run):
            self.before = {name: value.detach().clone() for name, value in run.model.named_parameters()}

        def on_step(self, run, values):
            if run.progress.step in (4, 8, 12):
                now = {name: value.detach().clone() for name, value in run.model.named_parameters()}
                changed = {
                    name.removeprefix("mobilebert.") for name in now if not torch.equal(now[name], self.before[name])
                }
                moved.append({name.split(".layer.")[1][0] if ".layer." in name else name for name in changed})
                self.before = now

    options = {"transfer_steps": 8, "pd_steps": 4, **FAST}
    distil_mobilebert(teacher=teacher(), corpus=corpus, out=tmp_path / "out", callbacks=[Watch()], **options)
    own = {f"embeddings.{name}" for name in ("embedding_transformation.weight", "embedding_transformation.bias")}
    own |= {"embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias"}  # the teacher has none of these
    assert moved[0] == {"0"} | own
    assert moved[1] == {"0", "1"} | own
    assert moved[2] > {"0", "1", "embeddings.word_embeddings.weight", "cls.predictions.bias"} | own


def test_learning_rates_follow_the_recipe():
    for steps in (7, 10_000):
        t = np.arange(steps)
        wanted = 3 * np.minimum(0.9 + 0.1 * np.sqrt(1 - t / steps), 10 * t / steps)
        assert [transfer_rate(step, steps) for step in range(steps)] == pytest.approx(wanted.tolist())
    teacher = pocketbert.BertModel(pocketbert.BertConfig(**{**SMALL["Bert"], "num_hidden_layers": 3}))
    phases = transfer_phases(Mobilebert(), teacher, {"mobilebert.embeddings.LayerNorm.bias"})
    assert [phase.steps for phase in phases] == [80_000] * 3 + [500_000]  # the paper's 240k and 500k
    layer = "mobilebert.encoder.layer.{}.output.dense.weight"
    factors = [[phase.factor(layer.format(index)) for index in range(3)] for phase in phases]
    assert factors == [[1.0, 0.0, 0.0], [0.1, 1.0, 0.0], [0.1, 0.1, 1.0], [1.0, 1.0, 1.0]]
    for frozen in ("mobilebert.embeddings.word_embeddings.weight", "cls.predictions.bias"):
        assert [phase.factor(frozen) for phase in phases] == [0.0, 0.0, 0.0, 1.0]
    assert [phase.factor("mobilebert.embeddings.LayerNorm.bias") for phase in phases] == [1.0, 0.1, 0.1, 1.0]
    words = phases[-1].rate
    assert [words(step) for step in (0, 5_000, 10_000, 255_000)] == pytest.approx([0, 0.5, 1, 0.50005])
    assert words(499_999) * 1.5e-3 == pytest.approx(1.5e-7, rel=0.05)


def test_a_student_begins_with_the_embeddings_of_a_bert():
    theirs = pocketbert.BertForMaskedLM(pocketbert.BertConfig(**{**SMALL["Bert"], "initializer_range": 0.5})).eval()
    config = student_config(theirs.config, None)
    config.normalization_type = "layer_norm"
    config.outer_layer_norm_eps = theirs.config.layer_norm_eps
    mine = pocketbert.MobileBertForMaskedLM(config).eval()
    left = start_as_teacher(mine, theirs)
    assert {name.split("embeddings.")[1].split(".")[0] for name in left} == {"embedding_transformation", "LayerNorm"}
    ids = torch.tensor([[2, 7, 9, 4, 3]])
    embedded = (model.base_model.embeddings(input_ids=ids) for model in (mine, theirs))
    torch.testing.assert_close(*embedded, rtol=1e-4, atol=1e-5)
    states = torch.randn(3, 24)
    torch.testing.assert_close(mine.cls.predictions.decoder.bias, theirs.cls.predictions.decoder.bias)
    torch.testing.assert_close(
        mine.cls.predictions.transform.dense(states), theirs.cls.predictions.transform.dense(states)
    )


def test_an_affine_norm_begins_close_to_the_teachers_layer_norm():
    torch.manual_seed(0)
    theirs = pocketbert.BertModel(pocketbert.BertConfig(**{**SMALL["Bert"], "hidden_size": 96})).eval()
    nn.init.normal_(theirs.embeddings.LayerNorm.bias)
    mine = pocketbert.MobileBertModel(student_config(theirs.config, None)).eval()
    start_as_teacher(mine, theirs)
    ids = torch.arange(5, 37)[None]
    one, other = mine.embeddings(input_ids=ids), theirs.embeddings(input_ids=ids)
    assert torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.98


def test_a_student_of_an_inverted_bottleneck_begins_with_all_of_its_embeddings(ib_bert):
    theirs = pocketbert.MobileBertForMaskedLM.from_pretrained(ib_bert)
    nn.init.normal_(theirs.mobilebert.embeddings.embedding_transformation.weight)
    mine = pocketbert.MobileBertForMaskedLM(student_config(theirs.config, None))
    assert start_as_teacher(mine, theirs) == set()
    for name, value in theirs.named_parameters():
        if "embeddings.LayerNorm" not in name and ("embeddings" in name or name.startswith("cls.")):
            assert torch.equal(mine.get_parameter(name), value), name


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": 64}, r"width \(hidden_size\) 32, the student's 64"),
        ({"num_hidden_layers": 3}, r"layers \(num_hidden_layers\) 2, the student's 3"),
        ({"num_attention_heads": 2}, r"attention heads \(num_attention_heads\) 4, the student's 2"),
        ({"vocab_size": 999}, r"vocabulary \(vocab_size\) \d+, the student's 999"),
    ],
)
def test_a_misfit_is_named(teacher, corpus, tmp_path, fields, message):
    path = teacher()
    config = student_config(pocketbert.AutoConfig.from_pretrained(path), None)
    wrong = pocketbert.MobileBertConfig.from_dict({**config.to_dict(), **fields})
    wrong.save_pretrained(tmp_path / "student")
    options = {"transfer_steps": 2, "pd_steps": 0, "student": str(tmp_path / "student" / "config.json"), **FAST}
    with pytest.raises(ConfigError, match=message):
        distil_mobilebert(teacher=path, corpus=corpus, out=tmp_path / "out", **options)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"transfer_steps": 1}, "transfer_steps=1 leaves no step for some of the 2 layers"),
        ({"transfer_steps": 0, "pd_steps": 0}, "both 0"),
        ({"strategy": "all"}, "strategy='all'"),
        ({"epochs": 2.0}, "epochs=2.0 has no meaning here"),
        ({"mask_share": 0.0}, "mask_share=0 hides no word"),
        ({"precision": "float16"}, "precision='float16'.*float32.*bfloat16"),
    ],
)
def test_bad_settings_are_named(teacher, corpus, tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        distil_mobilebert(
            teacher=teacher(), corpus=corpus, out=tmp_path / "o", **{"transfer_steps": 4, "pd_steps": 2, **settings}
        )


def test_the_command_shows_what_a_run_would_do(teacher, corpus, tmp_path, monkeypatch, capfd):
    from pocketbert.command.cli import main

    words = [
        "distil",
        "mobilebert",
        "--teacher",
        str(teacher()),
        "--out",
        str(tmp_path / "out"),
        "--corpus",
        str(corpus),
    ]
    words += ["--transfer-steps", "4", "--pd-steps", "3", "--batch-size", "6", "--min-length", "5", "--dry-run"]
    monkeypatch.setattr("sys.argv", ["pocketbert", *words])
    with pytest.raises(SystemExit) as end:
        main()
    shown = capfd.readouterr().out
    assert end.value.code == 0
    assert "MobileBertForMaskedLM" in shown
    assert "7 of 6" in shown
    assert not (tmp_path / "out").exists()


def test_a_distilbert_teaches_no_mobilebert(teacher, corpus, tmp_path):
    path = folder(tmp_path / "distil", "DistilBert", "ForMaskedLM")
    with pytest.raises(ConfigError, match="a distilbert teaches no MobileBERT"):
        distil_mobilebert(teacher=path, corpus=corpus, out=tmp_path / "o", transfer_steps=4, pd_steps=2)


def test_mobilebert_is_not_fine_tuned_in_half_precision(start, data, tmp_path):
    options = {"model": start("MobileBert"), "train": data("text-classification", 8), "epochs": 1}
    with pytest.raises(InputError, match=r"precision='float16'.*float32.*bfloat16"):
        finetune(out=tmp_path / "half", precision="float16", **options)
    done = finetune(out=tmp_path / "brain", precision="bfloat16", **options)
    assert math.isfinite(done.history[-1]["loss"])
    assert all(value.dtype is torch.float32 for value in done.model.parameters())
