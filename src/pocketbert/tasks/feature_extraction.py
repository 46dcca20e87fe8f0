"""Feature extraction: hidden states per token, or pooled to one vector per text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pocketbert.tasks.option_checks import check_choice, check_flag
from pocketbert.tasks.task import Options, Outputs, Task, Text, option
from pocketbert.tasks.windows import Document

__all__ = ["FeatureExtraction", "FeatureExtractionOptions"]


@dataclass(frozen=True)
class FeatureExtractionOptions(Options):
    """Options of feature extraction.

    Attributes:
        pooling: ``"none"`` for every token's state, ``"mean"`` for their mean, ``"cls"`` for that of ``[CLS]``.
        normalize: scale every vector to length 1.
    """

    pooling: str = option("none", check_choice, ("none", "mean", "cls"))
    normalize: bool = option(False, check_flag)


class FeatureExtraction(Task[Text, NDArray[np.float32], FeatureExtractionOptions]):
    """Returns a float32 array per text: (tokens, hidden size), special tokens included, or (hidden size,) if pooled.

    An input is a string, or a pair: a tuple of two or ``{"text": ..., "text_pair": ...}``. With ``overflow="window"``
    each token's state comes from the window with the most context around it, so every token counts once in a mean;
    ``"cls"`` is the mean over the windows, each weighted by the tokens that it adds.
    """

    name = "feature-extraction"
    head: ClassVar[str] = "none"
    options_class = FeatureExtractionOptions
    columns = ("shape", "features")
    optional_keys = ("text_pair",)

    def decode(
        self, example: Text, documents: list[Document], outputs: Outputs, options: FeatureExtractionOptions
    ) -> NDArray[np.float32]:
        """See ``Task.decode``."""
        document, states = documents[0], outputs[0]
        if options.pooling == "cls":
            vectors = document.average([window[0] for window in states])
        else:
            merged = document.merge(states).astype(np.float64)
            vectors = merged[~np.isnan(merged[:, 0])]
            if options.pooling == "mean":
                vectors = vectors.mean(axis=0)
        if options.normalize:
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
        return vectors.astype(np.float32)

    def table(self, answer: NDArray[np.float32]) -> list[dict[str, Any]]:
        """See ``Task.table``."""
        values = " ".join(f"{value:.4f}" for value in answer.ravel()[:4])
        return [{"shape": "x".join(map(str, answer.shape)), "features": f"{values} ..."}]
