"""What tasks take: one, many, a stream; and what they refuse, in which words."""

from __future__ import annotations

import json
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.fake import FakeRunner, tokenizer
from helpers.small import CONTEXT, TEXTS
from pocketbert.errors import ConfigError, InputError
from pocketbert.tasks.feature_extraction import FeatureExtractionPipeline
from pocketbert.tasks.fill_mask import FillMaskPipeline
from pocketbert.tasks.multiple_choice import MultipleChoicePipeline
from pocketbert.tasks.next_sentence import NextSentencePredictionPipeline
from pocketbert.tasks.question_answering import QuestionAnsweringPipeline
from pocketbert.tasks.text_classification import TextClassificationPipeline
from pocketbert.tasks.token_classification import TokenClassificationPipeline
from pocketbert.tasks.zero_shot import ZeroShotClassificationPipeline

TAGS = dict(enumerate(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]))
NLI = {0: "contradiction", 1: "neutral", 2: "entailment"}
MADE = {
    "text": (TextClassificationPipeline, "sequence_classification", {"id2label": NLI}),
    "tokens": (TokenClassificationPipeline, "token_classification", {"id2label": TAGS}),
    "features": (FeatureExtractionPipeline, "none", {}),
    "mask": (FillMaskPipeline, "masked_lm", {}),
    "next": (NextSentencePredictionPipeline, "next_sentence", {}),
    "choice": (MultipleChoicePipeline, "multiple_choice", {}),
    "answer": (QuestionAnsweringPipeline, "question_answering", {}),
    "zero": (ZeroShotClassificationPipeline, "sequence_classification", {"id2label": NLI}),
}
GOOD = {
    "text": "the cat",
    "tokens": "john smith",
    "features": "the cat",
    "mask": "the [MASK]",
    "next": ("the cat", "the dog"),
    "choice": ("the cat", ["sat", "works"]),
    "answer": ("who", "john"),
    "zero": "the cat",
}
ANY_TEXT = st.text(st.characters(), max_size=40)


def task(name, **options):
    cls, head, fields = MADE[name]
    if name == "zero":
        options.setdefault("candidate_labels", ["music", "politics"])
    return cls(FakeRunner(head, **fields), tokenizer(), **options)


def equal(a, b) -> bool:
    return bool(np.array_equal(a, b)) if isinstance(b, np.ndarray) else a == b


@pytest.mark.parametrize("name", MADE)
def test_one_many_and_streams_give_the_same(name):
    made = task(name)
    alone = made(GOOD[name])
    alone = alone[0] if name == "text" else alone  # one string is in a list
    many = made([GOOD[name]] * 3)
    stream = made(iter([GOOD[name]] * 3))
    assert isinstance(many, list)
    assert isinstance(stream, types.GeneratorType)
    assert all(equal(answer, alone) for answer in [*many, *stream])
    if name == "tokens":
        with pytest.raises(InputError, match="the list is empty"):
            made([])
    else:
        assert made([]) == []
    assert list(made(iter([]))) == []


def test_streams_are_read_no_further_than_they_must():
    made = task("text", lookahead=4)
    pulled = []
    source = (pulled.append(number) or "the cat" for number in range(100))
    answers = made(source)
    assert pulled == []
    next(answers)
    assert len(pulled) == 1  # the first answer comes at once
    for _ in range(7):
        next(answers)
    assert len(pulled) <= 11
    assert len(pulled) - 8 <= 4


def test_long_texts_are_read_one_by_one():
    made = task("text", batch_tokens=4)
    pulled = []
    source = (pulled.append(number) or "cat " * 40 for number in range(10))
    answers = made(source)
    for number in range(10):
        next(answers)
        assert len(pulled) == number + 1


def test_order_is_kept_where_lengths_are_mixed():
    texts = ["cat " * (7 * number % 23) + "dog" for number in range(60)]
    made = task("tokens", batch_tokens=64, ignore_labels=[])
    assert [len(found) for found in made(texts)] == [len(text.split()) for text in texts]
    assert made(texts) == [made(text) for text in texts]
    batches = made.runner.seen
    assert all(len(batch) * batch.lengths.max() <= 64 for batch in batches)


def test_an_error_in_a_stream_comes_after_the_answers_before_it():
    answers = task("text")(iter(["a", "b", None, "c"]))
    assert [next(answers)["label"] for _ in range(2)]
    with pytest.raises(InputError, match=r"^input 2: text must be a string, not NoneType"):
        next(answers)
    many = ["cat"] * 5 + ["cat " * 600]
    for form in (many, iter(many)):
        with pytest.raises(InputError, match=r"^input 5: 602 tokens exceed the model's 512 positions"):
            list(task("text")(form))


