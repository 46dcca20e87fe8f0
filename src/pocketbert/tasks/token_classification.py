"""Token classification: names of people and places, parts of speech, slots; by token or grouped into entities."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pocketbert.errors import InputError
from pocketbert.notices import renamed
from pocketbert.tasks.answers import Entity, EntityGroup
from pocketbert.tasks.entities import STRATEGIES, group_entities, tags_of
from pocketbert.tasks.numeric import softmax
from pocketbert.tasks.option_checks import check_choice, check_flag, check_text, fields_of, kind
from pocketbert.tasks.task import Options, Outputs, Pipeline, Text, option
from pocketbert.tasks.windows import Document

__all__ = ["TokenClassificationPipeline", "TokenClassificationOptions"]


def _check_labels(name: str, labels: Any) -> None:
    several = isinstance(labels, Collection) and not isinstance(labels, str)
    if labels is not None and not (several and all(isinstance(label, str) for label in labels)):
        raise InputError(f"{name}={labels!r} must be a list of labels")


@dataclass(frozen=True)
class TokenClassificationOptions(Options):
    """Options of token classification.

    Attributes:
        aggregation_strategy: ``"none"`` for tokens, or how the tokens of a word get one label before words are merged
            into entities: ``"simple"``, ``"first"``, ``"average"`` or ``"max"``.
        ignore_labels: labels (entity types, if grouped) to omit; ``["O"]`` by default.
        is_split_into_words: inputs are lists of words; offsets are those of the words joined.
        delimiter: what joins them.
        stride: as everywhere; given alone, it asks for windows, as in transformers.
    """

    aggregation_strategy: str = option("none", check_choice, STRATEGIES)
    ignore_labels: Sequence[str] | None = option(None, _check_labels)
    is_split_into_words: bool = option(False, check_flag)
    delimiter: str | None = None


class TokenClassificationPipeline(Pipeline[Text, "list[Entity] | list[EntityGroup]", TokenClassificationOptions]):
    """Returns ``[{"entity", "score", "index", "word", "start", "end"}, ...]``, in the order of the text.

    With an ``aggregation_strategy`` other than ``"none"``, entities instead of tokens:
    ``[{"entity_group", "score", "word", "start", "end"}, ...]``. ``"simple"`` groups tokens, so a word may be split if
    its pieces get different labels; the other strategies never split one. Scores are ``numpy.float32``.

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
        """See ``Pipeline.read``."""
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

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Classify the tokens of a text, a list of them or an iterator of them; see ``Pipeline.__call__``.

        With ``is_split_into_words`` the words of one text are a list of one text: they give a list of one answer.
        """
        if isinstance(inputs, list):
            if not inputs:
                raise InputError("the list is empty; pass at least one text")
            split = options.get("is_split_into_words", self.options.is_split_into_words)
            if split and all(isinstance(word, str) for word in inputs):
                inputs = [inputs]
        return super().__call__(inputs, **options)

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """See ``Pipeline.arguments``."""
        options = super().arguments(given)
        grouped, ignored = options.pop("grouped_entities", None), options.pop("ignore_subwords", None)
        if grouped is not None or ignored is not None:
            strategy = ("first" if ignored else "simple") if grouped else "none"
            renamed("grouped_entities, with ignore_subwords,", f"aggregation_strategy={strategy!r}")
            options["aggregation_strategy"] = strategy
        asked = options.pop("aggregation_strategy", None)
        if asked is not None:
            asked = getattr(asked, "value", asked)  # of an enumeration
            options["aggregation_strategy"] = asked.lower() if isinstance(asked, str) else asked
        if options.get("stride") is not None and self.options.overflow == "error":
            options.setdefault("overflow", "window")
        return options

    def table(self, answer: list[Entity] | list[EntityGroup]) -> list[dict[str, Any]]:
        """See ``Pipeline.table``."""
        return [{"entity": row.get("entity_group"), **row} for row in answer]

    def decode(
        self, example: Text, documents: list[Document], outputs: Outputs, options: TokenClassificationOptions
    ) -> list[Entity] | list[EntityGroup]:
        """See ``Pipeline.decode``."""
        encoding, logits = documents[0].encoding, documents[0].merge(outputs[0])
        words = encoding.word_ids
        tokens = [t for t, word in enumerate(words) if word is not None and not np.isnan(logits[t, 0])]
        if not tokens:
            return []
        joint = " " if options.delimiter is None else options.delimiter
        text, offsets = _join(example, words, encoding.offsets, joint)
        ignored = ("O",) if options.ignore_labels is None else options.ignore_labels
        scores, pieces = softmax(logits[tokens]), encoding.tokens
        spelt = {t: text[slice(*offsets[t])] if pieces[t] == self.tokenizer.unk_token else pieces[t] for t in tokens}
        names = [self.config.id2label[index] for index in range(self.config.num_labels)]
        if options.aggregation_strategy == "none":
            best = scores.argmax(axis=1)
            return [
                Entity(
                    entity=names[label],
                    score=np.float32(row[label]),
                    index=token,
                    word=spelt[token],
                    start=offsets[token][0],
                    end=offsets[token][1],
                )
                for token, label, row in zip(tokens, best, scores, strict=True)
                if names[label] not in ignored
            ]
        groups = group_entities(
            scores,
            [words[token] for token in tokens],
            tags_of(names),
            options.aggregation_strategy,
        )
        return [
            EntityGroup(
                entity_group=group.shown,
                score=np.float32(group.score),
                word=self.tokenizer.convert_tokens_to_string(
                    [spelt[token] for token in tokens[group.first : group.last + 1]]
                ),
                start=offsets[tokens[group.first]][0],
                end=offsets[tokens[group.last]][1],
            )
            for group in groups
            if group.shown not in ignored
        ]


def _words(name: str, value: Any) -> list[str]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(word, str) for word in value):
        raise InputError(f"{name} must be a list of words, not {kind(value)}")
    return list(value)


def _join(
    example: Text, words: Sequence[int | None], offsets: list[tuple[int, int]], joint: str
) -> tuple[str, list[tuple[int, int]]]:
    """Return the text, and each token's place in it; offsets of words that came split count from the word."""
    if isinstance(example, str):
        return example, offsets
    starts = np.cumsum([0, *(len(word) + len(joint) for word in example)]).tolist()
    moved = [
        (0, 0) if word is None else (start + starts[word], end + starts[word])
        for word, (start, end) in zip(words, offsets, strict=True)
    ]
    return joint.join(example), moved
