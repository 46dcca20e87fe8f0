"""Zero-shot classification: any labels, each tested as a hypothesis by a natural-language-inference model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pocketbert.errors import InputError
from pocketbert.tasks.answers import ZeroShot
from pocketbert.tasks.numeric import best_first, softmax
from pocketbert.tasks.option_checks import check_flag, check_text, kind
from pocketbert.tasks.task import Options, Outputs, Pipeline, Text, option
from pocketbert.tasks.windows import Document

__all__ = ["ZeroShotClassificationPipeline", "ZeroShotOptions"]


@dataclass(frozen=True)
class ZeroShotOptions(Options):
    """Options of zero-shot classification.

    Attributes:
        candidate_labels: the labels, as a list or as a string with commas.
        hypothesis_template: the hypothesis, with ``{}`` in place of the label.
        multi_label: whether several labels may hold at once; each then has a probability of its own.
        entailment_label: the model's label for "follows", by name or index; by default the one that starts
            with "entail".
    """

    candidate_labels: str | Sequence[str] | None = None
    hypothesis_template: str = "This example is {}."
    multi_label: bool = option(False, check_flag)
    entailment_label: str | int | None = None

    def check(self) -> None:
        """See ``Options.check``."""
        super().check()
        template = check_text("hypothesis_template", self.hypothesis_template)
        try:
            changes = template.format("a") != template.format("b")
        except (KeyError, IndexError, ValueError, AttributeError):
            changes = False
        if not changes:
            raise InputError(
                f"hypothesis_template={template!r} must hold {{}} where the label goes, and no other braces"
            )
        if self.candidate_labels is not None:
            _labels(self.candidate_labels)


class ZeroShotClassificationPipeline(Pipeline[str, ZeroShot, ZeroShotOptions]):
    """Returns ``{"sequence", "labels", "scores"}``: the candidate labels, best first, and their scores.

    Scores of one text sum to 1, unless ``multi_label`` is set or there is one label: then each is the probability
    of entailment against contradiction. With ``overflow="window"`` the text, not the hypothesis, is cut into windows
    and their logits are averaged, weighted by the tokens that each adds; ``"truncate"`` cuts the text likewise.
    """

    name = "zero-shot-classification"
    head: ClassVar[str] = "sequence_classification"
    options_class = ZeroShotOptions
    truncates = "only_first"
    window_over = 0
    columns = ("label", "score")

    def __call__(  # type: ignore[override]  # transformers' name for the first argument
        self, sequences: Any, candidate_labels: str | Sequence[str] | None = None, **options: Any
    ) -> Any:
        """Classify a text, a list of them or an iterator of them.

        Args:
            sequences: see ``Pipeline.__call__``.
            candidate_labels: the labels.
            **options: see ``ZeroShotOptions``.

        Raises:
            InputError: there are no labels, or an input or an option is wrong.
        """
        if candidate_labels is not None:
            options["candidate_labels"] = candidate_labels
        return super().__call__(sequences, **options)

    def read(self, item: Any, options: ZeroShotOptions) -> str:
        """See ``Pipeline.read``."""
        text = super().read(item, options)
        if not text:
            raise InputError("the text is empty; pass one with words")
        return text

    def texts(self, example: str, options: ZeroShotOptions) -> list[Text]:
        """See ``Pipeline.texts``."""
        return [(example, options.hypothesis_template.format(label)) for label in _labels(options.candidate_labels)]

    def check_ready(self, options: ZeroShotOptions) -> None:
        """See ``Pipeline.check_ready``."""
        if options.candidate_labels is None:
            raise InputError("zero-shot-classification needs candidate_labels, such as ['sports', 'politics']")
        self._entailment(options.entailment_label)

    def decode(self, example: str, documents: list[Document], outputs: Outputs, options: ZeroShotOptions) -> ZeroShot:
        """See ``Pipeline.decode``."""
        labels = _labels(options.candidate_labels)
        logits = np.stack([d.average(windows) for d, windows in zip(documents, outputs, strict=True)])  # (labels, N)
        entailment = self._entailment(options.entailment_label)
        if options.multi_label or len(labels) == 1:
            scores = softmax(logits[:, [self._contradiction(entailment), entailment]])[:, 1]
        else:
            scores = softmax(logits[:, entailment])
        order = best_first(scores)
        return ZeroShot(sequence=example, labels=[labels[i] for i in order], scores=[float(scores[i]) for i in order])

    def table(self, answer: ZeroShot) -> list[dict[str, Any]]:
        """See ``Pipeline.table``."""
        return [{"label": label, "score": s} for label, s in zip(answer["labels"], answer["scores"], strict=True)]

    def _options(self, given: Mapping[str, Any]) -> ZeroShotOptions:
        chosen = super()._options(given)
        if chosen.entailment_label is not None:
            self._entailment(chosen.entailment_label)
        return chosen

    def _entailment(self, asked: str | int | None) -> int:
        names: dict[int, str] = self.config.id2label
        known = ", ".join(names.values())
        if len(names) < 2:
            raise InputError(f"zero-shot-classification needs a model of at least 2 labels; this one has {known}")
        if asked is None:
            matches = [index for index, name in names.items() if name.lower().startswith("entail")]
        else:
            matches = [i for i, name in names.items() if asked == name or (asked == i and not isinstance(asked, bool))]
        if not matches:
            what = "no label begins with 'entail'" if asked is None else f"entailment_label={asked!r} is none of them"
            raise InputError(f"the model's labels are {known}: {what}; pass entailment_label= the one for 'follows'")
        return matches[0]

    def _contradiction(self, entailment: int) -> int:
        """Return the contradiction label: by name, else the label at the other end of the list."""
        for index, name in self.config.id2label.items():
            if name.lower().startswith("contradict") and index != entailment:
                return int(index)
        return len(self.config.id2label) - 1 if entailment == 0 else 0


def _labels(given: Any) -> list[str]:
    labels = [label.strip() for label in given.split(",")] if isinstance(given, str) else given
    if not isinstance(labels, (list, tuple)) or not all(isinstance(label, str) for label in labels):
        raise InputError(f"candidate_labels must be a list of strings, not {kind(given)}")
    labels = [label for label in labels if label.strip()]
    if not labels:
        raise InputError(f"candidate_labels={given!r} holds no label; pass at least one")
    return labels