def test_stream_gives_errors_in_their_place():
    found = list(task("text").stream(["a", 5, InputError("broken"), "b"]))
    assert [isinstance(answer, InputError) for answer in found] == [False, True, True, False]


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("value", [None, True, 5, 2.5, b"text", object()])
def test_wrong_types_are_refused(name, value):
    for form in (value, [value]):
        with pytest.raises(InputError, match=r"must be|takes"):
            task(name)(form)


@pytest.mark.parametrize("name", MADE)
def test_unknown_arguments_are_refused(name):
    for call in (lambda: task(name)(GOOD[name], top_n=3), lambda: task(name, top_n=3)):
        with pytest.raises(InputError, match=r"takes no argument 'top_n'.*; it takes overflow"):
            call()
    with pytest.raises(InputError, match="overflow='cut' is unknown; choose from 'error'"):
        task(name)(GOOD[name], overflow="cut")
    for bad in ({"max_length": 0}, {"stride": -1}, {"max_length": 2.5}):
        with pytest.raises(InputError, match="must be a whole number of at least"):
            task(name)(GOOD[name], **bad)


def test_a_misspelt_argument_has_a_hint():
    with pytest.raises(InputError, match="did you mean 'top_k'"):
        task("text")("a", top_n=1)


@pytest.mark.parametrize("name", ["text", "mask", "answer", "choice"])
@pytest.mark.parametrize("value", [0, -1, True, 1.0, "1"])
def test_top_k_is_checked(name, value):
    with pytest.raises(InputError, match=f"top_k={value!r} must be a whole number of at least 1"):
        task(name)(GOOD[name], top_k=value)


@pytest.mark.parametrize(
    ("name", "item", "message"),
    [
        ("text", {"txt": "a"}, "no key 'text'; it takes 'text', 'text_pair' \\(optional\\), got 'txt'"),
        ("text", {"text": "a", "textpair": "b"}, "unknown key 'textpair'; did you mean 'text_pair'"),
        ("text", ("a", "b", "c"), "text must be a string, not tuple"),
        ("text", ("a", 5), "text_pair must be a string, not int"),
        ("next", "a", "text_pair must be a string"),
        ("next", {"text": "a"}, "no key 'text_pair'"),
        ("answer", "a", "must be a dict with 'question' and 'context'"),
        ("answer", {"question": "a"}, "no key 'context'"),
        ("answer", {"question": "a", "context": None}, "context must be a string, not NoneType"),
        ("answer", ("", "b"), "question '' is empty; pass one with words"),
        ("answer", ("a", " \n"), "context ' \\\\n' is empty; pass one with words, or handle_impossible_answer=True"),
        ("answer", ("a", "\u200b"), "holds no word"),
        ("choice", {"prompt": "a", "choices": []}, "choices must be a list of at least one string"),
        ("choice", {"prompt": "a", "choices": "bc"}, "choices must be a list of at least one string"),
        ("choice", {"prompt": "a", "choices": ["b", 5]}, "choices\\[1\\] must be a string, not int"),
        ("mask", "no gap", "no \\[MASK\\] in 'no gap'; put \\[MASK\\] where a word is missing"),
        ("mask", "", "no \\[MASK\\] in ''"),
        ("tokens", {"text": "a", "tokens": ["a"]}, "either 'text' or 'tokens'"),
        ("tokens", {}, "either 'text' or 'tokens'"),
        ("tokens", {"tokens": "a"}, "tokens must be a list of words"),
        ("tokens", ("a", "b"), "pass is_split_into_words=True if these are its words"),
        ("zero", ("a", "b"), "text must be a string"),
    ],
)
def test_inputs_that_mean_nothing(name, item, message):
    with pytest.raises(InputError, match=message):
        task(name)(item)
    with pytest.raises(InputError, match="^input 1: .*" + message):
        task(name)([GOOD[name], item])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("text", {"function_to_apply": "tanh"}, "function_to_apply='tanh' is unknown"),
        ("tokens", {"aggregation_strategy": "mean"}, "aggregation_strategy='mean' is unknown"),
        ("tokens", {"ignore_labels": "O"}, "ignore_labels='O' must be a list of labels"),
        ("tokens", {"ignore_labels": 0.5}, "ignore_labels=0.5 must be a list of labels"),
        ("tokens", {"is_split_into_words": 1}, "is_split_into_words=1 must be True or False"),
        ("features", {"pooling": "middle"}, "pooling='middle' is unknown; choose from 'auto', None"),
        ("features", {"normalize": "yes"}, "normalize='yes' must be True or False"),
        ("mask", {"targets": []}, "targets is empty"),
        ("mask", {"targets": 5}, "targets must be a word or a list of words"),
        ("answer", {"max_answer_len": 0}, "max_answer_len=0 must be"),
        ("answer", {"no_answer_threshold": float("nan")}, "no_answer_threshold=nan must be a number"),
        ("answer", {"max_seq_len": 5, "max_length": 5}, "max_seq_len and max_length are the same"),
        ("zero", {"candidate_labels": []}, "candidate_labels=\\[\\] holds no label"),
        ("zero", {"candidate_labels": " , "}, "candidate_labels=' , ' holds no label"),
        ("zero", {"candidate_labels": [1]}, "candidate_labels must be a list of strings"),
        ("zero", {"hypothesis_template": "no gap"}, "hypothesis_template='no gap' must hold {}"),
        ("zero", {"hypothesis_template": "{0} {1}"}, "hypothesis_template"),
        ("zero", {"hypothesis_template": "{"}, "hypothesis_template"),
        ("zero", {"multi_label": 1}, "multi_label=1 must be True or False"),
        ("zero", {"entailment_label": "yes"}, "entailment_label='yes' is none of them"),
    ],
)
def test_options_that_mean_nothing(name, options, message):
    with pytest.raises(InputError, match=message):
        task(name)(GOOD[name], **options)
    with pytest.raises(InputError, match=message):
        task(name, **options)


