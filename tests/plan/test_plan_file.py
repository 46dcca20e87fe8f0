"""A plan's file: what is written is read, and what is damaged or forged is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, safe_open, save_file

from helpers.plan_models import IB_BERT, TINY, UNEVEN, batch_of, make, texts
from pocketbert.checkpoint import write_arrays
from pocketbert.errors import CheckpointError
from pocketbert.plan import load_plan, make_plan, plan_checkpoint, quantize, save_plan
from pocketbert.plan.executor import run

CASES = {
    "MobileBERT": ("MobileBert", "pretraining", {}),
    "LayerNorm": ("MobileBert", "question_answering", {"normalization_type": "layer_norm"}),
    "IB-BERT": ("MobileBert", "none", IB_BERT),
    "TINY pruned": ("MobileBert", "token_classification", {**TINY, **UNEVEN, "id2label": {0: "A", 1: "B", 2: "C"}}),
    "BERT": ("Bert", "masked_lm", {}),
    "DistilBERT": ("DistilBert", "sequence_classification", {"num_labels": 3}),
}


def plan_of(name="MobileBERT", dtype=np.float32):
    family, head, changes = CASES[name]
    model, arrays = make(family, head, changes)
    return make_plan(model.config, head, arrays, dtype)


def assert_equal(a, b):
    """Compare two dataclasses, arrays bit by bit."""
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    elif isinstance(a, tuple):
        assert len(a) == len(b)
        for left, right in zip(a, b, strict=True):
            assert_equal(left, right)
    elif hasattr(a, "__dataclass_fields__"):
        for name in a.__dataclass_fields__:
            assert_equal(getattr(a, name), getattr(b, name))
    else:
        assert a == b


@pytest.mark.parametrize("kind", ["float32", "float64", "int8"])
@pytest.mark.parametrize("name", CASES)
def test_round_trip(tmp_path, name, kind):
    plan = plan_of(name, np.float64 if kind == "float64" else np.float32)
    if kind == "int8":
        plan = quantize(plan)
    save_plan(plan, tmp_path / "plan.safetensors")
    again = load_plan(tmp_path / "plan.safetensors")
    assert_equal(plan, again)
    batch = batch_of(texts())
    for a, b in zip(run(plan, batch).hidden, run(again, batch).hidden, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_shared_table_is_stored_and_read_once(tmp_path):
    plan = plan_of("BERT")
    save_plan(plan, tmp_path / "some.safetensors")
    again = load_plan(tmp_path / "some.safetensors")
    assert again.branch("masked_lm").ops[1].weight is again.embeddings.words
    shapes = [array.shape for array in load_file(tmp_path / "some.safetensors").values()]
    assert shapes.count((61, 24)) == 1


@pytest.mark.parametrize("name", ["MobileBERT", "DistilBERT"])
def test_from_a_checkpoint_folder(tmp_path, name):
    family, head, changes = CASES[name]
    model, arrays = make(family, head, changes)
    model.config.architectures = [type(model).__name__]
    write_arrays(tmp_path, model.config, arrays)
    assert_equal(plan_checkpoint(tmp_path, dtype=np.float64), make_plan(model.config, head, arrays, np.float64))
    with pytest.raises(CheckpointError, match=rf"{tmp_path.name}: 2 missing \(qa_outputs"):
        plan_checkpoint(tmp_path, "question_answering")


def forge(path, change):
    """Rewrite a plan's file after ``change(description, tensors, metadata)``."""
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    description = json.loads(metadata["plan"])
    change(description, tensors, metadata)
    metadata["plan"] = metadata.pop("raw", None) or json.dumps(description)
    save_file(tensors, path, metadata)


def change_op(**fields):
    return lambda d, t, m: d["layers"][0]["ops"][0].update(fields)


def span(buffer, start, stop):
    return {"kind": "Span", "buffer": buffer, "start": start, "stop": stop}


