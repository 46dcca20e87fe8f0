"""``pocketbert bench``: what is measured, what is left out and why, and settings that can be pasted."""

from __future__ import annotations

import itertools
import json
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import pocketbert
from pocketbert.bench import EngineResult, Memory, Report, Settings, Trial, bench, engines, run, timing
from pocketbert.bench.bench_report import best_trial, fastest
from pocketbert.bench.memory import measure_memory
from pocketbert.command.cli import app
from pocketbert.errors import CheckpointError, InputError, MissingExtra, PocketBertError
from pocketbert.runtime.batching import BATCH_TOKENS, pack

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "film", "was", "good", "bad"]
ALL = {f"{runtime} {dtype}" for runtime, dtype in engines.ENGINES}
ONNX = (("onnx", "float32"), ("onnx", "int8"))


def checkpoint(folder, name="DistilBertForSequenceClassification", **fields):
    torch.manual_seed(0)
    sizes = {"vocab_size": len(WORDS), "max_position_embeddings": 24, "num_hidden_layers": 2, **fields}
    if name.startswith("MobileBert"):
        sizes |= {"hidden_size": 32, "embedding_size": 16, "intra_bottleneck_size": 16, "intermediate_size": 32}
    else:
        sizes |= {"dim": sizes.get("dim", 16), "n_heads": 2, "hidden_dim": 20}
        sizes["n_layers"] = sizes.pop("num_hidden_layers")
    cls = getattr(pocketbert, name)
    cls(cls.config_class(**sizes)).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("classifier"))


@pytest.fixture
def quick(monkeypatch):
    """Leave out what takes seconds: torch's own processes, and all but ONNX Runtime."""
    monkeypatch.setattr(run, "ENGINES", ONNX)
    monkeypatch.setattr(run, "measure_memory", lambda *_: Memory(1_000_000, 2_000_000, 0.5))


@pytest.mark.slow
def test_every_installed_engine_is_measured(classifier):
    steps = []
    report = bench(classifier, seconds=0.1, lengths=(3, 24, 25), watch=lambda step, _: steps.append(step))
    assert {engine.name for engine in report.engines} | set(report.left_out) == ALL
    assert {"onnx float32", "onnx int8", "torch float32"} <= {engine.name for engine in report.engines}
    for engine in report.engines:
        assert set(engine.latency) == {3, 24}
        assert min(engine.latency.values()) > 0
        assert engine.texts_per_second > 0
        assert engine.memory.start > 0
        if sys.platform == "linux":
            assert 10e6 < engine.memory.resident <= engine.memory.peak
    assert "25 tokens are left out: the model has 24 positions" in report.notes
    best = max(report.engines, key=lambda engine: engine.texts_per_second)
    assert (report.recommended[0].runtime, report.recommended[0].dtype) == (best.runtime, best.dtype)
    assert report.recommended[-1].dtype == "float32"
    assert {(t.runtime, t.dtype) for t in report.trials} == {(s.runtime, s.dtype) for s in report.recommended}
    assert len(steps) == 5 + 2 + 1 + len(report.engines) + len(report.recommended)


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("DistilBertModel", "feature-extraction"),
        ("DistilBertForMaskedLM", "fill-mask"),
        ("MobileBertForPreTraining", "fill-mask"),
        ("MobileBertForNextSentencePrediction", "next-sentence-prediction"),
        ("DistilBertForSequenceClassification", "text-classification"),
        ("DistilBertForMultipleChoice", "multiple-choice"),
        ("DistilBertForTokenClassification", "token-classification"),
        ("MobileBertForQuestionAnswering", "question-answering"),
    ],
)
def test_every_head(name, task, quick, tmp_path):
    report = bench(checkpoint(tmp_path, name), seconds=0.01, lengths=(5,), threads=1)
    assert [engine.name for engine in report.engines] == ["onnx float32", "onnx int8"]
    assert {settings.task for settings in report.recommended} == {task}
    assert {trial.threads for trial in report.trials} == {1}


def test_code_that_is_recommended_runs(classifier):
    expected = pocketbert.pipeline("text-classification", model=classifier, runtime="torch")("the film was good")
    for runtime, threads, batch_tokens in itertools.product(("onnx", "torch"), (None, 1), (BATCH_TOKENS, 64)):
        settings = Settings(
            str(classifier), "text-classification", "sequence_classification", runtime, "float32", threads, batch_tokens
        )
        names: dict = {}
        exec(settings.code(), names)
        assert names["answer"].batch_tokens == batch_tokens
        found = names["answer"]("the film was good")
        assert [one["label"] for one in found] == [one["label"] for one in expected]
        assert found[0]["score"] == pytest.approx(expected[0]["score"], rel=1e-4)
        if runtime == "torch":
            assert names["answer"].runner.threads == threads


