"""BERT's two steps as classes of their own, added tokens that normalize alike, and tokenizers of other models."""

import random
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import transformers
from transformers.models.bert.tokenization_bert import BasicTokenizer as TheirBasic
from transformers.models.bert.tokenization_bert import WordpieceTokenizer as TheirWordpiece

from pocketbert.errors import CheckpointError, InputError
from pocketbert.tokenizer import (
    AddedToken,
    AutoTokenizer,
    BasicTokenizer,
    BatchEncoding,
    BertTokenizer,
    BertTokenizerFast,
    PreTrainedTokenizerFast,
    WordpieceTokenizer,
)

KINDS = [BertTokenizer, BertTokenizerFast]
ODD = "aÉé\u0301 \t\n.,'$|~\u4e2d\u3400\U0002b820\u200b\u00ad\ufffd\x00\u00a0İſß[UNK]\ud800\u2028"  # noqa: RUF001


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"do_lower_case": False},
        {"strip_accents": False},
        {"do_lower_case": False, "strip_accents": True, "never_split": ["[UNK]", "É"]},
        {"tokenize_chinese_chars": False, "do_split_on_punc": False},
    ],
    ids=str,
)
def test_basic_tokenizer_is_the_original(options: dict[str, Any]) -> None:
    ours, theirs, random_ = BasicTokenizer(**options), TheirBasic(**options), random.Random(0)
    texts = ["".join(random_.choices(ODD, k=random_.randint(0, 20))) for _ in range(500)]
    texts += [chr(random_.randrange(0x30000)) for _ in range(2000)]
    for text in texts:
        assert ours.tokenize(text) == theirs.tokenize(text)
        assert ours.tokenize(text, never_split=["a"]) == theirs.tokenize(text, never_split=["a"])


def test_wordpiece_tokenizer_is_the_original() -> None:
    vocab = {token: id_ for id_, token in enumerate(["[UNK]", "a", "b", "ab", "##a", "##b", "##ba", "abba"])}
    random_ = random.Random(0)
    for longest in (3, 100):
        ours, theirs = WordpieceTokenizer(vocab, "[UNK]", longest), TheirWordpiece(vocab, "[UNK]", longest)
        for _ in range(300):
            text = "".join(random_.choices("aabbc \t", k=random_.randint(0, 12)))
            assert ours.tokenize(text) == theirs.tokenize(text)


def test_a_tokenizer_follows_its_wordpiece_step(vocab_file: str) -> None:
    tokenizer = BertTokenizer(vocab_file)
    tokenizer.wordpiece_tokenizer.max_input_chars_per_word = 3
    assert tokenizer.tokenize("the hello") == ["the", "[UNK]"]


@pytest.mark.parametrize(
    "tokens", [["ABC", "abc"], ["abc", "ABC"], ["Ábc", AddedToken("abc", special=True, normalized=True)]]
)
def test_of_tokens_that_normalize_alike_the_first_counts(tokens: list[Any], vocab_file: str, tmp_path: Path) -> None:
    found = []
    for kind in KINDS:
        tokenizer = kind(vocab_file)
        tokenizer.add_tokens(tokens)
        tokenizer.save_pretrained(tmp_path / kind.__name__)
        for one in (tokenizer, *(other.from_pretrained(tmp_path / kind.__name__) for other in KINDS)):
            found.append([one("an Abc abc ABC")["input_ids"], one.get_added_vocab()])
    oracle = transformers.BertTokenizerFast(vocab_file)
    oracle.add_tokens(
        [token if isinstance(token, str) else tokenizers.AddedToken(**token.to_dict()) for token in tokens]
    )
    assert found == [[oracle("an Abc abc ABC")["input_ids"], oracle.get_added_vocab()]] * len(found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_setting_that_is_not_known_is_kept_and_named(kind: Any, vocab: dict[str, int], caplog: Any) -> None:
    tokenizer = kind(vocab, lower_case=True)
    assert tokenizer.init_kwargs["lower_case"] is True
    assert f"{kind.__name__} keeps and does not use lower_case" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_that_are_no_list_are_refused(kind: Any, vocab: dict[str, int]) -> None:
    tokenizer = kind(vocab)
    for value in ("<x1>", AddedToken("<x1>"), 3, {"a": "b"}):
        with pytest.raises(InputError, match=r"additional_special_tokens=.* must be a list"):
            tokenizer.additional_special_tokens = value
        with pytest.raises(InputError, match="must be a list"):
            tokenizer.add_special_tokens({"additional_special_tokens": value})
    with pytest.raises(AttributeError, match="has no attribute 'image_token'"):
        _ = tokenizer.image_token


def test_added_token_normalizes_unless_special() -> None:
    for options in ({}, {"special": True}, {"special": True, "normalized": True}, {"normalized": False}):
        ours, theirs = AddedToken("x", **options), tokenizers.AddedToken("x", **options)
        assert repr(ours) == repr(theirs)


def test_any_model_of_the_library(tmp_path: Path) -> None:
    library = tokenizers.Tokenizer(tokenizers.models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=library, pad_token="<pad>")
    assert tokenizer(["ab", "aba"], padding=True).input_ids == [[2, 3], [2, 0]]
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert (type(again), again.pad_token_id, again.cls_token) == (PreTrainedTokenizerFast, 3, None)
    assert len(again.train_new_from_iterator(["abab"], 6, show_progress=False)) >= 3
    unigram = PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer(tokenizers.models.Unigram([("a", -1.0)], 0))
    )
    with pytest.raises(InputError, match="a Unigram model cannot be trained"):
        unigram.train_new_from_iterator(["a"], 6)
    with pytest.raises(InputError, match="pass tokenizer_object or tokenizer_file"):
        PreTrainedTokenizerFast()
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"is not a tokenizer\.json"):
        PreTrainedTokenizerFast.from_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"holds no tokenizer\.json"):
        PreTrainedTokenizerFast.from_pretrained(tmp_path)


def test_batches_of_ones_own_making(caplog: Any) -> None:
    batch = BatchEncoding({"input_ids": [[1, 2]]})
    with pytest.raises(KeyError, match="no encodings; its keys are input_ids"):
        batch[0]
    assert batch[:1] == {"input_ids": [[1, 2]]}
    torch = pytest.importorskip("torch")
    batch.convert_to_tensors("pt")
    before = batch["input_ids"]
    batch.convert_to_tensors("pt")
    assert batch["input_ids"] is before
    batch.to(torch.float16)
    assert batch["input_ids"].dtype == torch.int64
    assert "not converted" in caplog.text


def test_odd_characters_are_odd() -> None:
    assert {unicodedata.category(char)[0] for char in ODD} >= {"C", "L", "M", "P", "S", "Z"}
