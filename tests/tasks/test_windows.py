"""Long texts: windows hold every token, change nothing where the model sees one token at a time, and cut no entity."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.fake import FakeRunner, tokenizer
from helpers.small import CONTEXT, TEXTS, WORDS
from pocketbert.errors import InputError
from pocketbert.tasks.feature_extraction import FeatureExtractionPipeline
from pocketbert.tasks.fill_mask import FillMaskPipeline
from pocketbert.tasks.multiple_choice import MultipleChoicePipeline
from pocketbert.tasks.next_sentence import NextSentencePredictionPipeline
from pocketbert.tasks.question_answering import QuestionAnsweringPipeline
from pocketbert.tasks.text_classification import TextClassificationPipeline
from pocketbert.tasks.token_classification import TokenClassificationPipeline
from pocketbert.tasks.windows import Cut, split
from pocketbert.tasks.zero_shot import ZeroShotClassificationPipeline

TAGS = dict(enumerate(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]))
NLI = {0: "contradiction", 1: "neutral", 2: "entailment"}
LONG = CONTEXT * 3
WINDOW = {"overflow": "window"}


def task(cls, head, positions=20, **fields):
    return cls(FakeRunner(head, positions, **fields), tokenizer())


@given(st.integers(1, 90), st.integers(5, 30), st.integers(0, 40), st.booleans())
def test_windows_hold_every_token_in_order(tokens, limit, stride, pair):
    text = " ".join(WORDS[index % len(WORDS)] for index in range(tokens))
    encoding = tokenizer()(text, "a dog" if pair else None, verbose=False).encodings[0]
    cut = Cut("window", limit, stride=stride, exact=False, window_over=0)
    if limit <= (5 if pair else 2):
        with pytest.raises(InputError, match="leaves no room"):
            split(encoding, Cut("window", 5, window_over=0), types=True)
        return
    document = split(encoding, cut, types=True)
    seen = set()
    for window in document.windows:
        assert len(window.row) <= limit
        if window.tokens is not None:
            assert window.row.input_ids == [encoding.ids[token] for token in window.tokens]
            assert window.tokens.tolist() == sorted(window.tokens.tolist())
            seen |= {*window.tokens.tolist()}
    assert document.windows[0].tokens is None or seen == set(range(len(encoding.ids)))
    if len(document.windows) > 1:
        assert sum(window.fresh for window in document.windows) == tokens + (2 if pair else 0)
    table = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    merged = document.merge([table[np.asarray(window.row.input_ids)] for window in document.windows])
    np.testing.assert_array_equal(merged, table[np.asarray(encoding.ids)])


@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
def test_entities_are_neither_cut_nor_doubled(strategy):
    whole = task(TokenClassificationPipeline, "token_classification", 512, id2label=TAGS)
    parts = task(TokenClassificationPipeline, "token_classification", 20, id2label=TAGS)
    for stride in (None, 0, 5):
        options = {"aggregation_strategy": strategy, "ignore_labels": []}
        assert parts(LONG, **WINDOW, stride=stride, **options) == whole(LONG, **options)
    assert parts.runner.rows > 10


def test_words_that_came_split_have_windows_too():
    whole = task(TokenClassificationPipeline, "token_classification", 512, id2label=TAGS)
    parts = task(TokenClassificationPipeline, "token_classification", 20, id2label=TAGS)
    words = LONG.split()
    assert parts({"tokens": words}, **WINDOW) == whole({"tokens": words})


def test_features():
    whole, parts = task(FeatureExtractionPipeline, "none", 512), task(FeatureExtractionPipeline, "none", 20)
    for options in ({}, {"normalize": True}, {"pooling": "mean"}, {"pooling": "cls"}):
        np.testing.assert_allclose(parts(LONG, **WINDOW, **options), whole(LONG, **options), rtol=1e-6)
    cut = parts(LONG, overflow="truncate")
    assert cut.shape == (1, 20, 6)
    np.testing.assert_array_equal(cut[:, :-1], whole(LONG)[:, :19])
    np.testing.assert_allclose(parts(LONG, overflow="truncate", pooling="mean"), cut[0].mean(axis=0), rtol=1e-5)


def test_masks_are_read_where_most_is_around_them():
    text = f"[MASK] {LONG} [MASK] the {LONG} [MASK]"
    whole, parts = task(FillMaskPipeline, "masked_lm", 512), task(FillMaskPipeline, "masked_lm", 20)
    found = parts(text, **WINDOW)
    assert len(found) == 3
    assert found == whole(text)
    assert parts.runner.rows == 3  # a window without a mask is not run
    alone = parts(f"{LONG} [MASK] the {LONG}", **WINDOW)
    assert alone == whole(f"{LONG} [MASK] the {LONG}")
    assert isinstance(alone[0], dict)
    with pytest.raises(InputError, match=r"no \[MASK\] in the first 20 tokens of"):
        parts(f"{LONG} [MASK]", overflow="truncate")


def test_answers_are_found_in_every_window():
    whole = task(QuestionAnsweringPipeline, "question_answering", 512)
    parts = task(QuestionAnsweringPipeline, "question_answering", 30)
    given = {"question": "who is it", "context": LONG}
    for options in ({}, {"max_seq_len": 20, "doc_stride": 3}, {"doc_stride": 0}):
        for answer in parts(**given, top_k=50, **options):
            assert LONG[answer["start"] : answer["end"]] == answer["answer"]
            assert 0 <= answer["score"] <= 1
            assert not re.search(r"\w$", LONG[: answer["start"]]) or not answer["answer"][0].isalnum()
            assert not re.match(r"\w", LONG[answer["end"] :]) or not answer["answer"][-1].isalnum()
    only = parts(**given, overflow="truncate", top_k=500)
    assert max(answer["end"] for answer in only) < 200
    assert whole(**given, overflow="error") == whole(**given)
    with pytest.raises(InputError, match=r"\d+ tokens exceed the model's 30 positions; pass overflow=\"window\""):
        parts(**given, overflow="error")


def test_text_classification_weighs_windows_by_what_they_add():
    parts = task(TextClassificationPipeline, "sequence_classification", 20, id2label=NLI)
    ids = tokenizer()(LONG, add_special_tokens=False, verbose=False)["input_ids"]
    table, size, step = parts.runner.table, 18, 13
    spans = [(start, min(start + size, len(ids))) for start in range(0, len(ids), step)]
    spans = spans[: next(index for index, span in enumerate(spans) if span[1] == len(ids)) + 1]
    reached, total = 0, np.zeros(3)
    for start, stop in spans:
        total += (stop - max(reached, start)) * table[ids[start:stop]].sum(axis=0)
        reached = stop
    found = parts(LONG, **WINDOW, stride=5, function_to_apply="none", top_k=None)
    expected = dict(zip(NLI.values(), total / len(ids), strict=True))
    assert {row["label"]: row["score"] for row in found} == pytest.approx(expected, rel=1e-5)


def test_pairs_cut_the_longer_text():
    parts = task(TextClassificationPipeline, "sequence_classification", 20)
    for pair in ((LONG, "the cat"), ("the cat", LONG)):
        parts.runner.seen.clear()
        parts(pair, **WINDOW)
        (batch,) = parts.runner.seen
        assert batch.lengths.max() == 20
        for row in np.split(batch.input_ids, batch.cu_seqlens[1:-1]):
            assert set(tokenizer()("the cat")["input_ids"][1:-1]) <= set(row.tolist())
        parts(pair, overflow="truncate")
    with pytest.raises(InputError, match=r"the other text has .* tokens and with the special tokens it leaves no room"):
        parts((LONG, LONG), **WINDOW)


def test_zero_shot_keeps_the_hypothesis():
    parts = task(ZeroShotClassificationPipeline, "sequence_classification", 20, id2label=NLI)
    for overflow in ("window", "truncate"):
        parts.runner.seen.clear()
        found = parts(LONG, ["sports", "music"], overflow=overflow)
        assert math.fsum(found["scores"]) == pytest.approx(1)
        for batch in parts.runner.seen:
            for row in np.split(batch.input_ids, batch.cu_seqlens[1:-1]):
                words = tokenizer().convert_ids_to_tokens(row.tolist())
                assert words[-3] in ("sports", "music")


@pytest.mark.parametrize(
    ("cls", "head", "item", "fields"),
    [
        (TextClassificationPipeline, "sequence_classification", LONG, {}),
        (TokenClassificationPipeline, "token_classification", LONG, {}),
        (FeatureExtractionPipeline, "none", LONG, {}),
        (FillMaskPipeline, "masked_lm", "[MASK] " + LONG, {}),
        (NextSentencePredictionPipeline, "next_sentence", (LONG, LONG), {}),
        (MultipleChoicePipeline, "multiple_choice", (LONG, ["a", "b"]), {}),
    ],
)
def test_too_long_is_an_error_unless_told(cls, head, item, fields):
    made = task(cls, head, 20, **fields)
    windows = "window" in made.overflows
    ways = '"window" to split the text or "truncate" to cut it' if windows else '"truncate" to cut it'
    with pytest.raises(InputError, match=rf"^\d+ tokens exceed the model's 20 positions; pass overflow={ways}$"):
        made(item)
    assert made(item, overflow="truncate") is not None
    if not windows:
        with pytest.raises(InputError, match="overflow='window' is unknown; choose from 'error', 'truncate'"):
            made(item, overflow="window")


def test_limits_are_named():
    made = task(TextClassificationPipeline, "sequence_classification", 20)
    with pytest.raises(InputError, match="tokens exceed max_length=10; pass"):
        made(LONG, max_length=10, overflow="error")
    with pytest.raises(InputError, match="max_length=21 exceeds the model's 20 positions"):
        made(LONG, max_length=21, truncation=True)
    with pytest.raises(InputError, match="stride=18 leaves windows of 18 tokens no step; pass a stride below 18"):
        made(LONG, overflow="window", stride=18)
    with pytest.warns(UserWarning, match="max_length=10 cuts longer texts; pass truncation=True to say so"):
        assert made(LONG, max_length=10) == made(LONG, max_length=10, truncation=True)
    short = TextClassificationPipeline(FakeRunner("sequence_classification", 20), tokenizer(model_max_length=12))
    with pytest.raises(InputError, match="exceed the tokenizer's model_max_length=12; pass"):
        short(LONG)
    with pytest.raises(InputError, match=r"question.* leaves no room in a window of 20 tokens|leaves no room"):
        task(QuestionAnsweringPipeline, "question_answering", 20)(question=LONG, context="the cat")


def test_left_truncation_keeps_the_end():
    made = TextClassificationPipeline(FakeRunner("sequence_classification", 20), tokenizer(truncation_side="left"))
    made("dog " + "cat " * 30, overflow="truncate")
    made("cat " * 30 + "dog", overflow="truncate")
    dog = tokenizer().convert_tokens_to_ids("dog")
    assert [dog in batch.input_ids for batch in made.runner.seen] == [False, True]


def test_very_long_texts():
    text = " ".join(TEXTS) * 250  # about 10,000 words
    made = task(TokenClassificationPipeline, "token_classification", 64, id2label=TAGS)
    found = made(text, **WINDOW, aggregation_strategy="first", ignore_labels=[])
    assert found[-1]["end"] == len(text.rstrip())
    assert all(a["end"] <= b["start"] for a, b in itertools.pairwise(found))
