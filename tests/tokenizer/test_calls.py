"""Calls: padding, truncation, windows, pairs, columns, tensors, and what is refused."""

import itertools
import pickle
import random
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from pocketbert.errors import InputError
from pocketbert.tokenizer import (
    BertTokenizer,
    BertTokenizerFast,
    DistilBertTokenizer,
    DistilBertTokenizerFast,
    MobileBertTokenizer,
    MobileBertTokenizerFast,
)

KINDS = [BertTokenizer, BertTokenizerFast]
A, B = "hello world, my dog is cute", "jim henson was a nice puppeteer"


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def tokenizer(request: pytest.FixtureRequest, vocab_file: str) -> Any:
    return request.param(vocab_file, model_max_length=512)


@pytest.fixture(scope="module")
def oracle(vocab_file: str) -> Any:
    return transformers.BertTokenizerFast(vocab_file, model_max_length=512)


def everything(batch: Any) -> Any:
    rows = range(len(batch.encodings))
    return (
        dict(batch),
        [batch.tokens(row) for row in rows],
        [batch.word_ids(row) for row in rows],
        [batch.sequence_ids(row) for row in rows],
    )


COLUMNS = {"return_offsets_mapping": True, "return_special_tokens_mask": True, "return_length": True}


@pytest.mark.parametrize("padding", [False, True, "longest", "max_length", "do_not_pad"])
@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize("multiple", [None, 8])
def test_padding(tokenizer: Any, oracle: Any, padding: Any, padding_side: str, multiple: int | None) -> None:
    options = {"padding": padding, "padding_side": padding_side, "pad_to_multiple_of": multiple, **COLUMNS}
    if padding == "max_length":
        options["max_length"] = 20
    for args in ((A,), (A, B), ([A, "a"],), ([A, "a"], [B, ""]), ([(A, B), ("a", "b")],)):
        assert everything(tokenizer(*args, **options)) == everything(oracle(*args, **options))


