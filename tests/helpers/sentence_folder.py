"""Folders as sentence-transformers writes them, around a small random encoder, and their vectors by its formulas."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

OLD = "sentence_transformers.models"
NEW = "sentence_transformers.sentence_transformer.modules"
FLAGS = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens", "mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
         "weightedmean": "weightedmean_tokens", "lasttoken": "lasttoken"}  # fmt: skip


def write(
    path: Path,
    encoder: Path,
    modes: tuple[str, ...] = ("mean",),
    *,
    old: bool = True,
    inner: str = "",
    dense: tuple[str, ...] = (),
    pickled: bool = False,
    bias: bool = True,
    normalize: bool = True,
    include_prompt: bool | None = None,
    texts: dict | None = None,
    prompts: dict | None = None,
) -> Path:
    """Write a folder.

    Args:
        path: where.
        encoder: the folder of the encoder, which is copied to ``inner``.
        modes: of the pooling.
        old: with the names and flags of versions before 5.
        dense: activations of dense layers.
        pickled: their weights are ``pytorch_model.bin``.
        bias: they have one.
        normalize: the last module is Normalize.
        include_prompt: of the pooling; left out if None.
        texts: content of ``sentence_bert_config.json``.
        prompts: content of ``config_sentence_transformers.json``.
    """
    shutil.copytree(encoder, path / inner, dirs_exist_ok=True)
    width = transformers.AutoConfig.from_pretrained(encoder).hidden_size
    root = OLD if old else NEW
    base = OLD if old else "sentence_transformers.base.modules"
    modules = [("0", inner, f"{base}.Transformer" if old else f"{base}.transformer.Transformer")]
    modules.append(("1", "1_Pooling", f"{root}.Pooling" if old else f"{root}.pooling.Pooling"))
    pooling = {"pooling_mode": modes[0] if len(modes) == 1 else list(modes), "embedding_dimension": width}
    if old:
        pooling = {f"pooling_mode_{flag}": mode in modes for mode, flag in FLAGS.items()}
        pooling["word_embedding_dimension"] = width
    if include_prompt is not None:
        pooling["include_prompt"] = include_prompt
    put(path / "1_Pooling/config.json", pooling)
    width *= len(modes)
    generator = torch.Generator().manual_seed(3)
    for place, activation in enumerate(dense, 2):
        folder = path / f"{place}_Dense"
        home = "linear" if activation == "Identity" else "activation"
        facts = {"in_features": width, "out_features": 20, "bias": bias}
        put(folder / "config.json", {**facts, "activation_function": f"torch.nn.modules.{home}.{activation}"})
        tensors = {"linear.weight": torch.randn(20, width, generator=generator) / width**0.5}
        if bias:
            tensors["linear.bias"] = torch.randn(20, generator=generator)
        if pickled:
            torch.save(tensors, folder / "pytorch_model.bin")
        else:
            save_file(tensors, folder / "model.safetensors")
        modules.append((str(place), folder.name, f"{root}.Dense" if old else f"{base}.dense.Dense"))
        width = 20
    if normalize:
        modules.append((str(len(modules)), f"{len(modules)}_Normalize", f"{root}.Normalize"))
    listed = [{"idx": i, "name": name, "path": where, "type": kind} for i, (name, where, kind) in enumerate(modules)]
    put(path / "modules.json", listed)
    if texts is not None:
        put(path / inner / "sentence_bert_config.json", texts)
    if prompts is not None:
        put(path / "config_sentence_transformers.json", prompts)
    return path


def put(path: Path, content: object) -> None:
    """Write JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")


def vectors(path: Path, texts: list[str], prompt: str = "") -> torch.Tensor:
    """Return the vectors of texts, computed from the files of ``write`` with torch, one text after the other."""
    modules = json.loads((path / "modules.json").read_text())
    inner = path / modules[0]["path"]
    settings = inner / "sentence_bert_config.json"
    settings = json.loads(settings.read_text()) if settings.exists() else {}
    tokenizer = transformers.AutoTokenizer.from_pretrained(inner)
    model = transformers.AutoModel.from_pretrained(inner).eval()
    limit = settings.get("max_seq_length") or model.config.max_position_embeddings
    skipped = len(tokenizer(prompt)["input_ids"]) - 1 if prompt else 0
    found = []
    for text in texts:
        whole = prompt + text
        whole = whole.lower() if settings.get("do_lower_case") else whole
        batch = tokenizer(whole, truncation=True, max_length=limit, return_tensors="pt")
        with torch.no_grad():
            vector = model(**batch).last_hidden_state[0]
        for module in modules[1:]:
            vector = _step(path / module["path"], module["type"].rpartition(".")[2], vector, skipped)
        found.append(vector)
    return torch.stack(found)


def _step(folder: Path, kind: str, x: torch.Tensor, skipped: int) -> torch.Tensor:
    if kind == "Normalize":
        return torch.nn.functional.normalize(x, dim=0)
    config = json.loads((folder / "config.json").read_text())
    if kind == "Pooling":
        start = 0 if config.get("include_prompt", True) else skipped
        weights = torch.arange(1.0, len(x) + 1)[start:, None]
        x = x[start:]
        known = {
            "cls": x[0],
            "max": x.max(0).values,
            "mean": x.mean(0),
            "mean_sqrt_len_tokens": x.sum(0) / len(x) ** 0.5,
            "weightedmean": (x * weights).sum(0) / weights.sum(),
            "lasttoken": x[-1],
        }
        named = config.get("pooling_mode")
        named = [named] if isinstance(named, str) else named
        return torch.cat([known[m] for m in named or [m for m in known if config.get(f"pooling_mode_{FLAGS[m]}")]])
    if (folder / "pytorch_model.bin").exists():
        tensors = torch.load(folder / "pytorch_model.bin", weights_only=True)
    else:
        from safetensors.torch import load_file

        tensors = load_file(folder / "model.safetensors")
    x = tensors["linear.weight"] @ x + tensors.get("linear.bias", 0)
    return getattr(torch.nn, config["activation_function"].rpartition(".")[2])()(x)
