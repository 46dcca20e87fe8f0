"""export_onnx: compared before it is written, whole or not at all; files of strangers are refused with the reason."""

from __future__ import annotations

import contextlib
import json
import sys

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx

import pocketbert.export.onnx as exporting
from helpers.plan_models import batch_of, make, relative, texts
from pocketbert.errors import CheckpointError, InputError, MissingExtra, PrecisionError, UnsafeFileError
from pocketbert.export.onnx import export_onnx
from pocketbert.plan import plan_checkpoint, run
from pocketbert.runtime.onnx.runner import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a small MobileBERT for question answering."""
    model, _ = make("MobileBert", "question_answering", awkward_norms=False)
    path = tmp_path_factory.mktemp("checkpoint")
    model.float().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def exported(folder, tmp_path_factory):
    """Return the content of that model's file."""
    path = tmp_path_factory.mktemp("file") / "model.onnx"
    export_onnx(folder, path)
    return path.read_bytes()


def test_the_report(folder, tmp_path):
    out = tmp_path / "new" / "model.onnx"
    report = export_onnx(folder, out)
    assert (report.path, report.size, report.head, report.int8) == (
        out,
        out.stat().st_size,
        "question_answering",
        False,
    )
    assert report.inputs == ("input_ids", "attention_mask", "token_type_ids")
    assert list(report.errors) == list(report.agreement) == ["start_logits", "end_logits"]
    assert 0 < max(report.errors.values()) < 1e-5
    assert min(report.agreement.values()) > 1 - 1e-9
    assert [path.name for path in out.parent.iterdir()] == ["model.onnx"]


def test_int8(folder, tmp_path):
    large, small = (export_onnx(folder, tmp_path / f"{int8}.onnx", int8=int8) for int8 in (False, True))
    assert small.int8
    assert small.size < large.size
    assert 0.99 < min(small.agreement.values()) < 1
    rows = texts(types=2)
    exact = run(plan_checkpoint(folder), batch_of(rows)).branches["question_answering"]
    for found, expected in zip(load(small.path)(batch_of(rows)), exact, strict=True):
        assert 1e-6 < relative(found, expected) < 0.1


def test_another_head_and_the_families(tmp_path):
    for family, has, head, outputs in (
        ("Bert", "pretraining", "masked_lm", ["logits"]),
        ("Bert", "pretraining", None, ["prediction_logits", "seq_relationship_logits"]),
        ("DistilBert", "multiple_choice", None, ["logits"]),
        ("DistilBert", "none", None, ["last_hidden_state"]),
        ("MobileBert", "none", None, ["last_hidden_state", "pooler_output"]),
    ):
        model, _ = make(family, has)
        path = tmp_path / f"{family}-{has}"
        model.float().save_pretrained(path)
        report = export_onnx(path, tmp_path / "model.onnx", head)
        assert list(report.errors) == outputs
        assert max(report.errors.values()) < 1e-4


