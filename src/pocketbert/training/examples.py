"""From labeled records to what a model is trained on: rows of ids, and labels.

An example is a dict:

rows     lists of ids, one per row of the model's input: one, or as many as there are choices, or two texts to compare
types    the token types of each row, where the model takes them
size     tokens of the longest row
...      labels, named as in the model's call: a number, or one number per label or token

Long texts: a classifier sees the first ``max_length`` tokens; tags and answers are learned in overlapping windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.forward import IGNORE
from pocketbert.architecture.heads import BARE
from pocketbert.errors import InputError
from pocketbert.evaluation.labeled import is_multi_label, is_regression
from pocketbert.runtime.batching import Row
from pocketbert.tasks.windows import Cut, Document, split
from pocketbert.tokenizer.tokenizer_base import PreTrainedTokenizerBase

__all__ = ["Encoder", "Example", "check_tokenizer", "fingerprint"]

Example = dict[str, Any]
Records = Iterable[Mapping[str, Any]]

_AT_ONCE = 1000  # records that are tokenized in one call


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig) -> None:
    """Refuse a tokenizer whose ids go beyond the model's word table.

    Raises:
        InputError: they do; the message gives both sizes.
    """
    most = max(tokenizer.get_vocab().values(), default=-1) + 1
    if most > config.vocab_size:
        raise InputError(
            f"the tokenizer has ids up to {most - 1}, and the model's word table ends at {config.vocab_size - 1}: they "
            "do not fit. Put the model's own tokenizer beside it, or call resize_token_embeddings and save the model"
        )


@dataclass(frozen=True)
class Encoder:
    """Makes examples of records.

    Attributes:
        head: the head that is trained.
        config: the model's configuration, which knows the labels.
        tokenizer: the model's tokenizer.
        max_length: most tokens of a row.
        stride: tokens that consecutive windows share.
        typed: whether examples have token types; by default, if the model has them.
        marked: whether examples of tags say by ``first`` which tokens begin a word, so that those without labels can be
            learned from a teacher.
    """

    head: str
    config: PretrainedConfig
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    stride: int = 0
    typed: bool | None = None
    marked: bool = False

    @property
    def has_types(self) -> bool:
        """Whether examples have token types."""
        return hasattr(self.config, "type_vocab_size") if self.typed is None else self.typed

    def __post_init__(self) -> None:
        check_tokenizer(self.tokenizer, self.config)

    def __call__(self, records: Records) -> Iterator[Example]:
        """Yield the examples of records in their order; a record may have several."""
        make = _MAKERS[self.head]
        waiting = iter(records)
        while part := list(islice(waiting, _AT_ONCE)):
            yield from make(self, part)

    # -- texts to rows ---------------------------------------------------------------------------------------------

    def documents(
        self, texts: Sequence[Any], overflow: str, *, truncation: str = "longest_first", over: int | None = None
    ) -> list[Document]:
        """Tokenize texts, pairs or lists of words, and cut those that are too long."""
        words = bool(texts) and isinstance(texts[0], list)
        batch = self.tokenizer(list(texts), is_split_into_words=words, verbose=False)
        cut = Cut(
            overflow,
            self.max_length,
            f"max_length={self.max_length}",
            self.stride,
            exact=False,
            truncation=truncation,
            window_over=over,
        )
        assert batch.encodings is not None
        return [split(each, cut, types=self.has_types) for each in batch.encodings]

    def example(self, rows: Sequence[Row], **labels: Any) -> Example:
        """Return rows and labels as one example."""
        example: Example = {"rows": [list(row.input_ids) for row in rows], "size": max(map(len, rows))}
        if self.has_types:
            example["types"] = [list(row.token_type_ids or [0] * len(row)) for row in rows]
        return example | labels

    def whole(self, texts: Sequence[Any], truncation: str = "longest_first") -> list[Row]:
        """Return one row per text or pair, cut where it is too long."""
        return [each.windows[0].row for each in self.documents(texts, "truncate", truncation=truncation)]


def _pairs(records: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return texts, or pairs of texts: of one batch, all or none have a second text."""
    if any(record.get("text_pair") is not None for record in records):
        return [(record["text"], record.get("text_pair") or "") for record in records]
    return [record["text"] for record in records]


def _classified(encoder: Encoder, records: Sequence[Mapping[str, Any]]) -> Iterator[Example]:
    config = encoder.config
    for row, record in zip(encoder.whole(_pairs(records)), records, strict=True):
        label = record.get("label")
        if is_regression(config):
            yield encoder.example([row], labels=float(IGNORE if label is None else label))
        elif is_multi_label(config):
            names = config.label2id
            labels = [float(IGNORE)] * len(names) if label is None else [float(name in label) for name in names]
            yield encoder.example([row], labels=labels)
        else:
            yield encoder.example([row], labels=IGNORE if label is None else config.label2id[label])


