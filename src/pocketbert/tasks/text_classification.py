"""Text classification: single-label, multi-label or regression, for a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pocketbert.runtime.batching import Floats
from pocketbert.tasks.answers import Label, Ranked
from pocketbert.tasks.numeric import best_first, sigmoid, softmax
from pocketbert.tasks.option_checks import check_choice, check_text, check_whole, fields_of
from pocketbert.tasks.task import Options, Task, Text
from pocketbert.tasks.windows import Document

__all__ = ["TextClassification", "TextClassificationOptions", "read_pair"]

_FUNCTIONS = ("default", "softmax", "sigmoid", "none")


@dataclass(frozen=True)
class TextClassificationOptions(Options):
    """Options of text classification.

    Attributes:
        top_k: how many labels to return, best first; None for all.
        function_to_apply: what turns logits into scores: ``"softmax"``, ``"sigmoid"``, ``"none"``, or ``"default"``:
            none in a regression, sigmoid for several labels at once or a single label, softmax otherwise.
    """

    top_k: int | None = 1
    function_to_apply: str | None = "default"

    def check(self) -> None:
        """See ``Options.check``."""
        super().check()
        check_whole("top_k", self.top_k, 1, none="all labels")
        if self.function_to_apply is not None:
            check_choice("function_to_apply", self.function_to_apply, _FUNCTIONS)


class TextClassification(Task[Text, Ranked[Label], TextClassificationOptions]):
    """Returns ``[{"label", "score"}, ...]``, best first, ``top_k`` of them.

    An input is a string, or a pair: ``(text, text_pair)`` or ``{"text": ..., "text_pair": ...}``. With
    ``overflow="window"`` the logits of the windows are averaged, each weighted by the tokens that it adds; of a pair,
    the longer text is cut into windows.
    """

    name = "text-classification"
    head: ClassVar[str] = "sequence_classification"
    options_class = TextClassificationOptions
    columns = ("label", "score")
    optional_keys = ("text_pair",)

    def read(self, item: Any, options: TextClassificationOptions) -> Text:
        """See ``Task.read``."""
        return read_pair(item)

    def decode(
        self, example: Text, documents: list[Document], outputs: list[list[Floats]], options: TextClassificationOptions
    ) -> Ranked[Label]:
        """See ``Task.decode``."""
        scores = self._scores(documents[0].average(outputs[0]), options.function_to_apply or "default")
        names = self.config.id2label
        return Ranked(
            Label(label=names[index], score=float(scores[index])) for index in best_first(scores, options.top_k)
        )

    def _scores(self, logits: NDArray[np.float64], function: str) -> NDArray[np.float64]:
        if function == "default":
            kind = self.config.problem_type
            if kind is None:
                kind = "multi_label_classification" if len(logits) == 1 else "single_label_classification"
            # a model of one label that does not say what it is counts as a probability, as in transformers
            function = {"regression": "none", "multi_label_classification": "sigmoid"}.get(kind, "softmax")
            if len(logits) == 1 and function == "softmax":
                function = "sigmoid"
        return {"softmax": softmax, "sigmoid": sigmoid}.get(function, np.asarray)(logits)


def read_pair(item: Any, *, required: bool = False) -> Text:
    """Return a text or a (text, pair) from a string, a tuple of two, or a dict.

    Args:
        item: the input.
        required: whether there must be a second text.

    Raises:
        InputError: it is none of these.
    """
    text, pair = item, None
    if isinstance(item, Mapping):
        text, pair = fields_of(
            item, ("text", "text_pair") if required else ("text",), () if required else ("text_pair",)
        )
    elif isinstance(item, tuple) and len(item) == 2:
        text, pair = item
    text = check_text("text", text)
    return text if pair is None and not required else (text, check_text("text_pair", pair))
