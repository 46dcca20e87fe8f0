"""Folders of sentence-transformers: what is done to a text before the encoder, and to its states after it.

``modules.json`` lists the modules: the encoder, a pooling, and dense layers and normalizations. Each has a folder with
its ``config.json``; ``config_sentence_transformers.json`` holds the prompts, ``sentence_bert_config.json`` beside the
encoder the longest text. All is read as data; a module that is not known is refused by name.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketbert.checkpoint.fitting import FLOATS
from pocketbert.checkpoint.weights import open_checkpoint
from pocketbert.errors import CheckpointError, UnsafeFileError
from pocketbert.storage.hub import WEIGHT_FILES, HubOptions, find_file, local_folder
from pocketbert.storage.replacing import replacing
from pocketbert.storage.texts import parse_list, read_json, read_text

__all__ = ["ACTIVATIONS", "MODULES_FILE", "POOLINGS"]
__all__ += ["Dense", "Normalize", "Pooling", "SentenceEncoder", "SentenceFolder"]
__all__ += ["copy_sentences", "find_sentences", "write_sentences"]

MODULES_FILE = "modules.json"
_PROMPTS_FILE = "config_sentence_transformers.json"
# beside the encoder; the older ones are of one family each
_TEXTS_FILES = ("sentence_bert_config.json", "sentence_distilbert_config.json")

# poolings, and the flags that older files have in their place; several are joined in this order
_FLAGS = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
POOLINGS = tuple(_FLAGS)
ACTIVATIONS = ("Tanh", "Identity", "ReLU", "GELU", "Sigmoid", "SiLU")  # of torch.nn
_ENCODER, _STEPS = "Transformer", ("Pooling", "Dense", "Normalize")
_PASSED_OVER = ("Dropout",)  # they do nothing outside training


@dataclass(frozen=True)
class Pooling:
    """One vector of a text's states.

    Attributes:
        modes: of ``POOLINGS``; the vectors of several are joined.
        include_prompt: whether the prompt's tokens count.
    """

    modes: tuple[str, ...]
    include_prompt: bool = True


@dataclass(frozen=True)
class Dense:
    """A dense layer: weight (out, in), bias (out,) or None, and one of ``ACTIVATIONS``."""

    weight: NDArray[Any]
    bias: NDArray[Any] | None
    activation: str


@dataclass(frozen=True)
class Normalize:
    """Scales a vector to length 1."""


@dataclass(frozen=True)
class SentenceEncoder:
    """How a text becomes a vector.

    Attributes:
        steps: from states to the vector: a pooling, then dense layers and normalizations.
        max_length: most tokens of a text; the rest is cut off. None for the tokenizer's own limit.
        lower: the text is lowercased, where the tokenizer does not do that.
        prompts: texts that may be put before each text, by name.
        default_prompt: the name of the one that is put there if none is asked for.
    """

    steps: tuple[Pooling | Dense | Normalize, ...]
    max_length: int | None = None
    lower: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None


class SentenceFolder:
    """A sentence-transformers folder, whose list of modules was read; the rest is read when it is asked for.

    Attributes:
        encoder: leads to the encoder, which may lie in a subfolder.
        makes_vectors: a pooling is among the modules.
    """

    def __init__(self, source: str | os.PathLike[str], hub: HubOptions, listed: Path) -> None:
        self._source, self._hub, self._listed = source, hub, listed
        self._modules = _modules(listed)
        self.encoder = self._within(next((folder for kind, folder in self._modules if _name(kind) == _ENCODER), ""))
        self.makes_vectors = any(_name(kind) == "Pooling" for kind, _ in self._modules)

    def read(self) -> SentenceEncoder:
        """Return how a text becomes a vector, fetching the files of the modules.

        Raises:
            CheckpointError: a file is damaged, or a module is not known.
            HubError: the hub cannot be reached.
        """
        _check_kinds(self._listed, [kind for kind, _ in self._modules])
        steps = [self._step(kind, folder) for kind, folder in self._modules if _name(kind) in _STEPS]
        if not steps or not isinstance(steps[0], Pooling) or sum(isinstance(step, Pooling) for step in steps) > 1:
            raise CheckpointError(f"{self._listed} has no pooling right after its encoder; pass pooling= to choose one")
        texts = next((p for name in _TEXTS_FILES if (p := find_file(self._source, name, self.encoder))), None)
        encoder = SentenceEncoder(tuple(steps), **({} if texts is None else _text_settings(texts)))
        prompts = find_file(self._source, _PROMPTS_FILE, self._hub)
        return encoder if prompts is None else replace(encoder, **_prompts(prompts))

    def files(self) -> list[Path]:
        """Return the files that its vectors depend on, those of the encoder's tokenizer aside."""
        root = self._listed.parent
        names = ("config.json", *_TEXTS_FILES, *WEIGHT_FILES)
        found = [self._listed, root / _PROMPTS_FILE, *(root / f / name for _, f in self._modules for name in names)]
        return [path for path in found if path.is_file()]

    def copy(self, target: Path) -> None:
        """Write what is not the encoder's into an existing folder."""
        places = [(kind, "" if _name(kind) == _ENCODER else folder) for kind, folder in self._modules]
        listed = [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (kind, path) in enumerate(places)]
        (target / MODULES_FILE).write_text(json.dumps(listed, indent=2) + "\n", "utf-8")
        beside = [(name, self.encoder) for name in _TEXTS_FILES] + [(_PROMPTS_FILE, self._hub)]
        for name, hub in beside:
            if path := find_file(self._source, name, hub):
                shutil.copyfile(path, target / name)
        for kind, folder in self._modules:
            config = find_file(self._source, "config.json", self._within(folder))
            if _name(kind) != _ENCODER and folder and config is not None:
                (target / folder).mkdir(parents=True, exist_ok=True)
                for name in ("config.json", *WEIGHT_FILES):
                    if (path := config.parent / name).is_file():
                        shutil.copyfile(path, target / folder / name)

    def _step(self, kind: str, folder: str) -> Pooling | Dense | Normalize:
        if _name(kind) == "Normalize":
            return Normalize()
        hub = self._within(folder)
        config = find_file(self._source, "config.json", hub)
        if config is None:
            raise CheckpointError(f"{self._source} has no {folder}/config.json, which {self._listed.name} asks for")
        if _name(kind) == "Pooling":
            return _pooling(config)
        local_folder(self._source, weights=True, options=hub)  # fetches them
        return _dense(config)

    def _within(self, folder: str) -> HubOptions:
        return replace(self._hub, subfolder="/".join(part for part in (self._hub.subfolder, folder) if part))