def test_a_torch_engine_has_threads_of_its_own(classifier):
    before = torch.get_num_threads()
    seen = []
    engine = ("torch", "float32")
    one = engines.load(classifier, "sequence_classification", engine, 1)
    two = engines.with_threads(one, classifier, engine, 2)
    one.model.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    for runner in (one, two, one):
        runner(pack(engines.rows([4], 10, "sequence_classification")))
    assert seen == [1, 2, 1]
    assert torch.get_num_threads() == before


def test_a_quantized_folder_runs_in_int8(classifier, quick, tmp_path):
    pocketbert.quantize(classifier, tmp_path / "int8", max_loss=1)
    report = bench(tmp_path / "int8", seconds=0.01, lengths=(5,))
    assert [engine.name for engine in report.engines] == ["onnx int8"]
    assert "is in int8" in report.left_out["onnx float32"]
    assert [settings.dtype for settings in report.recommended] == ["int8"]


def test_what_cannot_run_is_left_out_and_says_why(classifier, quick, monkeypatch):
    def only_int8(folder, head, engine, threads):
        if engine[1] == "float32":
            raise InputError("this checkpoint is in int8")
        return engines.load(folder, head, engine, threads)

    monkeypatch.setattr(run, "load", only_int8)
    report = bench(classifier, seconds=0.01, lengths=(5,))
    assert report.left_out == {"onnx float32": "this checkpoint is in int8"}
    assert [settings.dtype for settings in report.recommended] == ["int8"]


def test_what_is_not_installed_names_the_cure(classifier, monkeypatch, quick):
    monkeypatch.setattr(run, "ENGINES", (*ONNX, ("torch", "float32")))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    report = bench(classifier, seconds=0.01, lengths=(5,))
    assert set(report.left_out) == {"onnx float32", "onnx int8"}
    assert "pip install 'pocketbert[onnx]'" in report.left_out["onnx int8"]
    monkeypatch.setattr(run, "ENGINES", ONNX)
    with pytest.raises(MissingExtra, match="pocketbert\\[onnx\\]"):
        bench(classifier)


def test_a_damaged_checkpoint_is_an_error(quick, tmp_path):
    folder = checkpoint(tmp_path)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        bench(folder)


def test_memory_that_cannot_be_measured_is_a_note(classifier, quick, monkeypatch):
    def fail(*_):
        raise PocketBertError("measuring the memory failed: killed")

    monkeypatch.setattr(run, "measure_memory", fail)
    report = bench(classifier, seconds=0.01, lengths=(5,))
    assert report.notes.count("measuring the memory failed: killed") == 2
    assert [engine.memory for engine in report.engines] == [None, None]
    assert report.recommended


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_memory_is_that_of_the_model(tmp_path):
    (tmp_path / "small").mkdir()
    (tmp_path / "large").mkdir()
    small = checkpoint(tmp_path / "small", "DistilBertModel")
    large = checkpoint(tmp_path / "large", "DistilBertModel", dim=512, vocab_size=20_000)  # 41 MB of words
    sizes = [measure_memory(folder, "none", ("onnx", "float32"), 1, 8) for folder in (small, large)]
    assert sizes[1].resident - sizes[0].resident > 35e6
    assert all(size.resident <= size.peak for size in sizes)
    with pytest.raises(PocketBertError, match=r"memory of onnx float32 failed: .*no folder"):
        measure_memory(tmp_path / "absent", "none", ("onnx", "float32"), 1, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 0}, "threads=0 must be a whole number"),
        ({"seconds": 0}, "seconds=0 must be more than 0"),
        ({"seconds": float("nan")}, "seconds=nan must be more than 0"),
        ({"lengths": ()}, r"lengths=\[\] must be"),
        ({"lengths": (32, 0)}, r"lengths=\[32, 0\] must be"),
    ],
)
def test_arguments(classifier, options, message):
    with pytest.raises(InputError, match=message):
        bench(classifier, **options)


@pytest.fixture
def clock(monkeypatch):
    """A clock that only calls move; sleeping is noted."""
    now = SimpleNamespace(seconds=0.0, slept=[])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now.seconds)
    monkeypatch.setattr(timing.time, "sleep", now.slept.append)
    return now


@pytest.fixture
def calls(clock):
    """``calls(a=[1, 2], b=[5])`` gives calls that take so many seconds, over and over, and the list of their order."""

    def make(**seconds):
        order = []

        def call(name, takes):
            order.append(name)
            clock.seconds += next(takes)

        return {name: partial(call, name, itertools.cycle(takes)) for name, takes in seconds.items()}, order

    return make


def test_calls_take_turns_and_the_median_counts(calls, clock):
    made, order = calls(a=[1, 5, 2], b=[10])
    times = timing.interleaved(made, 3, pause=0.5)
    assert times == {"a": [1, 5, 2], "b": [10, 10, 10]}
    assert timing.medians(times) == {"a": 2, "b": 10}
    assert [set(order[start : start + 2]) for start in (0, 2, 4)] == [{"a", "b"}] * 3
    assert clock.slept == [0.5] * 6


