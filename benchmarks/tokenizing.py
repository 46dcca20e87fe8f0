"""The Fast tokenizer against the bare ``tokenizers`` library and ``transformers``: ``python benchmarks/tokenizing.py``.

They take turns; ratios are of medians. Below 1 is faster than the peer. For lists the bare library runs
``encode_batch`` and no more; for arrays and offsets it also hands these out.
"""

from __future__ import annotations

import argparse
import gzip
import random
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pocketbert.bench.timing import interleaved, medians
from pocketbert.tokenizer import BertTokenizer, BertTokenizerFast

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
LENGTH = 128


def words(count: int) -> list[str]:
    """Words of a book, or made ones."""
    books = sorted((SHARED / "corpus").glob("pg_*.txt.gz"))
    if books:
        found = gzip.decompress(books[0].read_bytes()).decode("utf-8").split()
        return (found * (count // len(found) + 1))[:count]
    random_ = random.Random(0)
    lexicon = ["".join(random_.choices("etaoinshrdlu", k=random_.randint(1, 9))) for _ in range(5000)]
    return [random_.choice(lexicon) + random_.choice(["", "", "", ",", "."]) for _ in range(count)]


def vocabulary() -> str:
    """Path of a released vocabulary, or of a made one."""
    path = SHARED / "vocab" / "bert-uncased.txt"
    if path.is_file():
        return str(path)
    letters = "abcdefghijklmnopqrstuvwxyz"
    pairs = [a + b for a in letters for b in letters]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *pairs, *",.;:!?'\"()-"]
    tokens += [f"##{piece}" for piece in [*letters, *pairs]]
    with tempfile.NamedTemporaryFile("w", suffix=".txt", delete=False, encoding="utf-8") as file:
        file.write("\n".join(tokens) + "\n")
    return file.name


def bare(library: Any, texts: list[str], columns: tuple[str, ...]) -> list[Any]:
    """The library's own encodings; with ``columns``, these as arrays, or offsets as lists."""
    rows = library.encode_batch(texts)
    if columns == ("offsets",):
        return [row.offsets for row in rows]
    return [np.array([getattr(row, column) for row in rows]) for column in columns]


def main() -> None:
    """Print a table of times and ratios."""
    parser = argparse.ArgumentParser(description="The Fast tokenizer against its peers.")
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    vocab_file = vocabulary()
    ours, python = BertTokenizerFast(vocab_file), BertTokenizer(vocab_file)
    plain = ours.backend_tokenizer
    padded = type(plain).from_str(plain.to_str())
    padded.enable_padding()
    padded.enable_truncation(LENGTH)
    peers: dict[str, Any] = {}
    try:
        import transformers

        peers["transformers"] = transformers.BertTokenizerFast(vocab_file)
    except ImportError:
        print("transformers is not installed: no comparison with it")
    options = {"padding": True, "truncation": True, "max_length": LENGTH}
    inputs = ("ids", "type_ids", "attention_mask")
    calls: dict[str, tuple[Any, dict[str, Any], tuple[str, ...]]] = {
        "lists": (plain, {}, ()),
        "padded lists": (padded, options, ()),
        "padded arrays": (padded, {**options, "return_tensors": "np"}, inputs),
        "offsets": (plain, {"return_offsets_mapping": True}, ("offsets",)),
    }
    for length, rows in ((400, 128), (100, 512), (25, 1024), (8, 2048)):
        source = words(length * rows)
        texts = [" ".join(source[start : start + length]) for start in range(0, length * rows, length)]
        for name, (library, arguments, columns) in calls.items():
            runs = {
                "ours": partial(ours, texts, **arguments),
                "the bare library": partial(bare, library, texts, columns),
            }
            runs |= {peer: partial(call, texts, **arguments) for peer, call in peers.items()}
            found = medians(interleaved(runs, rounds, warmups=1))
            ratios = [
                f"{found['ours'] / found[peer]:5.2f} of {peer} ({found[peer] * 1e3:6.1f} ms)" for peer in list(runs)[1:]
            ]
            print(f"{rows:>5} x {length:>3} words, {name:<13} {found['ours'] * 1e3:6.1f} ms:", "; ".join(ratios))
    runs = {"python": partial(python, texts[:256]), "fast": partial(ours, texts[:256])}
    found = medians(interleaved(runs, rounds, warmups=1))
    print(f"the Python tokenizer takes {found['python'] / found['fast']:.0f} times as long as the Fast one")


if __name__ == "__main__":
    main()
