"""Python, Fast and the oracle give the same ids, offsets and words for the same text."""

import random
import unicodedata
from typing import Any

import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.tokenizer_texts import EVERY, SURROGATES, UTF8
from helpers.vocabularies import made_vocab
from pocketbert.tokenizer import BertTokenizer, BertTokenizerFast

SETTINGS: list[dict[str, Any]] = [
    {},
    {"do_lower_case": False},
    {"strip_accents": False},
    {"do_lower_case": False, "strip_accents": True},
    {"tokenize_chinese_chars": False},
]


def known(tokenizer: Any, texts: list[Any], **options: Any) -> list[Any]:
    """Ids, offsets and words of every text."""
    batch = tokenizer(texts, return_offsets_mapping=True, **options)
    words = [batch.word_ids(row) for row in range(len(texts))]
    return list(zip(texts, batch["input_ids"], batch["offset_mapping"], words, strict=True))


@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_corpus(vocab_file: str, options: dict[str, Any]) -> None:
    fast, python = BertTokenizerFast(vocab_file, **options), BertTokenizer(vocab_file, **options)
    oracle = transformers.BertTokenizerFast(vocab_file, **options)
    assert known(fast, UTF8) == known(oracle, UTF8)
    assert known(python, EVERY) == known(fast, EVERY)


def test_corpus_with_released_vocabularies(released: tuple[str, bool]) -> None:
    path, lower = released
    fast, python = BertTokenizerFast(path, do_lower_case=lower), BertTokenizer(path, do_lower_case=lower)
    oracle = transformers.BertTokenizerFast(path, do_lower_case=lower)
    assert known(fast, UTF8) == known(oracle, UTF8) == known(python, UTF8)


def test_slow_oracle_agrees_on_common_text(released: tuple[str, bool]) -> None:
    path, lower = released
    python = BertTokenizer(path, do_lower_case=lower)
    oracle = transformers.BertTokenizer(path, do_lower_case=lower)
    texts = [text for text in UTF8 if text.isascii()] + ["Le café de l'été, naïve Ångström 中文字 한국어"]
    assert python(texts)["input_ids"] == oracle(texts)["input_ids"]


def test_surrogates_count_as_replacement_characters(vocab: dict[str, int]) -> None:
    for tokenizer in (BertTokenizerFast(vocab), BertTokenizer(vocab)):
        for text in SURROGATES:
            replaced = "".join("\ufffd" if 0xD800 <= ord(char) < 0xE000 else char for char in text)
            assert known(tokenizer, [text])[0][1:] == known(tokenizer, [replaced])[0][1:]
        assert tokenizer("a\ud800b", return_offsets_mapping=True).offset_mapping == [(0, 0), (0, 1), (2, 3), (0, 0)]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("x\u0378y", "x\u0378y"),  # unassigned: the slow oracle drops it
        ("x\u1ac1y", "x\u1ac1y"),  # a mark of Unicode 13: the slow oracle drops it
        ("x\u2e52y", "x\u2e52y"),  # punctuation of Unicode 14: the slow oracle splits there
        ("\U0002b820x", "\U0002b820x"),  # CJK extension E: the slow oracle splits there
    ],
)
def test_where_the_slow_oracle_differs_python_follows_fast(text: str, clean: str) -> None:
    vocab = made_vocab()
    vocab |= {clean: len(vocab)}
    assert BertTokenizer(vocab).tokenize(text) == BertTokenizerFast(vocab).tokenize(text) == [clean]


def test_final_sigma_is_lowercased_as_any_other() -> None:
    final, other = "\u03b1\u03c2", "\u03b1\u03c3"
    vocab = {token: id_ for id_, token in enumerate([*made_vocab(), final, other])}
    for kind in (BertTokenizer, BertTokenizerFast):
        assert kind(vocab).tokenize(other.upper()) == [other]
        assert kind(vocab).tokenize(final) == [final]


@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_random_marks(vocab_file: str, options: dict[str, Any]) -> None:
    random_ = random.Random(0)
    marks = [chr(point) for point in range(0x20000) if unicodedata.combining(chr(point))]
    base = [*"aéñ가각中 .[]İΣß\x00ṩ\u212b\u0344\U0001d15f", "[MASK]", "\u200d", "\ufe0f", "😀"]
    texts = [
        "".join(random_.choice(marks if random_.random() < 0.6 else base) for _ in range(random_.randint(1, 12)))
        for _ in range(2000)
    ]
    fast, python = BertTokenizerFast(vocab_file, **options), BertTokenizer(vocab_file, **options)
    oracle = transformers.BertTokenizerFast(vocab_file, **options)
    assert known(fast, texts) == known(oracle, texts)
    assert known(python, texts) == known(fast, texts)


