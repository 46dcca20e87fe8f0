"""From a folder to a task: names, heads, runtimes; and nothing that runs with random weights."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import pocketbert
from helpers.fake import FakeRunner, tokenizer
from pocketbert.errors import CheckpointError, InputError, MissingExtra
from pocketbert.tasks import pipeline, pipelines
from pocketbert.tasks.selection import TASKS, resolve

WHOSE = {
    "ForMaskedLM": "fill-mask",
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMultipleChoice": "multiple-choice",
    "ForNextSentencePrediction": "next-sentence-prediction",
    "ForPreTraining": "fill-mask",
    "Model": "feature-extraction",
}
SERVED = {"text-classification": {"text-classification", "zero-shot-classification"}}


@pytest.mark.parametrize("family", ["DistilBert", "MobileBert", "Bert"])
@pytest.mark.parametrize("head", WHOSE)
def test_a_checkpoint_serves_its_task_and_no_other(family, head, made, pipe):
    if family == "DistilBert" and head in ("ForNextSentencePrediction", "ForPreTraining"):
        pytest.skip("DistilBERT has no such head")
    folder = made(family, head)
    assert pipe(model=folder).name == WHOSE[head]
    served = SERVED.get(WHOSE[head], {WHOSE[head]}) | {"feature-extraction"}
    served |= {"next-sentence-prediction"} if head == "ForPreTraining" else set()
    for name in TASKS:
        if name in served:
            assert pipe(name, model=folder).name == name
        else:
            with pytest.raises(CheckpointError, match=r"has no .* head, which .* needs|cannot run on") as error:
                pipe(name, model=folder)
            if "cannot run" not in str(error.value):
                able = str(error.value).rsplit("use this one for ", 1)[1].split(", ")
                assert set(able) == served


def test_what_is_missing_is_named(made, pipe):
    with pytest.raises(CheckpointError, match=r"qa_outputs.weight, qa_outputs.bias are not in the file, and it was"):
        pipe("question-answering", model=made("DistilBert", "ForMaskedLM"))
    message = "no token-classification head, .*its classifier is another head's, and it was saved from DistilBertForSeq"
    with pytest.raises(CheckpointError, match=message):
        pipe("ner", model=made("DistilBert", "ForSequenceClassification"))
    with pytest.raises(CheckpointError, match="DistilBert has no next_sentence head"):
        pipe("next-sentence-prediction", model=made("DistilBert", "ForMaskedLM"))


def changed(folder, path, **fields):
    shutil.copytree(folder, path)
    config = {**json.loads((path / "config.json").read_text("utf-8")), **fields}
    (path / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}), "utf-8")
    return path


def test_tensors_tell_where_the_configuration_does_not(made, tmp_path, pipe):
    for number, head in enumerate(("ForQuestionAnswering", "ForMaskedLM", "ForSequenceClassification")):
        folder = changed(made("DistilBert", head), tmp_path / f"{number}", architectures=None)
        if head != "ForSequenceClassification":
            assert pipe(model=folder).name == WHOSE[head]
    with pytest.raises(InputError, match="does not say which task it is for; pass task= one of fill-mask"):
        pipe(model=folder)
    assert pipe("text-classification", model=folder)("the cat")
    stale = changed(
        made("DistilBert", "ForQuestionAnswering"), tmp_path / "stale", architectures=["DistilBertForMaskedLM"]
    )
    assert pipe("question-answering", model=stale).head == "question_answering"


def test_a_checkpoint_that_does_not_fit_is_refused(made, tmp_path, pipe):
    folder = changed(made("Bert", "ForTokenClassification"), tmp_path / "a", num_hidden_layers=4)
    with pytest.raises(CheckpointError, match="does not fit BertForTokenClassification: 16 missing"):
        pipe(model=folder)


def test_a_model_must_be_named():
    with pytest.raises(InputError, match=r"model=None: pass a checkpoint folder or a hub name$"):
        pipeline()
    for task in ("text-classification", "sentiment-analysis"):
        with pytest.raises(
            InputError, match=r"model=None: .*such as 'distilbert/distilbert-base-uncased-finetuned-sst"
        ):
            pipeline(task)


@pytest.mark.parametrize("task", ["vqa", "translation", "translation_en_to_fr", "text-generation"])
def test_tasks_of_other_models(task):
    with pytest.raises(InputError, match=f"task '{task}' needs another kind of model; these models do fill-mask"):
        pipeline(task, model="anything")


@pytest.mark.parametrize("task", ["ner2", "", 5])
def test_unknown_tasks(task):
    with pytest.raises(InputError, match=re.escape(f"unknown task {task!r}; choose from fill-mask, text-class")):
        pipeline(task, model="anything")


def test_aliases_and_hints():
    assert resolve("ner") == "token-classification"
    assert resolve("sentiment-analysis") == "text-classification"
    with pytest.raises(InputError, match="did you mean 'question-answering'"):
        resolve("question_answering")


def test_a_checkpoint_runs_on_the_native_engine_without_torch(made):
    pytest.importorskip("pocketbert._native")
    heads = {
        "ForSequenceClassification": "the cat",
        "ForTokenClassification": "the cat",
        "ForMaskedLM": "the [MASK] sat",
        "ForQuestionAnswering": {"question": "who", "context": "the cat sat"},
        "ForMultipleChoice": {"prompt": "the cat", "choices": ["sat", "is big"]},
        "Model": "the cat",
    }
    folders = [(str(made(family, head)), text) for family in ("DistilBert", "Bert") for head, text in heads.items()]
    variants = ({}, {"normalization_type": "layer_norm"}, {"use_bottleneck": False}, {"use_bottleneck_attention": True})
    folders += [(str(made("MobileBert", head, **fields)), text) for head, text in heads.items() for fields in variants]
    code = (
        "import json, sys\n"
        "sys.modules['torch'] = None\n"
        "from pocketbert.tasks import pipeline\n"
        "for folder, text in json.load(sys.stdin):\n"
        "    task = pipeline(model=folder)\n"
        "    answer = task(text)\n"
        "    print(type(task.runner).__name__, len(answer) > 0)\n"
    )
    run = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(run, input=json.dumps(folders), capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["NativeRunner True"] * len(folders)


def runner_name(task):
    return type(task.runner).__name__


def test_without_the_engine_onnx_runtime_answers_and_says_so(made, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setitem(sys.modules, "pocketbert._native", None)
    folder = made("DistilBert", "ForSequenceClassification")
    with pytest.warns(UserWarning, match=r"on ONNX Runtime: the native engine was not built.*pip install") as said:
        task = pipeline(model=folder)
    assert [Path(warning.filename) for warning in said] == [Path(__file__)]
    assert runner_name(task) == "OnnxRunner"
    assert task("the cat")[0]["label"] == pipeline(model=folder, runtime="torch")("the cat")[0]["label"]
    with pytest.raises(MissingExtra, match="was not built"):
        pipeline(model=folder, runtime="native")


@pytest.mark.parametrize("absent", ["onnx", "onnxruntime"])
def test_without_any_runtime_the_error_names_all(made, monkeypatch, absent):
    monkeypatch.setitem(sys.modules, "pocketbert._native", None)
    monkeypatch.setitem(sys.modules, absent, None)
    everything = r"was not built.*C\+\+20.*runtime='onnx' \(pip install 'pocketbert\[onnx\]'\) or runtime='torch'"
    with pytest.raises(MissingExtra, match=everything):
        pipeline(model=made("DistilBert", "Model"))


def test_what_only_torch_has_runs_on_torch(made, monkeypatch):
    folder = made("DistilBert", "Model")
    for dtype in ("bfloat16", torch.bfloat16, "float64", "auto"):
        assert runner_name(pipeline(model=folder, dtype=dtype)) == "TorchRunner"
    assert runner_name(pipeline(model=folder, device="meta")) == "TorchRunner"
    with pytest.raises(InputError, match="no float dtype"):
        pipeline(model=folder, device="meta", dtype="int8")
    monkeypatch.setitem(sys.modules, "torch", None)
    for options in ({"dtype": "bfloat16"}, {"device": "cuda"}, {"runtime": "torch"}):
        with pytest.raises(MissingExtra, match=r"need torch; pip install 'pocketbert\[torch\]'"):
            pipeline(model=folder, **options)


def test_what_the_native_engine_does_not_have(made):
    pytest.importorskip("pocketbert._native")
    folder = made("DistilBert", "Model")
    assert runner_name(pipeline(model=folder, device="cpu", dtype=torch.float32)) == "NativeRunner"
    with pytest.raises(InputError, match="dtype='int4': plans are run in float32 and int8"):
        pipeline(model=folder, dtype="int4")
    with pytest.raises(InputError, match="device='cuda': the native engine runs on the CPU"):
        pipeline(model=folder, device="cuda", runtime="native")


def test_unknown_runtimes(made):
    with pytest.raises(InputError, match="unknown runtime 'gpu'; choose from native, onnx, torch"):
        pipeline(model=made("DistilBert", "Model"), runtime="gpu")


def test_loaded_models_and_runners(made):
    folder = made("MobileBert", "ForSequenceClassification")
    model = pocketbert.MobileBertForSequenceClassification.from_pretrained(folder)
    by_folder = pipeline(model=folder, runtime="torch")("the cat")
    kept = pipeline("text-classification", model=model)
    assert runner_name(kept) == "TorchRunner"
    assert kept("the cat") == by_folder
    assert pipeline("text-classification", model, tokenizer=folder)("the cat") == by_folder
    assert pipeline("feature-extraction", model=model)("the cat").shape[2] == 32
    with pytest.raises(InputError, match="needs a question_answering head, and MobileBertForSequenceClass"):
        pipeline("question-answering", model=model)
    with pytest.raises(InputError, match="pass task= one of"):
        pipeline(model=model)
    fresh = pocketbert.BertModel(pocketbert.BertConfig(num_hidden_layers=1))
    with pytest.raises(InputError, match="this model came from no folder; pass tokenizer="):
        pipeline("feature-extraction", model=fresh)
    ours = pipeline("feature-extraction", model=FakeRunner("none"), tokenizer=tokenizer(), pooling="mean")
    assert ours("the cat").shape == (6,)
    assert repr(ours) == "FeatureExtractionPipeline('', runner=FakeRunner)"
    for options, loaded, source in (
        ({"device": "cpu"}, FakeRunner("none"), tokenizer()),
        ({"dtype": "int8"}, FakeRunner("none"), tokenizer()),
    ):
        with pytest.raises(InputError, match=r"are for checkpoints; a \w+ keeps what it has"):
            pipeline("feature-extraction", model=loaded, tokenizer=source, **options)
    for options in ({"device": "cpu"}, {"device": -1}, {"dtype": torch.float32}, {"framework": "pt"}):
        assert pipeline("text-classification", model=model, **options)("the cat") == by_folder
    with pytest.warns(
        UserWarning, match="dtype='bfloat16' is for checkpoints: this MobileBertForS.* keeps its float32"
    ):
        assert pipeline("text-classification", model=model, dtype=torch.bfloat16)("the cat") == by_folder
    with pytest.raises(InputError, match="runtime='torch': a FakeRunner is a runner already"):
        pipeline("feature-extraction", model=FakeRunner("none"), tokenizer=tokenizer(), runtime="torch")


def test_options_given_to_pipeline_hold_for_every_call(made, pipe):
    made_ = pipe("sentiment-analysis", model=made("DistilBert", "ForSequenceClassification"), top_k=None)
    assert len(made_("the cat")[0]) == 2
    assert len(made_("the cat", top_k=1)) == 1
    with pytest.raises(InputError, match="takes no argument 'truncated'"):
        pipe(model=made("DistilBert", "ForSequenceClassification"), truncated=True)


def test_bfloat16_is_the_users_choice(made):
    folder = made("DistilBert", "ForSequenceClassification")
    exact, rough = pipeline(model=folder, runtime="torch"), pipeline(model=folder, dtype="bfloat16")
    assert rough("the cat")[0]["score"] == pytest.approx(exact("the cat")[0]["score"], abs=0.05)
    assert rough("the cat")[0]["score"] != exact("the cat")[0]["score"]


def test_every_task_is_listed_with_its_class():
    for name in TASKS:
        assert pipelines.task_class(name).name == name


def test_batches_give_what_texts_give_alone(made, pipe):
    texts = ["the cat", "a " * 30, "", "john works in new york " * 3, "😀 paris"] * 4
    for family in ("DistilBert", "MobileBert", "Bert"):
        ours = pipe(model=made(family, "ForSequenceClassification", scale=4), batch_tokens=128)
        for text, together in zip(texts, ours(texts), strict=True):
            (alone,) = ours(text)
            assert together["label"] == alone["label"]
            assert together["score"] == pytest.approx(alone["score"], abs=1e-5)


@pytest.mark.parametrize("family", ["DistilBert", "MobileBert", "Bert"])
@pytest.mark.parametrize("runtime", ["native", "onnx"])
def test_every_runtime_gives_the_same_answers(made, family, runtime):
    pytest.importorskip({"native": "pocketbert._native", "onnx": "onnxruntime"}[runtime])
    folder = made(family, "ForSequenceClassification")
    texts = ["the cat", "the cat sat on the mat . the cat", ""]
    expected = pipeline(model=folder, runtime="torch")(texts)
    ours = pipeline(model=folder, runtime=runtime)
    for got, want in zip(ours(texts), expected, strict=True):
        assert got == {"label": want["label"], "score": pytest.approx(want["score"], rel=1e-4)}
    model = getattr(pocketbert, f"{family}ForSequenceClassification").from_pretrained(folder)
    wrapped = pipeline("text-classification", model=model, runtime=runtime)
    assert runner_name(wrapped) == runner_name(ours)
    wrapped = wrapped(texts)
    assert wrapped[0]["score"] == pytest.approx(expected[0]["score"], rel=1e-4)
    with pytest.raises(InputError, match="float32 and int8"):
        pipeline(model=folder, runtime=runtime, dtype="float16")
