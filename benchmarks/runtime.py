"""The native engine against its peers, on the same random weights of the real sizes.

    python benchmarks/runtime.py [--models MobileBert DistilBert] [--lengths 32 128 384] [--rounds 30] [--threads 2]
                                 [--mixed]

Batch 1, and with ``--mixed`` 256 texts of mixed lengths (lognormal, median 24, clipped to 4 .. 128), for which peers
get batches of 32 that are sorted by length and padded, and we the same texts packed. Every round times each engine
once, in turn, so that a slow moment of the machine hits all of them; the figures are medians. A ratio is a peer's time
over ours of the same precision: above 1, ours is faster. Peers are those that are installed (``pip install
'pocketbert[bench]'`` brings all) of torch, onnxruntime (float32, and int8 by ``quantize_dynamic`` per channel on its
optimised graph) and openvino. Errors are against torch in float64.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import pocketbert
from pocketbert.batching import Row, pack
from pocketbert.plan import make_plan
from pocketbert.plan.program import Dense
from pocketbert.plan.quantize import quantize
from pocketbert.runtime.native import NativeRunner

SIZES: dict[str, dict[str, Any]] = {"DistilBert": {}, "MobileBert": {"classifier_activation": False}, "Bert": {}}
Run = Callable[[list[list[int]]], list[np.ndarray]]


def model_of(family: str) -> Any:
    """Return the torch encoder with every parameter random, norms and biases too."""
    torch.manual_seed(0)
    options = {} if family == "DistilBert" else {"add_pooling_layer": False}
    config = getattr(pocketbert, f"{family}Config")(**SIZES[family])
    model = getattr(pocketbert, f"{family}Model")(config, **options).eval()
    for name, parameter in model.named_parameters():
        if "norm" in name.lower() and name.endswith("weight"):
            parameter.data.normal_(1, 0.1)
        elif name.endswith("bias"):
            parameter.data.normal_(0, 0.1)
    return model


def padded(texts: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return ids and mask, (texts, longest)."""
    ids = np.zeros((len(texts), max(map(len, texts))), np.int64)
    mask = np.zeros_like(ids)
    for row, text in enumerate(texts):
        ids[row, : len(text)], mask[row, : len(text)] = text, 1
    return ids, mask


