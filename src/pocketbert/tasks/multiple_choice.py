"""Multiple choice: which of several endings continues a prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pocketbert.errors import InputError
from pocketbert.tasks.answers import Choice
from pocketbert.tasks.numeric import best_first, softmax
from pocketbert.tasks.option_checks import check_text, check_whole, fields_of, kind
from pocketbert.tasks.task import Options, Outputs, Pipeline, Text, option
from pocketbert.tasks.windows import Document

__all__ = ["MultipleChoicePipeline", "MultipleChoiceOptions"]

Question = tuple[str, list[str]]


@dataclass(frozen=True)
class MultipleChoiceOptions(Options):
    """Options of multiple choice.

    Attributes:
        top_k: how many choices to return, best first; None for all.
    """

    top_k: int | None = option(1, check_whole, 1, none="all choices")


class MultipleChoicePipeline(Pipeline[Question, list[Choice], MultipleChoiceOptions]):
    """Returns ``[{"choice", "text", "score"}, ...]``, best first, ``top_k`` of them; scores of all choices add up to 1.

    An input is ``{"prompt": ..., "choices": [...]}`` or a tuple of the two. ``overflow="truncate"`` cuts the prompt.
    """

    name = "multiple-choice"
    head: ClassVar[str] = "multiple_choice"
    options_class = MultipleChoiceOptions
    overflows = ("error", "truncate")
    truncates = "only_first"
    columns = ("choice", "text", "score")
    input_keys = ("prompt", "choices")

    def read(self, item: Any, options: MultipleChoiceOptions) -> Question:
        """See ``Pipeline.read``."""
        pair = tuple(fields_of(item, self.input_keys)) if isinstance(item, Mapping) else item
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise InputError(f"the input must be a dict with 'prompt' and 'choices', not {kind(item)}")
        prompt, choices = pair
        if not isinstance(choices, (list, tuple)) or not choices:
            raise InputError(f"choices must be a list of at least one string, not {kind(choices)}")
        texts = [check_text(f"choices[{index}]", choice) for index, choice in enumerate(choices)]
        return check_text("prompt", prompt), texts

    def texts(self, example: Question, options: MultipleChoiceOptions) -> list[Text]:
        """See ``Pipeline.texts``."""
        return [(example[0], choice) for choice in example[1]]

    def decode(
        self, example: Question, documents: list[Document], outputs: Outputs, options: MultipleChoiceOptions
    ) -> list[Choice]:
        """See ``Pipeline.decode``."""
        scores = softmax(np.concatenate([windows[0] for windows in outputs]))  # (choices,)
        return [
            Choice(choice=index, text=example[1][index], score=float(scores[index]))
            for index in best_first(scores, options.top_k)
        ]
