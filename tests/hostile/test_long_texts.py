"""Texts of any length: a limit in characters, and truncation that does not read what it cuts off."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import tokenizers

from helpers.fake import FakeRunner, tokenizer
from helpers.limits import run_limited
from helpers.vocabularies import made_vocab
from pocketbert import AddedToken, BertTokenizer, BertTokenizerFast, InputError, PreTrainedTokenizerFast
from pocketbert.tasks.feature_extraction import FeatureExtractionPipeline
from pocketbert.tasks.fill_mask import FillMaskPipeline
from pocketbert.tasks.next_sentence import NextSentencePredictionPipeline
from pocketbert.tasks.text_classification import TextClassificationPipeline
from pocketbert.tasks.token_classification import TokenClassificationPipeline
from pocketbert.tokenizer.call import long_texts

VOCAB = made_vocab()
WORDS = [
    "the",
    "dog",
    "is",
    "un",
    "unaffable",
    "running",
    "paris",
    "naïve",
    "Straße",
    "中文",
    "日本",
    "😀",
    "don't",
    ".",
]
WORDS += ["x\u0300y", "[SEP]", "<new>", "\u200d", "\x00", "\x1c", "²", "가각", "\n\n"]
ADDED = {
    "none": [],
    "stripping": [AddedToken("<new>", lstrip=True, rstrip=True), AddedToken("dog", lstrip=True, single_word=True)],
    "raw": [AddedToken("<new>", rstrip=True, normalized=False), AddedToken("\u0300y", normalized=False)],
    "with a space": [AddedToken("dog is"), AddedToken("中"), AddedToken("the un", normalized=False)],
}
KINDS: dict[str, Any] = {
    "fast": BertTokenizerFast,
    "python": BertTokenizer,
    "cased": lambda vocab: BertTokenizerFast(vocab, do_lower_case=False, tokenize_chinese_chars=False),
    "never split": lambda vocab: BertTokenizer(vocab, never_split=["paris", "x\u0300y"]),
}


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for beginnings in short texts, too."""
    monkeypatch.setattr("pocketbert.tokenizer.call.methods.LONG_TEXT", 0)
    monkeypatch.setattr(long_texts, "_LONG", 0)
    monkeypatch.setattr(long_texts, "_FIRST", 2)
    monkeypatch.setattr(long_texts, "_MORE", 2)


def everything(batch: Any) -> Any:
    rows = [(row.tokens, row.offsets, row.word_ids, row.type_ids, row.sequence_ids) for row in batch.encodings]
    return dict(batch), rows


def made(random_: random.Random, longest: int) -> str:
    gaps = [" ", " ", " ", "  ", "\n", "\t", "", " \x00 ", "\u3000"]
    return "".join(random_.choice(WORDS) + random_.choice(gaps) for _ in range(random_.randint(0, longest)))


@pytest.mark.parametrize("added", ADDED)
@pytest.mark.parametrize("kind", KINDS)
def test_shortened_texts_give_the_same_rows(kind: str, added: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = KINDS[kind](VOCAB)
    tokenizer.add_tokens(ADDED[added])
    random_ = random.Random(f"{kind} {added}")
    calls: list[tuple[Any, Any, dict[str, Any]]] = []
    for _ in range(40):
        pair = made(random_, 60) if random_.random() < 0.6 else None
        options: dict[str, Any] = {"max_length": random_.randint(4, 24), "return_offsets_mapping": True}
        options["truncation"] = random_.choice([True, True, "only_first", "only_second" if pair else True])
        options["add_special_tokens"] = random_.random() < 0.8
        text: Any = made(random_, 60)
        if random_.random() < 0.3:
            text, pair = text.split(" "), None if pair is None else pair.split(" ")
            options["is_split_into_words"] = True
        options["split_special_tokens"] = random_.random() < 0.2
        calls.append((text, pair, options))
    expected = [attempt(tokenizer, *call) for call in calls]
    monkeypatch.setattr("pocketbert.tokenizer.call.methods.LONG_TEXT", 0)
    for name, value in (("_LONG", 3), ("_FIRST", 2), ("_MORE", 2)):
        monkeypatch.setattr(long_texts, name, value)
    tokenized: list[int] = []
    check = long_texts.check_size
    monkeypatch.setattr(
        "pocketbert.tokenizer.call.methods.check_size",
        lambda text, *rest: (tokenized.append(long_texts.characters(text)), check(text, *rest)),
    )
    assert [attempt(tokenizer, *call) for call in calls] == expected
    given = sum(long_texts.characters(text) for *pair, _ in calls for text in pair if text is not None)
    assert sum(tokenized) < given or added == "with a space"


def attempt(tokenizer: Any, text: Any, pair: Any, options: dict[str, Any]) -> Any:
    try:
        return everything(tokenizer([text], None if pair is None else [pair], **options))
    except InputError as error:
        return str(error)


def test_other_steps_read_the_whole_text(eager: None) -> None:
    """Tokens of a model that knows no words depend on all that follows."""
    library = tokenizers.Tokenizer(
        tokenizers.models.Unigram([("<unk>", 0.0), ("a", -1.0), ("a b", -1.5), (" ", -2.0)], 0)
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=library)
    text = "a b " * 30
    whole = tokenizer(text).input_ids
    assert tokenizer(text, truncation=True, max_length=5).input_ids == whole[:5]


def test_left_and_windows_read_the_whole_text(eager: None) -> None:
    text = "the dog is running " * 30
    for kind in (BertTokenizer, BertTokenizerFast):
        whole = kind(VOCAB)(text, add_special_tokens=False).input_ids
        left = kind(VOCAB, truncation_side="left")
        assert left(text, truncation=True, max_length=9, add_special_tokens=False).input_ids == whole[-9:]
        windows = kind(VOCAB)(
            text, truncation=True, max_length=9, add_special_tokens=False, return_overflowing_tokens=True
        )
        assert [id_ for row in windows.input_ids for id_ in row] == whole


@pytest.mark.parametrize("kind", [BertTokenizer, BertTokenizerFast])
def test_the_limit_is_an_argument(kind: Any) -> None:
    tokenizer = kind(VOCAB)
    words = r"text 1 has 13 characters; the limit is max_characters=12: pass parts of it, or a larger max_characters"
    with pytest.raises(InputError, match=words):
        tokenizer(["the dog", "the dog is un"], max_characters=12)
    assert len(tokenizer("the dog is un", max_characters=13).input_ids) == 6
    with pytest.raises(InputError, match="text 0 has 6 characters"):
        tokenizer(["the", "dog"], is_split_into_words=True, max_characters=5)
    with pytest.raises(InputError, match="max_characters=0 must be a whole number of at least 1"):
        tokenizer("the", max_characters=0)
    with pytest.raises(InputError, match="max_characters=5000000"):
        tokenizer("a" * 5_000_001)


def test_steps_that_lengthen_a_text_lower_the_limit() -> None:
    library = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    library.normalizer = tokenizers.normalizers.Replace("a", "a" * 10)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=library)
    assert tokenizer("a" * 10, max_characters=100).input_ids == [1]
    with pytest.raises(InputError, match="11 characters, of which this tokenizer's steps may make 10 times"):
        tokenizer("a" * 11, max_characters=100)


