"""Text classification: single-label, multi-label or regression, for a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pocketbert.errors import InputError
from pocketbert.notices import renamed
from pocketbert.tasks.answers import Label
from pocketbert.tasks.numeric import best_first, sigmoid, softmax
from pocketbert.tasks.option_checks import check_choice, check_flag, check_whole, kind
from pocketbert.tasks.task import Options, Outputs, Pipeline, Text, option
from pocketbert.tasks.windows import Document

__all__ = ["TextClassificationPipeline", "TextClassificationOptions"]


def _check_function(name: str, value: Any) -> None:
    if value is not None:
        check_choice(name, value, ("default", "softmax", "sigmoid", "none"))


def _check_top_k(name: str, value: Any) -> None:
    if value != "":
        check_whole(name, value, 1, none="all labels")


def _check_all(name: str, value: Any) -> None:
    if value is not None:
        check_flag(name, value)


@dataclass(frozen=True)
class TextClassificationOptions(Options):
    """Options of text classification.

    Attributes:
        top_k: how many labels to return, best first, as a list; None for all. Where it is not given, the best label is
            not in a list of its own.
        function_to_apply: what turns logits into scores: ``"softmax"``, ``"sigmoid"``, ``"none"``, or ``"default"``:
            none in a regression, sigmoid for several labels at once or a single label, softmax otherwise.
        return_all_scores: the older way to ask for all labels, in the model's order, where ``top_k`` is not given.
    """

    top_k: int | str | None = option("", _check_top_k)
    function_to_apply: str | None = option("default", _check_function)
    return_all_scores: bool | None = option(None, _check_all)


class TextClassificationPipeline(Pipeline[Text, "Label | list[Label]", TextClassificationOptions]):
    """Returns ``{"label", "score"}``, or with ``top_k`` a list of them, best first.

    One string without ``top_k`` in the call gives its answer in a list, as in transformers: ``[{"label", "score"}]``.

    An input is a string, or a pair: ``(text, text_pair)`` or ``{"text": ..., "text_pair": ...}``. With
    ``overflow="window"`` the logits of the windows are averaged, each weighted by the tokens that it adds; of a pair,
    the longer text is cut into windows.
    """

    name = "text-classification"
    head: ClassVar[str] = "sequence_classification"
    options_class = TextClassificationOptions
    columns = ("label", "score")
    optional_keys = ("text_pair",)

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Classify a text, a list of them or an iterator of them; see ``Pipeline.__call__``."""
        answer = super().__call__(inputs, **options)
        return [answer] if isinstance(inputs, str) and "top_k" not in options else answer

    def read(self, item: Any, options: TextClassificationOptions) -> Text:
        """See ``Pipeline.read``."""
        if isinstance(item, list):  # the older form of a pair is a list in a list
            if len(item) != 1 or not isinstance(item[0], list) or len(item[0]) != 2:
                raise InputError(
                    f"text must be a string, not {kind(item)}; a pair is {{'text': ..., 'text_pair': ...}}"
                )
            item = tuple(item[0])
        return super().read(item, options)

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """See ``Pipeline.arguments``."""
        options = super().arguments(given)
        if options.get("return_all_scores") is not None and options.get("top_k", "") == "":
            now = "top_k=None" if options["return_all_scores"] else "top_k=1"
            renamed(f"return_all_scores={options['return_all_scores']}", now)
        return options

    def decode(
        self, example: Text, documents: list[Document], outputs: Outputs, options: TextClassificationOptions
    ) -> Label | list[Label]:
        """See ``Pipeline.decode``."""
        scores = self._scores(documents[0].average(outputs[0]), options.function_to_apply or "default")
        names = self.config.id2label
        every = options.return_all_scores
        if every is None:
            every = getattr(self.config, "return_all_scores", None)
        if options.top_k != "":
            assert not isinstance(options.top_k, str)
            order = best_first(scores, options.top_k)
        else:
            order = list(range(len(scores))) if every else best_first(scores, 1)
        labels = [Label(label=names[index], score=float(scores[index])) for index in order]
        return labels[0] if options.top_k == "" and not every else labels

    def _scores(self, logits: NDArray[np.float64], function: str) -> NDArray[np.float64]:
        if function == "default":
            # a model of one label that does not say what it is counts as a probability, as in transformers
            single = "sigmoid" if len(logits) == 1 else "softmax"
            known = {"regression": "none", "multi_label_classification": "sigmoid"}
            function = known.get(self.config.problem_type, single)
        return {"softmax": softmax, "sigmoid": sigmoid}.get(function, np.asarray)(logits)
