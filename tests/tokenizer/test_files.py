"""Folders: what transformers saved loads here, what is saved here loads there, and damage is named."""

import builtins
import io
import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import transformers

from pocketbert.errors import CheckpointError, ConfigError, InputError, PocketBertError, UnsafeFileError
from pocketbert.tokenizer import (
    AddedToken,
    AutoTokenizer,
    BertTokenizer,
    BertTokenizerFast,
    DistilBertTokenizer,
    DistilBertTokenizerFast,
    MobileBertTokenizer,
    MobileBertTokenizerFast,
)
from pocketbert.tokenizer.auto import load_tokenizer

KINDS = [BertTokenizer, BertTokenizerFast]
TEXT = "Hello [MASK]<ent> Café 中文 puppeteers newtoken"
OPTIONS: list[dict[str, Any]] = [
    {"model_max_length": 128},
    {"do_lower_case": False, "padding_side": "left"},
    {"strip_accents": False, "tokenize_chinese_chars": False, "truncation_side": "left"},
]


def both(folder: Path) -> list[Any]:
    """The tokenizers that transformers makes of a folder."""
    return [transformers.BertTokenizer.from_pretrained(folder), transformers.BertTokenizerFast.from_pretrained(folder)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_saved_here_loads_there(kind: Any, options: dict[str, Any], vocab_file: str, tmp_path: Path) -> None:
    tokenizer = kind(vocab_file, **options)
    tokenizer.add_tokens(["newtoken"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<ent>"]})
    paths = tokenizer.save_pretrained(tmp_path / "saved")
    assert sorted(map(os.path.basename, paths)) == sorted(os.listdir(tmp_path / "saved"))  # nothing temporary is left
    wanted = tokenizer(TEXT)["input_ids"]
    for other in both(tmp_path / "saved"):
        assert other(TEXT)["input_ids"] == wanted
        assert (other.model_max_length, other.padding_side) == (tokenizer.model_max_length, tokenizer.padding_side)
        assert other.get_vocab() == tokenizer.get_vocab()
        assert other.all_special_tokens == tokenizer.all_special_tokens
    for mine in KINDS:
        again = mine.from_pretrained(tmp_path / "saved")
        assert again(TEXT)["input_ids"] == wanted
        assert again.all_special_tokens == tokenizer.all_special_tokens
        assert again.get_vocab() == tokenizer.get_vocab()
        assert (again.padding_side, again.truncation_side) == (tokenizer.padding_side, tokenizer.truncation_side)


@pytest.mark.parametrize("kind", ["BertTokenizer", "BertTokenizerFast"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_saved_there_loads_here(kind: str, options: dict[str, Any], vocab_file: str, tmp_path: Path) -> None:
    tokenizer = getattr(transformers, kind)(vocab_file, **options)
    tokenizer.add_tokens(["newtoken"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<ent>"]})
    tokenizer.save_pretrained(tmp_path)
    wanted = transformers.BertTokenizerFast.from_pretrained(tmp_path)(TEXT)["input_ids"]
    for mine in KINDS:
        made = mine.from_pretrained(tmp_path)
        assert made(TEXT)["input_ids"] == wanted
        assert made.additional_special_tokens == ["<ent>"]
        assert made.model_max_length == tokenizer.model_max_length


@pytest.mark.parametrize("missing", ["tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json"])
def test_partial_folders(missing: str, vocab_file: str, tmp_path: Path) -> None:
    saved = transformers.BertTokenizerFast(vocab_file, do_lower_case=False, mask_token="[UNK]")
    saved.add_special_tokens({"additional_special_tokens": ["<ent>"]})
    saved.add_tokens(["newtoken"])
    saved.save_pretrained(tmp_path)
    wanted = saved(TEXT)["input_ids"]
    (tmp_path / missing).unlink()
    for kind in KINDS:
        assert kind.from_pretrained(tmp_path)(TEXT)["input_ids"] == wanted


def test_vocabulary_alone(vocab_file: str) -> None:
    folder = os.path.dirname(vocab_file)
    for kind in (*KINDS, DistilBertTokenizer, MobileBertTokenizerFast):
        tokenizer = kind.from_pretrained(folder, do_lower_case=False, model_max_length=64)
        assert (tokenizer.do_lower_case, tokenizer.model_max_length) == (False, 64)
        assert tokenizer.encode("cute") == [
            tokenizer.cls_token_id,
            tokenizer.get_vocab()["cute"],
            tokenizer.sep_token_id,
        ]


def test_old_added_tokens_file(vocab_file: str, tmp_path: Path) -> None:
    vocab = Path(vocab_file).read_text(encoding="utf-8")
    (tmp_path / "vocab.txt").write_text(vocab, encoding="utf-8")
    size = len(vocab.splitlines())
    (tmp_path / "added_tokens.json").write_text(json.dumps({"second": size + 1, "first": size}), encoding="utf-8")
    for kind in KINDS:
        assert kind.from_pretrained(tmp_path).convert_tokens_to_ids(["first", "second"]) == [size, size + 1]


def test_padding_and_truncation_in_tokenizer_json_do_not_stick(vocab_file: str, tmp_path: Path) -> None:
    library = BertTokenizerFast(vocab_file).backend_tokenizer
    library.enable_padding(length=20)
    library.enable_truncation(4)
    library.save(str(tmp_path / "tokenizer.json"))
    assert len(BertTokenizerFast.from_pretrained(tmp_path)("a b c d e f")["input_ids"]) == 8


def test_post_processor_of_tokenizer_json_is_followed(vocab_file: str, tmp_path: Path) -> None:
    library = BertTokenizerFast(vocab_file).backend_tokenizer
    library.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A:3 [SEP]:3", pair="$A:0 [SEP]:1 [SEP]:2 $B:3", special_tokens=[("[SEP]", 3)]
    )
    library.save(str(tmp_path / "tokenizer.json"))
    ours, oracle = BertTokenizerFast.from_pretrained(tmp_path), transformers.BertTokenizerFast.from_pretrained(tmp_path)
    for args in (("a b",), ("a b", "c")):
        assert dict(ours(*args, max_length=4, truncation=True)) == dict(oracle(*args, max_length=4, truncation=True))


def test_auto_tokenizer(vocab_file: str, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_bytes(Path(vocab_file).read_bytes())
    with pytest.raises(CheckpointError, match="names no tokenizer"):
        AutoTokenizer.from_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "DistilBertTokenizer"}', encoding="utf-8")
    assert type(AutoTokenizer.from_pretrained(tmp_path)) is DistilBertTokenizerFast
    (tmp_path / "config.json").write_text('{"model_type": "mobilebert"}', encoding="utf-8")
    assert type(AutoTokenizer.from_pretrained(tmp_path)) is DistilBertTokenizerFast  # as in transformers
    assert type(load_tokenizer(tmp_path, model_type="mobilebert")) is MobileBertTokenizerFast
    (tmp_path / "tokenizer_config.json").unlink()
    assert type(AutoTokenizer.from_pretrained(tmp_path)) is MobileBertTokenizerFast
    assert type(AutoTokenizer.from_pretrained(tmp_path, use_fast=False)) is MobileBertTokenizer
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}', encoding="utf-8")
    with pytest.raises(CheckpointError, match="model_type='gpt2'"):
        AutoTokenizer.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"tokenizer_class": "BertTokenizer"}', encoding="utf-8")
    assert type(AutoTokenizer.from_pretrained(tmp_path, do_lower_case=False)) is BertTokenizerFast


@pytest.mark.parametrize("model_type", [None, "bert"])
def test_a_tokenizer_of_another_kind_is_refused_by_name(
    model_type: str | None, vocab_file: str, tmp_path: Path, caplog: Any
) -> None:
    (tmp_path / "vocab.txt").write_bytes(Path(vocab_file).read_bytes())
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    path = tmp_path / "tokenizer_config.json"
    path.write_text('{"tokenizer_class": "RobertaTokenizer"}', encoding="utf-8")
    with pytest.raises(CheckpointError, match="tokenizer_class='RobertaTokenizer'"):
        load_tokenizer(tmp_path, model_type=model_type)
    BertTokenizer.from_pretrained(tmp_path)
    assert "RobertaTokenizer" in caplog.text
    for config in (
        {"tokenizer_class": "BertJapaneseTokenizer"},
        {"word_tokenizer_type": "mecab"},
        {"tokenizer_class": "BertTokenizer", "subword_tokenizer_type": "character"},
    ):
        path.write_text(json.dumps(config), encoding="utf-8")
        for load in (BertTokenizer.from_pretrained, BertTokenizerFast.from_pretrained, load_tokenizer):
            with pytest.raises(CheckpointError, match=r"BertJapaneseTokenizer|mecab|character"):
                load(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", b"{"),
        ("tokenizer.json", b"[]"),
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b'{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}'),
        ("tokenizer.json", b'{"model": {"type": "WordPiece", "vocab": {"a": "b"}}}'),
        ("tokenizer.json", b'{"model": {"type": "WordPiece", "vocab": {"a": -1}}}'),
        ("tokenizer.json", b'{"model": {"type": "WordPiece", "vocab": {"[UNK]": 0}}, "normalizer": {"type": "No"}}'),
        ("tokenizer.json", b'{"model": {"type": "WordPiece", "vocab": {"a": 0}}, "added_tokens": [3]}'),
        ("tokenizer.json", b"\xff\xfe"),
        ("tokenizer.json", b"[" * 100_000),
        ("tokenizer_config.json", b"nonsense"),
        ("tokenizer_config.json", b'{"do_lower_case": "yes"}'),
        ("tokenizer_config.json", b'{"model_max_length": "long"}'),
        ("tokenizer_config.json", b'{"added_tokens_decoder": 3}'),
        ("tokenizer_config.json", b'{"added_tokens_decoder": {"x": {"content": "y"}}}'),
        ("tokenizer_config.json", b'{"added_tokens_decoder": {"7000": {"content": "y"}}}'),
        ("tokenizer_config.json", b'{"cls_token": 3}'),
        ("tokenizer_config.json", b'{"padding_side": "up"}'),
        ("tokenizer_config.json", b'{"additional_special_tokens": 3}'),
        ("tokenizer_config.json", b'{"additional_special_tokens": "<x1>"}'),
        ("tokenizer_config.json", b'{"model_input_names": "input_ids"}'),
        ("tokenizer_config.json", b'{"pad_token_type_id": "0"}'),
        ("tokenizer_config.json", b'{"extra_special_tokens": ["a"]}'),
        ("special_tokens_map.json", b"["),
        ("added_tokens.json", b'{"x": "y"}'),
        ("vocab.txt", b""),
        ("vocab.txt", b"\xff\n"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_named(kind: Any, name: str, content: bytes, vocab_file: str, tmp_path: Path) -> None:
    if name != "tokenizer.json":
        (tmp_path / "vocab.txt").write_bytes(Path(vocab_file).read_bytes())
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"\.json|vocab\.txt|added token"):
        kind.from_pretrained(tmp_path)


def test_files_too_large_to_be_true(vocab_file: str, tmp_path: Path) -> None:
    with open(tmp_path / "vocab.txt", "wb") as file:
        file.truncate(2**28 + 1)
    for kind in KINDS:
        with pytest.raises(CheckpointError, match=r"vocab\.txt has 268435457 bytes"):
            kind.from_pretrained(tmp_path)


def test_missing(tmp_path: Path, vocab: dict[str, int]) -> None:
    for kind in KINDS:
        with pytest.raises(CheckpointError, match=r"neither vocab\.txt nor tokenizer\.json"):
            kind.from_pretrained(tmp_path)
        with pytest.raises(CheckpointError, match=r"no none\.txt in"):
            kind(tmp_path / "none.txt")
        for role in ("unk_token", "cls_token", "sep_token"):
            with pytest.raises(ConfigError, match=f"{role}='<none>' is not among"):
                kind(vocab, **{role: "<none>"})
            with pytest.raises(ConfigError, match=role):
                kind({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "[PAD]": 3}, **{role: None})
        with pytest.raises(AttributeError, match="encode conflicts with the method"):
            kind(vocab, encode=True)
        with pytest.raises(InputError, match=r"pass \['<x1>'\]"):
            kind(vocab, additional_special_tokens="<x1>")
    with pytest.raises(InputError, match="pass vocab_file, tokenizer_file or tokenizer_object"):
        BertTokenizerFast()
    with pytest.raises(InputError, match="never_split"):
        BertTokenizer(vocab, never_split="word")


@pytest.mark.parametrize("kind", KINDS)
def test_saving_is_all_or_nothing(kind: Any, vocab: dict[str, int], tmp_path: Path, monkeypatch: Any) -> None:
    tokenizer = kind(vocab)
    tokenizer.save_pretrained(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    tokenizer.add_tokens(["more"])
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(CheckpointError, match="No space left"):
        tokenizer.save_pretrained(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_saving_elsewhere(vocab: dict[str, int], tmp_path: Path) -> None:
    tokenizer = BertTokenizerFast(vocab)
    with pytest.raises(UnsafeFileError):
        tokenizer.save_pretrained(tmp_path, filename_prefix="../up")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(CheckpointError, match="is a file or lies in one; pass a folder"):
        tokenizer.save_pretrained(tmp_path / "file")
    assert tokenizer.save_vocabulary(tmp_path, filename_prefix="my") == (str(tmp_path / "my-vocab.txt"),)
    with pytest.raises(PocketBertError, match="legacy_format=False"):
        BertTokenizer(vocab).save_pretrained(tmp_path, legacy_format=False)
    tokenizer.save_pretrained(tmp_path / "new", legacy_format=False)
    assert not (tmp_path / "new" / "vocab.txt").exists()


def test_vocabulary_with_repeated_and_odd_lines(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes("[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n[MASK]\r\nw\r\nw\r\n \r\n\u2028\r\nx".encode())
    for kind in KINDS:
        tokenizer = kind(path)
        assert tokenizer.convert_tokens_to_ids(["w", "x", "\u2028"]) == [6, 9, 8]
        tokenizer.save_vocabulary(tmp_path / kind.__name__)
        assert kind(tmp_path / kind.__name__ / "vocab.txt").get_vocab() == {**tokenizer.get_vocab(), "": 5}


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens(kind: Any, vocab_file: str, tmp_path: Path) -> None:
    tokenizer, oracle = kind(vocab_file), transformers.BertTokenizerFast(vocab_file)
    for role in ("unk", "cls", "sep", "pad", "mask"):
        assert getattr(tokenizer, f"{role}_token") == getattr(oracle, f"{role}_token")
        assert getattr(tokenizer, f"{role}_token_id") == getattr(oracle, f"{role}_token_id")
    assert tokenizer.bos_token is tokenizer.bos_token_id is tokenizer.eos_token is None
    assert tokenizer.all_special_tokens == oracle.all_special_tokens
    assert tokenizer.all_special_ids == oracle.all_special_ids
    assert tokenizer.special_tokens_map == oracle.special_tokens_map
    assert tokenizer.pad_token_type_id == 0
    count = tokenizer.add_special_tokens({"bos_token": "<s>", "additional_special_tokens": ["<a>", "<b>"]})
    assert count == oracle.add_special_tokens({"bos_token": "<s>", "additional_special_tokens": ["<a>", "<b>"]}) == 3
    assert tokenizer.additional_special_tokens_ids == oracle.additional_special_tokens_ids
    assert tokenizer.bos_token_id == oracle.bos_token_id
    assert tokenizer.all_special_tokens == oracle.all_special_tokens
    assert tokenizer.add_tokens([AddedToken("new", single_word=True), "new2"]) == 2
    assert tokenizer.add_tokens("new2") == 0
    assert tokenizer.get_added_vocab()["new2"] == len(tokenizer) - 1 == tokenizer.vocab_size + 4
    tokenizer.save_pretrained(tmp_path)
    again = kind.from_pretrained(tmp_path)
    assert (again.bos_token, again.bos_token_id) == ("<s>", tokenizer.bos_token_id)
    tokenizer.mask_token = "hello"
    assert (tokenizer.mask_token, tokenizer.mask_token_id) == ("hello", tokenizer.vocab["hello"])
    with pytest.raises(InputError, match="cls_token=3"):
        tokenizer.cls_token = 3
    with pytest.raises(InputError, match="'top_token' is no role"):
        tokenizer.add_special_tokens({"top_token": "x"})


@pytest.mark.parametrize("kind", KINDS)
def test_decode(kind: Any, vocab_file: str) -> None:
    tokenizer, oracle = kind(vocab_file), transformers.BertTokenizerFast(vocab_file)
    for added in (tokenizer, oracle):
        added.add_tokens(["New Token"])
    ids = oracle("Hello, my dog isn't cute! [MASK] puppeteer's New Token . ?", padding="max_length", max_length=40)
    for skip in (False, True):
        for clean in (False, True):
            options = {"skip_special_tokens": skip, "clean_up_tokenization_spaces": clean}
            assert tokenizer.decode(ids.input_ids, **options) == oracle.decode(ids.input_ids, **options)
            assert tokenizer.batch_decode([ids.input_ids], **options) == oracle.batch_decode([ids.input_ids], **options)
        assert tokenizer.convert_ids_to_tokens(ids.input_ids, skip) == oracle.convert_ids_to_tokens(ids.input_ids, skip)
    assert tokenizer.decode(5) == oracle.decode(5)
    assert tokenizer.decode([]) == ""
    assert tokenizer.decode([10**6, 5, 10**12]) == oracle.decode([5])
    assert tokenizer.convert_ids_to_tokens(10**12) == (None if tokenizer.is_fast else "[UNK]")  # as in transformers
    assert tokenizer.convert_tokens_to_ids("nowhere") == tokenizer.unk_token_id
    assert tokenizer.convert_tokens_to_string(["un", "##aff", "."]) == oracle.convert_tokens_to_string(
        ["un", "##aff", "."]
    )


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("model_type", [None, "distilbert"])
def test_each_file_is_opened_once(
    fast: bool, model_type: str | None, vocab: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = DistilBertTokenizerFast(vocab)
    saved.add_tokens(["newtoken"])
    saved.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "distilbert"}', encoding="utf-8")
    config = json.loads((tmp_path / "tokenizer_config.json").read_text("utf-8"))
    del config["added_tokens_decoder"], config["do_lower_case"]  # so that the other files are read too
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    opened: list[str] = []

    def counted(real: Any, file: Any, *args: Any, **options: Any) -> Any:
        if not isinstance(file, int) and not os.path.isdir(file):  # a descriptor was counted when it was opened
            opened.append(os.path.basename(file))
        return real(file, *args, **options)

    for module in (io, builtins, os):
        monkeypatch.setattr(module, "open", partial(counted, module.open))
    if model_type is None:
        tokenizer = AutoTokenizer.from_pretrained(tmp_path, use_fast=fast)
    else:
        tokenizer = load_tokenizer(tmp_path, use_fast=fast, model_type=model_type)
    monkeypatch.undo()
    wanted = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"]
    wanted += [] if fast else ["vocab.txt"]
    wanted += ["config.json"] if model_type is None else []
    assert sorted(opened) == sorted(wanted)
    assert type(tokenizer) is (DistilBertTokenizerFast if fast else DistilBertTokenizer)
    assert tokenizer(TEXT)["input_ids"] == saved(TEXT)["input_ids"]
    assert tokenizer.name_or_path == str(tmp_path)
