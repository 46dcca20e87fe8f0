"""Text classification: single-label, multi-label or regression, for a text or a pair of texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pocketbert.tasks.answers import Label, Ranked
from pocketbert.tasks.numeric import best_first, sigmoid, softmax
from pocketbert.tasks.option_checks import check_choice, check_whole
from pocketbert.tasks.task import Options, Outputs, Task, Text, option
from pocketbert.tasks.windows import Document

__all__ = ["TextClassification", "TextClassificationOptions"]


def _check_function(name: str, value: Any) -> None:
    if value is not None:
        check_choice(name, value, ("default", "softmax", "sigmoid", "none"))


@dataclass(frozen=True)
class TextClassificationOptions(Options):
    """Options of text classification.

    Attributes:
        top_k: how many labels to return, best first; None for all.
        function_to_apply: what turns logits into scores: ``"softmax"``, ``"sigmoid"``, ``"none"``, or ``"default"``:
            none in a regression, sigmoid for several labels at once or a single label, softmax otherwise.
    """

    top_k: int | None = option(1, check_whole, 1, none="all labels")
    function_to_apply: str | None = option("default", _check_function)


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

    def decode(
        self, example: Text, documents: list[Document], outputs: Outputs, options: TextClassificationOptions
    ) -> Ranked[Label]:
        """See ``Task.decode``."""
        scores = self._scores(documents[0].average(outputs[0]), options.function_to_apply or "default")
        names = self.config.id2label
        return Ranked(
            Label(label=names[index], score=float(scores[index])) for index in best_first(scores, options.top_k)
        )

    def _scores(self, logits: NDArray[np.float64], function: str) -> NDArray[np.float64]:
        if function == "default":
            # a model of one label that does not say what it is counts as a probability, as in transformers
            single = "sigmoid" if len(logits) == 1 else "softmax"
            known = {"regression": "none", "multi_label_classification": "sigmoid"}
            function = known.get(self.config.problem_type, single)
        return {"softmax": softmax, "sigmoid": sigmoid}.get(function, np.asarray)(logits)
