"""Token classification: names of people and places, parts of speech, slots; by token or grouped into entities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pocketbert.errors import InputError
from pocketbert.tasks.answers import Entity, EntityGroup
from pocketbert.tasks.entities import STRATEGIES, group_entities, tags_of
from pocketbert.tasks.numeric import softmax
from pocketbert.tasks.option_checks import check_choice, check_flag, check_text, fields_of, kind
from pocketbert.tasks.task import Options, Outputs, Task, Text, option
from pocketbert.tasks.windows import Document

__all__ = ["TokenClassification", "TokenClassificationOptions"]


def _check_labels(name: str, labels: Any) -> None:
    if isinstance(labels, str) or not all(isinstance(label, str) for label in labels):
        raise InputError(f"{name}={labels!r} must be a list of labels")


@dataclass(frozen=True)
class TokenClassificationOptions(Options):
    """Options of token classification.

    Attributes:
        aggregation_strategy: ``"none"`` for tokens, or how the tokens of a word get one label before words are merged
            into entities: ``"simple"``, ``"first"``, ``"average"`` or ``"max"``.
        ignore_labels: labels (entity types, if grouped) to omit.
        is_split_into_words: inputs are lists of words; offsets are those of ``" ".join(words)``.
    """

    aggregation_strategy: str = option("none", check_choice, STRATEGIES)
    ignore_labels: Sequence[str] = option(("O",), _check_labels)
    is_split_into_words: bool = option(False, check_flag)


class TokenClassification(Task[Text, "list[Entity] | list[EntityGroup]", TokenClassificationOptions]):
    """Returns ``[{"entity", "score", "index", "word", "start", "end"}, ...]``, in the order of the text.

    With an ``aggregation_strategy`` other than ``"none"``, entities instead of tokens:
    ``[{"entity_group", "score", "word", "start", "end"}, ...]``. Words are never split, even if their pieces get
    different labels.

    An input is a string; with ``is_split_into_words``, a list of words; or ``{"text": ...}``, ``{"tokens": [...]}``.
    With ``overflow="window"`` each token takes its scores from the window with the most context around it, and entities
    are grouped over the whole text, so none is duplicated or split.
    """

    name = "token-classification"
    head: ClassVar[str] = "token_classification"
    options_class = TokenClassificationOptions
    needs_details = True
    columns = ("entity", "word", "score", "start", "end")
    input_keys = ()
    optional_keys = ("text", "tokens")

    def read(self, item: Any, options: TokenClassificationOptions) -> Text:
        """See ``Task.read``."""
        if isinstance(item, Mapping):
            text, tokens = fields_of(item, (), ("text", "tokens"))
            if (text is None) == (tokens is None):
                raise InputError("the input takes either 'text' or 'tokens'")
            return check_text("text", text) if tokens is None else _words("tokens", tokens)
        if options.is_split_into_words:
            return _words("the input", item)
        if isinstance(item, (list, tuple)):
            raise InputError(
                f"the input must be a string, not {kind(item)}; pass is_split_into_words=True if these are its words"
            )
        return check_text("the input", item)

    def table(self, answer: list[Entity] | list[EntityGroup]) -> list[dict[str, Any]]:
        """See ``Task.table``."""
        return [{"entity": row.get("entity_group"), **row} for row in answer]

    def decode(
        self, example: Text, documents: list[Document], outputs: Outputs, options: TokenClassificationOptions
    ) -> list[Entity] | list[EntityGroup]:
        """See ``Task.decode``."""
        encoding, logits = documents[0].encoding, documents[0].merge(outputs[0])
        words = encoding.word_ids
        tokens = [t for t, word in enumerate(words) if word is not None and not np.isnan(logits[t, 0])]
        if not tokens:
            return []
        text, offsets = _join(example, words, encoding.offsets)
        scores, pieces = softmax(logits[tokens]), encoding.tokens
        spelt = {t: text[slice(*offsets[t])] if pieces[t] == self.tokenizer.unk_token else pieces[t] for t in tokens}
        names = [self.config.id2label[index] for index in range(self.config.num_labels)]
        if options.aggregation_strategy == "none":
            best = scores.argmax(axis=1)
            return [
                Entity(
                    entity=names[label],
                    score=float(row[label]),
                    index=token,
                    word=spelt[token],
                    start=offsets[token][0],
                    end=offsets[token][1],
                )
                for token, label, row in zip(tokens, best, scores, strict=True)
                if names[label] not in options.ignore_labels
            ]
        groups = group_entities(
            scores, [words[token] for token in tokens], tags_of(names), options.aggregation_strategy
        )
        return [
            EntityGroup(
                entity_group=group.kind,
                score=group.score,
                word=self.tokenizer.convert_tokens_to_string(
                    [spelt[token] for token in tokens[group.first : group.last + 1]]
                ),
                start=offsets[tokens[group.first]][0],
                end=offsets[tokens[group.last]][1],
            )
            for group in groups
            if group.kind not in options.ignore_labels
        ]

    def _is_one(self, inputs: Any, options: TokenClassificationOptions) -> bool:
        if options.is_split_into_words and isinstance(inputs, list) and inputs:
            return all(isinstance(word, str) for word in inputs)
        return super()._is_one(inputs, options)


def _words(name: str, value: Any) -> list[str]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(word, str) for word in value):
        raise InputError(f"{name} must be a list of words, not {kind(value)}")
    return list(value)


def _join(
    example: Text, words: Sequence[int | None], offsets: list[tuple[int, int]]
) -> tuple[str, list[tuple[int, int]]]:
    """Return the text, and each token's place in it; offsets of words that came split count from the word."""
    if isinstance(example, str):
        return example, offsets
    starts = np.cumsum([0, *(len(word) + 1 for word in example)]).tolist()
    moved = [
        (0, 0) if word is None else (start + starts[word], end + starts[word])
        for word, (start, end) in zip(words, offsets, strict=True)
    ]
    return " ".join(example), moved