def rectangles(run: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Run:
    """Feed a peer batches of 32, sorted by length."""

    def call(texts: list[list[int]]) -> list[np.ndarray]:
        order = sorted(range(len(texts)), key=lambda text: len(texts[text]))
        found: list[Any] = [None] * len(texts)
        for start in range(0, len(order), 32):
            chosen = order[start : start + 32]
            for text, hidden in zip(chosen, run(*padded([texts[i] for i in chosen])), strict=True):
                found[text] = hidden[: len(texts[text])]
        return found

    return call


def export(model: Any, folder: Path) -> Path:
    """Write the torch model as ONNX, with free batch size and length."""

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    path = folder / "model.onnx"
    ids = torch.randint(5, 99, (2, 17))
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    axes = {0: torch.export.Dim("batch", max=1024), 1: torch.export.Dim("tokens", max=512)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Plain().eval(), (ids, mask), dynamo=True, opset_version=18, verbose=False,
            dynamic_shapes={"input_ids": axes, "attention_mask": axes},
        )  # fmt: skip
        program.save(str(path), external_data=False)
    return path


def onnxruntime_peers(path: Path, threads: int) -> dict[tuple[str, str], Run]:
    import onnx
    import onnxruntime as ort
    from onnxruntime.quantization import QuantType, quantize_dynamic

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    optimised, small = path.with_name("optimised.onnx"), path.with_name("int8.onnx")
    saving = ort.SessionOptions()
    saving.log_severity_level = 3
    saving.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    saving.optimized_model_filepath = str(optimised)
    ort.InferenceSession(str(path), saving, providers=["CPUExecutionProvider"])
    try:
        quantize_dynamic(optimised, small, per_channel=True, weight_type=QuantType.QInt8)
    except Exception:  # shape inference may not know a fused operator: then the plain graph is quantised
        plain = onnx.load(path)
        del plain.graph.value_info[:]
        onnx.save(plain, optimised)
        quantize_dynamic(optimised, small, per_channel=True, weight_type=QuantType.QInt8)
    found: dict[tuple[str, str], Run] = {}
    for precision, file in (("float32", path), ("int8", small)):
        session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        names = [each.name for each in session.get_inputs()]
        found["onnxruntime", precision] = rectangles(
            lambda ids, mask, session=session, names=names: session.run(
                None, dict(zip(names, (ids, mask), strict=True))
            )[0]
        )
    return found


def openvino_peers(path: Path, threads: int) -> dict[tuple[str, str], Run]:
    import openvino

    core = openvino.Core()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    found: dict[tuple[str, str], Run] = {}
    for precision, hint in (("float32", "f32"), ("bfloat16", "bf16")):
        compiled = core.compile_model(str(path), "CPU", {**settings, "INFERENCE_PRECISION_HINT": hint})
        found["openvino", precision] = rectangles(
            lambda ids, mask, compiled=compiled: next(iter(compiled([ids, mask]).values()))
        )
    return found


def engines(model: Any, threads: int, folder: Path) -> tuple[dict[tuple[str, str], Run], int]:
    """Return every engine by name and precision, ours first, and the multiply-adds of a token outside attention."""
    torch.set_num_threads(threads)
    arrays = {name: value.numpy() for name, value in model.state_dict().items()}
    plan = make_plan(model.config, "none", arrays)
    found: dict[tuple[str, str], Run] = {}
    for precision, program in (("float32", plan), ("int8", quantize(plan))):
        runner = NativeRunner(program, threads=threads)
        found["pocketbert", precision] = lambda texts, runner=runner: runner(pack([Row(text) for text in texts]))

    def eager(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).last_hidden_state.numpy()

    found["torch", "float32"] = rectangles(eager)
    if importlib.util.find_spec("onnxscript"):  # torch writes the peers' graph with it
        path = export(model, folder)
        if importlib.util.find_spec("onnxruntime"):
            found.update(onnxruntime_peers(path, threads))
        if importlib.util.find_spec("openvino"):
            found.update(openvino_peers(path, threads))
    work = sum(op.weight.size for op in plan.denses() if isinstance(op, Dense))
    return found, work


def measure(
    runs: dict[tuple[str, str], Run], texts: list[list[int]], rounds: int
) -> dict[tuple[str, str], list[float]]:
    """Return each engine's times in milliseconds; engines take turns."""
    times: dict[tuple[str, str], list[float]] = {name: [] for name in runs}
    names = list(runs)
    many = len(texts) > 1  # seconds a run: a few are enough, and warm up in themselves
    for number in range(3 if many else rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            if not many:
                runs[name](texts)  # what came before has emptied the caches
            start = time.perf_counter()
            runs[name](texts)
            times[name].append((time.perf_counter() - start) * 1e3)
    return times


def int8_limit(threads: int) -> float:
    """Return the int8 product's operations a second on all threads at once."""
    from pocketbert import _native

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(lambda _: _native.int8_rate("", 64, 768, 768), range(threads)))


def errors(model: Any, runs: dict[tuple[str, str], Run], texts: list[list[int]]) -> dict[tuple[str, str], float]:
    """Return each engine's relative error (norm of the difference over the norm) against float64."""
    exact = model.double()
    with torch.inference_mode():
        truth = np.concatenate([exact(torch.tensor([text])).last_hidden_state[0].numpy() for text in texts])
    model.float()
    return {
        name: float(np.linalg.norm(np.concatenate([run([text])[0] for text in texts]) - truth) / np.linalg.norm(truth))
        for name, run in runs.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["MobileBert", "DistilBert"], choices=list(SIZES))
    parser.add_argument("--lengths", nargs="+", type=int, default=[32, 128, 384])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mixed", action="store_true")
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    console = Console(width=140)
    draw = lambda count: generator.integers(1000, 30000, count).tolist()  # noqa: E731
    for family in options.models:
        model = model_of(family)
        with tempfile.TemporaryDirectory() as folder:
            runs, work = engines(model, options.threads, Path(folder))
            lengths = np.clip(np.exp(generator.normal(np.log(24), 0.7, 256)).round().astype(int), 4, 128)
            cases = {f"{count} tokens": [draw(count)] for count in options.lengths}
            if options.mixed:
                cases["256 mixed"] = [draw(int(length)) for length in lengths]
            wrong = errors(model, runs, [draw(40), draw(9)])
            limit = int8_limit(options.threads)
            table = Table(title=f"{family}, {options.threads} threads; int8 product alone: {limit / 1e9:.0f} GOP/s")
            for column in ("engine", "precision", "error", *cases):
                table.add_column(column, justify="left" if column == "engine" else "right")
            found = {case: measure(runs, texts, options.rounds) for case, texts in cases.items()}
            for name in runs:
                cells = []
                for case in cases:
                    middle = statistics.median(found[case][name])
                    ours = statistics.median(found[case]["pocketbert", "int8" if name[1] == "int8" else "float32"])
                    best = statistics.median(found[case]["pocketbert", "int8"])
                    own = name[0] == "pocketbert"
                    ratio = (
                        f"min {min(found[case][name]):.2f}"
                        if own
                        else f"{middle / ours:.2f}x, int8 {middle / best:.2f}x"
                    )
                    cells.append(f"{middle:.2f} ms ({ratio})")
                table.add_row(*name, f"{wrong[name]:.1e}", *cells)
            console.print(table)
            for case, texts in cases.items():
                operations = 2 * work * sum(map(len, texts))
                seconds = min(found[case]["pocketbert", "int8"]) / 1e3
                rate = operations / seconds
                console.print(
                    f"{case}: dense work at {rate / 1e9:.0f} GOP/s in the best run, "
                    f"{100 * rate / limit:.0f}% of the int8 product alone"
                )


if __name__ == "__main__":
    main()