def test_what_is_off_is_not_written(folder, tmp_path, monkeypatch):
    out = tmp_path / "model.onnx"
    out.write_bytes(b"old")
    with pytest.raises(
        PrecisionError, match=r"agreement of \w+_logits with float32 is 0.99.*below the limit of 1.0; noth"
    ):
        export_onnx(folder, out, int8=True, limit=1.0)
    with pytest.raises(PrecisionError, match=r"_logits differs from the reference by .*more than the limit of 1.0e-12"):
        export_onnx(folder, out, limit=1e-12)
    good = exporting.build_model

    def damaged(program):
        broken = onnx.load_model_from_string(good(program))
        for tensor in broken.graph.initializer:
            if list(tensor.dims) in ([61, 12], [61, 1]) and tensor.data_type == onnx.TensorProto.FLOAT:
                tensor.raw_data = np.full(tensor.dims, np.nan, np.float32).tobytes()  # the words, or their scales
        return broken.SerializeToString()

    monkeypatch.setattr(exporting, "build_model", damaged)
    for int8 in (False, True):
        with pytest.raises(PrecisionError, match="nan"):
            export_onnx(folder, out, int8=int8)
    assert out.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_an_interrupt_leaves_the_old_file(folder, tmp_path, monkeypatch):
    out = tmp_path / "model.onnx"
    out.write_bytes(b"old")

    def interrupted(self, content):
        with open(self, "wb") as file:
            file.write(content[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_onnx(folder, out)
    assert out.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("bad", [True, -1, float("nan"), "0.9"])
def test_wrong_arguments(folder, tmp_path, bad):
    with pytest.raises(InputError, match="limit="):
        export_onnx(folder, tmp_path / "model.onnx", limit=bad)
    with pytest.raises(InputError, match="is a folder; pass the name of the file"):
        export_onnx(folder, tmp_path)
    with pytest.raises(CheckpointError, match="missing"):
        export_onnx(folder, tmp_path / "model.onnx", "masked_lm")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named(folder, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"need {package}; pip install 'pocketbert\[onnx\]'"):
        export_onnx(folder, tmp_path / "model.onnx")
    with pytest.raises(MissingExtra, match=package):
        load(folder)


# -- files of strangers ----------------------------------------------------------------------------------------


def opened(tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    return load(path, threads=1)


def edited(content, change):
    model = onnx.load_model_from_string(content)
    change(model)
    return model.SerializeToString()


def facts_edited(content, **changes):
    def change(model):
        entry = model.metadata_props[0]
        entry.value = json.dumps({**json.loads(entry.value), **changes})

    return edited(content, change)


def test_cut_or_flipped_files(exported, tmp_path):
    for stop in np.linspace(0, len(exported) - 1, 25).astype(int):
        with pytest.raises(CheckpointError):
            opened(tmp_path, exported[:stop])
    generator = np.random.default_rng(0)
    rows = batch_of(texts(types=2))
    for place in generator.integers(0, len(exported), 60):
        content = bytearray(exported)
        content[place] ^= 0xFF
        with contextlib.suppress(CheckpointError):  # in the middle of a weight it stays unseen
            opened(tmp_path, bytes(content))(rows)


def test_what_is_no_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"no absent\.onnx in "):
        load(tmp_path / "absent.onnx")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(CheckpointError, match=r"folder\.onnx is a folder"):
        load(tmp_path / "folder.onnx")
    with pytest.raises(CheckpointError, match="damaged, or no ONNX file"):
        opened(tmp_path, b"not a model at all")


def test_a_file_that_is_too_large(tmp_path, exported, monkeypatch):
    monkeypatch.setattr("pocketbert.runtime.onnx.runner.SIZE_LIMIT", 1000)
    with pytest.raises(CheckpointError, match=r"model\.onnx has \d+ bytes, more than the 1000 of any"):
        opened(tmp_path, exported)


def test_a_foreign_graph(tmp_path):
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    value = helper.make_tensor_value_info("x", floats, ["n"])
    graph = helper.make_graph([], "g", [value], [value])
    with pytest.raises(CheckpointError, match="no export of this library; make one with export_onnx"):
        opened(tmp_path, helper.make_model(graph).SerializeToString())


def test_external_data_is_not_opened(tmp_path, exported):
    (tmp_path / "secret").write_bytes(bytes(61 * 12 * 4))

    def change(model):
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", "secret"

    with pytest.raises(UnsafeFileError, match=r"its tensor '\w+' lies in another file; that file was not opened"):
        opened(tmp_path, edited(exported, change))


def test_operations_that_no_export_has(tmp_path, exported):
    helper = onnx.helper

    def other(kind, domain=""):
        def change(model):
            model.graph.node.append(helper.make_node(kind, ["input_ids"], ["y"], domain=domain))

        return change

    def function(model):
        model.functions.add(name="f", domain="d")

    def loop(model):
        body = helper.make_graph([], "body", [], [])
        model.graph.node[0].attribute.append(helper.make_attribute("body", body))

    def many(model):
        model.graph.node.extend(model.graph.node[:1] * 2**16)

    for change, message in (
        (other("Loop"), "holds the operation Loop"),
        (other("ConstantOfShape"), "holds the operation ConstantOfShape"),
        (other("Add", "com.stranger"), r"holds the operation com.stranger.Add"),
        (loop, "holds a graph or a tensor"),
        (function, "it has functions"),
    ):
        with pytest.raises(UnsafeFileError, match=message):
            opened(tmp_path, edited(exported, change))
    with pytest.raises(CheckpointError, match="nodes, more than 65536"):
        opened(tmp_path, edited(exported, many))


def test_metadata_that_lies(tmp_path, exported):
    config = json.loads(onnx.load_model_from_string(exported).metadata_props[0].value)["config"]
    for changes, message in (
        ({"version": 2}, "it has version 2 and this library reads 1; export it again"),
        ({"head": "evil"}, "head 'evil'"),
        ({"head": []}, "metadata is"),
        ({"int8": "no"}, "int8 'no'"),
        ({"config": None}, "metadata is damaged"),
        ({"config": {**config, "model_type": "gpt"}}, "metadata is damaged: KeyError"),
        ({"config": {**config, "hidden_size": -3}}, "metadata is damaged: ConfigError"),
        ({"head": "masked_lm"}, "the graph lacks logits, which its head needs"),
    ):
        with pytest.raises(CheckpointError, match=message):
            opened(tmp_path, facts_edited(exported, **changes))

    def scrambled(model):
        model.metadata_props[0].value = "[" * 5000

    with pytest.raises(CheckpointError, match="metadata is damaged"):
        opened(tmp_path, edited(exported, scrambled))

    def renamed(model):
        model.graph.input[0].name = "ids"

    with pytest.raises(CheckpointError, match="its inputs are ids"):
        opened(tmp_path, edited(exported, renamed))


def classifying(tmp_path, labels):
    """Return a file of a classifier with two labels that claims others."""
    model, _ = make("Bert", "token_classification")
    model.float().save_pretrained(tmp_path / "classifier")
    export_onnx(tmp_path / "classifier", tmp_path / "classifier.onnx")
    content = (tmp_path / "classifier.onnx").read_bytes()
    config = json.loads(onnx.load_model_from_string(content).metadata_props[0].value)["config"]
    names = {str(index): label for index, label in labels.items()}
    return facts_edited(content, config={**config, "id2label": names, "label2id": {v: k for k, v in labels.items()}})


def test_a_graph_that_does_not_fit_its_metadata(tmp_path, exported):
    """What runs but gives other shapes than promised is reported, not passed on."""
    config = json.loads(onnx.load_model_from_string(exported).metadata_props[0].value)["config"]
    runner = opened(tmp_path, facts_edited(exported, config={**config, "max_position_embeddings": 500}))
    with pytest.raises(CheckpointError, match="ONNX Runtime cannot run this graph"):
        runner(batch_of(texts(lengths=(40,))))

    def swapped(model):
        model.graph.output[0].name, model.graph.output[1].name = "last", "first"
        for node in model.graph.node:
            for index, name in enumerate(node.output):
                if name in ("start_logits", "end_logits"):
                    node.output[index] = "last" if name == "start_logits" else "first"

    with pytest.raises(CheckpointError, match="the graph lacks end_logits, start_logits"):
        opened(tmp_path, edited(exported, swapped))

    with pytest.raises(CheckpointError, match=r"gave logits of shape \(1, 4, 2\), its head promises \(1, 4, 3\)"):
        opened(tmp_path, classifying(tmp_path, {0: "a", 1: "b", 2: "c"}))(batch_of(texts(lengths=(4,))))

    def transposed(model):
        for node in model.graph.node:
            if node.output[0] in ("start_logits", "end_logits"):
                node.attribute[0].i = 0  # along the texts

    with pytest.raises(CheckpointError, match=r"ONNX Runtime|gave"):
        opened(tmp_path, edited(exported, transposed))(batch_of(texts(lengths=(4,))))
