"""The task's metric of a model on labeled records."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from pocketbert.architecture.heads import BARE
from pocketbert.errors import InputError
from pocketbert.evaluation import metrics
from pocketbert.evaluation.labeled import Records, is_multi_label, is_regression
from pocketbert.plan.batch import Row
from pocketbert.runtime.batching import Runner, run_rows
from pocketbert.tasks.entities import tags_of
from pocketbert.tasks.feature_extraction import FeatureExtractionPipeline
from pocketbert.tasks.multiple_choice import MultipleChoicePipeline
from pocketbert.tasks.next_sentence import NextSentencePredictionPipeline
from pocketbert.tasks.question_answering import QuestionAnsweringPipeline
from pocketbert.tasks.task import Pipeline
from pocketbert.tasks.text_classification import TextClassificationPipeline
from pocketbert.tasks.token_classification import TokenClassificationPipeline
from pocketbert.tokenizer.tokenizer_base import PreTrainedTokenizerBase

__all__ = ["scores"]

_AT_ONCE = 64  # texts per batch, whose word logits are in memory together
_THRESHOLD = 0.5  # probability from which on a label is predicted, where there may be several
_MASKED = 0.15  # share of a text's words that are masked, as in BERT's pre-training


def scores(
    records: Records, runner: Runner, tokenizer: PreTrainedTokenizerBase, step: Callable[[int], None]
) -> dict[str, float]:
    """Run a model on every record; ``step`` is called now and then with the number of records that are done.

    Returns:
        metric -> value, 1 at best; the deciding one first.
    """

    def watched(items: Iterable[Any], each: float = 1) -> Iterable[Any]:
        for done, item in enumerate(items, 1):
            step(min(int(done * each), len(records)))
            yield item

    return _SCORES[runner.head](records, runner, tokenizer, watched)


class _Watched(Protocol):
    def __call__(self, items: Iterable[Any], each: float = 1) -> Iterable[Any]:
        """Yield items while reporting progress; an item counts as ``each`` records."""


def _answers(task: Pipeline[Any, Any, Any], records: Records, watched: _Watched) -> list[Any]:
    """Return a task's answer to each record."""
    names = (*task.input_keys, *task.optional_keys)
    return list(watched(task(iter([{name: row[name] for name in names if name in row} for row in records]))))


def _classification(
    records: Records, runner: Runner, tokenizer: PreTrainedTokenizerBase, watched: _Watched
) -> dict[str, float]:
    regression = is_regression(runner.config)
    function = "none" if regression else "default"
    task = TextClassificationPipeline(runner, tokenizer, overflow="truncate", top_k=None, function_to_apply=function)
    answers = _answers(task, records, watched)  # all labels, best first
    truth = [row["label"] for row in records]
    if regression:
        return _correlations([found[0]["score"] for found in answers], truth)
    if is_multi_label(runner.config):
        chosen = [{label["label"] for label in found if label["score"] >= _THRESHOLD} for found in answers]
        gold = [set(labels) for labels in truth]
        macro = sum(metrics.class_f1(chosen, gold).values()) / runner.config.num_labels
        return {"micro F1": metrics.set_f1(chosen, gold), "macro F1": macro}
    best = [found[0]["label"] for found in answers]
    each = metrics.class_f1([{label} for label in best], [{label} for label in truth])
    accuracy = metrics.share(mine == label for mine, label in zip(best, truth, strict=True))
    return {"accuracy": accuracy, "macro F1": sum(each.values()) / len(each)}


def _tokens(
    records: Records, runner: Runner, tokenizer: PreTrainedTokenizerBase, watched: _Watched
) -> dict[str, float]:
    task = TokenClassificationPipeline(
        runner, tokenizer, overflow="window", is_split_into_words=True, aggregation_strategy="first", ignore_labels=()
    )
    found = list(watched(task(iter([row["tokens"] for row in records]))))
    places = [metrics.places(row["tokens"]) for row in records]
    if not metrics.is_chunked(runner.config.id2label.values()):
        words = [metrics.words_of(groups, spans) for groups, spans in zip(found, places, strict=True)]
        pairs = [pair for mine, row in zip(words, records, strict=True) for pair in zip(mine, row["tags"], strict=True)]
        return {"accuracy of words": metrics.share(mine == tag for mine, tag in pairs)}
    mine = [{(g["entity_group"], g["start"], g["end"]) for g in groups if g["entity_group"] != "O"} for groups in found]
    labels = list(runner.config.id2label.values())
    tags = dict(zip(labels, tags_of(labels), strict=True))
    tagged = zip(([tags[tag] for tag in row["tags"]] for row in records), places, strict=True)
    gold = [metrics.entities(*pair) for pair in tagged]
    kinds = sorted({entity[0] for entities in gold for entity in entities})  # the same for every model

    def of_kind(kind: str, found: list[set[metrics.Entity]]) -> list[set[metrics.Entity]]:
        return [{entity for entity in each if entity[0] == kind} for each in found]

    return {
        "entity F1": metrics.set_f1(mine, gold),
        "entity precision": metrics.hit_share(mine, gold),
        "entity recall": metrics.hit_share(gold, mine),
        **{f"F1 of {kind}": metrics.set_f1(of_kind(kind, mine), of_kind(kind, gold)) for kind in kinds},
    }


