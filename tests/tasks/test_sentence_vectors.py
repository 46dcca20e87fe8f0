"""Folders of sentence-transformers give its vectors: by its formulas here, and by the library where it is installed."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError

from helpers.mutations import damaged_bytes, damaged_json, dumped
from helpers.sentence_folder import put, vectors, write
from helpers.small import TEXTS
from pocketbert import AutoModel, CheckpointError, InputError, PocketBertError, UnsafeFileError, pipeline, quantize
from pocketbert.checkpoint.convert import convert_bert_to_distilbert
from pocketbert.checkpoint.opened import open_model
from pocketbert.tasks.sentence_vectors import vector_of

LONG = ["The cat sat on the mat. " * 20, "Who Works?"]
CASES = {
    "mean": {},
    "cls": {"modes": ("cls",), "normalize": False},
    "max, its encoder inside": {"modes": ("max",), "inner": "0_Transformer"},
    "square root": {"modes": ("mean_sqrt_len_tokens",), "normalize": False, "texts": {"max_seq_length": None}},
    "weighted": {"modes": ("weightedmean",), "old": False, "texts": {"max_seq_length": 9}},
    "last": {"modes": ("lasttoken",), "texts": {"max_seq_length": 12, "do_lower_case": True}},
    "joined": {"modes": ("cls", "max", "mean"), "old": False, "dense": ("Tanh",)},
    "joined, in the order of old files": {"modes": ("cls", "max", "mean", "lasttoken")},
    "dense": {"dense": ("GELU", "Identity"), "pickled": True, "inner": "0_Transformer", "old": False},
    "dense without bias": {"dense": ("ReLU", "Sigmoid"), "bias": False, "normalize": False},
    "silu": {"dense": ("SiLU",)},
    "prompt": {"prompts": {"prompts": {"q": "who likes ", "d": "the "}, "default_prompt_name": "q"}},
    "prompt apart": {
        "modes": ("cls", "mean", "weightedmean", "max"), "old": False, "include_prompt": False, "normalize": False,
        "prompts": {"prompts": {"q": "who likes ", "d": "the "}, "default_prompt_name": "q"},
    },
}  # fmt: skip
FAMILIES = ["Bert", "DistilBert", "MobileBert"]


@pytest.fixture
def folder(made, tmp_path):
    return lambda family="Bert", **facts: write(tmp_path / "st", made(family, "Model"), **facts)


@pytest.mark.parametrize("name", CASES)
def test_vectors_are_those_of_the_modules(folder, name):
    family = FAMILIES[list(CASES).index(name) % 3]
    path = folder(family, **CASES[name])
    encode = pipeline("feature-extraction", model=path, runtime="onnx")
    prompts = CASES[name].get("prompts")
    want = vectors(path, TEXTS + LONG, prompts["prompts"]["q"] if prompts else "").numpy()
    np.testing.assert_allclose(np.stack(encode(TEXTS + LONG)), want, atol=1e-5 * abs(want).max())
    if prompts:
        np.testing.assert_allclose(
            encode("dog", prompt_name="d"), vectors(path, ["dog"], "the ")[0], atol=1e-5 * abs(want).max()
        )
        assert (encode("dog", prompt="the ") == encode("dog", prompt_name="d")).all()
        assert (encode("dog", prompt_name="query") == encode("dog", prompt="")).all()


@pytest.mark.parametrize("runtime", ["native", "torch", "keras"])
def test_every_runtime_gives_them(folder, runtime):
    pytest.importorskip({"native": "pocketbert._native", "keras": "keras"}.get(runtime, "torch"))
    path = folder("MobileBert", modes=("mean", "cls"), dense=("Tanh",))
    want = vectors(path, TEXTS)
    np.testing.assert_allclose(np.stack(pipeline(model=path, runtime=runtime)(TEXTS)), want, atol=1e-5)


@pytest.mark.parametrize("runtime", ["onnx", "torch"])
def test_a_saved_pipeline_gives_the_same_vectors(folder, runtime, tmp_path):
    path = folder("DistilBert", dense=("Tanh",), inner="0_Transformer", texts={"max_seq_length": 7})
    encode = pipeline(model=path, runtime=runtime)
    encode.save_pretrained(tmp_path / "saved")
    np.testing.assert_allclose(
        np.stack(pipeline(model=tmp_path / "saved", runtime=runtime)(TEXTS)), np.stack(encode(TEXTS)), atol=1e-6
    )


def test_what_the_folder_says_can_be_overridden(folder):
    path = folder("Bert", dense=("Tanh",), texts={"max_seq_length": 5})
    states = pipeline("feature-extraction", model=path, runtime="onnx", pooling=None)("the cat sat on the mat.")
    states = np.asarray(states).reshape(-1, np.asarray(states).shape[-1])
    assert len(states) == 9  # not cut either
    encode = pipeline("feature-extraction", model=path, runtime="onnx")
    long = {"max_length": 64}
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(encode("the cat sat on the mat.", pooling="mean", **long), states.mean(0), **close)
    joined = encode("the cat sat on the mat.", pooling=["max", "cls"], **long)
    np.testing.assert_allclose(joined, np.concatenate([states.max(0), states[0]]), **close)
    assert np.linalg.norm(encode("the cat")) == pytest.approx(1)
    assert np.linalg.norm(encode("the cat", normalize=False)) != pytest.approx(1)
    with pytest.raises(InputError, match="exceed max_length=5"):
        encode("the cat sat on the mat.", overflow="error")
    with pytest.raises(InputError, match=r"pooling='median' is unknown; choose from 'auto', None, 'cls'"):
        encode("a", pooling="median")
    with pytest.raises(InputError, match=r"pooling=.*is unknown"):
        encode("a", pooling=["mean", "none"])
    with pytest.raises(InputError, match="prompt_name='x' is unknown; the folder has query, document"):
        encode("a", prompt_name="x")
    with pytest.raises(InputError, match="prompt and prompt_name contradict"):
        encode("a", prompt_name="query", prompt="b")


def test_an_encoder_without_modules_stays_as_it_was(made):
    encode = pipeline("feature-extraction", model=made("Bert", "Model"), runtime="onnx")
    states = np.asarray(encode("the cat"))
    assert states.shape[-2] == 4
    with pytest.raises(InputError, match="the folder has no prompts"):
        encode("a", prompt_name="query")


def test_the_folder_opens_everywhere(folder, tmp_path):
    path = folder("Bert", inner="0_Transformer", prompts={"prompts": {"query": "the "}})
    assert type(AutoModel.from_pretrained(path)).__name__ == "BertModel"
    assert open_model(path).folder == path / "0_Transformer"
    convert_bert_to_distilbert(path, tmp_path / "distilled")
    same = pipeline(model=tmp_path / "distilled", runtime="onnx")(TEXTS)
    np.testing.assert_allclose(np.stack(same), vectors(path, TEXTS), atol=1e-5)
    quantize(path, tmp_path / "int8", max_loss=1)
    small = pipeline(model=tmp_path / "int8", runtime="onnx")(TEXTS, prompt_name="query")
    exact = vectors(path, TEXTS, "the ").numpy()
    assert (np.stack(small) * exact).sum(1).min() > 0.9


@pytest.mark.parametrize("inner", ["", "0_Transformer"])
def test_a_hub_name_is_fetched_with_its_modules(folder, tmp_path, monkeypatch, inner):
    path = folder("Bert", dense=("Tanh",), pickled=True, inner=inner, texts={"max_seq_length": 9})
    put(path / "config_sentence_transformers.json", {"prompts": {"q": "the "}, "default_prompt_name": "q"})
    snapshot = tmp_path / "snapshot"

    def download(name, file, *, subfolder=None, **options):
        source = path / (subfolder or "") / file
        if not source.is_file():
            raise EntryNotFoundError("404")
        target = snapshot / source.relative_to(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        return str(target)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    got = np.stack(pipeline("feature-extraction", model="org/model", runtime="onnx")(TEXTS + LONG))
    np.testing.assert_allclose(got, vectors(path, TEXTS + LONG, "the "), atol=1e-5)


@pytest.mark.parametrize(
    ("file", "content", "error", "message"),
    [
        ("modules.json", {}, CheckpointError, "a JSON list was expected"),
        ("modules.json", [{"type": 3}], CheckpointError, "a module is .* not a type and a path"),
        ("modules.json", [{"type": "x.Transformer", "path": "../up"}], UnsafeFileError, "leaves its folder"),
        ("modules.json", [{"type": "x.Transformer", "path": "C:\\up"}], UnsafeFileError, "leaves its folder"),
        (
            "modules.json",
            [
                {"type": "sentence_transformers.models.Transformer", "path": ""},
                {"type": "sentence_transformers.models.Pooling", "path": "p" * 300},
            ],
            CheckpointError, "has no p+/config.json",
        ),
        ("1_Pooling/config.json", {"pooling_mode": "median"}, CheckpointError, "pooling .*median.* is unknown"),
        ("2_Dense/config.json", {"activation_function": "os.system"}, CheckpointError, "activation os.system"),
        ("2_Dense/config.json", {"in_features": 3, "out_features": 2}, CheckpointError, r"weight \(2, 3\)"),
        ("2_Dense/config.json", {"module_input_name": "token_embeddings"}, CheckpointError, "reads and gives sentence"),
        ("sentence_bert_config.json", {"max_seq_length": "9"}, CheckpointError, "max_seq_length is '9'"),
        ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, CheckpointError, "for fill-mask that gives"),
        ("config_sentence_transformers.json", {"prompts": {"a": 3}}, CheckpointError, "prompts must map names"),
        ("config_sentence_transformers.json", {"default_prompt_name": "a"}, CheckpointError, "'a' is none of"),
    ],
)  # fmt: skip
def test_damage_is_named(folder, file, content, error, message):
    path = folder("Bert", dense=("Tanh",))
    put(path / file, content)
    with pytest.raises(error, match=message):
        pipeline("feature-extraction", model=path, runtime="onnx")


SMALL_FILES = [
    "modules.json", "1_Pooling/config.json", "2_Dense/config.json", "sentence_bert_config.json",
    "config_sentence_transformers.json",
]  # fmt: skip


@pytest.mark.parametrize("file", [*SMALL_FILES, "2_Dense/model.safetensors"])
def test_any_damage_is_refused_or_works(folder, file):
    path = folder("Bert", dense=("Tanh",), texts={"max_seq_length": 9, "do_lower_case": True})
    put(path / "config_sentence_transformers.json", {"prompts": {"q": "the "}, "default_prompt_name": "q"})
    whole, chance, refused = (path / file).read_bytes(), random.Random(7), 0
    for turn in range(60):
        as_json = turn % 2 and file in SMALL_FILES
        damaged = dumped(damaged_json(json.loads(whole), chance)) if as_json else damaged_bytes(whole, chance)
        (path / file).write_bytes(damaged)
        try:
            read = open_model(path).sentences
            steps = () if read is None else read.read().steps
            if steps:
                vector_of(np.ones((3, 32)), steps, 1)
        except PocketBertError:
            refused += 1
    assert refused


@pytest.mark.parametrize("kind", ["sentence_transformers.models.LSTM", "custom_st.Transformer", "os.Pooling"])
def test_other_modules_are_refused_by_name(folder, kind):
    path = folder("Bert")
    modules = json.loads((path / "modules.json").read_text())
    put(path / "modules.json", [*modules, {"type": kind, "path": "9_Other"}])
    with pytest.raises(CheckpointError, match=rf"the module {kind} is not supported; Transformer, Pooling, Dense"):
        pipeline("feature-extraction", model=path, runtime="onnx")
    assert pipeline("feature-extraction", model=path, runtime="onnx", pooling=None)("a") is not None


# one text after the other, since MobileBERT's answers there depend on the padding
_SCRIPT = """
import json, sys
import numpy
from sentence_transformers import SentenceTransformer
folder, texts, out = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
numpy.save(out, SentenceTransformer(folder, device="cpu").encode(texts, batch_size=1))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_sentence_transformers_gives_the_same(folder, tmp_path, name):
    if importlib.util.find_spec("sentence_transformers") is None:
        pytest.skip("needs sentence-transformers")
    path = folder(FAMILIES[list(CASES).index(name) % 3], **CASES[name])
    arguments = [str(path), json.dumps(TEXTS + LONG), str(tmp_path / "vectors.npy")]
    # USE_TF=0: transformers refuses to start beside Keras 3
    subprocess.run([sys.executable, "-c", _SCRIPT, *arguments], check=True, env={**os.environ, "USE_TF": "0"})
    want = np.load(tmp_path / "vectors.npy")
    got = np.stack(pipeline(model=path, runtime="onnx")(TEXTS + LONG))
    np.testing.assert_allclose(got, want, atol=1e-5 * abs(want).max())


@pytest.mark.slow
def test_a_real_sentence_encoder(minilm):
    if not (minilm / "modules.json").is_file():
        pytest.skip("needs modules.json beside the encoder")
    want = vectors(minilm, TEXTS)
    with torch.no_grad():
        np.testing.assert_allclose(np.stack(pipeline(model=minilm)(TEXTS)), want, atol=1e-5)
