"""The engines that the native one is measured against, each with the same weights and set up as its makers advise.

``pip install 'pocketbert[bench]'`` brings all of them; one that is not installed is named and left out. What an engine
gives is a ``Pass``: ids and mask, (texts, longest) int64, in; hidden states, (texts, longest, width), out.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

Pass = Callable[[np.ndarray, np.ndarray], np.ndarray]
Run = Callable[[list[list[int]]], list[np.ndarray]]  # texts, without padding
Peers = dict[tuple[str, str], Pass]  # (engine, precision)

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CALIBRATION = 32  # texts


def peers(
    model: Any, folder: Path, threads: int, precisions: tuple[str, ...] = ("float32", "bfloat16", "int8")
) -> Peers:
    """Return the passes of every installed peer in these precisions.

    Args:
        model: one of this library's torch encoders.
        folder: where the peers' files are written.
        threads: CPU threads of each.
        precisions: which to build.
    """
    needed = {"onnxscript": "onnxruntime and openvino", "onnxruntime": "onnxruntime", "openvino": "openvino"}
    needed |= {"nncf": "openvino int8", "ctranslate2": "ctranslate2", "transformers": "ctranslate2"}
    missing = {package for package in needed if importlib.util.find_spec(package) is None}
    for package in sorted(missing):
        print(f"{package} is not installed: no comparison with {needed[package]}; pip install 'pocketbert[bench]'")
    found = dict(torch_peers(model, threads, precisions))
    if "onnxscript" not in missing:
        path = export(model, folder / "model.onnx")
        if "onnxruntime" not in missing:
            found |= onnxruntime_peers(path, threads, precisions)
        if "openvino" not in missing:
            found |= openvino_peers(path, threads, precisions, quantize="nncf" not in missing)
    if (
        "int8" in precisions
        and not missing & {"ctranslate2", "transformers"}
        and model.config.model_type != "mobilebert"
    ):
        found["ctranslate2", "int8"] = ctranslate2_int8(model, folder, threads)
    return found


def save(model: Any, folder: Path) -> None:
    """Write a checkpoint, with a vocabulary of made-up words."""
    model.save_pretrained(folder)
    words = [*WORDS, *(f"w{number}" for number in range(model.config.vocab_size - len(WORDS)))]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")


def rectangles(run: Pass, *, sort: bool) -> Run:
    """Feed a peer padded batches of 32, sorted by length or as given."""

    def call(texts: list[list[int]]) -> list[np.ndarray]:
        order = sorted(range(len(texts)), key=lambda text: len(texts[text])) if sort else list(range(len(texts)))
        found: list[Any] = [None] * len(texts)
        for start in range(0, len(order), 32):
            chosen = order[start : start + 32]
            ids = np.zeros((len(chosen), max(len(texts[text]) for text in chosen)), np.int64)
            mask = np.zeros_like(ids)
            for row, text in enumerate(chosen):
                ids[row, : len(texts[text])], mask[row, : len(texts[text])] = texts[text], 1
            for text, hidden in zip(chosen, run(ids, mask), strict=True):
                found[text] = hidden[: len(texts[text])]
        return found

    return call


# -- torch -------------------------------------------------------------------------------------------------------


def torch_peers(model: Any, threads: int, precisions: tuple[str, ...]) -> Iterator[tuple[tuple[str, str], Pass]]:
    """This library's torch models (``torch_forward.py`` compares them with transformers')."""
    torch.set_num_threads(threads)
    if "float32" in precisions:
        yield ("torch", "float32"), torch_pass(model)
    if "bfloat16" in precisions and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        yield ("torch", "bfloat16"), torch_pass(copy.deepcopy(model).to(torch.bfloat16))
    if "int8" in precisions:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.ao is on its way out; nothing in torch replaces it for CPUs yet
            small = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
        yield ("torch", "int8"), torch_pass(small)


def torch_pass(model: Any) -> Pass:
    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            output = model(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))
        return output.last_hidden_state.float().numpy()

    return run


# -- engines of ONNX files ---------------------------------------------------------------------------------------


def export(model: Any, path: Path) -> Path:
    """Write the torch model as ONNX, with free batch size and length."""

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    ids = torch.randint(5, 99, (2, 17))
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    axes = {0: torch.export.Dim("batch", max=1024), 1: torch.export.Dim("tokens", max=512)}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision, which nothing here needs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Plain().eval(), (ids, mask), dynamo=True, opset_version=18, verbose=False,
            dynamic_shapes={"input_ids": axes, "attention_mask": axes},
        )  # fmt: skip
        program.save(str(path), external_data=False)
    return path


def onnxruntime_int8(path: Path) -> Path:
    """Quantize an ONNX file as ONNX Runtime advises: dynamic, per channel, on its own optimized graph."""
    import onnx
    import onnxruntime as ort
    from onnxruntime.quantization import QuantType, quantize_dynamic

    optimized, small = path.with_name("optimized.onnx"), path.with_name("int8.onnx")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(optimized)
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    logging.getLogger().setLevel(logging.ERROR)  # it advises what has just been done
    try:
        quantize_dynamic(optimized, small, per_channel=True, weight_type=QuantType.QInt8)
    except Exception:  # shape inference may not know a fused operator: then the plain graph is quantized
        plain = onnx.load(path)
        del plain.graph.value_info[:]
        onnx.save(plain, optimized)
        quantize_dynamic(optimized, small, per_channel=True, weight_type=QuantType.QInt8)
    return small


def onnxruntime_pass(path: Path, threads: int) -> Pass:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda ids, mask: session.run(None, dict(zip(names, (ids, mask), strict=True)))[0]


def onnxruntime_peers(path: Path, threads: int, precisions: tuple[str, ...]) -> Peers:
    found: Peers = {}
    if "float32" in precisions:
        found["onnxruntime", "float32"] = onnxruntime_pass(path, threads)
    if "int8" in precisions:
        found["onnxruntime", "int8"] = onnxruntime_pass(onnxruntime_int8(path), threads)
    return found


def openvino_peers(path: Path, threads: int, precisions: tuple[str, ...], *, quantize: bool) -> Peers:
    """OpenVINO; what int8 leaves in floats is computed in each precision that the CPU has."""
    import openvino

    core = openvino.Core()
    hints = {"float32": "f32"}
    if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        hints["bfloat16"] = "bf16"

    def compiled(model: Any, hint: str) -> Pass:
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": hint}
        engine = core.compile_model(model, "CPU", settings)
        return lambda ids, mask: next(iter(engine([ids, mask]).values()))

    found: Peers = {}
    for precision, hint in hints.items():
        if precision in precisions:
            found["openvino", precision] = compiled(str(path), hint)
    if "int8" in precisions and quantize:
        small = nncf_int8(core.read_model(str(path)))
        for precision, hint in hints.items():
            found["openvino", "int8" if precision == "float32" else f"int8 + {precision}"] = compiled(small, hint)
    return found


def nncf_int8(model: Any) -> Any:
    """Quantize an OpenVINO model with NNCF's scheme for transformers, calibrated on random texts."""
    import nncf

    generator = np.random.default_rng(1)
    names = [each.get_any_name() for each in model.inputs]
    texts = [generator.integers(1000, 30000, (1, length)) for length in generator.integers(8, 129, CALIBRATION)]
    data = nncf.Dataset(texts, lambda ids: dict(zip(names, (ids, np.ones_like(ids)), strict=True)))
    logging.getLogger("nncf").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):  # its progress
        return nncf.quantize(model, data, model_type=nncf.ModelType.TRANSFORMER, subset_size=CALIBRATION)


# -- CTranslate2 -------------------------------------------------------------------------------------------------


def ctranslate2_int8(model: Any, folder: Path, threads: int) -> Pass:
    """CTranslate2, by its own converter of transformers' checkpoints; it does not know MobileBERT."""
    import ctranslate2

    save(model, folder / "checkpoint")
    with contextlib.redirect_stderr(io.StringIO()):  # transformers misses a pooler, which is not used
        ctranslate2.converters.TransformersConverter(str(folder / "checkpoint")).convert(str(folder / "ctranslate2"))
    encoder = ctranslate2.Encoder(
        str(folder / "ctranslate2"), device="cpu", compute_type="int8", inter_threads=1, intra_threads=threads
    )

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        texts = [row[:length].tolist() for row, length in zip(ids, mask.sum(1), strict=True)]
        return np.array(encoder.forward_batch(texts).last_hidden_state)

    return run