def _tagged(encoder: Encoder, records: Sequence[Mapping[str, Any]]) -> Iterator[Example]:
    documents = encoder.documents([list(record["tokens"]) for record in records], "window")
    for document, record in zip(documents, records, strict=True):
        labels, first = [], []
        tags = record.get("tags")
        before = None
        for word in document.encoding.word_ids:  # a word's label stands at its first token
            starts = word is not None and word != before
            first.append(int(starts))
            labels.append(encoder.config.label2id[tags[word]] if starts and tags and word is not None else IGNORE)
            before = word
        for window in document.windows:
            tokens = range(len(document)) if window.tokens is None else window.tokens.tolist()
            columns = {"labels": labels, "first": first} if encoder.marked else {"labels": labels}
            yield encoder.example([window.row], **{n: [values[t] for t in tokens] for n, values in columns.items()})


def _answered(encoder: Encoder, records: Sequence[Mapping[str, Any]]) -> Iterator[Example]:
    pairs = [(record["question"], record["context"]) for record in records]
    for document, record in zip(encoder.documents(pairs, "window", over=1), records, strict=True):
        labeled = "answers" in record
        first, last = _span(document, record) if labeled else (-1, -1)
        for window in document.windows:
            tokens = range(len(document)) if window.tokens is None else window.tokens.tolist()
            place = {token: index for index, token in enumerate(tokens)}
            start, end = place.get(first, 0), place.get(last, 0)  # an answer outside is answered at [CLS]
            inside = first in place and last in place
            outside = 0 if labeled else IGNORE
            yield encoder.example(
                [window.row],
                start_positions=start if inside else outside,
                end_positions=end if inside else outside,
            )


def _span(document: Document, record: Mapping[str, Any]) -> tuple[int, int]:
    """Return the first and last token of the first right answer, in the whole document; -1 where there is none."""
    if not record["answers"]:
        return -1, -1
    answer, context = record["answers"][0], record["context"]
    start = record["starts"][0] if record.get("starts") else context.find(answer)
    if not isinstance(start, int) or start < 0 or context[start : start + len(answer)] != answer:
        where = f" at {start!r}" if record.get("starts") else ""
        raise InputError(f"the answer {answer[:40]!r} to {record['question'][:40]!r} is not in its context{where}")
    stop = start + len(answer)
    encoding = document.encoding
    inside = [
        token
        for token, (text, (begin, end)) in enumerate(zip(encoding.sequence_ids, encoding.offsets, strict=True))
        if text == 1 and begin < stop and start < end
    ]
    return (inside[0], inside[-1]) if inside else (-1, -1)


def _chosen(encoder: Encoder, records: Sequence[Mapping[str, Any]]) -> Iterator[Example]:
    pairs = [(record["prompt"], choice) for record in records for choice in record["choices"]]
    rows = iter(encoder.whole(pairs, "only_first"))
    for record in records:
        yield encoder.example([next(rows) for _ in record["choices"]], labels=record["label"])


def _continued(encoder: Encoder, records: Sequence[Mapping[str, Any]]) -> Iterator[Example]:
    for row, record in zip(encoder.whole(_pairs(records)), records, strict=True):
        yield encoder.example([row], labels=int(not record["is_next"]))


def _compared(encoder: Encoder, records: Sequence[Mapping[str, Any]]) -> Iterator[Example]:
    rows = iter(encoder.whole([record[name] for record in records for name in ("text", "text_pair")]))
    for record in records:
        yield encoder.example([next(rows), next(rows)], labels=float(record.get("label", 1.0)))


_MAKERS: dict[str, Callable[[Encoder, Sequence[Mapping[str, Any]]], Iterator[Example]]] = {
    "sequence_classification": _classified,
    "token_classification": _tagged,
    "question_answering": _answered,
    "multiple_choice": _chosen,
    "next_sentence": _continued,
    BARE: _compared,
}


def fingerprint(tokenizer: Any) -> Any:
    """Return what decides a tokenizer's ids, wherever it lies."""
    settings = {name: value for name, value in tokenizer.init_kwargs.items() if name != "name_or_path"}
    library = getattr(tokenizer, "backend_tokenizer", None)
    return [type(tokenizer).__name__, tokenizer.get_vocab(), settings, library and library.to_str()]