def copy_sentences(sentences: SentenceFolder | None, target: Path) -> None:
    """Write what sentence-transformers wrote around an encoder, in place of what the target had of that."""
    with replacing(target, stale=[MODULES_FILE]) as stage:
        if sentences is not None:
            sentences.copy(stage)


def write_sentences(target: Path, width: int, max_length: int) -> None:
    """Make an encoder's folder one of sentence-transformers, whose vectors are means over tokens.

    Args:
        target: the folder.
        width: the encoder's hidden size.
        max_length: most tokens of a text.
    """
    places = [(_ENCODER, ""), ("Pooling", "1_Pooling")]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(places)
    ]
    flags = {flag: mode == "mean" for mode, flag in _FLAGS.items()}
    files: dict[str, Any] = {
        MODULES_FILE: modules,
        "1_Pooling/config.json": {"word_embedding_dimension": width, **flags, "include_prompt": True},
        _TEXTS_FILES[0]: {"max_seq_length": max_length, "do_lower_case": False},
        _PROMPTS_FILE: {"prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"},
    }
    with replacing(target) as stage:
        for name, content in files.items():
            (stage / name).parent.mkdir(exist_ok=True)
            (stage / name).write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def find_sentences(source: str | os.PathLike[str], hub: HubOptions) -> SentenceFolder | None:
    """Return what ``source``, a folder or a hub name, says of sentences; None if it is none of sentence-transformers.

    Raises:
        CheckpointError: its ``modules.json`` is damaged.
        UnsafeFileError: a module lies outside the folder.
        HubError: the hub cannot be reached.
    """
    listed = find_file(source, MODULES_FILE, hub)
    return None if listed is None else SentenceFolder(source, hub, listed)