def test_the_order_of_turns_follows_the_seed(calls):
    orders = []
    for seed in (0, 0, 1):
        made, order = calls(a=[1], b=[1], c=[1])
        timing.interleaved(made, 20, seed=seed)
        orders.append("".join(order))
    assert orders[0] == orders[1] != orders[2]
    assert len({orders[0][start : start + 3] for start in range(0, 60, 3)}) > 3


def test_repeats_follow_an_untimed_call(calls):
    made, order = calls(a=[1, 2, 3, 4], b=[7])
    times = timing.interleaved(made, 2, repeats=3)
    assert times == {"a": [2, 3, 4] * 2, "b": [7] * 6}
    runs = ["".join(run) for _, run in itertools.groupby(order)]
    assert all(len(run) % 4 == 0 for run in runs)


def test_warmups_are_not_timed(calls):
    made, order = calls(a=[9, 9, 1])
    assert timing.interleaved(made, 1, warmups=2) == {"a": [1]}
    assert order == ["a"] * 3


def test_no_round_starts_after_the_time_is_over(calls):
    for fewest, rounds in ((1, 3), (5, 5)):
        made, order = calls(a=[4])
        timing.interleaved(made, 9, seconds=10, fewest=fewest)
        assert len(order) == rounds


def test_mixed_lengths():
    lengths = engines.mixed_lengths(256, 512)
    assert (min(lengths) >= 4, max(lengths)) == (True, 128)
    assert 21 <= np.median(lengths) <= 27
    assert lengths == engines.mixed_lengths(256, 512)
    assert max(engines.mixed_lengths(256, 50)) == 50


def result(runtime, dtype, rate):
    return EngineResult(runtime, dtype, {32: 0.001}, rate)


def test_the_fastest_and_the_fastest_in_float32():
    native, small = result("native", "float32", 100), result("native", "int8", 300)
    assert fastest((native, small, result("torch", "float32", 50))) == [small, native]
    assert fastest((native, result("onnx", "int8", 50))) == [native]
    assert fastest((small,)) == [small]
    assert fastest((EngineResult("native", "int8", {}),)) == []


def test_settings_differ_from_the_default_only_where_it_pays():
    def choose(rates):
        return best_trial([Trial("native", "int8", *setting, rate) for setting, rate in rates.items()], 4)

    default = (4, BATCH_TOKENS)
    assert choose({}) == default
    assert choose({default: 100, (1, 512): 104}) == default
    assert choose({default: 100, (1, 512): 120, (4, 8192): 110}) == (1, 512)


def report_of(folder):
    settings = Settings(str(folder), "fill-mask", "masked_lm", "native", "int8", None, 512)
    memory = EngineResult("native", "int8", {32: 0.00123}, 456.7, Memory(85_000_000, 101_000_000, 0.42))
    trials = (Trial("native", "int8", 2, 512, 456.7),)
    return Report(
        "f", "MobileBertForMaskedLM", "a CPU", 2, 256, (memory,), {"torch": "no"}, ("a note",), trials, (settings,)
    )


def run_bench(*arguments):
    return CliRunner().invoke(app, ["bench", *map(str, arguments)], env={"COLUMNS": "120"})


def test_the_command_prints_a_table(monkeypatch):
    given = {}
    monkeypatch.setattr(pocketbert.bench, "bench", lambda folder, **options: given.update(options) or report_of(folder))
    printed = run_bench("some/folder", "--threads", 2, "--seconds", 5)
    assert printed.exit_code == 0
    assert {name: given[name] for name in ("threads", "seconds")} == {"threads": 2, "seconds": 5}
    for text in ("native int8", "1.23", "457", "85", "101", "0.42", "torch was left out: no", "a note", "512 tokens"):
        assert text in printed.stdout
    assert (
        "answer = pipeline('fill-mask', model='some/folder', runtime='native', dtype='int8', batch_tokens=512)\n"
        in printed.stdout
    )


def test_the_command_prints_json(monkeypatch):
    monkeypatch.setattr(pocketbert.bench, "bench", lambda folder, **options: report_of(folder))
    found = json.loads(run_bench("some/folder", "--json").stdout)
    assert found["engines"][0]["latency"] == {"32": 0.00123}
    assert found["engines"][0]["memory"]["resident"] == 85_000_000
    assert found["recommended"][0]["code"].startswith("from pocketbert import pipeline\n")


def test_ctrl_c_prints_what_is_measured(monkeypatch):
    def stopped(folder, watch, **options):
        watch("memory of native int8", report_of(folder))
        raise KeyboardInterrupt

    monkeypatch.setattr(pocketbert.bench, "bench", stopped)
    found = run_bench("some/folder")
    assert found.exit_code == 130
    assert "memory of native int8" in found.stderr
    assert "stopped; the rest was not measured" in found.stderr
    assert "native int8" in found.stdout
