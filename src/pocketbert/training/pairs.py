"""Pairs of texts to learn embeddings from: all with a score, or all without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pocketbert.checkpoint.opened import Opened
from pocketbert.checkpoint.sentence_transformers import Normalize, Pooling
from pocketbert.errors import InputError
from pocketbert.settings.runs import Finetune
from pocketbert.training.objectives.pairs import CosineLoss, InBatchNegatives

__all__ = ["check_vectors", "pairs_to_learn"]


def check_vectors(opened: Opened) -> None:
    """Refuse a folder of sentence-transformers whose vectors are other than means over tokens, which training makes.

    Raises:
        InputError: it pools otherwise, or has dense layers.
    """
    steps = opened.sentences.read().steps if opened.sentences is not None else ()
    other = [step for step in steps if not isinstance(step, Normalize) and step != Pooling(("mean",))]
    if other:
        raise InputError(
            f"the vectors of {opened.folder} come from {other[0]}; embeddings are trained as means over tokens only. "
            "Remove modules.json from a copy of the folder to train its encoder that way"
        )


def pairs_to_learn(
    records: Sequence[Mapping[str, Any]], settings: Finetune
) -> tuple[list[dict[str, Any]], CosineLoss | InBatchNegatives]:
    """Return records with scores from -1 to 1, and the loss for them: in-batch negatives where there are no scores.

    Raises:
        InputError: some records have a score and some have none; a score is out of range; or a pass has no negatives.
    """
    scores = [record["label"] for record in records if "label" in record]
    if scores and len(scores) < len(records):
        raise InputError(f"{settings.train}: of {len(records)} pairs {len(scores)} have a score; all need one, or none")
    if not scores:
        most = min(settings.batch_size, settings.micro_batch_size or settings.batch_size)
        if most < 2:
            name = "batch_size" if settings.batch_size < 2 else "micro_batch_size"
            raise InputError(f"{name}=1 leaves no other pair in a pass to tell a text's partner from; raise it")
        return [dict(record) for record in records], InBatchNegatives()
    top = settings.top_score if settings.top_score is not None else max(1.0, max(scores))
    wrong = [score for score in scores if not -top <= score <= top]
    if wrong:
        raise InputError(f"{settings.train}: the score {wrong[0]} is not between {-top:g} and {top:g}; see top_score")
    return [{**record, "label": record["label"] / top} for record in records], CosineLoss()
