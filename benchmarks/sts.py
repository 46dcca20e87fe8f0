"""What int8 costs on STS-B: float32, ours, and onnxruntime's dynamic int8 on the same weights.

    python benchmarks/sts.py [FOLDER] [--data ../shared/data/stsb/test.jsonl] [--calibrate FILE.txt] [--ingredients]

Texts are embedded by mean pooling; Spearman is that of the cosines with the labels, in points of a hundred, and the
error is 1 less the mean cosine of an embedding with float32's, times 10^4. FOLDER is by default the encoder that
``scripts/fetch-encoders`` and ``pocketbert convert`` leave in .cache/minilm-distilbert. Calibration sees the library's
own sentences (or FILE.txt), never the data. ``--ingredients`` adds a line for each step of the int8 scheme by itself.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from pocketbert.evaluation.metrics import spearman
from pocketbert.plan import Plan, plan_checkpoint, quantize
from pocketbert.plan.int8.ranges import calibration_batch
from pocketbert.quantization.texts import batch_of_texts
from pocketbert.runtime.batching import PackedBatch, Row, run_rows
from pocketbert.runtime.native import NativeRunner
from pocketbert.tokenizer.auto import AutoTokenizer

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".cache" / "minilm-distilbert"
DATA = ROOT.parent / "shared" / "data" / "stsb" / "test.jsonl"

Run = Callable[[list[Row]], list[np.ndarray]]


@dataclass(frozen=True)
class Pairs:
    """Texts, the first halves of the pairs and then the second ones, as tokens, and the labels."""

    rows: list[Row]
    labels: list[float]


def read(folder: Path, data: Path) -> Pairs:
    records = [json.loads(line) for line in data.read_text("utf-8").splitlines()]
    texts = [record[name] for name in ("text", "text_pair") for record in records]
    ids = AutoTokenizer.from_pretrained(folder)(texts, truncation=True)["input_ids"]
    return Pairs([Row(row) for row in ids], [record["label"] for record in records])


def native(program: Plan) -> Run:
    runner = NativeRunner(program, "none")
    return lambda rows: run_rows(runner, rows)


def dynamic_int8(program: Plan) -> Run:
    """Return onnxruntime on its own int8 graph of the same folded weights, a text at a time."""
    import onnxruntime as ort
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from pocketbert.runtime.onnx.graph import build_model

    with tempfile.TemporaryDirectory() as folder:
        path, small = Path(folder) / "model.onnx", Path(folder) / "int8.onnx"
        path.write_bytes(build_model(program))
        quantize_dynamic(path, small, per_channel=True, weight_type=QuantType.QInt8)
        session = ort.InferenceSession(str(small), providers=["CPUExecutionProvider"])

    def run(rows: list[Row]) -> list[np.ndarray]:
        names = [each.name for each in session.get_inputs()]
        found = []
        for row in rows:
            ids = np.asarray([row.input_ids], np.int64)
            feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
            found.append(session.run(["last_hidden_state"], {name: feed[name] for name in names})[0][0])
        return found

    return run


def vectors(run: Run, rows: list[Row]) -> np.ndarray:
    """Return (texts, hidden size), each of length 1."""
    pooled = np.stack([states.mean(axis=0) for states in run(rows)]).astype(np.float64)
    return np.asarray(pooled / np.linalg.norm(pooled, axis=1, keepdims=True))


def score(found: np.ndarray, pairs: Pairs) -> float:
    half = len(found) // 2
    return 100 * spearman((found[:half] * found[half:]).sum(axis=1), pairs.labels)


def variants(program: Plan, batch: PackedBatch, ingredients: bool) -> dict[str, Callable[[], Plan]]:
    found: dict[str, Callable[[], Plan]] = {"pocketbert int8": lambda: quantize(program, batch)}
    if ingredients:
        steps: dict[str, dict[str, Any]] = {
            "plain, per row and channel": {"center": False, "equalize": False, "outliers": False},
            "+ centered": {"equalize": False, "outliers": False},
            "+ equalized": {"center": False, "outliers": False},
            "+ outlier columns": {"center": False, "equalize": False},
        }
        for name, options in steps.items():
            found[name] = lambda options=options: quantize(program, batch, **options)
        found["all, calibrated on random words"] = lambda: quantize(program, calibration_batch(program.config))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--calibrate", type=Path, help="typical texts, one a line")
    parser.add_argument("--ingredients", action="store_true")
    options = parser.parse_args()
    pairs = read(options.folder, options.data)
    program = plan_checkpoint(options.folder, "none")
    texts = None if options.calibrate is None else options.calibrate.read_text("utf-8").splitlines()
    batch, _ = batch_of_texts(AutoTokenizer.from_pretrained(options.folder), program.config, texts)

    truth = vectors(native(program), pairs.rows)
    base = score(truth, pairs)
    table = Table(title=f"{options.folder.name}: {len(pairs.labels)} pairs of {options.data.name}")
    for column in ("weights", "Spearman", "fall", "error x 10^4"):
        table.add_column(column, justify="left" if column == "weights" else "right")
    table.add_row("float32", f"{base:.2f}", "", "")

    def add(name: str, run: Run) -> None:
        found = vectors(run, pairs.rows)
        error = 1e4 * (1 - float((found * truth).sum(axis=1).mean()))
        table.add_row(name, f"{score(found, pairs):.2f}", f"{base - score(found, pairs):.3f}", f"{error:.2f}")

    for name, make in variants(program, batch, options.ingredients).items():
        add(name, native(make()))
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"):
        add("onnxruntime dynamic int8", dynamic_int8(program))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
