"""Which family a ``config.json`` without ``model_type`` is of, as its fields, its weights or its path tell."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from pocketbert.architecture.config.bert import BertConfig
from pocketbert.architecture.config.distilbert import DistilBertConfig
from pocketbert.architecture.config.mobilebert import MobileBertConfig

__all__ = ["family_by_fields", "family_by_path", "family_by_tensors"]

# beginning of class names -> model_type
_CLASSES = {
    config.__name__.removesuffix("Config"): config.model_type
    for config in (DistilBertConfig, MobileBertConfig, BertConfig)
}
_OWN = tuple(_CLASSES.values())
# Names of other families that hold one of these.
_OTHERS = (
    "albert", "bert-generation", "camembert", "convbert", "deberta", "flaubert", "hubert", "ibert", "megatron-bert",
    "modernbert", "qdqbert", "rembert", "retribert", "roberta", "roc_bert", "squeezebert", "visual_bert",
    "wav2vec2-bert",
)  # fmt: skip

# Fields that only this family's configurations have.
_FIELDS = {
    "distilbert": ({"dim", "n_heads", "n_layers", "hidden_dim"},),
    "mobilebert": ({"intra_bottleneck_size"}, {"use_bottleneck"}, {"trigram_input"}),
}
_TENSORS = {
    "distilbert": ("distilbert.", "transformer.layer.0.attention.q_lin."),
    "mobilebert": ("mobilebert.", "embeddings.embedding_transformation."),
    "bert": ("bert.",),
}


def family_by_fields(fields: Mapping[str, Any]) -> str | None:
    """Return the family that the fields of a configuration tell: class names first, then fields of its own."""
    architectures = fields.get("architectures")
    for name in architectures if isinstance(architectures, list) else ():
        bare = str(name).removeprefix("TF")
        for begin, family in _CLASSES.items():
            if bare.startswith((f"{begin}For", f"{begin}Model", f"{begin}LMHead")):
                return family
    if architectures:
        return None  # another library's, whatever its fields are
    return next((f for f, groups in _FIELDS.items() if any(group <= fields.keys() for group in groups)), None)


def family_by_tensors(names: Iterable[str]) -> str | None:
    """Return the family that the names of weights tell; a BERT without its prefix could be others', too."""
    listed = list(names)
    return next((f for f, begins in _TENSORS.items() if any(name.startswith(begins) for name in listed)), None)


def family_by_path(path: str | os.PathLike[str]) -> str | None:
    """Return the family whose name stands in a path, the longest first, as in ``transformers``.

    >>> family_by_path("models/distilbert-base-uncased"), family_by_path("bert-tiny"), family_by_path("roberta-bert")
    ('distilbert', 'bert', None)
    """
    name = next((name for name in sorted(_OWN + _OTHERS, key=len, reverse=True) if name in str(path)), None)
    return name if name in _OWN else None
