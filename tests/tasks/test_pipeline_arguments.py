"""Arguments of transformers' pipelines: honored, renamed, accepted or refused by name; and a pipeline that travels."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import re

import numpy as np
import pytest
import torch

import pocketbert
from helpers.fake import FakeRunner, tokenizer
from pocketbert.errors import CheckpointError, InputError, MissingExtra, PipelineException
from pocketbert.tasks import pipeline
from pocketbert.tasks.devices import device_name, mapped_device

RUNTIMES = ("native", "onnx", "torch")
TEXTS = ["the cat sat", "John works in new york"]


@pytest.fixture
def folder(made):
    return made("DistilBert", "ForSequenceClassification", num_labels=3, scale=4, activation="relu")


def needs(runtime):
    pytest.importorskip({"native": "pocketbert._native", "onnx": "onnxruntime"}.get(runtime, runtime))


# -- construction ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"framework": "jax"}, "framework='jax' is unknown; choose 'pt'"),
        ({"framework": "pt", "runtime": "native"}, "framework='pt' contradicts runtime='native'"),
        ({"config": 5}, "config must be a configuration, a folder or a hub name, not int"),
        ({"dtype": "float32", "model_kwargs": {"dtype": "float64"}}, "dtype is given as 'float32' and as 'float64'"),
        ({"model_kwargs": {"load_in_8bit": True}}, "load_in_8bit='True' is not supported: int8 models are made by"),
        ({"model_kwargs": {"no_such": 1}}, "model_kwargs has an unknown name 'no_such'"),
        ({"device": "gpu0"}, "device='gpu0' is none"),
        ({"device": 1.5}, r"device=1.5 must be a number \(-1 is the CPU\)"),
        ({"device": True}, r"device=True must be a number"),
        ({"device_map": {"a": 0, "b": "cpu"}}, "these models fit on one device; pass device="),
        ({"truncation": "first"}, "truncation='first' must be True, False or one of longest_first"),
        ({"truncation": True, "overflow": "window"}, "truncation=True contradicts overflow='window'"),
        ({"truncation": True, "tokenizer_kwargs": {"truncation": "only_first"}}, "truncation is given twice"),
        ({"return_token_type_ids": False}, "return_token_type_ids=False would hide which text"),
        ({"split_special_tokens": True}, "split_special_tokens is not supported: set it on the tokenizer"),
    ],
)
def test_arguments_that_mean_nothing(folder, options, message):
    with pytest.raises(InputError, match=message):
        pipeline("text-classification", folder, **options)


def test_a_gpu_that_is_not_there(folder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for device in ("cuda", "cuda:1", torch.device("cuda"), torch.device("cuda", 0)):
        with pytest.raises(InputError, match=r"device='cuda.*': PyTorch sees 0 CUDA GPUs; pass device='cpu' or leave"):
            pipeline("text-classification", folder, device=device)
    with pytest.raises(InputError, match="device='mps': PyTorch sees no Metal GPU"):
        device_name("mps", None)
    with pytest.warns(UserWarning, match="device=0: there is no GPU that PyTorch can use, so this runs on the CPU"):
        assert pipeline("text-classification", folder, device=0).device.type == "cpu"
    assert mapped_device("auto") == "cpu"


def test_devices_by_number_where_there_are_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [device_name(device, None) for device in (-1, 0, 1, "cuda:1", torch.device("cuda"))] == [
        "cpu",
        "cuda:0",
        "cuda:1",
        "cuda:1",
        "cuda",
    ]
    with pytest.raises(InputError, match="device='cuda:2': PyTorch sees 2 CUDA GPUs"):
        device_name(2, None)
    with pytest.raises(InputError, match="device=1: runtime='onnx' uses the first GPU; pass 0"):
        device_name(1, "onnx")
    assert (device_name(1, "keras"), device_name(0, "onnx"), device_name("openvino", "onnx")) == (
        "gpu:1",
        "cuda",
        "openvino",
    )
    assert mapped_device("auto") == "cuda:0"
    assert [mapped_device(given) for given in ({"": 1}, "cpu", None)] == [1, "cpu", None]


def test_torch_dtype_has_a_successor(folder):
    with pytest.warns(FutureWarning, match="torch_dtype is now dtype"):
        made = pipeline("text-classification", folder, torch_dtype=torch.bfloat16)
    assert made.dtype == made.torch_dtype == made.model.dtype == torch.bfloat16
    with pytest.warns(FutureWarning, match="torch_dtype is now dtype"):
        pipeline("text-classification", folder, model_kwargs={"torch_dtype": "float32"})
    with pytest.warns(FutureWarning, match="use_auth_token is now token"):
        pipeline("text-classification", folder, use_auth_token="secret")


def test_the_configuration_can_be_replaced(folder):
    names = {0: "bad", 1: "so so", 2: "good"}
    config = pocketbert.AutoConfig.from_pretrained(folder, id2label=names)
    for options in ({"config": config}, {"model_kwargs": {"id2label": names}}):
        (label,) = pipeline("text-classification", folder, **options)("the cat")
        assert label["label"] in names.values()
    (label,) = pipeline("text-classification", folder, config=str(folder))("the cat")
    assert label["label"].startswith("LABEL_")


def test_framework_chooses_the_model_that_runs(folder):
    assert isinstance(pipeline("text-classification", folder, framework="pt").model, torch.nn.Module)
    model = pocketbert.AutoModelForSequenceClassification.from_pretrained(folder)
    for options in ({}, {"runtime": "native"}):
        assert pipeline("text-classification", model, **options).model is model


def test_a_loaded_model_is_moved(folder):
    model = pocketbert.AutoModelForSequenceClassification.from_pretrained(folder)
    for device, found in (("cpu", "cpu"), ("meta", "meta"), (None, "meta"), (-1, "meta")):
        assert pipeline("text-classification", model, device=device).device.type == found


def test_a_class_of_ones_own(folder):
    class Best(pocketbert.TextClassificationPipeline):
        def decode(self, example, documents, outputs, options):
            return super().decode(example, documents, outputs, options)["label"]

    assert type(pipeline("text-classification", folder, pipeline_class=Best)) is Best
    assert pipeline(model=folder, pipeline_class=Best)("the cat")[0].startswith("LABEL_")

    class Mine(pocketbert.TextClassificationPipeline):
        def postprocess(self, outputs):
            return outputs

    with pytest.raises(InputError, match=r"Mine.postprocess would not be called here; override read, texts or decode"):
        pipeline("text-classification", folder, pipeline_class=Mine)


@pytest.mark.parametrize("runtime", ["native", "onnx"])
def test_what_stands_for_the_model(folder, runtime):
    needs(runtime)
    made = pipeline("text-classification", folder, runtime=runtime)
    model = made.model
    assert (model.config.num_labels, model.dtype, model.training, made.framework) == (3, torch.float32, False, "pt")
    assert model.eval() is model.to("cpu") is model
    assert str(made.device) == str(model.device) == made.device.type == "cpu"
    assert model.name_or_path == str(folder)
    for wrong in (lambda: model.to("cuda"), lambda: model(input_ids=[1])):
        with pytest.raises(InputError, match="build the pipeline with framework='pt' for a PyTorch model"):
            wrong()
    with pytest.raises(AttributeError, match=f"the {runtime} runtime's model has no 'classifier'; build"):
        _ = model.classifier
    assert made.task == "text-classification"


# -- calls -----------------------------------------------------------------------------------------------------------


def fake(cls, head, **options):
    return cls(FakeRunner(head, 20), tokenizer(), **options)


def test_older_names_of_options():
    fill = fake(pocketbert.FillMaskPipeline, "masked_lm")
    with pytest.warns(FutureWarning, match="topk is now top_k"):
        assert len(fill("a [MASK]", topk=2)) == 2
    text = fake(pocketbert.TextClassificationPipeline, "sequence_classification")
    for all_scores, now, count in ((True, "None", 2), (False, "1", 1)):
        with pytest.warns(FutureWarning, match=f"return_all_scores={all_scores} is now top_k={now}"):
            found = text(["a cat"], return_all_scores=all_scores)[0]
        assert len(found if all_scores else [found]) == count
    ner = fake(pocketbert.TokenClassificationPipeline, "token_classification")
    for old, strategy in (
        ({"grouped_entities": True}, "simple"),
        ({"grouped_entities": True, "ignore_subwords": True}, "first"),
        ({"grouped_entities": False}, "none"),
    ):
        with pytest.warns(FutureWarning, match=f"is now aggregation_strategy='{strategy}'"):
            assert ner("a cat", **old) == ner("a cat", aggregation_strategy=strategy)
    with pytest.raises(InputError, match="offset_mapping is not supported: offsets come from the tokenizer"):
        ner("a cat", offset_mapping=[(0, 1)])


def test_a_stride_alone_reads_all_of_a_text():
    ner = fake(pocketbert.TokenClassificationPipeline, "token_classification")
    text = "john works in new york . " * 9
    assert ner(text, stride=4) == ner(text, stride=4, overflow="window") == ner(text, overflow="window")
    with pytest.raises(InputError, match="exceed the model's 20 positions"):
        ner(text)


def test_what_changes_nothing_is_accepted():
    text = fake(pocketbert.TextClassificationPipeline, "sequence_classification", batch_size=4, num_workers=2)
    plain = text(TEXTS)
    assert plain == text(TEXTS, batch_size=2, num_workers=0, padding=True, return_tensors="pt", verbose=False)
    assert plain == text(TEXTS, tokenizer_kwargs={"padding": "max_length", "return_attention_mask": True})
    features = fake(pocketbert.FeatureExtractionPipeline, "none")
    assert features("the cat", tokenize_kwargs={"add_special_tokens": False}).shape == (1, 2, 6)
    with pytest.raises(InputError, match="padding='max_length' would give states of padding"):
        features("the cat", tokenize_kwargs={"padding": "max_length"})


def test_tensors_need_their_framework(monkeypatch):
    features = fake(pocketbert.FeatureExtractionPipeline, "none")
    found = features(["the cat"], return_tensors=True)[0]
    assert isinstance(found, torch.Tensor)
    np.testing.assert_array_equal(found.numpy(), features("the cat"))
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(MissingExtra, match="need torch"):
        features("the cat", return_tensors=True)


def test_data_sets_that_have_only_items_and_a_length():
    class Data:
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return TEXTS[index]

    text = fake(pocketbert.TextClassificationPipeline, "sequence_classification")
    answers = text(Data())
    assert len(answers) == 2
    assert list(answers) == text(TEXTS)
    assert list(text(np.asarray(TEXTS, object))) == text(TEXTS)


def test_a_text_without_a_mask_keeps_its_class_and_its_number():
    fill = fake(pocketbert.FillMaskPipeline, "masked_lm")
    for given, message in (("a cat", "^no "), (["a [MASK]", "a cat"], "^input 1: no ")):
        with pytest.raises(PipelineException, match=message) as raised:
            fill(given)
        assert (raised.value.task, raised.value.model) == ("fill-mask", "bert")
        again = pickle.loads(pickle.dumps(raised.value))  # noqa: S301
        assert (str(again), again.task) == (str(raised.value), "fill-mask")


@pytest.mark.parametrize("words", [120, 200, 255, 380, 500])
def test_a_long_question_uses_all_positions(words):
    runner = FakeRunner("question_answering", 512)
    answerer = pocketbert.QuestionAnsweringPipeline(runner, tokenizer())
    for context in ("john works in new york . " * 4, "john works in new york . " * 60):
        found = answerer(question="who " * words, context=context)
        assert found["answer"] in context
    lengths = {int(length) for batch in runner.seen for length in batch.lengths}
    assert max(lengths) == (384 if words < 250 else 512)
    assert runner.rows < 100
    with pytest.raises(InputError, match=r"leaves no room in the model's 512 positions"):
        answerer(question="who " * 510, context="john")
    with pytest.raises(InputError, match=r"leaves no room in a window of 100 tokens"):
        answerer(question="who " * words, context=context, max_seq_len=100)


# -- a pipeline that travels -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_pipeline_pickles(folder, runtime):
    needs(runtime)
    made = pipeline("sentiment-analysis", folder, runtime=runtime, top_k=2, threads=1)
    made.model.config.id2label = {0: "x", 1: "y", 2: "z"}
    wanted = made(TEXTS)
    for again in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):  # noqa: S301
        assert again(TEXTS) == wanted
        assert (again.task, type(again.runner)) == (made.task, type(made.runner))
        assert again.model.config.num_labels == 3


def test_a_pipeline_of_a_model_takes_it_along(made):
    folder = made("MobileBert", "ForSequenceClassification", num_labels=3)
    model = pocketbert.AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        model.classifier.bias.add_(torch.tensor([0.0, 3.0, 0.0]))
    for runtime in ("torch", "native"):
        needs(runtime)
        ours = pipeline("text-classification", model, runtime=runtime)
        assert pickle.loads(pickle.dumps(ours))(TEXTS) == ours(TEXTS)  # noqa: S301


def _answer(task, text):
    return task(text)


def test_spawned_workers_answer(folder):
    needs("native")
    made = pipeline("text-classification", folder, threads=1)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply_async(_answer, (made, TEXTS)).get(timeout=120) == made(TEXTS)


def test_a_folder_that_is_gone_is_named(folder, tmp_path):
    pipeline("text-classification", folder).save_pretrained(tmp_path / "here")
    packed = pickle.dumps(pipeline("text-classification", tmp_path / "here"))
    (tmp_path / "here").rename(tmp_path / "there")
    with pytest.raises(CheckpointError, match=re.escape(f"no folder {tmp_path / 'here'}")):
        pickle.loads(packed)  # noqa: S301


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_pipeline_is_saved(folder, runtime, tmp_path):
    needs(runtime)
    made = pipeline("text-classification", folder, runtime=runtime)
    made.save_pretrained(tmp_path / "saved")
    again = pipeline(model=tmp_path / "saved", runtime=runtime)
    assert again(TEXTS) == made(TEXTS)
    assert again.tokenizer(TEXTS[0]) == made.tokenizer(TEXTS[0])
    ours = pocketbert.AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    wanted = pocketbert.AutoModelForSequenceClassification.from_pretrained(folder).state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in ours.state_dict().items())
    with pytest.raises(InputError, match="safe_serialization"):
        made.save_pretrained(tmp_path / "pickle", safe_serialization=False)
    if runtime != "torch":
        with pytest.raises(InputError, match="max_shard_size needs a model object; build the pipeline with framework"):
            made.save_pretrained(tmp_path / "shards", max_shard_size="1MB")


@pytest.mark.parametrize("how", ["longest_first", "only_first", "only_second"])
def test_which_text_of_a_pair_is_cut(folder, how):
    classify = pipeline("text-classification", folder, top_k=None)
    pair = ("the cat sat on the mat " * 4, "John works in new york " * 4)
    cut = pocketbert.AutoTokenizer.from_pretrained(folder)(*pair, truncation=how, max_length=30)["input_ids"]
    model = pocketbert.AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        expected = model(torch.tensor([cut])).logits.softmax(-1)[0]
    found = classify([pair], truncation=how, max_length=30)[0]
    scores = {one["label"]: one["score"] for one in found}
    assert [scores[model.config.id2label[i]] for i in range(3)] == pytest.approx(expected.tolist(), abs=1e-5)


def test_an_int8_pipeline_is_saved_and_pickles(folder, tmp_path):
    needs("native")
    pocketbert.quantize(folder, tmp_path / "int8")
    (tmp_path / "int8" / "notes.txt").write_text("mine")
    made = pipeline("text-classification", tmp_path / "int8")
    made.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved" / "notes.txt").exists()  # no part of the checkpoint
    assert (tmp_path / "saved" / "report.json").is_file()
    for again in (pipeline(model=tmp_path / "saved"), pickle.loads(pickle.dumps(made))):  # noqa: S301
        assert again(TEXTS) == made(TEXTS)
        assert again.model.dtype == torch.int8
    with pytest.raises(InputError, match="is in int8, whose configuration cannot be replaced"):
        pipeline("text-classification", tmp_path / "int8", model_kwargs={"id2label": {0: "a", 1: "b", 2: "c"}})


def test_a_runner_cannot_be_saved(tmp_path):
    made = fake(pocketbert.TextClassificationPipeline, "sequence_classification")
    with pytest.raises(InputError, match="a FakeRunner cannot be saved; build the pipeline from a folder or a model"):
        made.save_pretrained(tmp_path)
    assert pickle.loads(pickle.dumps(made))(TEXTS) == made(TEXTS)  # noqa: S301
