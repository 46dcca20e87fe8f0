"""Labeled records of any source (see ``sources``), read and checked.

head                        fields                                                    metrics, the deciding one first
sequence_classification     text, label [, text_pair]                                 accuracy, macro F1
                            (label or labels: a list, if several may hold)            micro F1, macro F1
                            (label: a number)                                         Spearman, Pearson
token_classification        tokens, tags                                              F1, precision, recall of entities
                                                                                      and F1 of each kind; or accuracy
question_answering          question, context, answers                                F1, exact match
multiple_choice             prompt, choices, label                                    accuracy
next_sentence               text, text_pair, is_next                                  accuracy
masked_lm, pretraining      text                                                      accuracy at masked words
none                        text, text_pair, label (or sentence1, sentence2, score;   Spearman, Pearson of cosines
                            or anchor, positive)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pocketbert.architecture.heads import BARE
from pocketbert.errors import InputError
from pocketbert.evaluation.sources import Columns, Labeled, open_source, source_name
from pocketbert.tasks.records import Fields, Record

__all__ = [
    "UNLABELED",
    "Records",
    "is_multi_label",
    "is_regression",
    "read_fields",
    "read_labeled",
]

_SHOWN = 3  # broken records that a message names

Records = Sequence[Mapping[str, Any]]


def read_labeled(
    source: Labeled,
    head: str,
    config: Any,
    least: int = 2,
    *,
    columns: Columns | None = None,
    scored: bool = True,
    unlabeled: bool = False,
) -> list[dict[str, Any]]:
    """Return the fields of labeled records, checked against a model; labels by name.

    Args:
        source: see ``sources.open_source``.
        head: the one whose answer is scored or trained.
        config: the model's configuration.
        least: how many records are needed.
        columns: names that the data has in place of some fields' own.
        scored: whether pairs of texts for a bare encoder must have a score.
        unlabeled: whether records may have no label; they come without one.

    Raises:
        InputError: there is no such file or it is empty; or records lack fields or have labels that the model lacks, in
            lines that the message names.
    """
    name = source_name(source)
    check = _RECORDS[head][1] if head != BARE or scored else _paired
    records, broken = [], []
    for record in read_fields(source, head, columns, unlabeled=unlabeled):
        value = {"text": record.value} if isinstance(record.value, str) else record.value  # a line of a text file
        try:
            if isinstance(value, InputError):
                raise value
            if unlabeled and not any(label in value for label in UNLABELED[head]):
                records.append(_without_label(value))
            else:
                records.append(check(value, config))
        except InputError as error:
            broken.append(f"{record.unit} {record.line}: {error}")
    if broken:
        more = f"; and {len(broken) - _SHOWN} more" if len(broken) > _SHOWN else ""
        raise InputError(f"{name} has broken records: {'; '.join(broken[:_SHOWN])}{more}")
    if len(records) < least:
        raise InputError(f"{name} has {len(records)} records; at least {least} are needed")
    return records


def read_fields(
    source: Labeled, head: str, columns: Columns | None = None, *, unlabeled: bool = False
) -> Iterator[Record]:
    """Yield what a head's labeled records hold, not yet checked against a model; see ``read_labeled``.

    Raises:
        InputError: nothing is known of the head; or see ``sources.open_source``.
    """
    if head not in _RECORDS:
        raise InputError(f"no metric is known for the head {head}; leave data= out, or pass texts=")
    fields = _RECORDS[head][0]
    if unlabeled:
        labels = UNLABELED.get(head)
        if labels is None:
            raise InputError(f"records of the head {head} need labels; it learns from those alone")
        needed = tuple(name for name in fields.needed if name not in labels)
        fields = Fields(needed, tuple(dict.fromkeys((*fields.optional, *labels))))
    return open_source(source, fields, columns)


# -- records ---------------------------------------------------------------------------------------------------


def _classified(row: dict[str, Any], config: Any) -> dict[str, Any]:
    if "labels" in row:
        row = {**row, "label": row.pop("labels")}
    if "label" not in row:
        raise InputError("no field 'label'")
    if is_regression(config):
        return row | {"label": _number("label", row["label"])}
    if is_multi_label(config):
        if not isinstance(row["label"], list):
            raise InputError(f"label must be a list, since this model gives several labels, not {row['label']!r}")
        return row | {"label": [_label(label, config) for label in row["label"]]}
    return row | {"label": _label(row["label"], config)}


def _tagged(row: dict[str, Any], config: Any) -> dict[str, Any]:
    tokens, tags = row["tokens"], row["tags"]
    if not isinstance(tokens, list) or not isinstance(tags, list) or len(tokens) != len(tags) or not tokens:
        raise InputError("tokens and tags must be two lists of the same length")
    return row | {"tags": [_label(tag, config) for tag in tags]}


def _answered(row: dict[str, Any], _: Any) -> dict[str, Any]:
    answers: Any = row["answers"]
    starts: Any = None
    if isinstance(answers, dict):
        answers, starts = answers.get("text"), answers.get("answer_start")
    if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
        raise InputError('answers must be a list of strings, or {"text": [...], "answer_start": [...]}')
    return row | {"answers": answers} | ({} if starts is None else {"starts": starts})


def _chosen(row: dict[str, Any], _: Any) -> dict[str, Any]:
    label, choices = row["label"], row["choices"]
    if isinstance(label, str) and label.isdecimal():  # a cell of a CSV file
        label = int(label)
    if not isinstance(choices, list) or type(label) is not int or not 0 <= label < len(choices):
        raise InputError(f"label {label!r} must be the index of the right choice, from 0")
    return row | {"label": label}


def _continued(row: dict[str, Any], _: Any) -> dict[str, Any]:
    is_next = row["is_next"]
    if isinstance(is_next, str):  # a cell of a CSV file
        is_next = {"true": True, "false": False}.get(is_next.lower(), is_next)
    if type(is_next) is not bool:
        raise InputError(f"is_next must be true or false, not {is_next!r}")
    return row | {"is_next": is_next}


def _without_label(row: dict[str, Any]) -> dict[str, Any]:
    if "tokens" in row and (not isinstance(row["tokens"], list) or not row["tokens"]):
        raise InputError("tokens must be a list of words")
    return row


# a pair's fields, and the names that other data has for them
_PAIR = {"text": ("sentence1", "anchor"), "text_pair": ("sentence2", "positive"), "label": ("score",)}


def _compared(row: dict[str, Any], _: Any) -> dict[str, Any]:
    found = _paired(row, _)
    if "label" not in found:
        raise InputError("no field 'label' (or 'score')")
    return found


def _paired(row: dict[str, Any], _: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, others in _PAIR.items():
        given = next((row[each] for each in (name, *others) if row.get(each) is not None), None)
        if given is not None:
            found[name] = _number("label", given) if name == "label" else given
        elif name != "label":
            raise InputError(f"no field {name!r} (or {' or '.join(map(repr, others))})")
    return found


# head -> the fields of a record, and what checks them
_RECORDS: dict[str, tuple[Fields, Callable[[dict[str, Any], Any], dict[str, Any]]]] = {
    "sequence_classification": (Fields(("text",), ("label", "labels", "text_pair")), _classified),
    "token_classification": (Fields(("tokens", "tags")), _tagged),
    "question_answering": (Fields(("question", "context", "answers")), _answered),
    "multiple_choice": (Fields(("prompt", "choices", "label")), _chosen),
    "next_sentence": (Fields(("text", "text_pair", "is_next")), _continued),
    "masked_lm": (Fields(("text",)), lambda row, _: row),
    BARE: (Fields((), (*_PAIR, *(other for others in _PAIR.values() for other in others))), _compared),
}


# heads that may learn from records without these fields, if a teacher says what is right
UNLABELED = {
    "sequence_classification": ("label", "labels"),
    "token_classification": ("tags",),
    "question_answering": ("answers",),
}


def _label(value: Any, config: Any) -> str:
    """Return the name of a label, which may be given by its index."""
    if type(value) is int and str(value) in config.label2id:  # numbers are their names
        return str(value)
    if type(value) is int and value in config.id2label:
        return str(config.id2label[value])
    if isinstance(value, str) and value in config.label2id:
        return value
    known = ", ".join(list(config.id2label.values())[:8])
    raise InputError(f"label {value!r} is unknown to the model; it knows {known} ({config.num_labels} labels)")


def _number(name: str, value: Any) -> float:
    if isinstance(value, str):  # a cell of a CSV file
        with suppress(ValueError):
            value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"{name} must be a number, not {value!r}")
    return float(value)


def is_regression(config: Any) -> bool:
    """Whether a classifier predicts a number instead of a label."""
    return bool(config.problem_type == "regression" or config.num_labels == 1)


def is_multi_label(config: Any) -> bool:
    """Whether a classifier predicts any number of labels, independent of each other."""
    return bool(config.problem_type == "multi_label_classification")
