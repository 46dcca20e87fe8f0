"""Configurations, tokenizer files and vocabularies, and folders of sentence-transformers."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from fuzz.target import Difference, Target, changed_json
from helpers.mutations import damaged_bytes, dumped
from helpers.stranger_files import TEXT, USES, checkpoint_files, use_config, use_everything, write
from pocketbert import AutoTokenizer, PocketBertError, pipeline

__all__ = ["CheckpointJson", "ConfigBytes", "SentenceFolder", "TokenizerBytes", "Vocabulary"]

_WEIGHTS = ("model.safetensors", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


class _Folder(Target):
    """A folder in which some files are damaged; ``files`` are those that stay."""

    def begin(self, folder: Path) -> list[bytes]:
        """See ``Target``."""
        for name in ("whole", "damaged"):
            shutil.rmtree(folder / name, ignore_errors=True)
            (folder / name).mkdir(parents=True)
        self.files = checkpoint_files(folder / "whole")
        self.folder = write(folder / "damaged", {name: self.files[name] for name in ("config.json", *_WEIGHTS)})
        return self.whole()

    def whole(self) -> list[bytes]:
        """Return inputs to begin with."""
        raise NotImplementedError

    def used(self, uses: tuple) -> str:
        """Use the folder in each way; raise the last refusal if none of them works."""
        refusal, ran = None, []
        for use in uses:
            try:
                use(self.folder)
                ran.append(use.__name__)
            except PocketBertError as error:
                refusal = error
        if refusal is not None and (not ran or len(ran) == len(uses) - 1):
            raise refusal
        return f"{len(ran)} of {len(uses)}"


class CheckpointJson(_Folder):
    """All JSON files of a checkpoint at once, as one object by their names."""

    calls = 200

    def whole(self) -> list[bytes]:
        """See ``_Folder``."""
        (self.folder / "model.safetensors").unlink()  # so that the shards are read
        (self.folder / "vocab.txt").write_bytes(self.files["vocab.txt"])
        self.names = sorted(name for name in self.files if name.endswith(".json"))
        whole = {name: json.loads(self.files[name]) for name in self.names}
        fewer = {name: value for name, value in whole.items() if name != "tokenizer_config.json"}
        return [dumped(whole), dumped(fewer), dumped({"config.json": whole["config.json"]})]

    def change(self, data: bytes, chance: random.Random) -> bytes:
        """See ``Target``."""
        content = json.loads(data)
        name = chance.choice(sorted(content)) if content else ""
        if content and chance.random() < 0.97:
            content[name] = json.loads(changed_json(dumped(content[name]), chance))
        elif content:
            del content[name]
        return dumped(content)

    def run(self, data: bytes) -> str:
        """See ``Target``."""
        content = json.loads(data)
        for name in self.names:
            (self.folder / name).unlink(missing_ok=True)
            if name in content:
                (self.folder / name).write_bytes(dumped(content[name]))
        return f"{len(content)} files, {self.used(USES)}"


class _OneFile(_Folder):
    """One file, byte by byte."""

    file: str
    others: tuple[str, ...] = ()
    uses: tuple = USES

    def whole(self) -> list[bytes]:
        """See ``_Folder``."""
        write(self.folder, {name: self.files[name] for name in self.others})
        return [self.files[self.file]]

    def change(self, data: bytes, chance: random.Random) -> bytes:
        """See ``Target``."""
        return damaged_bytes(data, chance)

    def run(self, data: bytes) -> str:
        """See ``Target``."""
        (self.folder / self.file).write_bytes(data)
        return self.used(self.uses)


class ConfigBytes(_OneFile):
    """``config.json``."""

    file = "config.json"
    uses = (use_config, use_everything)


class TokenizerBytes(_OneFile):
    """``tokenizer.json``."""

    file = "tokenizer.json"
    uses = USES[1:3]


class Vocabulary(_OneFile):
    """``vocab.txt``, which both tokenizers must read alike."""

    file = "vocab.txt"

    def run(self, data: bytes) -> str:
        """See ``Target``."""
        (self.folder / self.file).write_bytes(data)
        made, refusal = [], None
        for fast in (True, False):
            try:
                tokenizer = AutoTokenizer.from_pretrained(self.folder, use_fast=fast)
                made.append((tokenizer.get_vocab(), tokenizer([TEXT, "the cat"])["input_ids"]))
            except PocketBertError as error:
                refusal = error
        if refusal is not None and not made:
            raise refusal
        if len(made) == 1 or made[0] != made[1]:
            raise Difference(f"the tokenizers read a vocabulary differently: {refusal or made}")
        return f"{len(made[0][0])} tokens"


class SentenceFolder(_Folder):
    """The JSON files of a sentence-transformers folder, as one object by their paths."""

    calls = 150

    def whole(self) -> list[bytes]:
        """See ``_Folder``."""
        names = ("vocab.txt", "tokenizer.json", "tokenizer_config.json")
        write(self.folder, {name: self.files[name] for name in names})
        for name in ("1_Pooling", "2_Dense", "3_Normalize"):
            (self.folder / name).mkdir()
        generator = np.random.default_rng(0)
        tensors = {"linear.weight": generator.standard_normal((5, 16)), "linear.bias": generator.standard_normal(5)}
        dense = self.folder / "2_Dense"
        save_file({name: value.astype(np.float32) for name, value in tensors.items()}, dense / "model.safetensors")
        root = "sentence_transformers.models"
        kinds = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"), ("3_Normalize", "Normalize"))
        modules = [
            {"idx": n, "name": str(n), "path": path, "type": f"{root}.{kind}"} for n, (path, kind) in enumerate(kinds)
        ]
        activation = "torch.nn.modules.activation.Tanh"
        flags = {f"pooling_mode_{name}_tokens": name == "mean" for name in ("cls", "mean", "max")}
        whole = {
            "modules.json": modules,
            "sentence_bert_config.json": {"max_seq_length": 12, "do_lower_case": False},
            "config_sentence_transformers.json": {"prompts": {"query": "the "}, "default_prompt_name": None},
            "1_Pooling/config.json": {"word_embedding_dimension": 16, **flags},
            "2_Dense/config.json": {
                "in_features": 16, "out_features": 5, "bias": True, "activation_function": activation,
            },
        }  # fmt: skip
        self.paths = list(whole)
        newer = whole | {"1_Pooling/config.json": {"embedding_dimension": 16, "pooling_mode": "mean"}}
        return [dumped(whole), dumped(newer), dumped({name: newer[name] for name in self.paths if "_b" not in name})]

    def change(self, data: bytes, chance: random.Random) -> bytes:
        """See ``Target``."""
        content = json.loads(data)
        if not content:
            return data
        name = chance.choice(sorted(content))
        content[name] = json.loads(changed_json(dumped(content[name]), chance))
        return dumped(content)

    def run(self, data: bytes) -> str:
        """See ``Target``."""
        content = json.loads(data)
        for name in self.paths:
            (self.folder / name).unlink(missing_ok=True)
            if name in content:
                (self.folder / name).write_bytes(dumped(content[name]))
        encode = pipeline("feature-extraction", model=self.folder, runtime="native", threads=1)
        vectors = encode(["the cat", TEXT])
        return f"{len(content)} files, {np.asarray(vectors[0]).shape}"
