"""Feature extraction: hidden states per token, or pooled to one vector per text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pocketbert.errors import InputError
from pocketbert.extras import require
from pocketbert.tasks.option_checks import check_choice, check_flag
from pocketbert.tasks.task import Options, Outputs, Pipeline, Text, option
from pocketbert.tasks.windows import Document

__all__ = ["FeatureExtractionPipeline", "FeatureExtractionOptions"]


@dataclass(frozen=True)
class FeatureExtractionOptions(Options):
    """Options of feature extraction.

    Attributes:
        pooling: ``"none"`` for every token's state, ``"mean"`` for their mean, ``"cls"`` for that of ``[CLS]``.
        normalize: scale every vector to length 1.
        return_tensors: give a tensor of PyTorch, or of Keras where that runs the model, instead of a numpy array.
    """

    pooling: str = option("none", check_choice, ("none", "mean", "cls"))
    normalize: bool = option(False, check_flag)
    return_tensors: bool = option(False, check_flag)


class FeatureExtractionPipeline(Pipeline[Text, NDArray[np.float32], FeatureExtractionOptions]):
    """Returns a float32 array per text: (1, tokens, hidden size), special tokens included; (hidden size,) if pooled.

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
        """See ``Pipeline.decode``."""
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
        answer = vectors.astype(np.float32)[None] if options.pooling == "none" else vectors.astype(np.float32)
        return self._tensor(answer) if options.return_tensors else answer

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """See ``Pipeline.arguments``."""
        options = super().arguments(given)
        nested = {**given, **(given.get("tokenizer_kwargs") or {}), **(given.get("tokenize_kwargs") or {})}
        padding = nested.get("padding")
        if getattr(padding, "value", padding) == "max_length":
            raise InputError("padding='max_length' would give states of padding; leave it out, and pad the array")
        return options

    def _tensor(self, values: NDArray[np.float32]) -> Any:
        if self.framework == "tf":
            return import_module("keras").ops.convert_to_tensor(values)
        return require("torch").from_numpy(values)

    def table(self, answer: NDArray[np.float32]) -> list[dict[str, Any]]:
        """See ``Pipeline.table``."""
        values = " ".join(f"{value:.4f}" for value in answer.ravel()[:4])
        return [{"shape": "x".join(map(str, answer.shape[-2:])), "features": f"{values} ..."}]