def _questions(
    records: Records, runner: Runner, tokenizer: PreTrainedTokenizerBase, watched: _Watched
) -> dict[str, float]:
    impossible = any(not row["answers"] for row in records)
    task = QuestionAnsweringPipeline(runner, tokenizer, overflow="window", handle_impossible_answer=impossible)
    found = _answers(task, records, watched)
    pairs = [(answer["answer"], row["answers"]) for answer, row in zip(found, records, strict=True)]
    return {
        "F1": float(np.mean([metrics.answer_f1(*pair) for pair in pairs])),
        "exact match": float(np.mean([metrics.answer_exact(*pair) for pair in pairs])),
    }


def _choices(
    records: Records, runner: Runner, tokenizer: PreTrainedTokenizerBase, watched: _Watched
) -> dict[str, float]:
    found = _answers(MultipleChoicePipeline(runner, tokenizer, overflow="truncate"), records, watched)
    return {"accuracy": metrics.share(a[0]["choice"] == row["label"] for a, row in zip(found, records, strict=True))}


def _following(
    records: Records, runner: Runner, tokenizer: PreTrainedTokenizerBase, watched: _Watched
) -> dict[str, float]:
    found = _answers(NextSentencePredictionPipeline(runner, tokenizer, overflow="truncate"), records, watched)
    return {"accuracy": metrics.share(a["is_next"] == row["is_next"] for a, row in zip(found, records, strict=True))}


def _words(records: Records, runner: Runner, tokenizer: PreTrainedTokenizerBase, watched: _Watched) -> dict[str, float]:
    generator = np.random.default_rng(0)
    limit = min(runner.config.max_position_embeddings, tokenizer.model_max_length)
    rows, truth = [], []
    for row in records:
        ids = list(tokenizer(row["text"], truncation=True, max_length=limit, verbose=False)["input_ids"])
        words = [place for place, token in enumerate(ids) if token not in tokenizer.all_special_ids]
        if not words:
            continue
        masked = sorted(generator.choice(words, max(1, round(_MASKED * len(words))), replace=False).tolist())
        truth.append([ids[place] for place in masked])
        for place in masked:
            ids[place] = tokenizer.mask_token_id
        rows.append(Row(ids, positions=masked))
    if not rows:
        raise InputError("no record has a word that could be masked")
    hits: list[bool] = []
    for start in watched(range(0, len(rows), _AT_ONCE), each=_AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        for logits, right in zip(run_rows(runner, rows[part]), truth[part], strict=True):
            hits += (logits.argmax(axis=1) == right).tolist()
    return {"accuracy at masked words": metrics.share(hits)}


def _likeness(
    records: Records, runner: Runner, tokenizer: PreTrainedTokenizerBase, watched: _Watched
) -> dict[str, float]:
    task = FeatureExtractionPipeline(runner, tokenizer, overflow="truncate", pooling="mean", normalize=True)
    texts = [row[name] for row in records for name in ("text", "text_pair")]
    vectors = np.stack(list(watched(task(iter(texts)), each=0.5))).astype(np.float64)
    cosines = (vectors[::2] * vectors[1::2]).sum(axis=1)
    return _correlations(cosines, [row["label"] for row in records], " of cosines")


def _correlations(found: ArrayLike, truth: ArrayLike, of: str = "") -> dict[str, float]:
    return {f"Spearman{of}": metrics.spearman(found, truth), f"Pearson{of}": metrics.pearson(found, truth)}


_SCORES: dict[str, Callable[[Records, Runner, PreTrainedTokenizerBase, _Watched], dict[str, float]]] = {
    "sequence_classification": _classification,
    "token_classification": _tokens,
    "question_answering": _questions,
    "multiple_choice": _choices,
    "next_sentence": _following,
    "masked_lm": _words,
    BARE: _likeness,
}
