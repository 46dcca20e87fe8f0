"""The Keras runner: every task answers as on PyTorch, and a row in a batch gives what it gives alone."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras.ops")  # this folder is called keras too
pytest.importorskip("tensorflow")
pytestmark = pytest.mark.slow  # TensorFlow takes long to start

import pocketbert
from helpers import small
from pocketbert.architecture.heads import HEADS
from pocketbert.errors import ConfigError, InputError
from pocketbert.keras.runner import load, wrap
from pocketbert.runtime.batching import Row, pack
from pocketbert.tasks import pipeline
from pocketbert.torch import runner as torch_runner

LABELS = {"id2label": {0: "a", 1: "b", 2: "c"}}
ENTITIES = {"id2label": {0: "B-LOC", 1: "B-PER", 2: "I-PER"}}
CASES = [
    *(("MobileBert", head) for head in HEADS if head != "pretraining"),
    *(("DistilBert", head) for head in HEADS if head not in ("pretraining", "next_sentence")),
]
TASKS = {
    "fill-mask": ("ForMaskedLM", {}, lambda p: p(["The [MASK] sat on the mat.", "Paris is the [MASK] of France."])),
    "text-classification": ("ForSequenceClassification", LABELS, lambda p: p(small.TEXTS, top_k=None)),
    "zero-shot-classification": (
        "ForSequenceClassification",
        {"id2label": {0: "contradiction", 1: "neutral", 2: "entailment"}},
        lambda p: p(small.TEXTS[:3], candidate_labels=["sports", "music"]),
    ),
    "token-classification": ("ForTokenClassification", ENTITIES, lambda p: p(small.TEXTS)),
    "question-answering": (
        "ForQuestionAnswering",
        {},
        lambda p: p(question="Who works at Acme?", context=small.CONTEXT, top_k=3),
    ),
    "multiple-choice": (
        "ForMultipleChoice",
        {},
        lambda p: p({"prompt": "The cat sat", "choices": ["on the mat.", "in Paris"]}),
    ),
    "next-sentence-prediction": ("ForNextSentencePrediction", {}, lambda p: p([("The cat sat.", "Paris is big.")])),
    "feature-extraction": ("Model", {}, lambda p: p(small.TEXTS)),
}


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    folders = {}

    def make(family: str, head: str, **fields):
        key = repr((family, head, fields))
        if key not in folders:
            folders[key] = small.folder(tmp_path_factory.mktemp("checkpoint") / "model", family, head, **fields)
        return folders[key]

    return make


def folder_of(made, family, head):
    fields = LABELS if head in ("sequence_classification", "token_classification") else {}
    return made(family, HEADS[head].suffix, **fields)


def rows(pairs: bool) -> list[Row]:
    generator = np.random.default_rng(3)
    found = []
    for length in (9, 2, 17, 30, 8, 17):
        ids = generator.integers(5, len(small.VOCAB), length).tolist()
        found.append(Row(ids, [0] * (length // 2) + [1] * (length - length // 2) if pairs else None))
    return found


def numbers(answer):
    """Yield the names and numbers of an answer, one after the other."""
    if isinstance(answer, dict):
        for name, value in answer.items():
            yield name
            yield from numbers(value)
    elif isinstance(answer, (list, tuple)):
        for value in answer:
            yield from numbers(value)
    else:
        yield answer


def assert_same(ours, theirs):
    ours, theirs = list(numbers(ours)), list(numbers(theirs))
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        if isinstance(one, (float, np.ndarray, np.floating)):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
        else:
            assert one == other


@pytest.mark.parametrize(("family", "head"), CASES)
def test_rows_are_those_of_pytorch_alone_and_together(family, head, made):
    folder = folder_of(made, family, head)
    ours, theirs = load(folder, head), torch_runner.load(folder, head)
    assert (ours.head, ours.config.model_type) == (head, family.lower())
    batch = pack(rows(pairs=family == "MobileBert"))
    together = ours(batch)
    for number, expected in enumerate(theirs(batch)):
        (alone,) = ours(pack([rows(pairs=family == "MobileBert")[number]]))
        assert together[number].dtype == np.float32
        np.testing.assert_allclose(together[number], expected, atol=1e-5)
        np.testing.assert_allclose(alone, expected, atol=1e-5)


@pytest.mark.parametrize("family", ["MobileBert", "DistilBert"])
def test_words_are_computed_only_where_they_are_wanted(family, made):
    runner = load(made(family, "ForMaskedLM"), "masked_lm")
    given = rows(pairs=False)
    some = runner(pack([Row(row.input_ids, positions=[1, 0]) for row in given]))
    for everything, wanted in zip(runner(pack(given)), some, strict=True):
        np.testing.assert_allclose(wanted, everything[[1, 0]], atol=1e-5)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("family", ["MobileBert", "DistilBert"])
def test_tasks_answer_as_on_pytorch(family, task, made):
    head, fields, ask = TASKS[task]
    if family == "DistilBert" and task == "next-sentence-prediction":
        pytest.skip("DistilBERT has no such head")
    folder = made(family, head, **fields)
    expected = ask(pipeline(task, model=folder, runtime="torch"))
    assert_same(ask(pipeline(task, model=folder, runtime="keras")), expected)
    loaded = getattr(pocketbert, f"TF{family}{head}").from_pretrained(folder)
    assert_same(ask(pipeline(task, model=loaded)), expected)


@pytest.mark.parametrize("head", ["masked_lm", "next_sentence"])
def test_a_pretraining_model_has_both_heads(head, made):
    folder = made("MobileBert", "ForPreTraining")
    batch = pack(rows(pairs=True))
    loaded = pocketbert.TFMobileBertForPreTraining.from_pretrained(folder)
    expected = torch_runner.load(folder, head)(batch)
    for runner in (load(folder, head), wrap(loaded, head)):
        for one, other in zip(runner(batch), expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_what_is_refused(made):
    folder = made("MobileBert", "ForQuestionAnswering")
    runner = load(folder, "question_answering", device="cpu", dtype="float32")
    assert wrap(runner.model, "none").head == "none"
    with pytest.raises(InputError, match="needs a masked_lm head, and TFMobileBertForQuestionAnswering has none"):
        wrap(runner.model, "masked_lm")
    with pytest.raises(InputError, match="must be a Keras model of this library, not TorchRunner"):
        wrap(torch_runner.load(folder, "question_answering"), "question_answering")
    with pytest.raises(InputError, match=r"device 'cuda' is none of Keras's; pass 'cpu', 'gpu'"):
        load(folder, "question_answering", device="cuda")
    with pytest.raises(InputError, match="dtype 'int8' is none that Keras runs"):
        load(folder, "question_answering", dtype="int8")
    with pytest.raises(InputError, match="runtime='native' does not run a Keras model"):
        pipeline("question-answering", model=runner.model, runtime="native")
    with pytest.raises(ConfigError, match="is a BERT, and Keras models are DistilBERT and MobileBERT"):
        load(made("Bert", "ForMaskedLM"), "masked_lm")


def test_half_precision(made):
    folder = folder_of(made, "DistilBert", "sequence_classification")
    batch = pack(rows(pairs=False))
    exact = load(folder, "sequence_classification")(batch)
    rough = load(folder, "sequence_classification", dtype="bfloat16")(batch)
    for one, other in zip(rough, exact, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, atol=0.1)
        assert not np.array_equal(one, other)


def test_threads_are_the_backends_business(made):
    with pytest.raises(InputError, match=r"threads=2: Keras leaves threads to its backend; set them there"):
        load(made("DistilBert", "ForMaskedLM"), "masked_lm", threads=2)
