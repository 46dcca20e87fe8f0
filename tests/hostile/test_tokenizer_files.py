"""Tokenizer files from strangers: they cannot kill or stall the process, and what is refused is named."""

from __future__ import annotations

import base64
import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from helpers.limits import run_limited
from pocketbert import (
    AddedToken,
    AutoTokenizer,
    BertTokenizer,
    BertTokenizerFast,
    CheckpointError,
    InputError,
    PreTrainedTokenizerFast,
)

TOKENS = "[PAD] [UNK] [CLS] [SEP] [MASK] a z ##z dog"
VOCAB = {token: id_ for id_, token in enumerate(TOKENS.split())}
BERT: dict[str, Any] = json.loads(BertTokenizerFast(VOCAB).backend_tokenizer.to_str())


def sequence(field: str, *steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", field: list(steps)}


def replace(pattern: str, content: str, kind: str = "String") -> dict[str, Any]:
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def charsmap(trie: bytes, texts: bytes) -> dict[str, Any]:
    raw = len(trie).to_bytes(4, "little") + trie + texts
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(raw).decode()}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(BERT | changes), encoding="utf-8")
    return path


TEMPLATE = BERT["post_processor"]
NO_MATCH = b"\0" * 1024  # a trie in which nothing is found
REFUSED = {
    "thousandfold": ({"normalizer": sequence("normalizers", *[replace("z", "z" * 1000)] * 4)}, "1000 characters"),
    "doublings": ({"normalizer": sequence("normalizers", *[replace("z", "zz")] * 15)}, "128 times as long; the limit"),
    "24 doublings": ({"normalizer": sequence("normalizers", *[replace("z", "zz")] * 24)}, "more than 16 steps"),
    "nested": (
        {"normalizer": sequence("normalizers", sequence("normalizers", *[replace("z", "z" * 99)] * 2))},
        "times as long",
    ),
    "empty pattern": ({"normalizer": replace("", "z")}, "empty pattern"),
    "byte-level steps": ({"pre_tokenizer": sequence("pretokenizers", *[{"type": "ByteLevel"}] * 9)}, "256 times"),
    "prepend": ({"normalizer": {"type": "Prepend", "prepend": "z" * 100}}, "101 times"),
    "decoder": ({"decoder": sequence("decoders", *[replace("z", "z" * 9)] * 3)}, "729 times"),
    "backtracking": ({"pre_tokenizer": split("(z+)+a")}, r"pattern '\(z\+\)\+a'"),
    "optional parts": ({"pre_tokenizer": split("z?" * 30 + "z" * 30)}, "may grow faster than the text"),
    "repetition inside": ({"pre_tokenizer": split("z*a")}, "may grow faster"),
    "unknown normalizer": ({"normalizer": {"type": "Nonsense"}}, "normalizer 'Nonsense' is none of those"),
    "unknown step": ({"pre_tokenizer": sequence("pretokenizers", {"type": "Exec"})}, "pre_tokenizer 'Exec'"),
    "unknown post_processor": ({"post_processor": {"type": "Exec"}}, "post_processor 'Exec'"),
    "unknown decoder": ({"decoder": {"type": "CTC"}}, "decoder 'CTC'"),
    "long template": (
        {"post_processor": TEMPLATE | {"single": TEMPLATE["single"] * 30}},
        "90 entries; the limit is 64",
    ),
    "damaged charsmap": ({"normalizer": charsmap(b"\0" * 7, b"a\0")}, "damaged map"),
    "cut charsmap": ({"normalizer": charsmap(b"", b"abc")}, "damaged map"),
    "charsmap that is no base64": ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "?"}}, "damaged map"),
    "long charsmap": ({"normalizer": charsmap(b"\0" * 8, b"a" * 100 + b"\0")}, "100 times"),
    "largest id": ({"model": BERT["model"] | {"vocab": VOCAB | {"b": 2**31}}}, "'b' has id 2147483648; the limit is"),
    "same id": ({"model": BERT["model"] | {"vocab": VOCAB | {"b": 5}}}, "'a' and 'b' have the same id 5"),
    "added id": ({"added_tokens": [{"id": 2**40, "content": "x"}]}, "added token 'x' has id"),
    "added size": ({"added_tokens": [{"id": 9, "content": "x" * 3_000_000}]}, "3000000 characters together"),
    "long words": (
        {"model": BERT["model"] | {"max_input_chars_per_word": 10**9}},
        "max_input_chars_per_word=1000000000",
    ),
    "long prefix": ({"model": BERT["model"] | {"continuing_subword_prefix": "#" * 999}}, "999 characters"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    changes, words = REFUSED[name]
    for kind in (BertTokenizerFast, PreTrainedTokenizerFast):
        with pytest.raises(CheckpointError, match=words):
            kind(tokenizer_file=str(write(tmp_path, **changes)))


def test_hostile_files_in_a_process_with_limits(tmp_path: Path) -> None:
    cases = [REFUSED[name][0] for name in ("thousandfold", "24 doublings", "largest id", "backtracking")]
    paths = []
    for number, changes in enumerate(cases):
        (tmp_path / str(number)).mkdir()
        paths.append(str(write(tmp_path / str(number), **changes)))
    code = f"""
from pocketbert import BertTokenizer, BertTokenizerFast, CheckpointError
for path in {paths!r}:
    try:
        BertTokenizerFast(tokenizer_file=path)("zzz" * 100)
    except CheckpointError:
        print("refused")
for kind in (BertTokenizer, BertTokenizerFast):
    try:
        kind({{**{VOCAB!r}, "b": 2**31}})
    except CheckpointError:
        print("refused")
"""
    done = run_limited(code, memory_gib=1, seconds=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "refused\n" * 6, "")


PUBLISHED = {
    "BERT": {},
    "DistilBERT of 2020": {"post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}},
    "ALBERT": {
        "normalizer": sequence(
            "normalizers", replace("``", '"'), replace("''", '"'), {"type": "NFKD"}, {"type": "StripAccents"},
            {"type": "Lowercase"}, charsmap(NO_MATCH, "صلى الله عليه وسلم".encode() + b"\0"),
        ),
        "pre_tokenizer": sequence("pretokenizers", {"type": "WhitespaceSplit"},
            {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}),
    },
    "spaces": {"normalizer": replace(" {2,}", " ", "Regex"), "pre_tokenizer": split(r"\s+")},
    "words": {"normalizer": None, "pre_tokenizer": sequence("pretokenizers", {"type": "Whitespace"},
        {"type": "Digits", "individual_digits": True}, {"type": "Punctuation", "behavior": "Isolated"})},
    "GPT-2": {"pre_tokenizer": sequence("pretokenizers",
        split(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"),
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False})},
    "RoBERTa": {
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": {"type": "RobertaProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2],
            "trim_offsets": True, "add_prefix_space": False},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_steps_are_accepted(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, **PUBLISHED[name])
    library = tokenizers.Tokenizer.from_file(str(path))
    text = "a dog  zz 12"
    for kind in (PreTrainedTokenizerFast, BertTokenizerFast):
        assert kind(tokenizer_file=str(path))(text).input_ids == library.encode(text).ids


def test_panics_and_errors_of_the_library_are_ours(tmp_path: Path) -> None:
    path = write(tmp_path, model=BERT["model"] | {"unk_token": "[NONE]"}, post_processor=None)
    with pytest.raises(InputError, match=r"cannot split these texts: .*\[UNK\]"):
        PreTrainedTokenizerFast(tokenizer_file=str(path))("%")
    library = tokenizers.Tokenizer(tokenizers.models.WordLevel(VOCAB, unk_token="[UNK]"))
    library.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex("(a+)+$"), "isolated")
    with pytest.raises(InputError, match="cannot split these texts"):  # the pattern gives up: a panic
        PreTrainedTokenizerFast(tokenizer_object=library)("a" * 40 + "!")
    path = write(tmp_path, normalizer=charsmap(b"\xff" * 64, b"a\0"))
    with pytest.raises((CheckpointError, InputError), match="tokenizers library cannot"):
        PreTrainedTokenizerFast(tokenizer_file=str(path))("a")


def test_interrupts_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = BertTokenizerFast(VOCAB)

    class Interrupted:
        def encode_batch_fast(self, *_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(tokenizer, "_library", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        tokenizer("a")


def test_repeated_tokens_are_named_and_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join([*VOCAB, "cat", "a", "cow"]) + "\n", encoding="utf-8")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    fast = AutoTokenizer.from_pretrained(tmp_path)
    assert "1 tokens on more than one line, and the last line counts: 'a'" in caplog.text
    python = AutoTokenizer.from_pretrained(tmp_path, use_fast=False)
    assert fast("a cow").input_ids == python("a cow").input_ids == [2, 10, 11, 3]
    for again in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):  # noqa: S301 - our own bytes
        assert again("a cow").input_ids == [2, 10, 11, 3]
    for tokenizer in (fast, python):  # the next id is that of "cow"
        with pytest.raises(InputError, match=r"'<new>' would get the id 11, which 'cow' has.* names? of its own"):
            tokenizer.add_tokens("<new>")
        assert tokenizer("a cow").input_ids == [2, 10, 11, 3]
    fast.save_pretrained(tmp_path / "saved")
    again = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert tokenizers.Tokenizer.from_file(str(tmp_path / "saved" / "tokenizer.json")).encode("a cow").ids == [
        2,
        10,
        11,
        3,
    ]
    assert again.train_new_from_iterator(["a cow"], 20, show_progress=False)("a").input_ids
    with pytest.raises(InputError, match="'vocabulary' is no argument of the library's WordPieceTrainer"):
        again.train_new_from_iterator(["a cow"], 20, vocabulary=3)
    assert PreTrainedTokenizerFast(tokenizer_object=fast.backend_tokenizer)("a cow").input_ids == [2, 10, 11, 3]
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("fast", [True, False], ids=["Fast", "Python"])
def test_an_added_token_that_normalization_removes_is_refused(tmp_path, fast):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncow\n", "utf-8")
    tokenizer = (BertTokenizerFast if fast else BertTokenizer).from_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"'\\x06' normalization leaves nothing .* normalized=False"):
        tokenizer.add_tokens(["\x06"])
    tokenizer.add_tokens([AddedToken("\x06", normalized=False)])
    assert tokenizer("the\x06cow")["input_ids"] == [2, 5, 7, 6, 3]


