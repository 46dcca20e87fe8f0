"""From one checkpoint to another, exactly: BERT without token types and pooler is DistilBERT."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

from pocketbert.architecture.config import BertConfig, DistilBertConfig
from pocketbert.architecture.families import FAMILIES, class_name, parameters
from pocketbert.architecture.heads import BARE
from pocketbert.checkpoint import copy_tokenizer, fit, write_arrays
from pocketbert.checkpoint.opened import open_model
from pocketbert.checkpoint.sentence_transformers import copy_sentences
from pocketbert.errors import CheckpointError, ConfigError, InputError
from pocketbert.storage.replacing import replacing
from pocketbert.storage.texts import read_json

__all__ = ["bert_to_distilbert", "convert_bert_to_distilbert"]

_BERT, _DISTILBERT = FAMILIES["bert"], FAMILIES["distilbert"]


def distilbert_config(config: BertConfig) -> DistilBertConfig:
    """Return the configuration of the DistilBERT that computes what this BERT does.

    Raises:
        ConfigError: DistilBERT cannot express it (another epsilon, pruned heads).
    """
    if config.layer_norm_eps != _DISTILBERT.norm_eps:
        eps = config.layer_norm_eps
        raise ConfigError(f"layer_norm_eps {eps} is not DistilBERT's {_DISTILBERT.norm_eps}: not exact")
    return DistilBertConfig(
        vocab_size=config.vocab_size,
        max_position_embeddings=config.max_position_embeddings,
        n_layers=config.num_hidden_layers,
        n_heads=config.num_attention_heads,
        dim=config.hidden_size,
        hidden_dim=config.intermediate_size,
        dropout=config.hidden_dropout_prob,
        attention_dropout=config.attention_probs_dropout_prob,
        activation=config.hidden_act,
        initializer_range=config.initializer_range,
        pad_token_id=config.pad_token_id,
        tie_word_embeddings=config.tie_word_embeddings,
        pruned_heads=config.pruned_heads,
    )


def bert_to_distilbert(
    config: BertConfig, arrays: Mapping[str, np.ndarray[Any, Any]]
) -> tuple[DistilBertConfig, dict[str, np.ndarray[Any, Any]]]:
    """Turn a BERT encoder into the DistilBERT that gives the same hidden states for one text (token type 0).

    The row of token type 0 is added to every position, which is exact; the pooler, the other token types and the
    next-sentence head have no place in DistilBERT and are dropped. A masked-language-model head is kept.

    Args:
        config: the BERT.
        arrays: its parameters by name, with or without the ``bert.`` prefix.

    Returns:
        the configuration, and the arrays of a ``DistilBertModel``, or of a ``DistilBertForMaskedLM`` if ``arrays``
        has that head.

    Raises:
        ConfigError: DistilBERT cannot express this BERT.
        CheckpointError: parameters are missing, misshaped or no floats; all are listed.
    """
    ours = distilbert_config(config)
    head = "masked_lm" if any(name.startswith(_BERT.words.transform) for name in arrays) else BARE
    wanted = parameters(config, head, pooler=False)
    found = fit({name: (array.shape, array.dtype.name) for name, array in arrays.items()}, wanted, config)
    complaint = found.complaint()
    if complaint:
        raise CheckpointError(f"no complete BERT encoder: {complaint}")
    bert = {name.removeprefix(_BERT.prefix): arrays[source] for name, source in found.sources.items()}
    named = {_rename(name): array for name, array in bert.items()}
    positions = "embeddings.position_embeddings.weight"
    named[positions] = bert[positions] + bert["embeddings.token_type_embeddings.weight"][0]
    ours.architectures = [class_name(ours, head)]
    targets = parameters(ours, head)
    return ours, {p.name: named[p.name.removeprefix(_DISTILBERT.prefix)] for p in targets if p.tied_to is None}


def convert_bert_to_distilbert(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> Path:
    """Read a BERT folder, write the DistilBERT folder that equals it, tokenizer files included; see above.

    Raises:
        InputError: ``target`` is ``source``.
        CheckpointError, ConfigError: ``source`` holds no BERT that DistilBERT can express.
    """
    source, target = Path(source), Path(target)
    if target.exists() and source.resolve() == target.resolve():
        raise InputError(f"target {target} is the source itself; choose another folder")
    opened = open_model(source)
    if not isinstance(opened.config, BertConfig):
        raise ConfigError(f"{source} is a {opened.family.class_name}; only BERT becomes a DistilBERT")
    ours, arrays = bert_to_distilbert(opened.config, opened.weights.arrays())
    ours.dtype = str(next(iter(arrays.values())).dtype)
    with replacing(target) as stage:
        write_arrays(stage, ours, arrays)
        copy_tokenizer(opened.folder, stage)
        if (stage / "tokenizer_config.json").exists():
            _rename_tokenizer(stage / "tokenizer_config.json")
        copy_sentences(opened.sentences, stage)
    return target


def _rename_tokenizer(path: Path) -> None:
    """Name DistilBERT's tokenizer, which is BERT's without token types."""
    fields = read_json(path)
    if "tokenizer_class" in fields:
        fields["tokenizer_class"] = str(fields["tokenizer_class"]).replace("Bert", "DistilBert", 1)
    fields.pop("model_input_names", None)
    path.write_text(json.dumps(fields, indent=2, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")


def _rename(name: str) -> str:
    """Translate a name, without its family's prefix, of BERT's encoder or of its word predictions."""
    theirs, ours = _BERT.layers, _DISTILBERT.layers
    assert theirs is not None and ours is not None
    if name == _BERT.words.bias:
        return _DISTILBERT.words.bias
    module, _, leaf = name.rpartition(".")
    if name.startswith(theirs.layer):
        index, _, part = module.removeprefix(f"{theirs.layer}.").partition(".")
        parts = dict(zip(astuple(theirs), astuple(ours), strict=True))
        return f"{ours.layer}.{index}.{parts[part]}.{leaf}"
    words = dict(zip(astuple(_BERT.words), astuple(_DISTILBERT.words), strict=True))
    return f"{words.get(module, module)}.{leaf}"