def test_split_words(vocab_file: str) -> None:
    fast, python = BertTokenizerFast(vocab_file), BertTokenizer(vocab_file)
    oracle = transformers.BertTokenizerFast(vocab_file)
    texts = [text.split(" ") for text in UTF8] + [["", "a b", "[MASK]x", ""]]
    assert known(fast, texts, is_split_into_words=True) == known(oracle, texts, is_split_into_words=True)
    assert known(python, texts, is_split_into_words=True) == known(fast, texts, is_split_into_words=True)


def test_added_tokens(vocab_file: str) -> None:
    added: list[tuple[str, dict[str, bool]]] = [
        ("newtoken", {}),
        ("New Token", {}),
        ("<ent>", {"special": True, "normalized": False}),
        ("wholeword", {"single_word": True}),
        ("<l>", {"lstrip": True, "normalized": False}),
        ("<r>", {"rstrip": True, "normalized": False}),
        ("<ent>x", {"normalized": False}),
        ("the", {}),
        ("é", {}),
    ]
    ours = [BertTokenizerFast(vocab_file), BertTokenizer(vocab_file)]
    oracle = transformers.BertTokenizerFast(vocab_file)
    count = oracle.add_tokens([transformers.AddedToken(content, **rules) for content, rules in added])
    texts = [
        "a newtoken b NEWTOKEN newtokens New Token new token",
        "x<ent>y <ent> <ent>x <ENT> <l> a  <l>  b <r>  c<r>d",
        "wholeword wholewords xwholeword (wholeword) _wholeword wholeword\u0301",
        "the other THE é É e\u0301 ée",
    ]
    for tokenizer in ours:
        assert tokenizer.add_tokens([transformers.AddedToken(content, **rules) for content, rules in added]) == count
        assert tokenizer.get_vocab() == oracle.get_vocab()
        assert len(tokenizer) == len(oracle)
        assert known(tokenizer, texts) == known(oracle, texts)


def test_split_special_tokens(vocab_file: str) -> None:
    oracle = transformers.BertTokenizerFast(vocab_file)
    wanted = oracle("a [MASK] b", split_special_tokens=True)["input_ids"]
    for tokenizer in (BertTokenizerFast(vocab_file), BertTokenizer(vocab_file)):
        assert tokenizer("a [MASK] b", split_special_tokens=True)["input_ids"] == wanted
        assert tokenizer.mask_token_id in tokenizer("a [MASK] b")["input_ids"]


def test_never_split_and_no_basic_tokenize(vocab_file: str) -> None:
    text = "Hello RUN-NING don't [MASK] running, cafés a[MASK]"
    cases: list[dict[str, Any]] = [
        {"never_split": ["run-ning", "hello", "don't", "cafés"]},
        {"never_split": ["RUN-NING", "don't"], "do_lower_case": False},
        {"do_basic_tokenize": False},
        {"do_basic_tokenize": False, "do_lower_case": False},
    ]
    for options in cases:
        python = BertTokenizer(vocab_file, **options)
        oracle = transformers.BertTokenizer(vocab_file, **options)
        assert python.tokenize(text) == oracle.tokenize(text)
        assert python(text)["input_ids"] == oracle(text)["input_ids"]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_any_text(texts: list[str]) -> None:
    assert known(FAST, texts) == known(PYTHON, texts)
    assert known(FAST, texts) == known(ORACLE, texts)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, derandomize=True)
@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=60))
def test_any_text_and_surrogates(text: str) -> None:
    assert known(FAST, [text]) == known(PYTHON, [text])


FAST, PYTHON = BertTokenizerFast(made_vocab()), BertTokenizer(made_vocab())
ORACLE = transformers.PreTrainedTokenizerFast(
    tokenizer_object=FAST.backend_tokenizer, model_input_names=["input_ids", "token_type_ids", "attention_mask"]
)


@pytest.mark.slow
def test_every_code_point_alone_and_inside_a_word(released: tuple[str, bool]) -> None:
    path, lower = released
    fast, python = BertTokenizerFast(path, do_lower_case=lower), BertTokenizer(path, do_lower_case=lower)
    oracle = transformers.BertTokenizerFast(path, do_lower_case=lower)
    points = [point for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    points = points[:: 1 if "uncased" in path else 5]  # the other vocabularies differ in their words only
    step = 64
    for start in range(0, len(points), 500 * step):
        texts = [
            " ".join(f"{chr(point)} a{chr(point)}b" for point in points[first : first + step])
            for first in range(start, min(start + 500 * step, len(points)), step)
        ]
        wanted = oracle(texts, return_offsets_mapping=True)
        for tokenizer in (fast, python):
            made = tokenizer(texts, return_offsets_mapping=True)
            assert made["input_ids"] == wanted["input_ids"]
            assert made["offset_mapping"] == wanted["offset_mapping"]
