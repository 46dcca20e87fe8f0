"""Rows of ids from text files: divided, chosen and counted as DistilBERT's recipe says."""

from __future__ import annotations

import gzip
from itertools import islice, repeat

import numpy as np
import pytest

from helpers.small import VOCAB
from pocketbert import DistilBertTokenizerFast, InputError
from pocketbert.training.corpus import _rows, read_corpus

CLS, SEP, UNK = VOCAB.index("[CLS]"), VOCAB.index("[SEP]"), VOCAB.index("[UNK]")


@pytest.fixture
def tokenizer():
    return DistilBertTokenizerFast({token: index for index, token in enumerate(VOCAB)})


def rows(corpus):
    return [example["rows"][0] for example in corpus.table[list(range(len(corpus.table)))]]


def test_a_line_is_a_row_and_a_long_one_is_several(tokenizer, tmp_path):
    text = "the cat sat on the mat and the dog sat on the river and it was good to the wolf in the city"  # 23 words
    (tmp_path / "a.txt").write_text(f"{text}\n\n  the cat  \n", "utf-8")
    corpus = read_corpus([tmp_path / "a.txt"], tokenizer, max_length=12, min_length=4)
    ids = tokenizer(text, add_special_tokens=False).input_ids
    wanted = [ids[:10], ids[10:20], ids[20:], tokenizer("the cat", add_special_tokens=False).input_ids]
    assert rows(corpus) == [[CLS, *each, SEP] for each in wanted]
    assert corpus.table.sizes.tolist() == [12, 12, 5, 4]
    assert corpus.counts.tolist() == np.bincount(np.concatenate(rows(corpus)), minlength=len(VOCAB)).tolist()


def test_short_rows_and_unknown_words_are_left_out(tokenizer, tmp_path):
    lines = ["the cat sat", "the cat sat on", "the cat 語 語", "the 語 語 語", "語 語 語 語"]
    (tmp_path / "a.txt").write_text("\n".join(lines), "utf-8")
    kept = rows(read_corpus([tmp_path / "a.txt"], tokenizer, 12, min_length=6, most_unknown=0.5))
    assert [row.count(UNK) for row in kept] == [0, 2]  # 3 of 6 tokens are half of them
    assert [len(row) for row in kept] == [6, 6]


def test_files_may_be_many_and_compressed(tokenizer, tmp_path):
    (tmp_path / "b.txt").write_text("the cat sat\n", "utf-8")
    with gzip.open(tmp_path / "a.txt.gz", "wt", encoding="utf-8") as file:
        file.write("the dog sat\n")
    (tmp_path / "c.jsonl").write_text('{"text": "the wolf sat"}\n', "utf-8")
    names = [str(tmp_path / "*.txt*"), tmp_path / "b.txt", tmp_path / "c.jsonl"]
    found = rows(read_corpus(names, tokenizer, 12, min_length=0))
    assert [tokenizer.decode(row[1:-1]) for row in found] == ["the dog sat", "the cat sat", "the wolf sat"]


def test_the_table_is_made_once_for_the_same_content(tokenizer, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("the cat sat\n", "utf-8")
    first = read_corpus([path], tokenizer, 12, min_length=0)
    again = read_corpus([path], tokenizer, 12, min_length=0)
    assert (again.key, again.table.path) == (first.key, first.table.path)
    assert again.counts.tolist() == first.counts.tolist()
    path.write_text("the dog sat\n", "utf-8")
    assert read_corpus([path], tokenizer, 12, min_length=0).key != first.key
    assert read_corpus([path], tokenizer, 8, min_length=0).key != first.key


def test_texts_are_not_held_together(tokenizer):
    assert (
        len(list(islice(_rows(repeat("the cat sat on the mat"), tokenizer, 5), 4000))) == 4000
    )  # of a text without end


def test_what_is_wrong_is_named(tokenizer, tmp_path):
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"the cat\nthe \xff dog\n")
    cut = tmp_path / "cut.txt.gz"
    cut.write_bytes(gzip.compress(b"the cat sat on the mat\n" * 99)[:-12])
    for names, message in (
        ([tmp_path / "none.txt"], "none.txt is no file"),
        ([tmp_path], "is a folder; name its files"),
        ([bad], "bad.txt, line 2: not UTF-8"),
        ([cut], "cut.txt.gz is not whole"),
    ):
        with pytest.raises(InputError, match=message):
            read_corpus(names, tokenizer, 12, min_length=0)
    bad.write_text("the cat\n", "utf-8")
    with pytest.raises(InputError, match=r"no line of .*bad.txt gives a row of at least 5 tokens.*min_length=5"):
        read_corpus([bad], tokenizer, 12, min_length=5)
    (tmp_path / "cut.bin").write_bytes(b"")
    with pytest.raises(InputError, match="cannot tell its format"):
        read_corpus([tmp_path / "cut.bin"], tokenizer, 12)