def test_a_hundred_megabytes() -> None:
    """A text of 100 MB takes a small multiple of itself, cut or refused."""
    code = f"""
from pocketbert import BertTokenizer, BertTokenizerFast, InputError
for kind in (BertTokenizer, BertTokenizerFast):
    tokenizer = kind({VOCAB!r})
    for text in ("the unaffable dog is running. " * 3_500_000, "a" * 100_000_000, " " * 100_000_000):
        for options in ({{}}, {{"truncation": True, "max_length": 512}}):
            try:
                print(len(tokenizer(text, **options).input_ids))
            except InputError as error:
                assert "max_characters=5000000" in str(error)
                print("refused")
"""
    done = run_limited(code, memory_gib=4, seconds=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["refused", "512", "refused", "refused", "refused", "refused"] * 2


TAGS = dict(enumerate(["O", "B-PER", "I-PER"]))
TASKS: dict[str, Any] = {
    "classification": (TextClassificationPipeline, "sequence_classification", "text"),
    "pairs": (TextClassificationPipeline, "sequence_classification", "pair"),
    "tokens": (TokenClassificationPipeline, "token_classification", "text"),
    "words": (TokenClassificationPipeline, "token_classification", "words"),
    "features": (FeatureExtractionPipeline, "none", "text"),
    "masks": (FillMaskPipeline, "masked_lm", "masked"),
    "next sentence": (NextSentencePredictionPipeline, "next_sentence", "pair"),
}


@pytest.mark.parametrize("name", TASKS)
def test_tasks_give_the_same_answers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, head, given = TASKS[name]
    task = kind(FakeRunner(head, 20, id2label=TAGS), tokenizer(), overflow="truncate")
    text = " a dog".join(["the cat sat."] * 50)
    inputs = {"text": text, "pair": ("a dog", text), "words": text.split(" "), "masked": f"[MASK] {text}"}
    options = {"is_split_into_words": True} if given == "words" else {}
    expected = task([inputs[given]], **options)
    seen: list[int] = []
    encode = kind._encode
    monkeypatch.setattr(
        kind, "_encode", lambda self, texts, options: (seen.append(len(repr(texts))), encode(self, texts, options))[1]
    )
    monkeypatch.setattr("pocketbert.tasks.task.LONG_TEXT", 100)
    monkeypatch.setattr(long_texts, "_LONG", 8)
    np.testing.assert_equal(task([inputs[given]], **options), expected)
    assert (seen[0] < len(text)) == (name != "masks")  # its answers show the whole text


def test_one_text_too_long_does_not_stop_the_others() -> None:
    task = TextClassificationPipeline(FakeRunner("sequence_classification", 20), tokenizer())
    answers = list(task.stream(["a dog", "a" * 101, "a cat"], max_characters=100))
    assert [isinstance(answer, InputError) for answer in answers] == [False, True, False]
    with pytest.raises(InputError, match="input 1: a text has 101 characters; the limit is max_characters=100"):
        task(["a dog", "a" * 101], max_characters=100)
    with pytest.raises(InputError, match="max_characters=5000000"):
        task("a" * 5_000_001)
    short = TextClassificationPipeline(FakeRunner("sequence_classification", 20), tokenizer(), max_characters=5)
    with pytest.raises(InputError, match="max_characters=5"):
        short("a doggy")
    assert short("a doggy", max_characters=7) == task("a doggy")