def test_roles_that_a_vocabulary_with_repeated_lines_lacks_get_ids_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("a\nb\na\nb\n[UNK]\n[CLS]\n[SEP]\n", encoding="utf-8")
    fast, python = (kind(str(tmp_path / "vocab.txt")) for kind in (BertTokenizerFast, BertTokenizer))
    assert fast.get_vocab() == python.get_vocab()
    assert (fast.pad_token_id, fast.mask_token_id) == (7, 8)
    assert fast("a [PAD] [MASK]").input_ids == python("a [PAD] [MASK]").input_ids == [5, 2, 7, 8, 6]


def test_a_file_with_holes_is_written_as_the_library_writes_it() -> None:
    for tokenizer in (BertTokenizerFast({**VOCAB, "far": 40}), BertTokenizerFast(VOCAB)):
        tokenizer.add_tokens("<new>")
        assert json.loads(tokenizer._tokenizer_json()) == json.loads(tokenizer.backend_tokenizer.to_str())


@pytest.mark.parametrize("token", ["line\nbreak", "carriage\rreturn", "\ud800half"])
def test_tokens_that_are_no_lines_are_not_saved(tmp_path: Path, token: str) -> None:
    if token.isascii():
        for kind in (BertTokenizer, BertTokenizerFast):
            with pytest.raises(CheckpointError, match=r"cannot be a line of vocab\.txt"):
                kind({**VOCAB, token: 9}).save_pretrained(tmp_path / "folder")
            assert not (tmp_path / "folder").exists()
        BertTokenizerFast({**VOCAB, token: 9}).save_pretrained(tmp_path, legacy_format=False)
        assert AutoTokenizer.from_pretrained(tmp_path).convert_tokens_to_ids(token) == 9
    else:
        for kind in (BertTokenizer, BertTokenizerFast):
            with pytest.raises(CheckpointError, match="half a surrogate pair"):
                kind({**VOCAB, token: 9})