def test_empty_texts_have_answers():
    assert task("text")("")[0]["label"] in NLI.values()
    assert task("text")(" \n ") == task("text")("")
    assert task("tokens")("") == []
    assert task("features")("").shape == (1, 2, 6)
    assert task("answer")(("who", " "), handle_impossible_answer=True) == {
        "score": 1.0,
        "start": 0,
        "end": 0,
        "answer": "",
    }
    for empty in ("", ["a", ""]):
        with pytest.raises(InputError, match="the text is empty"):
            task("zero")(empty)


def test_answers_are_plain():
    text, answer, choice = task("text"), task("answer"), task("choice")
    for made, item in ((text, "a cat"), (answer, ("who", CONTEXT)), (choice, ("a", ["b", "c", "d"]))):
        for top_k in (1, 2, 3):
            found = made(item, top_k=top_k)
            assert json.loads(json.dumps(found)) == found
            assert type(found) is (dict if made is answer and top_k == 1 else list)
            assert type(found) is dict or len(found) == top_k
    assert answer(question="who", context=CONTEXT)["answer"] in CONTEXT


def test_targets_of_several_pieces_are_told():
    made = task("mask")
    first = made(GOOD["mask"], targets="wolf")
    with pytest.warns(UserWarning, match="target 'wolfgangs' is not one token .*it is wolf, ##gang, ##s.*wolf takes"):
        assert made(GOOD["mask"], targets="wolfgangs") == first
    with pytest.warns(UserWarning, match=r"it is nothing\); it is left out"):
        assert made(GOOD["mask"], targets=["", "wolf"]) == first
    with pytest.warns(UserWarning, match="left out"), pytest.raises(InputError, match="holds no word"):
        made(GOOD["mask"], targets="")


def test_questions_and_contexts_by_name():
    made = task("answer")
    one = made(question="who", context=CONTEXT)
    assert made("who", CONTEXT) == made({"question": "who", "context": CONTEXT}) == made(("who", CONTEXT)) == one
    assert made(question=["who", "where"], context=CONTEXT) == made([("who", CONTEXT), ("where", CONTEXT)])
    assert made(question="who", context=[CONTEXT, "the cat"]) == made([("who", CONTEXT), ("who", "the cat")])
    for form in ([("who", CONTEXT)], [{"question": "who", "context": CONTEXT}]):
        assert made(form) == one
    assert made(question=["who"], context=[CONTEXT]) == made(question=["who"], context=CONTEXT) == one
    assert made(*[{"question": "who", "context": CONTEXT}] * 2) == [one, one]
    example = types.SimpleNamespace(question_text="who", context_text=CONTEXT)
    assert made(example) == made([example]) == next(made(iter([example]))) == one
    for old in ("X", "data"):
        with pytest.warns(FutureWarning, match=f"{old} is now question= and context="):
            assert made(**{old: {"question": "who", "context": CONTEXT}}) == one
    for bad in ({}, {"question": "a"}, {"context": "a"}):
        with pytest.raises(InputError, match="pass question= and context="):
            made(**bad)
    with pytest.raises(InputError, match="pass question= and context="):
        made("a", question="b", context="c")
    with pytest.raises(InputError, match="2 questions and 3 contexts"):
        made(question=["a", "b"], context=["a", "b", "c"])
    with pytest.raises(InputError, match="must be strings or lists"):
        made(question=5, context="a")


