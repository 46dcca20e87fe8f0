"""Length-sorted token-budget batches against one text at a time and against naive padding.

    python benchmarks/batching.py [--small] [--texts 96] [--rounds 5] [--threads N] [--family DistilBert]

Text classification of texts of mixed lengths (log-normal, 3 to 400 words, median 25), tokenizing included, with random
weights of the real size (``--small`` takes a small model, to see that it runs). Naive padding means batches of 32 in
the given order, each padded to its longest text. The ways take turns; the figures are medians, and a ratio above 1
means that sorted batches are faster.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import pocketbert
from pocketbert.bench.timing import interleaved, medians
from pocketbert.runtime.batching import BATCH_TOKENS
from pocketbert.tasks import pipeline
from pocketbert.tokenizer import BertTokenizerFast

SMALL = {
    "DistilBert": {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128},
    "MobileBert": {"num_hidden_layers": 2},
    "Bert": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128},
}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def mixed_texts(count: int) -> list[str]:
    """Return texts of made-up words."""
    random = np.random.default_rng(0)
    lengths = np.clip(np.exp(random.normal(np.log(25), 1.0, count)), 3, 400).astype(int)
    return [" ".join(f"w{word}" for word in random.integers(0, 30_000, length)) for length in lengths]


def naive(model: Any, tokenizer: Any, texts: list[str]) -> list[float]:
    """Return the best score of each text, from batches of 32 in the given order."""
    scores: list[float] = []
    for start in range(0, len(texts), 32):
        inputs = tokenizer(texts[start : start + 32], padding=True, return_tensors="pt")
        with torch.inference_mode():
            scores += model(**inputs).logits.softmax(-1).max(-1).values.tolist()
    return scores


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--texts", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--family", choices=sorted(SMALL), default="DistilBert")
    parser.add_argument("--batch-tokens", type=int, default=BATCH_TOKENS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    tokenizer = BertTokenizerFast({word: i for i, word in enumerate([*SPECIAL, *(f"w{n}" for n in range(30_000))])})
    config = getattr(pocketbert, f"{arguments.family}Config")(**(SMALL[arguments.family] if arguments.small else {}))
    model = getattr(pocketbert, f"{arguments.family}ForSequenceClassification")(config).eval()
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, batch_tokens=arguments.batch_tokens)
    texts = mixed_texts(arguments.texts)
    tokens = [len(ids) for ids in tokenizer(texts)["input_ids"]]

    together = [found[0]["score"] for found in classify(texts)]
    assert np.allclose(together, [classify(text)[0]["score"] for text in texts], atol=1e-5)
    calls = {
        "pocketbert, sorted batches": lambda: classify(texts),
        "one text at a time": lambda: [classify(text) for text in texts],
        "naive padding, batches of 32": lambda: naive(model, tokenizer, texts),
    }
    times = medians(interleaved(calls, arguments.rounds, warmups=1))
    size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    table = Table(
        title=f"{arguments.family} ({size:.0f} M parameters), {len(texts)} texts of {min(tokens)} to {max(tokens)} "
        f"tokens, {arguments.threads} threads, torch {torch.__version__}"
    )
    for column in ("way", "texts/s", "tokens/s", "time / ours"):
        table.add_column(column, justify="left" if column == "way" else "right")
    ours = times["pocketbert, sorted batches"]
    for name, seconds in times.items():
        table.add_row(name, f"{len(texts) / seconds:.1f}", f"{sum(tokens) / seconds:.0f}", f"{seconds / ours:.2f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