FORGERIES = {
    "no plan": (lambda d, t, m: m.update(format="pt"), "it is a safetensors file, but no plan"),
    "later version": (
        lambda d, t, m: m.update(version="3"),
        "has version '3' and this library reads 2; make it",
    ),
    "earlier version": (
        lambda d, t, m: m.update(version="1"),
        "has version '1' and this library reads 2; make it",
    ),
    "no json": (lambda d, t, m: m.update(raw="{"), "is damaged or no plan"),
    "deep json": (lambda d, t, m: m.update(raw="[" * 100000), "is damaged or no plan"),
    "long json": (lambda d, t, m: m.update(raw=" " * (2**24 + 1)), "description has 16777217 characters"),
    "other json": (lambda d, t, m: m.update(raw="[1]"), "is no Plan"),
    "a field too many": (lambda d, t, m: d.update(more=1), "is no Plan"),
    "missing tensor": (lambda d, t, m: t.pop("layers.0.ops.0.weight"), "tensor 'layers.0.ops.0.weight' is missing"),
    "extra tensor": (lambda d, t, m: t.update(extra=np.zeros(3)), "tensors that no operation uses: extra"),
    "misshaped": (
        lambda d, t, m: t.update({"layers.1.ops.2.bias": np.zeros(3, np.float32)}),
        r"layer 1, operation 2: bias is float32 \(3,\), not float32 \(16,\)",
    ),
    "other dtype": (
        lambda d, t, m: t.update({"layers.1.ops.2.bias": np.zeros(16)}),
        r"bias is float64 \(16,\), not float32 \(16,\)",
    ),
    "NaN": (lambda d, t, m: t["embeddings.positions"].fill(np.nan), "positions holds NaN"),
    "unknown activation": (change_op(activation="exec"), "layer 0, operation 0: activation 'exec' is unknown"),
    "outside its buffer": (change_op(target=span("qkvr", 0, 65)), "uses columns 0 .. 65 of 'qkvr', which has 64"),
    "negative column": (change_op(source=span("x", -1, 31)), "uses columns -1 .. 31"),
    "no such buffer": (change_op(target=span("y", 0, 64)), "of 'y', which has 0"),
    "overwrites its source": (change_op(target=span("x", 0, 32)), "overwrites what it reads"),
    "reads before writing": (change_op(source=span("inner", 0, 16)), r"layer 0, operation 0.* not float32 \(64, 16\)"),
    "bool for a number": (change_op(source=span("x", False, 32)), "source.start is 'False'"),
    "unused buffer": (lambda d, t, m: d["buffers"].update(more=8), "declared otherwise than operations use them"),
    "wide buffer": (lambda d, t, m: d["buffers"].update(more=2**40), "buffer 'more' has"),
    "stream width": (lambda d, t, m: d["buffers"].update(x=64), "'x' is not hidden_size wide"),
    "a layer less": (lambda d, t, m: d["config"].update(num_hidden_layers=4), "3 layers"),
    "bad config": (lambda d, t, m: d["config"].update(num_attention_heads=5), "head count 5 does not divide"),
    "no config": (lambda d, t, m: d["config"].update(model_type="gpt"), "plan.config is"),
    "no head": (lambda d, t, m: d.update(head="poet"), "plan.head is 'poet'"),
    "two attentions": (
        lambda d, t, m: d["layers"][0]["ops"].append(d["layers"][0]["ops"][1]),
        "layer 0 needs exactly one attention",
    ),
    "heads": (lambda d, t, m: d["layers"][0]["ops"][1].update(heads=3), "3 heads over spans"),
    "overwrites keys": (
        lambda d, t, m: d["layers"][0]["ops"].insert(3, d["layers"][0]["ops"][0]),
        "layer 0 overwrites its keys or values",
    ),
    "stale buffer": (
        lambda d, t, m: d["layers"][0]["ops"].pop(0) and None,
        "layer 0, operation 0 reads 'qkvr' before it is written",
    ),
}


@pytest.mark.parametrize(("change", "message"), FORGERIES.values(), ids=FORGERIES.keys())
def test_forged(tmp_path, change, message):
    path = tmp_path / "plan.safetensors"
    save_plan(plan_of(), path)

    def and_drop_unused(description, tensors, metadata):
        change(description, tensors, metadata)
        if message.startswith("layer 0, operation 0 reads"):
            tensors.pop("layers.0.ops.0.weight")
            tensors.pop("layers.0.ops.0.bias")

    forge(path, and_drop_unused)
    with pytest.raises(CheckpointError, match=message):
        load_plan(path)


INT8 = "layers.0.ops.0.weight."
INT8_FORGERIES = {
    "values": (lambda t: t[INT8 + "values"].fill(-128), "values reach -128"),
    "scale": (lambda t: t[INT8 + "scale"].fill(-1), "a scale is negative"),
    "infinite": (lambda t: t[INT8 + "scale"].fill(np.inf), "scale holds NaN or infinity"),
    "shape": (lambda t: t.update({INT8 + "scale": np.zeros(3, np.float32)}), r"scale is float32 \(3,\)"),
    "columns": (
        lambda t: t.update({INT8 + "outliers": np.array([32]), INT8 + "outlier_weight": np.zeros((64, 1), np.float32)}),
        "outliers are no ascending columns",
    ),
    "not zero": (
        lambda t: t.update({INT8 + "outliers": np.array([0]), INT8 + "outlier_weight": np.zeros((64, 1), np.float32)}),
        "values of outlier columns are not 0",
    ),
}


@pytest.mark.parametrize(("change", "message"), INT8_FORGERIES.values(), ids=INT8_FORGERIES.keys())
def test_forged_int8(tmp_path, change, message):
    path = tmp_path / "plan.safetensors"
    save_plan(quantize(plan_of()), path)
    forge(path, lambda d, t, m: change(t))
    with pytest.raises(CheckpointError, match=message):
        load_plan(path)


def test_damaged(tmp_path):
    path = tmp_path / "plan.safetensors"
    with pytest.raises(CheckpointError, match="no plan at"):
        load_plan(path)
    save_plan(plan_of(), path)
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    for length in [0, 7, 8, 100, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="is damaged or no safetensors file"):
            load_plan(path)
    header = int.from_bytes(whole[:8], "little")
    for _ in range(60):  # any byte of the header: an error of ours, or a plan that holds together
        damaged = bytearray(whole)
        damaged[int(generator.integers(8, 8 + header))] = int(generator.integers(256))
        path.write_bytes(bytes(damaged))
        try:
            load_plan(path)
        except CheckpointError:
            continue
