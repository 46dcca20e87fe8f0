"""Feature extraction: hidden states per token, or pooled to one vector per text."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pocketbert.checkpoint.opened import Opened
from pocketbert.checkpoint.sentence_transformers import Dense, Normalize, Pooling, SentenceEncoder
from pocketbert.errors import InputError
from pocketbert.extras import require
from pocketbert.tasks.option_checks import check_flag, check_text
from pocketbert.tasks.sentence_vectors import check_pooling, normalized, vector_of
from pocketbert.tasks.task import Options, Outputs, Pipeline, Text, option
from pocketbert.tasks.windows import Document
from pocketbert.tokenizer.tokenizer_base import PreTrainedTokenizerBase

__all__ = ["FeatureExtractionPipeline", "FeatureExtractionOptions"]


def _check_normalize(name: str, value: Any) -> None:
    if value is not None:
        check_flag(name, value)


def _check_prompt(name: str, value: Any) -> None:
    if value is not None:
        check_text(name, value)


@dataclass(frozen=True)
class FeatureExtractionOptions(Options):
    """Options of feature extraction.

    Attributes:
        pooling: None (or ``"none"``) for every token's state, ``"mean"`` for their mean, ``"cls"`` for that of
            ``[CLS]``, or another of sentence-transformers' names; a list joins several. ``"auto"`` does what a
            sentence-transformers folder says, dense layers included; for other models it is None.
        normalize: scale every vector to length 1; by default as such a folder says, else no.
        prompt: put before each text.
        prompt_name: the name of a prompt that the folder has; by default its default one, if it has one.
        return_tensors: give a tensor of PyTorch, or of Keras where that runs the model, instead of a numpy array.
    """

    pooling: str | Sequence[str] | None = option("auto", check_pooling)
    normalize: bool | None = option(None, _check_normalize)
    prompt: str | None = option(None, _check_prompt)
    prompt_name: str | None = option(None, _check_prompt)
    return_tensors: bool = option(False, check_flag)


class FeatureExtractionPipeline(Pipeline[Text, NDArray[np.float32], FeatureExtractionOptions]):
    """Returns a float32 array per text: (1, tokens, hidden size), special tokens included; (hidden size,) if pooled.

    An input is a string, or a pair: a tuple of two or ``{"text": ..., "text_pair": ...}``. With ``overflow="window"``
    each token's state comes from the window with the most context around it, so every token counts once in a mean;
    ``"cls"`` is the mean over the windows, each weighted by the tokens that it adds.

    Of a sentence-transformers folder a text gives the vector that the folder describes, cut where it says;
    ``sentences`` is such a description for a model that comes without one.
    """

    name = "feature-extraction"
    head: ClassVar[str] = "none"
    options_class = FeatureExtractionOptions
    columns = ("shape", "features")
    optional_keys = ("text_pair",)

    def __init__(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase | str | os.PathLike[str] | tuple[str, dict[str, Any]] | None = None,
        *,
        sentences: SentenceEncoder | None = None,
        **given: Any,
    ) -> None:
        self.sentences = sentences
        super().__init__(model, tokenizer, **given)

    def own_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """See ``Pipeline.own_options``."""
        folder = self.source.sentences if isinstance(self.source, Opened) else None
        if self.sentences is None and folder is not None and given.get("pooling", "auto") not in (None, "none"):
            self.sentences = folder.read()
        if self.sentences is None:
            return {}
        options: dict[str, Any] = {"overflow": "truncate"}
        if self.sentences.max_length is not None:
            options["max_length"] = min(self.sentences.max_length, self.config.max_position_embeddings)
        return options

    def check_ready(self, options: FeatureExtractionOptions) -> None:
        """See ``Pipeline.check_ready``."""
        self._prompt(options)

    def texts(self, example: Text, options: FeatureExtractionOptions) -> list[Text]:
        """See ``Pipeline.texts``."""
        first, *rest = [example] if isinstance(example, str) else example
        texts = [self._prompt(options) + first, *rest]
        if self.sentences is not None and self.sentences.lower and not getattr(self.tokenizer, "do_lower_case", False):
            texts = ["".join(map(str.lower, text)) for text in texts]
        return [texts[0] if len(texts) == 1 else (texts[0], texts[1])]

    def decode(
        self, example: Text, documents: list[Document], outputs: Outputs, options: FeatureExtractionOptions
    ) -> NDArray[np.float32]:
        """See ``Pipeline.decode``."""
        document, states, steps = documents[0], outputs[0], self._steps(options)
        if steps == (Pooling(("cls",)),):
            vectors = document.average([window[0] for window in states])
        else:
            merged = document.merge(states).astype(np.float64)
            vectors = merged[~np.isnan(merged[:, 0])]
            if steps:
                vectors = vector_of(vectors, steps, self._prompt_tokens(options, steps))
        if options.normalize:
            vectors = normalized(vectors)
        answer = vectors.astype(np.float32) if steps else vectors.astype(np.float32)[None]
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

    def _steps(self, options: FeatureExtractionOptions) -> tuple[Pooling | Dense | Normalize, ...]:
        """Return what makes a vector of the states; nothing where they stay as they are."""
        own = self.sentences.steps if self.sentences is not None else ()
        if options.pooling == "auto":
            return tuple(step for step in own if options.normalize is not False or not isinstance(step, Normalize))
        if options.pooling is None or options.pooling == "none":
            return ()
        modes = (options.pooling,) if isinstance(options.pooling, str) else tuple(options.pooling)
        return (replace(own[0], modes=modes) if own and isinstance(own[0], Pooling) else Pooling(modes),)

    def _prompt(self, options: FeatureExtractionOptions) -> str:
        """Return what stands before each text."""
        prompts, default = (
            ({}, None) if self.sentences is None else (self.sentences.prompts, self.sentences.default_prompt)
        )
        if options.prompt is not None:
            if options.prompt_name is not None:
                raise InputError("prompt and prompt_name contradict each other; pass one of them")
            return options.prompt
        name = default if options.prompt_name is None else options.prompt_name
        if name is None:
            return ""
        known = {"query": "", "document": ""} if self.sentences is not None else {}
        if name not in (known := known | dict(prompts)):
            raise InputError(f"prompt_name={name!r} is unknown; the folder has {', '.join(known) or 'no prompts'}")
        return known[name]

    def _prompt_tokens(self, options: FeatureExtractionOptions, steps: tuple[Pooling | Dense | Normalize, ...]) -> int:
        """Return how many tokens of a text are its prompt's, where they do not count."""
        pooling = steps[0]
        if not isinstance(pooling, Pooling) or pooling.include_prompt or not self._prompt(options):
            return 0
        ids = self._encode(self.texts("", options), options)[0].ids
        return len(ids) - (ids[-1] in self.tokenizer.all_special_ids)

    def table(self, answer: NDArray[np.float32]) -> list[dict[str, Any]]:
        """See ``Pipeline.table``."""
        values = " ".join(f"{value:.4f}" for value in answer.ravel()[:4])
        return [{"shape": "x".join(map(str, answer.shape[-2:])), "features": f"{values} ..."}]