def _modules(path: Path) -> list[tuple[str, str]]:
    """Return (kind, folder) of each module."""
    found = []
    for module in parse_list(read_text(path), path):
        kind, folder = (module.get("type"), module.get("path")) if isinstance(module, dict) else (None, None)
        if not isinstance(kind, str) or not isinstance(folder, str):
            raise CheckpointError(f"{path}: a module is {str(module)[:60]}, not a type and a path")
        if set("\\:\x00") & {*folder} or folder.startswith("/") or ".." in PurePosixPath(folder).parts:
            raise UnsafeFileError(f"{path} names {folder[:60]!r}, which leaves its folder")
        found.append((kind, folder.strip("/")))
    return found


def _check_kinds(path: Path, kinds: list[str]) -> None:
    known = (_ENCODER, *_STEPS, *_PASSED_OVER)
    for kind in kinds:
        if _name(kind) not in known or not kind.startswith("sentence_transformers."):
            raise CheckpointError(
                f"{path}: the module {kind[:80]} is not supported; {', '.join(known)} of sentence_transformers are. "
                "pooling=None gives the encoder's own states"
            )
    if [_name(kind) for kind in kinds].count(_ENCODER) != 1 or _name(kinds[0]) != _ENCODER:
        raise CheckpointError(f"{path} must name one {_ENCODER}, and name it first")


def _name(kind: str) -> str:
    return kind.rpartition(".")[2]


def _pooling(path: Path) -> Pooling:
    config = read_json(path)
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for mode, flag in _FLAGS.items() if config.get(flag)] or ["mean"]
    modes = tuple(modes) if isinstance(modes, list) else (modes,)
    if not modes or any(mode not in POOLINGS for mode in modes):
        raise CheckpointError(f"{path}: pooling {str(modes)[:60]} is unknown; known are {', '.join(POOLINGS)}")
    return Pooling(modes, bool(config.get("include_prompt", True)))


def _dense(path: Path) -> Dense:
    config = read_json(path)
    function = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    name = function.rpartition(".")[2]
    if name not in ACTIVATIONS or not function.startswith("torch."):
        raise CheckpointError(f"{path}: activation {function[:60]} is unknown; known are {', '.join(ACTIVATIONS)}")
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, "sentence_embedding"):
            raise CheckpointError(f"{path}: {key} is {config[key]!r}; a dense layer reads and gives sentence_embedding")
    weights = open_checkpoint(path.parent).arrays()
    weight, bias = weights.get("linear.weight"), weights.get("linear.bias")
    out, width = config.get("out_features"), config.get("in_features")
    for stored, array in weights.items():
        if array.dtype.name not in FLOATS:
            raise CheckpointError(f"{path.parent}: {stored} is {array.dtype}, not stored as {', '.join(FLOATS)}")
    if weight is None or weight.shape != (out, width) or (bias is not None and bias.shape != (out,)):
        raise CheckpointError(
            f"{path.parent}: its weights are {', '.join(f'{n} {a.shape}' for n, a in weights.items())}; its "
            f"config.json gives linear.weight ({out}, {width})"
        )
    return Dense(weight.astype(np.float64), None if bias is None else bias.astype(np.float64), name)


def _text_settings(path: Path) -> dict[str, Any]:
    config = read_json(path)
    task, longest = config.get("transformer_task", "feature-extraction"), config.get("max_seq_length")
    output = config.get("module_output_name", "token_embeddings")
    if task != "feature-extraction" or output != "token_embeddings":
        raise CheckpointError(
            f"{path}: an encoder for {task} that gives {output} is not supported; token_embeddings is"
        )
    for arguments in ("tokenizer_args", "processor_kwargs"):
        if isinstance(config.get(arguments), dict):
            longest = config[arguments].get("model_max_length", longest)
    if longest is not None and (type(longest) is not int or longest < 1):
        raise CheckpointError(f"{path}: max_seq_length is {longest!r}, not a number of tokens")
    return {"max_length": longest, "lower": bool(config.get("do_lower_case", False))}


def _prompts(path: Path) -> dict[str, Any]:
    config = read_json(path)
    prompts, default = config.get("prompts") or {}, config.get("default_prompt_name")
    if not isinstance(prompts, dict) or not all(isinstance(text, str | None) for text in prompts.values()):
        raise CheckpointError(f"{path}: prompts must map names to texts, not {str(prompts)[:60]}")
    prompts = {name: text or "" for name, text in prompts.items()}
    if default is not None and default not in [*prompts]:
        raise CheckpointError(
            f"{path}: default_prompt_name {default!r} is none of {', '.join(prompts) or 'no prompts'}"
        )
    return {"prompts": prompts, "default_prompt": default}