@pytest.mark.parametrize("strategy", [True, "longest_first", "only_first", "only_second"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_truncation_and_windows(tokenizer: Any, oracle: Any, strategy: Any, side: str) -> None:
    tokenizer.truncation_side = oracle.truncation_side = side
    cases = [(max_length, stride) for max_length in (13, 14, 17, 60) for stride in (0, 1, 3)]
    for (max_length, stride), overflow in itertools.product(cases, (False, True)):
        options = {
            "truncation": strategy,
            "max_length": max_length,
            "stride": stride,
            "return_overflowing_tokens": overflow,
            "padding": True,
            **COLUMNS,
        }
        argss = [([A, "a"], [B, B + B])] if strategy == "only_second" else [(A + A,), ([A, A + A],), ([A, B], [B, A])]
        for args in argss:
            try:
                wanted = everything(oracle(*args, **options))
            except BaseException:  # the library panics where the stride leaves no step
                with pytest.raises(InputError):
                    tokenizer(*args, **{**options, "return_overflowing_tokens": True})
                continue
            assert everything(tokenizer(*args, **options)) == wanted
    oracle.truncation_side = "right"


def test_random_calls_agree_between_python_and_fast(vocab_file: str) -> None:
    python, fast = BertTokenizer(vocab_file, model_max_length=512), BertTokenizerFast(vocab_file, model_max_length=512)
    random_ = random.Random(0)
    words = ["the", "of", "cute", "unaffable", "running", "[MASK]", "wörld,", "中文", "don't", "xxqzj", "a"]

    def text() -> str:
        return " ".join(random_.choices(words, k=random_.randint(0, 12)))

    for _ in range(500):
        rows = random_.randint(1, 3)
        args = [[text() for _ in range(rows)], random_.choice([None, [text() for _ in range(rows)]])]
        options: dict[str, Any] = {
            "padding": random_.choice([False, True, "max_length"]),
            "truncation": random_.choice([None, True, "only_first", "only_second"]),
            "max_length": random_.choice([None, 6, 9, 12]),
            "stride": random_.choice([0, 0, 1, 2]),
            "padding_side": random_.choice(["left", "right"]),
            "return_overflowing_tokens": random_.random() < 0.5,
            "add_special_tokens": random_.random() < 0.7,
        }
        results = []
        for tokenizer in (python, fast):
            try:
                results.append(everything(tokenizer(*args, **options, **COLUMNS)))
            except InputError as error:
                results.append(str(error))
        assert results[0] == results[1]


def test_max_length_alone_truncates(tokenizer: Any, oracle: Any) -> None:
    assert tokenizer(A, max_length=4)["input_ids"] == oracle(A, max_length=4)["input_ids"]
    assert len(tokenizer(A, max_length=4, truncation=False)["input_ids"]) > 4


@pytest.mark.parametrize("max_length", [0, -1, 1.5, True, "9", [], {}])
def test_a_length_to_pad_to_is_a_number(tokenizer: Any, max_length: Any) -> None:
    for call in (tokenizer, lambda text, **options: tokenizer.pad(tokenizer(text), **options)):
        with pytest.raises(InputError, match=r"max_length=.* must be a whole number of at least 1"):
            call(A, padding="max_length", max_length=max_length)


def test_model_max_length_is_the_default_limit(tokenizer: Any) -> None:
    assert len(tokenizer("a " * 600, truncation=True)["input_ids"]) == 512
    assert len(tokenizer("a", padding="max_length")["input_ids"]) == 512


def test_padding_does_not_leak_into_the_next_call(tokenizer: Any) -> None:
    before = dict(tokenizer([A, "a"]))
    tokenizer([A, "a"], padding="max_length", truncation=True, max_length=6)
    assert dict(tokenizer([A, "a"])) == before
    assert tokenizer.encode("a b c d e f g h i j") == tokenizer("a b c d e f g h i j")["input_ids"]


def test_an_empty_second_text_is_a_pair(tokenizer: Any) -> None:
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    assert tokenizer("", "")["input_ids"] == tokenizer([""], [""])["input_ids"][0] == [cls, sep, sep]


def test_no_rows(tokenizer: Any) -> None:
    assert dict(tokenizer([], padding=True)) == {"input_ids": [], "token_type_ids": [], "attention_mask": []}
    assert tokenizer([], return_tensors="np")["input_ids"].shape == (0, 0)


@pytest.mark.parametrize("kind", ["np", "pt"])
def test_tensors(tokenizer: Any, kind: str) -> None:
    lists = tokenizer([A, B], padding=True, return_offsets_mapping=True)
    arrays = tokenizer([A, B], padding=True, return_offsets_mapping=True, return_tensors=kind)
    for name, value in arrays.items():
        assert isinstance(value, np.ndarray if kind == "np" else torch.Tensor)
        assert str(value.dtype).endswith("int64")
        assert value.tolist() == [[list(e) if isinstance(e, tuple) else e for e in row] for row in lists[name]]
    assert tokenizer(A, return_tensors=kind)["input_ids"].shape[0] == 1
    if kind == "pt":
        assert arrays.to("cpu")["input_ids"].device.type == "cpu"
        assert arrays.to(torch.device("meta"))["input_ids"].device.type == "meta"


def test_importing_imports_no_framework() -> None:
    code = (
        "import sys, pocketbert.tokenizer as t; t.BertTokenizerFast; t.AutoTokenizer; "
        "assert not {'torch', 'keras', 'transformers', 'tokenizers', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("kind", [DistilBertTokenizer, DistilBertTokenizerFast])
def test_distilbert_has_no_token_type_ids_unless_asked(kind: Any, vocab_file: str) -> None:
    tokenizer = kind(vocab_file)
    assert list(tokenizer(A, B)) == ["input_ids", "attention_mask"]
    assert set(tokenizer(A, B, return_token_type_ids=True).token_type_ids) == {0, 1}
    assert list(MobileBertTokenizer(vocab_file)(A)) == ["input_ids", "token_type_ids", "attention_mask"]
    assert list(MobileBertTokenizerFast(vocab_file)(A, return_attention_mask=False)) == ["input_ids", "token_type_ids"]


def test_other_calls(tokenizer: Any, oracle: Any) -> None:
    assert tokenizer.encode(A, B) == oracle.encode(A, B)
    assert tokenizer.encode(A, max_length=5, truncation=True) == oracle.encode(A, max_length=5, truncation=True)
    assert tokenizer.tokenize(A) == oracle.tokenize(A)
    assert dict(tokenizer.encode_plus(A, B)) == dict(oracle.encode_plus(A, B))
    assert dict(tokenizer.batch_encode_plus([A, (A, B)])) == dict(oracle.batch_encode_plus([A, (A, B)]))
    assert tokenizer.num_special_tokens_to_add() == 2
    assert tokenizer.num_special_tokens_to_add(pair=True) == 3
    for name in ("build_inputs_with_special_tokens", "create_token_type_ids_from_sequences"):
        assert getattr(tokenizer, name)([7, 8], [9]) == getattr(oracle, name)([7, 8], [9])
        assert getattr(tokenizer, name)([7, 8]) == getattr(oracle, name)([7, 8])
    assert tokenizer.get_special_tokens_mask([7, 8], [9]) == [1, 0, 0, 1, 0, 1]
    ids = oracle.encode(A)
    assert tokenizer.get_special_tokens_mask(ids, already_has_special_tokens=True) == [1, *[0] * (len(ids) - 2), 1]
    assert tokenizer.max_len_single_sentence == 510
    labeled = tokenizer([A], text_target=[B])
    assert labeled["labels"] == tokenizer([B])["input_ids"]


def test_pad(tokenizer: Any, oracle: Any) -> None:
    rows = [dict(oracle(A, return_special_tokens_mask=True)), dict(oracle("a", return_special_tokens_mask=True))]
    for options in (
        {},
        {"padding_side": "left"},
        {"pad_to_multiple_of": 8},
        {"padding": "max_length", "max_length": 30},
    ):
        assert dict(tokenizer.pad(rows, **options)) == dict(oracle.pad([dict(row) for row in rows], **options))
    assert tokenizer.pad({"input_ids": [1, 2]}, padding="max_length", max_length=4)["attention_mask"] == [1, 1, 0, 0]
    tensors = tokenizer.pad([{"input_ids": torch.tensor([1, 2])}, {"input_ids": [3]}], return_tensors="pt")
    assert tensors["input_ids"].tolist() == [[1, 2], [3, tokenizer.pad_token_id]]
    assert rows[1]["input_ids"] == oracle.encode("a")  # the argument is left as it was


def test_mapping_between_tokens_words_and_characters(tokenizer: Any, oracle: Any) -> None:
    ours, theirs = tokenizer([A, "a"], [B, "b"], padding=True), oracle([A, "a"], [B, "b"], padding=True)
    for token in range(len(ours.input_ids[0])):
        for name in ("token_to_word", "token_to_sequence", "token_to_chars"):
            assert getattr(ours, name)(0, token) == getattr(theirs, name)(0, token)
            assert getattr(ours, name)(token) == getattr(theirs, name)(token)
            assert getattr(ours, name)(0, token - len(ours.input_ids[0])) == getattr(theirs, name)(0, token)
    for index, text in itertools.product(range(-1, 40), (0, 1)):
        if index >= 0:
            assert ours.char_to_token(0, index, text) == theirs.char_to_token(0, index, text)
            assert ours.char_to_word(0, index, text) == theirs.char_to_word(0, index, text)
            assert ours.word_to_tokens(0, index, text) == theirs.word_to_tokens(0, index, text)
        if 0 <= index < 6:
            assert ours.word_to_chars(0, index, text) == theirs.word_to_chars(0, index, text)
    assert ours.char_to_token(3) == theirs.char_to_token(3)
    assert ours[1].ids == theirs[1].ids
    assert ours[0].tokens == theirs[0].tokens
    assert [row.ids for row in ours[:2]] == ours.input_ids


def test_batch_encoding_is_a_mapping_with_attributes(tokenizer: Any) -> None:
    batch = tokenizer(A)
    assert {**batch} == dict(batch.items())
    assert batch.input_ids is batch["input_ids"]
    with pytest.raises(AttributeError, match="no 'inputs'"):
        _ = batch.inputs
    with pytest.raises(KeyError):
        _ = batch["inputs"]
    with pytest.raises(InputError, match="row 1 of a batch of 1"):
        batch.word_ids(1)
    copy = pickle.loads(pickle.dumps(batch))  # noqa: S301 - our own bytes
    assert everything(copy) == everything(batch)
    assert everything(pickle.loads(pickle.dumps(tokenizer))(A)) == everything(batch)  # noqa: S301


def test_details_are_those_of_the_call_even_if_tokens_are_added_later(tokenizer: Any) -> None:
    batch = tokenizer("hello puppeteer")
    tokenizer.add_tokens(["puppeteer"])
    assert batch.word_ids() == [None, 0, 1, 1, 1, None]
    assert tokenizer("hello puppeteer").word_ids() == [None, 0, 1, None]


def test_threads_share_a_tokenizer(vocab_file: str) -> None:
    tokenizer = BertTokenizerFast(vocab_file)
    wanted = {
        length: tokenizer([A, B], padding="max_length", truncation=True, max_length=length).input_ids
        for length in range(4, 12)
    }
    failures: list[Any] = []

    def work(length: int) -> None:
        try:
            for _ in range(50):
                made = tokenizer([A, B], padding="max_length", truncation=True, max_length=length)
                assert made.input_ids == wanted[length]
                tokenizer.add_tokens([f"never{length}"])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(length,)) for length in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.parametrize(
    ("args", "options", "message"),
    [
        ((3,), {}, "text must be a string or a list of them, not int"),
        ((None,), {}, "no text"),
        ((["a", 3],), {}, r"text\[1\] must be a string, not int"),
        (([None],), {}, r"text\[0\] must be a string"),
        (([["a", "b", "c"]],), {}, "is_split_into_words=True"),
        (("a", ["b"]), {}, "text_pair must be a string"),
        ((["a"], "b"), {}, "text_pair must be a list"),
        ((["a"], ["b", "c"]), {}, "text has 1 rows and text_pair 2"),
        (("a",), {"is_split_into_words": True}, "list of words"),
        (("a",), {"padding": "most"}, "padding='most' is unknown"),
        (("a",), {"padding": 1}, "padding=1 is unknown"),
        (("a",), {"truncation": "some"}, "truncation='some' is unknown"),
        (("a",), {"return_tensors": "jax"}, "return_tensors='jax' is unknown"),
        (("a",), {"padding_side": "top"}, "padding_side='top' is unknown"),
        (("a",), {"max_len": 3}, "unknown argument 'max_len'"),
        (("a",), {"max_length": 1, "truncation": True}, "max_length=1 .* at least 3"),
        (("a",), {"max_length": 0, "truncation": True}, "max_length=0 must be a whole number"),
        (("a",), {"max_length": 2.5}, "max_length=2.5"),
        (("a",), {"stride": -1}, "stride=-1"),
        (("a",), {"max_length": 6, "truncation": True, "stride": 4}, "stride=4 .* at least 7"),
        (
            ("a b c d e f", "g h i"),
            {"max_length": 7, "truncation": True, "stride": 3, "return_overflowing_tokens": True},
            "text 0: stride=3 leaves windows of 2 tokens no step",
        ),
        (
            ("a b c d", "e"),
            {"max_length": 6, "truncation": "only_second"},
            "text 0: truncation='only_second' must remove 2",
        ),
        (("a b c d",), {"max_length": 4, "truncation": "only_second"}, "there is none"),
        (("a",), {"pad_to_multiple_of": 0}, "pad_to_multiple_of=0"),
        (("a",), {"pad_to_multiple_of": 8, "padding": True, "truncation": True, "max_length": 9}, "multiple of 8"),
        ((["a", "a b"],), {"return_tensors": "np"}, "input_ids have 3 to 4 entries .* padding=True"),
    ],
)
def test_what_is_refused(tokenizer: Any, args: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tokenizer(*args, **options)


def test_what_other_calls_refuse(tokenizer: Any) -> None:
    for ids in ([1.5], ["a"], [-1], [True], "abc", None):
        with pytest.raises(InputError, match="ids must be whole numbers"):
            tokenizer.decode(ids)
    with pytest.raises(InputError, match="tokens must be strings"):
        tokenizer.convert_tokens_to_ids([1])
    for batch in (["a b", ["c"]], [["a"], ["b"]], [1, "a"], [], [1.5], [True]):
        with pytest.raises(InputError, match="encode_plus takes one text"):
            tokenizer.encode_plus(batch)
    with pytest.raises(InputError, match="ids have no characters"):
        tokenizer.encode_plus([1, 2], return_offsets_mapping=True)
    with pytest.raises(InputError, match="batch_encode_plus takes a list"):
        tokenizer.batch_encode_plus("a")
    with pytest.raises(InputError, match="input_ids"):
        tokenizer.pad({"ids": [1]})
    tokenizer.pad_token = None
    with pytest.raises(InputError, match="needs a pad token"):
        tokenizer(["a", "b"], padding=True)
    with pytest.raises(InputError, match="no model_max_length"):
        type(tokenizer)(tokenizer.get_vocab())("a", padding="max_length")


def test_old_argument_name(tokenizer: Any) -> None:
    with pytest.warns(FutureWarning, match="padding='max_length'"):
        old = tokenizer.encode_plus("a", max_length=6, pad_to_max_length=True)
    assert dict(old) == dict(tokenizer("a", max_length=6, padding="max_length"))


@pytest.mark.parametrize("options", [{"strip_accents": 2}, {"do_lower_case": "x"}, {"tokenize_chinese_chars": []}])
@pytest.mark.parametrize("kind", KINDS)
def test_settings_of_another_type(vocab_file: str, kind: Any, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="settings of the tokenizer must be true or false"):
        kind(vocab_file, **options)
