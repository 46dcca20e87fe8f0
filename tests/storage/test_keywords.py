"""Keywords of from_pretrained and save_pretrained: honored, renamed, harmless, or refused by name."""

from __future__ import annotations

import json
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import pocketbert
from helpers.torch_models import build
from pocketbert import (
    AutoConfig,
    AutoModel,
    BertTokenizer,
    DistilBertConfig,
    DistilBertForMaskedLM,
    HubError,
    InputError,
)
from pocketbert.storage.hub import HubOptions
from pocketbert.storage.keywords import loading_options, saving_options

torch = pytest.importorskip("torch")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"]


@pytest.fixture
def folder(tmp_path):
    build("DistilBert", "ForMaskedLM").save_pretrained(tmp_path)
    BertTokenizer({word: index for index, word in enumerate(WORDS)}).save_pretrained(tmp_path)
    return tmp_path


LOADERS = [
    lambda folder, **given: AutoConfig.from_pretrained(folder, **given),
    lambda folder, **given: DistilBertConfig.from_pretrained(folder, **given),
    lambda folder, **given: pocketbert.AutoTokenizer.from_pretrained(folder, **given),
    lambda folder, **given: pocketbert.DistilBertTokenizer.from_pretrained(folder, **given),
    lambda folder, **given: AutoModel.from_pretrained(folder, **given),
    lambda folder, **given: DistilBertForMaskedLM.from_pretrained(folder, **given),
]
HARMLESS = {
    "low_cpu_mem_usage": True, "resume_download": True, "_fast_init": False, "weights_only": True, "mirror": "x",
    "max_memory": {0: "1GB"}, "offload_folder": "x", "trust_remote_code": True, "use_safetensors": None,
    "from_flax": False, "quantization_config": None, "proxies": None, "adapter_kwargs": None, "variant": None,
    "token": "hf_x", "revision": "main", "local_files_only": True, "code_revision": "main", "from_tf": False,
}  # fmt: skip


@pytest.mark.parametrize("load", LOADERS)
def test_every_loader_reads_the_same_table(folder, load):
    assert load(folder, **HARMLESS)
    with pytest.warns(FutureWarning, match="use_auth_token is now token"):
        load(folder, use_auth_token="hf_x")
    for name, value, cure in (
        ("from_flax", True, "save the checkpoint as safetensors"),
        ("quantization_config", {"bits": 4}, "pocketbert quantize"),
        ("proxies", {"https": "x"}, "HTTPS_PROXY"),
        ("adapter_kwargs", {"a": 1}, "PeftModel"),
    ):
        with pytest.raises(InputError, match=rf"{name}=.*{cure}"):
            load(folder, **{name: value})


def test_code_of_a_repository_is_never_run(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "modeling.Mine"}}))
    for load in (LOADERS[0], LOADERS[1], LOADERS[4], LOADERS[5]):
        assert load(folder, trust_remote_code=False)
        with pytest.raises(InputError, match="names code of its own in auto_map, and none is ever run here"):
            load(folder, trust_remote_code=True)


def test_which_weights_are_read(folder):
    whole = load_file(folder / "model.safetensors")

    def scaled(factor):
        return {name: value * np.float32(factor) for name, value in whole.items()}

    torch.save({name: torch.from_numpy(value) for name, value in scaled(2).items()}, folder / "pytorch_model.bin")
    name = "distilbert.embeddings.word_embeddings.weight"
    whole_three = scaled(3)
    save_file({**whole_three, "vocab_projector.weight": whole_three[name].copy()}, folder / "model.fp16.safetensors")
    for load in (DistilBertForMaskedLM, pocketbert.AutoModelForMaskedLM):
        for factor, given in (
            (1, {}), (1, {"use_safetensors": True}), (2, {"use_safetensors": False}), (3, {"variant": "fp16"}),
            (1, {"from_pt": True}),
        ):  # fmt: skip
            model = load.from_pretrained(folder, **given)
            np.testing.assert_array_equal(model.state_dict()[name].numpy(), whole[name] * np.float32(factor))
        untied = load.from_pretrained(folder, variant="fp16", tie_word_embeddings=False)
        np.testing.assert_array_equal(untied.state_dict()[name].numpy(), whole[name] * np.float32(3))
        for given in ({"from_tf": True}, {"variant": "bf16"}):
            with pytest.raises(pocketbert.CheckpointError, match="no weights in"):
                load.from_pretrained(folder, **given)
        with pytest.raises(InputError, match="leaves no file to read"):
            load.from_pretrained(folder, from_tf=True, use_safetensors=True)
        with pytest.raises(pocketbert.UnsafeFileError, match="variant names"):
            load.from_pretrained(folder, variant="../x")


