"""Distillation into a DistilBERT, and pre-training: how a model begins, what it learns, and what is refused."""

from __future__ import annotations

import json

import pytest
import torch

import pocketbert
from helpers.small import folder
from pocketbert import CheckpointError, ConfigError, InputError, distil_distilbert, pipeline, pretrain

WIDTH = {"Bert": "num_hidden_layers", "DistilBert": "n_layers"}
FAST = {"epochs": 30, "batch_size": 20, "micro_batch_size": None, "learning_rate": 3e-3, "min_length": 5}


@pytest.fixture
def teacher(tmp_path):
    """Return ``teacher(family, head)``, a checkpoint of four layers."""

    def make(family: str = "Bert", head: str = "ForMaskedLM", **fields):
        torch.manual_seed(0)
        return folder(tmp_path / f"teacher-{family}{head}", family, head, **{WIDTH[family]: 4, **fields})

    return make


@pytest.mark.parametrize("family", ["Bert", "DistilBert"])
@pytest.mark.parametrize(("layers", "chosen"), [(None, [0, 3]), ("1,2,3", [1, 2, 3])])
def test_a_student_begins_as_layers_of_the_teacher(teacher, corpus, tmp_path, family, layers, chosen):
    path = teacher(family)
    options = {"max_steps": 1, "learning_rate": 0.0, "min_length": 5}
    done = distil_distilbert(teacher=path, corpus=corpus, out=tmp_path / "out", layers=layers, **options)
    student = done.model
    assert isinstance(student, pocketbert.DistilBertForMaskedLM)
    assert student.config.n_layers == len(chosen)
    whole = pocketbert.AutoModelForMaskedLM.from_pretrained(path)
    ids = torch.tensor([[2, 7, 9, 4, 3]])
    encoder = whole.base_model
    stack = encoder.encoder if family == "Bert" else encoder.transformer
    stack.layer = torch.nn.ModuleList([stack.layer[index] for index in chosen])
    with torch.no_grad():  # the same layers of the teacher give the same words, token type 0 included
        torch.testing.assert_close(student(ids).logits, whole(ids).logits, rtol=1e-4, atol=1e-5)


def test_a_student_learns_and_its_folder_answers(teacher, corpus, tmp_path):
    done = distil_distilbert(teacher=teacher(), corpus=corpus, out=tmp_path / "out", **FAST)
    steps = [row for row in done.history if "loss" in row]
    for name in ("ce", "mlm", "cos"):
        assert steps[-1][name] < 0.8 * steps[0][name], name
    assert steps[0]["loss"] == pytest.approx(5 * steps[0]["ce"] + 2 * steps[0]["mlm"] + steps[0]["cos"])
    answers = pipeline("fill-mask", model=tmp_path / "out", top_k=3)("the cat [MASK] on the mat and was happy")
    assert len(answers) == 3
    assert not hasattr(done.tokenizer("the cat"), "token_type_ids")
    assert json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())["tokenizer_class"].startswith("Distil")
    assert 'kind = "distilbert"' in (tmp_path / "out" / "run.toml").read_text()


def test_a_teacher_without_words_teaches_hidden_states(teacher, corpus, tmp_path):
    path = teacher("Bert", "Model")
    options = {"teacher": path, "corpus": corpus, "out": tmp_path / "out", **FAST, "epochs": 4}
    with pytest.raises(
        InputError, match=r"has no head that predicts words, and alpha_ce=5.0 needs one; pass alpha_ce=0"
    ):
        distil_distilbert(**options)
    done = distil_distilbert(alpha_ce=0.0, alpha_mlm=0.0, mask_share=0.0, **options)
    assert isinstance(done.model, pocketbert.DistilBertModel)
    steps = [row["loss"] for row in done.history]
    assert steps[-1] < steps[0]
    fresh = distil_distilbert(alpha_ce=0.0, **{**options, "out": tmp_path / "fresh"})
    assert isinstance(fresh.model, pocketbert.DistilBertForMaskedLM)


