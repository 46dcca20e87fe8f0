"""Which labels there are: read from the training data, or known to the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pocketbert.errors import InputError
from pocketbert.evaluation.labeled import read_fields
from pocketbert.evaluation.sources import Columns, Labeled, source_name
from pocketbert.settings.runs import PROBLEMS

__all__ = ["HAVE_LABELS", "Labels", "labels_in"]

HAVE_LABELS = ("sequence_classification", "token_classification")  # heads whose labels are named in a configuration


@dataclass(frozen=True)
class Labels:
    """What a head tells apart.

    Attributes:
        names: the classes, in order; one name for a regression.
        problem: one of ``PROBLEMS``; None where the head has no choice.
    """

    names: tuple[str, ...]
    problem: str | None = None

    def fields(self) -> dict[str, Any]:
        """Return the fields of a configuration."""
        found: dict[str, Any] = {
            "id2label": dict(enumerate(self.names)),
            "label2id": {name: index for index, name in enumerate(self.names)},
        }
        if self.problem is not None:
            found["problem_type"] = f"{self.problem}_classification" if "label" in self.problem else self.problem
        return found


def labels_in(source: Labeled, head: str, problem: str | None = None, columns: Columns | None = None) -> Labels | None:
    """Return the labels of training data, sorted; None for a head that has none of its own.

    Strings and whole numbers are classes, lists of them several classes at once, other numbers a regression, unless
    ``problem`` says otherwise.

    Raises:
        InputError: kinds are mixed, or there is only one class.
    """
    if head not in HAVE_LABELS:
        return None
    found: set[Any] = set()
    kinds: dict[str, str] = {}
    for record in read_fields(source, head, columns):
        place = f"{record.unit} {record.line}"
        if not isinstance(record.value, dict):
            raise InputError(f"{source_name(source)}, {place}: {record.value}")
        label: Any = record.value.get("label", record.value.get("labels", record.value.get("tags")))
        if label is None:
            raise InputError(f"{source_name(source)}, {place}: no field 'label'")
        if head == "token_classification":
            if not isinstance(label, list):
                raise InputError(f"{source_name(source)}, {place}: tags must be a list, not {label!r:.40}")
            found.update(tag for tag in label if isinstance(tag, (str, int)))
            continue
        kind = _kind(label)
        kinds.setdefault(kind, place)
        if kind != "regression":
            found.update(label if isinstance(label, list) else [label])
    if len(kinds) > 1 and problem is None:
        seen = " and ".join(f"{kind} ({place})" for kind, place in kinds.items())
        raise InputError(f"{source_name(source)} holds labels for {seen}; pass problem= one of {', '.join(PROBLEMS)}")
    problem = problem or next(iter(kinds), None)
    if problem == "regression":
        return Labels(("LABEL_0",), "regression")
    names = tuple(str(name) for name in sorted(found, key=lambda name: (isinstance(name, str), name)))
    if len(names) < 2:
        only = repr(names[0]) if names else "none"
        raise InputError(f"{source_name(source)} has only one label, {only}; at least two are needed to tell apart")
    return Labels(names, problem)


def _kind(label: Any) -> str:
    if isinstance(label, list):
        return "multi_label"
    return "regression" if isinstance(label, float) else "single_label"
