"""Added tokens by the hundred thousand, and at every character."""

from __future__ import annotations

import sys
import unicodedata
from typing import Any

import pytest

from helpers.limits import run_limited
from pocketbert import AddedToken, BertTokenizer, BertTokenizerFast

TOKENS = "[PAD] [UNK] [CLS] [SEP] [MASK] a dog ##s"
VOCAB = {token: id_ for id_, token in enumerate(TOKENS.split())}
_MANY = """
from pocketbert import AddedToken, {kind}

tokenizer = {kind}({vocab})
names = [f"token{{number}}x" for number in range({count})]
tokenizer.add_special_tokens({{"additional_special_tokens": names[:10]}})
assert tokenizer.add_tokens([AddedToken(name, **{rules}) for name in names[10:]]) == {count} - 10
row = tokenizer(" a ".join(names), add_special_tokens=False, verbose=False)
assert row.input_ids[::2] == [*range(8, {count} + 8)] and set(row.input_ids[1::2]) == {{5}}
text = "token token1 " * {count}
assert len(tokenizer(text, add_special_tokens=False, verbose=False).input_ids) == 2 * {count}
assert tokenizer.decode(row.input_ids[:5], skip_special_tokens=True) == "a a"
print(len(tokenizer))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "count", "rules"),
    [
        ("BertTokenizerFast", 200_000, {"lstrip": True, "rstrip": True, "single_word": True}),
        ("BertTokenizer", 50_000, {"lstrip": True, "rstrip": True, "single_word": True}),
        ("BertTokenizer", 50_000, {"normalized": False}),
    ],
)
def test_many_added_tokens(kind: str, count: int, rules: dict[str, bool]) -> None:
    """What is linear takes seconds; what is quadratic does not end within the limit."""
    code = _MANY.format(kind=kind, vocab=VOCAB, rules=rules, count=count)
    done = run_limited(code, memory_gib=8, seconds=240)
    assert (done.returncode, done.stdout) == (0, f"{count + 8}\n"), done.stderr


def test_loading_added_tokens_is_linear(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = BertTokenizer(VOCAB)
    tokenizer.add_tokens([f"token{number}x" for number in range(2000)])
    tokenizer.save_pretrained(tmp_path)
    compared = 0
    equal = AddedToken.__eq__

    def counted(self: AddedToken, other: object) -> bool:
        nonlocal compared
        compared += 1
        return equal(self, other)

    monkeypatch.setattr(AddedToken, "__eq__", counted)
    for kind in (BertTokenizer, BertTokenizerFast):
        assert len(kind.from_pretrained(tmp_path)) == 2008
    assert compared < 20_000


@pytest.mark.parametrize("all_kinds", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_single_words_at_every_character(all_kinds: bool) -> None:
    """A neighbor that is a word character keeps a token from being matched, in both tokenizers alike."""
    both = [kind(VOCAB) for kind in (BertTokenizer, BertTokenizerFast)]
    for tokenizer in both:
        tokenizer.add_tokens(AddedToken("<new>", single_word=True, normalized=False))
    left_out = {"Cn", "Cs"} if all_kinds else {"Cn", "Cs", "Co", "Lo", "Ll", "Lu", "So"}
    chars = [char for char in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(char) not in left_out]
    chars += "ªº\u24b6\u24e9\U0001f130\U0001f171"  # letters by some definitions, symbols by others
    step = 2000
    for first in range(0, len(chars), step):
        text = " ".join(f"{char}<new> <new>{char}" for char in chars[first : first + step])
        python, fast = (tokenizer(text, verbose=False, return_offsets_mapping=True) for tokenizer in both)
        assert python.offset_mapping == fast.offset_mapping
        assert python.input_ids == fast.input_ids