def test_a_given_student_learns(teacher, corpus, tmp_path):
    narrow = {"dim": 8, "n_heads": 2, "hidden_dim": 16, "n_layers": 1, "max_position_embeddings": 64}
    path = teacher()
    size = pocketbert.AutoConfig.from_pretrained(path).vocab_size
    pocketbert.DistilBertConfig(vocab_size=size, **narrow).to_json_file(tmp_path / "small.json")
    options = {"teacher": path, "corpus": corpus, "student": str(tmp_path / "small.json"), **FAST, "epochs": 2}
    done = distil_distilbert(out=tmp_path / "out", alpha_cos=0.0, **options)
    assert done.model.config.dim == 8
    with pytest.raises(ConfigError, match=r"width \(hidden_size\) 24, the student's 8"):
        distil_distilbert(out=tmp_path / "out2", **options)


def test_what_does_not_fit_is_named(teacher, corpus, tmp_path):
    path = teacher()
    options = {"teacher": path, "corpus": corpus, "out": tmp_path / "out"}
    for more, message in (
        ({"layers": "0,4"}, "layers='0,4' names layer 4; the teacher has 4 layers, 0 to 3"),
        ({"layers": "a"}, "layers='a' must be whole numbers"),
        ({"max_length": 999}, "max_length=999 exceeds the model's 64 positions"),
        ({"max_length": 8}, "min_length=12 exceeds max_length=8"),
        ({"alpha_ce": 0.0, "alpha_mlm": 0.0, "alpha_cos": 0.0}, "all 0; nothing would be learned"),
        ({"mask_share": 0.0}, "mask_share=0 hides no word"),
        ({"masking": "none"}, "masking='none' is unknown"),
        ({"alpha_cee": 1}, "no setting 'alpha_cee'; did you mean 'alpha_ce'"),
        ({"corpus": tmp_path / "none.txt"}, "none.txt is no file"),
    ):
        with pytest.raises(InputError, match=message):
            distil_distilbert(**{**options, **more})
    with pytest.raises(ConfigError, match="is a MobileBert; a student begins as layers of a BERT or DistilBERT"):
        distil_distilbert(**{**options, "teacher": folder(tmp_path / "mobile", "MobileBert", "ForMaskedLM")})
    other = folder(tmp_path / "other", "DistilBert", "ForMaskedLM")
    words = (other / "vocab.txt").read_text("utf-8").split("\n")
    words[7], words[9] = words[9], words[7]
    (other / "vocab.txt").write_text("\n".join(words), "utf-8")
    (other / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"the teacher's vocabulary is not the student's: 2 tokens differ"):
        distil_distilbert(**options, student=str(other))


@pytest.mark.parametrize("masking", ["bert", "distilbert"])
def test_pretraining_from_a_configuration_and_from_a_checkpoint(start, corpus, tmp_path, masking):
    path = start("MobileBert")
    options = {"corpus": corpus, **FAST, "masking": masking, "eval": str(corpus), "eval_every": 30}
    done = pretrain(model=path / "config.json", out=tmp_path / "first", **options)
    steps = [row["words"] if "words" in row else row["loss"] for row in done.history if "loss" in row]
    assert steps[-1] < 0.7 * steps[0]
    assert done.scores["accuracy at masked words"] > 0.1  # of 176 words
    again = pretrain(model=tmp_path / "first", out=tmp_path / "second", **{**options, "epochs": 1})
    first = next(row["loss"] for row in again.history if "loss" in row)
    assert first < 0.7 * steps[0]


def test_a_tokenizer_that_does_not_fit_is_refused(start, corpus, tmp_path):
    path = start("DistilBert", vocab_size=50)
    with pytest.raises(InputError, match="the tokenizer has ids up to 175, and the model's word table ends at 49"):
        pretrain(model=path / "config.json", corpus=corpus, out=tmp_path / "out")
    (path / "vocab.txt").unlink()
    with pytest.raises(CheckpointError, match="tokenizer"):
        pretrain(model=path / "config.json", corpus=corpus, out=tmp_path / "out")
