"""Feature extraction: hidden states per token, or pooled to one vector per text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pocketbert.checkpoint.sentence_transformers import Dense, Normalize, Pooling, SentenceEncoder
from pocketbert.errors import InputError
from pocketbert.runtime.batching import Runner
from pocketbert.tasks.option_checks import check_flag, check_text
from pocketbert.tasks.sentence_vectors import check_pooling, normalized, vector_of
from pocketbert.tasks.task import Options, Outputs, Task, Text, option
from pocketbert.tasks.windows import Document
from pocketbert.tokenizer.tokenizer_base import PreTrainedTokenizerBase

__all__ = ["FeatureExtraction", "FeatureExtractionOptions"]


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
    """

    pooling: str | Sequence[str] | None = option("auto", check_pooling)
    normalize: bool | None = option(None, _check_normalize)
    prompt: str | None = option(None, _check_prompt)
    prompt_name: str | None = option(None, _check_prompt)


class FeatureExtraction(Task[Text, NDArray[np.float32], FeatureExtractionOptions]):
    """Returns a float32 array per text: (tokens, hidden size), special tokens included, or (hidden size,) if pooled.

    An input is a string, or a pair: a tuple of two or ``{"text": ..., "text_pair": ...}``. With ``overflow="window"``
    each token's state comes from the window with the most context around it, so every token counts once in a mean;
    ``"cls"`` is the mean over the windows, each weighted by the tokens that it adds.

    Of a sentence-transformers folder, ``pipeline`` passes ``sentences``: then a text gives the vector that the folder
    describes, cut where it says.
    """

    name = "feature-extraction"
    head: ClassVar[str] = "none"
    options_class = FeatureExtractionOptions
    columns = ("shape", "features")
    optional_keys = ("text_pair",)

    def __init__(
        self,
        runner: Runner,
        tokenizer: PreTrainedTokenizerBase,
        *,
        sentences: SentenceEncoder | None = None,
        **options: Any,
    ) -> None:
        self.sentences = sentences
        if sentences is not None:
            options.setdefault("overflow", "truncate")
            if sentences.max_length is not None:
                options.setdefault("max_length", min(sentences.max_length, runner.config.max_position_embeddings))
        super().__init__(runner, tokenizer, **options)

    def check_ready(self, options: FeatureExtractionOptions) -> None:
        """See ``Task.check_ready``."""
        self._prompt(options)

    def texts(self, example: Text, options: FeatureExtractionOptions) -> list[Text]:
        """See ``Task.texts``."""
        first, *rest = [example] if isinstance(example, str) else example
        texts = [self._prompt(options) + first, *rest]
        if self.sentences is not None and self.sentences.lower and not getattr(self.tokenizer, "do_lower_case", False):
            texts = ["".join(map(str.lower, text)) for text in texts]
        return [texts[0] if len(texts) == 1 else (texts[0], texts[1])]

    def decode(
        self, example: Text, documents: list[Document], outputs: Outputs, options: FeatureExtractionOptions
    ) -> NDArray[np.float32]:
        """See ``Task.decode``."""
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
        return vectors.astype(np.float32)

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
        ids = self._encode(self.texts("", options))[0].ids
        return len(ids) - (ids[-1] in self.tokenizer.all_special_ids)

    def table(self, answer: NDArray[np.float32]) -> list[dict[str, Any]]:
        """See ``Task.table``."""
        values = " ".join(f"{value:.4f}" for value in answer.ravel()[:4])
        return [{"shape": "x".join(map(str, answer.shape)), "features": f"{values} ..."}]
