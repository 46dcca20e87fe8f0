"""A fine-tuning step against transformers' Trainer at equal settings.

    python benchmarks/training.py [--small] [--texts 512] [--batch 32] [--rounds 3] [--threads N]

Text classification of texts of mixed lengths (as in ``batching.py``) with a DistilBERT of real size and random weights
(``--small`` takes a small one): one epoch each, tokenizing before the clock starts, no evaluation, no checkpoint. Both
cut texts at 128 tokens, clip gradients at 1, and use AdamW with a linear schedule.
Trainer runs in its default order and with ``group_by_length``. The ways take turns; the figures are medians, and a
ratio above 1 means that pocketbert is faster.

Needs the extras ``train`` and ``bench``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["USE_TF"] = "0"

import torch
import transformers
from batching import SMALL, SPECIAL, mixed_texts
from rich.console import Console
from rich.table import Table

import pocketbert
from pocketbert import Callback
from pocketbert.training.finetune import finetune

LENGTH = 128


class Clock(Callback):
    """Times the steps alone, as Trainer's own figure does."""

    def on_start(self, run: Any) -> None:
        self.began = time.perf_counter()

    def on_step(self, run: Any, values: dict[str, Any]) -> None:
        self.seconds = time.perf_counter() - self.began


def ours(folder: Path, rows: list[dict[str, Any]], batch: int, grouped: bool) -> float:
    """Return the seconds of an epoch with pocketbert."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as out:
        finetune(
            model=folder, train=rows, out=out, epochs=1, batch_size=batch, group_by_length=grouped, callbacks=[clock]
        )
    return clock.seconds


def theirs(folder: Path, rows: list[dict[str, Any]], batch: int, grouped: bool) -> float:
    """Return the seconds of an epoch with transformers' Trainer."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    encoded = tokenizer([row["text"] for row in rows], truncation=True, max_length=LENGTH)["input_ids"]
    data = [
        {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": int(row["label"])}
        for ids, row in zip(encoded, rows, strict=True)
    ]
    with tempfile.TemporaryDirectory() as out:
        arguments = transformers.TrainingArguments(
            out, num_train_epochs=1, per_device_train_batch_size=batch, group_by_length=grouped, report_to=[],
            save_strategy="no", logging_strategy="no", learning_rate=5e-5, weight_decay=0.01, adam_epsilon=1e-6,
            warmup_ratio=0.1, use_cpu=True, disable_tqdm=True,
        )  # fmt: skip
        trainer = transformers.Trainer(model, arguments, train_dataset=data, processing_class=tokenizer)
        trainer.remove_callback(transformers.PrinterCallback)
        return float(trainer.train().metrics["train_runtime"])


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    transformers.logging.set_verbosity_error()
    texts = mixed_texts(arguments.texts)
    rows = [{"text": text, "label": str(number % 2)} for number, text in enumerate(texts)]
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = pocketbert.DistilBertTokenizerFast(
            {word: i for i, word in enumerate([*SPECIAL, *(f"w{n}" for n in range(30_000))])}
        )
        tokenizer.save_pretrained(folder)
        torch.manual_seed(0)
        config = pocketbert.DistilBertConfig(**(SMALL["DistilBert"] if arguments.small else {}))
        pocketbert.DistilBertModel(config).save_pretrained(folder)
        given = (Path(folder), rows, arguments.batch)
        found: dict[str, list[float]] = {}
        ways = {
            "pocketbert": lambda: ours(*given, True),
            "pocketbert, any order": lambda: ours(*given, False),
            "Trainer, group_by_length": lambda: theirs(*given, True),
            "Trainer": lambda: theirs(*given, False),
        }
        for _ in range(arguments.rounds):
            for name, way in ways.items():
                found.setdefault(name, []).append(way())
    times = {name: sorted(values)[len(values) // 2] for name, values in found.items()}
    table = Table(title=f"{len(texts)} texts, {arguments.threads} threads, torch {torch.__version__}")
    for column in ("", "texts/s", "pocketbert is faster by"):
        table.add_column(column, justify="right" if column else "left")
    for name, seconds in times.items():
        table.add_row(name, f"{len(texts) / seconds:.1f}", f"{seconds / times['pocketbert']:.2f}x")
    Console().print(table)


if __name__ == "__main__":
    main()