@pytest.mark.parametrize("shard", ["5GB", "20KB"])
def test_a_variant_is_written_beside_the_others(folder, shard):
    model = DistilBertForMaskedLM.from_pretrained(folder)
    with torch.no_grad():
        model.distilbert.embeddings.word_embeddings.weight.mul_(2)
    before = (folder / "model.safetensors").read_bytes()
    model.save_pretrained(folder, variant="two", max_shard_size=shard, save_peft_format=True, save_function=torch.save)
    assert (folder / "model.safetensors").read_bytes() == before
    assert any(".two" in path.name for path in folder.iterdir())
    again = DistilBertForMaskedLM.from_pretrained(folder, variant="two")
    torch.testing.assert_close(again.state_dict(), model.state_dict())


def test_one_process_writes(tmp_path):
    build("DistilBert", "Model").save_pretrained(tmp_path / "other", is_main_process=False)
    DistilBertConfig().save_pretrained(tmp_path / "other", is_main_process=False)
    assert not (tmp_path / "other").exists()
    with pytest.warns(FutureWarning, match="save_config is now is_main_process"):
        build("DistilBert", "Model").save_pretrained(tmp_path / "other", save_config=False)
    assert not (tmp_path / "other").exists()
    for name in ("max_shard", "saved_model", "repo_url"):
        with pytest.raises(InputError, match=f"save_pretrained has no argument '{name}'"):
            build("DistilBert", "Model").save_pretrained(tmp_path, **{name: 3})


@pytest.fixture
def uploads(monkeypatch):
    """Replace the hub's client; return what it was asked for."""
    found = []

    class Api:
        def __init__(self, token=None):
            self.token = token

        def create_repo(self, repo_id, **options):
            if repo_id == "gone":
                raise ConnectionError("no route to host\nand a page of more")
            return SimpleNamespace(repo_id=f"me/{repo_id}")

        def file_exists(self, repo_id, name):
            return False

        def upload_folder(self, *, folder_path, **options):
            from pathlib import Path

            found.append({**options, "token": self.token, "files": {p.name for p in Path(folder_path).iterdir()}})
            return "commit"

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    return found


def test_pushing(uploads, tmp_path):
    model = build("DistilBert", "Model")
    assert model.push_to_hub("mine", token="hf_x", private=True, tags=["tiny"]) == "commit"
    assert uploads[0]["files"] == {"config.json", "model.safetensors", "README.md"}
    assert (uploads[0]["repo_id"], uploads[0]["token"]) == ("me/mine", "hf_x")
    model.save_pretrained(tmp_path / "named", push_to_hub=True, commit_message="first")
    assert (uploads[1]["repo_id"], uploads[1]["commit_message"]) == ("me/named", "first")
    model.config.save_pretrained(tmp_path / "named", push_to_hub=True, repo_id="other")
    tokenizer = BertTokenizer({word: index for index, word in enumerate(WORDS)})
    tokenizer.save_pretrained(tmp_path / "named", push_to_hub=True, repo_id="other")
    assert [upload["repo_id"] for upload in uploads[2:]] == ["me/other"] * 2
    assert "vocab.txt" in uploads[3]["files"]
    with pytest.raises(HubError, match=r"^cannot upload to gone: no route to host$"):
        model.push_to_hub("gone")


def test_what_is_taken():
    given = {"revision": "r", "foo": 1, "resume_download": True, "subfolder": "s"}
    assert loading_options(given, token="t") == HubOptions(revision="r", token="t", subfolder="s")
    assert given == {"foo": 1}
    with pytest.warns(FutureWarning), pytest.raises(InputError, match="the same; pass token only"):
        loading_options({"token": "a", "use_auth_token": "b"})
    with pytest.warns(FutureWarning):
        assert saving_options({"push_to_hub": True, "use_auth_token": "b"}, "a/b/").push == {
            "token": "b",
            "repo_id": "b",
        }