def test_the_threshold_decides_for_no_answer():
    made = task("answer", handle_impossible_answer=True)
    found = made(("who", CONTEXT), top_k=3)
    none = next(a["score"] for a in made(("who", CONTEXT), top_k=10_000) if not a["answer"])
    assert made(("who", CONTEXT), no_answer_threshold=-1) == {"score": none, "start": 0, "end": 0, "answer": ""}
    assert all(answer["answer"] for answer in made(("who", CONTEXT), no_answer_threshold=1, top_k=3))
    assert len(found) == 3


def test_zero_shot_needs_labels_and_an_entailment():
    cls, head, fields = MADE["zero"]
    with pytest.raises(InputError, match="needs candidate_labels"):
        cls(FakeRunner(head, **fields), tokenizer())("a")
    plain = FakeRunner(head, id2label={0: "a", 1: "b"})
    with pytest.raises(InputError, match="the model's labels are a, b: no label begins with 'entail'; pass "):
        cls(plain, tokenizer())("a", ["x"])
    with pytest.raises(InputError, match="at least 2 labels"):
        cls(FakeRunner(head, num_labels=1), tokenizer())("a", ["x"])
    assert cls(plain, tokenizer(), entailment_label="b")("a", "x,y") == cls(plain, tokenizer())(
        "a", ["x", "y"], entailment_label=1
    )


def test_contradiction_is_found_by_name():
    cls, head, _ = MADE["zero"]
    runner = FakeRunner(head, id2label={0: "neutral", 1: "entailment", 2: "contradiction"})
    found = cls(runner, tokenizer())("the cat", ["music"])
    ids = tokenizer()("the cat", "This example is music.")["input_ids"]
    logits = runner.table[[i for i in ids if i not in (2, 3)]].sum(axis=0)
    assert found["scores"][0] == pytest.approx(1 / (1 + np.exp(logits[2] - logits[1])))


def test_a_task_refuses_a_runner_of_another_head():
    with pytest.raises(ConfigError, match="fill-mask needs a masked_lm head, the runner has none"):
        FillMaskPipeline(FakeRunner("none"), tokenizer())


@settings(max_examples=60)
@given(ANY_TEXT, ANY_TEXT)
def test_offsets_are_right_in_any_text(question, context):
    for row in task("tokens")(context, ignore_labels=[]):
        assert 0 <= row["start"] <= row["end"] <= len(context)
    for row in task("tokens")(context, ignore_labels=[], aggregation_strategy="simple"):
        assert context[row["start"] : row["end"]].strip()
    try:
        answers = task("answer")((question, context), top_k=4)
    except InputError:
        return
    for answer in answers if isinstance(answers, list) else [answers]:
        assert context[answer["start"] : answer["end"]] == answer["answer"]


def test_offsets_beyond_ascii():
    text = "😀😀 Café — in 日本, München 🇩🇪 é!"
    words = [
        text[row["start"] : row["end"]] for row in task("tokens")(text, ignore_labels=[], aggregation_strategy="first")
    ]
    assert "".join(words).replace(" ", "") == text.replace(" ", "")
    found = task("answer")(("where", text), top_k=30)
    assert all(text[a["start"] : a["end"]] == a["answer"] for a in found)


def test_texts_are_not_changed():
    given = [{"prompt": "a", "choices": ["b", "c"]}]
    task("choice")(given)
    assert given == [{"prompt": "a", "choices": ["b", "c"]}]
    assert list(TEXTS) == TEXTS


def test_what_every_input_needs_is_asked_for_once():
    cls, head, fields = MADE["zero"]
    with pytest.raises(InputError, match="needs candidate_labels"):
        cls(FakeRunner(head, **fields), tokenizer()).stream(iter([]))
    with pytest.raises(InputError, match="max_seq_len=513 exceeds the model's 512 positions"):
        task("answer", max_seq_len=513)
