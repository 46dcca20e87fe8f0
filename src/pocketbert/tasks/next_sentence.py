"""Next-sentence prediction: whether one text continues another."""

from __future__ import annotations

from typing import ClassVar

from pocketbert.tasks.answers import NextSentence
from pocketbert.tasks.numeric import softmax
from pocketbert.tasks.task import Options, Outputs, Pipeline, Text
from pocketbert.tasks.windows import Document

__all__ = ["NextSentencePredictionPipeline"]


class NextSentencePredictionPipeline(Pipeline[Text, NextSentence, Options]):
    """Returns ``{"is_next", "score"}``; the score is the probability that the second continues the first.

    An input is ``{"text": ..., "text_pair": ...}`` or a tuple of the two.
    """

    name = "next-sentence-prediction"
    head: ClassVar[str] = "next_sentence"
    overflows = ("error", "truncate")
    columns = ("is_next", "score")
    input_keys = ("text", "text_pair")

    def decode(self, example: Text, documents: list[Document], outputs: Outputs, options: Options) -> NextSentence:
        """See ``Pipeline.decode``."""
        score = float(softmax(outputs[0][0])[0])  # label 0: B continues A
        return NextSentence(is_next=score >= 0.5, score=score)
