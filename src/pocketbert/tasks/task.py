"""What every task is: inputs are read, tokenized, cut into rows, run in sorted batches and decoded, in order.

A task file says how an input becomes texts and how the model's outputs become an answer; all else is here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Generic, TypeVar, overload

from pocketbert.errors import ConfigError, InputError
from pocketbert.runtime.batching import BATCH_TOKENS, LOOKAHEAD, Floats, Row, Runner, chunks, run_rows
from pocketbert.tasks.option_checks import check_choice, check_whole, kind, suggest
from pocketbert.tasks.windows import Cut, Document, split
from pocketbert.tokenizer.base import TokenizerBase
from pocketbert.tokenizer.encoding import Encoding

__all__ = ["Options", "Task", "Text"]

A = TypeVar("A")
E = TypeVar("E")
O = TypeVar("O", bound="Options")  # noqa: E741  # example, answer, options

Text = str | tuple[str, str] | list[str]  # a text, a pair, or the words of a text

_CHARACTERS = 32  # characters read ahead, per token of a batch: bounds memory where texts are long


@dataclass(frozen=True)
class Options:
    """What may be said in a call.

    Attributes:
        overflow: what to do with a text of more tokens than the model has positions: ``"error"``, ``"truncate"`` or,
            where the task knows how to put windows together, ``"window"``.
        max_length: most tokens of a row, if less than the model's positions.
        stride: tokens that neighbouring windows share; a quarter of the row by default.
    """

    overflow: str = "error"
    max_length: int | None = None
    stride: int | None = None

    def check(self) -> None:
        """Refuse values that have no meaning.

        Raises:
            InputError: one has none.
        """
        check_whole("max_length", self.max_length, 1, none="the model's positions")
        check_whole("stride", self.stride, 0, none="a quarter of the row")


class Task(ABC, Generic[E, A, O]):
    """A model with a head, a tokenizer, and the way between texts and answers.

    Args:
        runner: runs the model.
        tokenizer: the model's tokenizer.
        batch_tokens: tokens of a batch.
        lookahead: inputs read ahead of the answers.
        **options: what calls use unless they say otherwise; see the task's options class.

    Raises:
        InputError: an option is unknown or has no meaning.
    """

    name: ClassVar[str]
    head: ClassVar[str]
    options_class: ClassVar[type[Any]]
    overflows: ClassVar[tuple[str, ...]] = ("error", "truncate", "window")
    needs_details: ClassVar[bool] = False  # whether decoding reads offsets and words
    columns: ClassVar[tuple[str, ...]]  # what a table shows of an answer
    input_keys: ClassVar[tuple[str, ...]] = ("text",)  # of a dict or a file with columns
    optional_keys: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        runner: Runner,
        tokenizer: TokenizerBase,
        *,
        batch_tokens: int = BATCH_TOKENS,
        lookahead: int = LOOKAHEAD,
        **options: Any,
    ) -> None:
        if runner.head != self.head:
            raise ConfigError(f"{self.name} needs a {self.head} head, the runner has {runner.head}")
        check_whole("batch_tokens", batch_tokens, 1)
        check_whole("lookahead", lookahead, 1)
        self.runner = runner
        self.tokenizer = tokenizer
        self.config: Any = runner.config
        self.batch_tokens = batch_tokens
        self.lookahead = lookahead
        self.options: O = self.options_class()
        self.options = self._options(options)

    # -- what a task gives -------------------------------------------------------------------------------------

    @abstractmethod
    def read(self, item: Any, options: O) -> E:
        """Check one input and return it as the task's own type.

        Raises:
            InputError: it is not an input of this task.
        """

    @abstractmethod
    def texts(self, example: E, options: O) -> list[Text]:
        """Return what is to be tokenized, one or more texts or pairs."""

    @abstractmethod
    def decode(self, example: E, documents: list[Document], outputs: list[list[Floats]], options: O) -> A:
        """Turn outputs, one list a document and in it one array a window, into the answer."""

    def cut(self, options: O) -> Cut:
        """Return how texts that are too long are cut."""
        return Cut(
            options.overflow,
            *self.limit(options.max_length),
            options.stride,
            side=self.tokenizer.truncation_side,
            windowed="window" in self.overflows,
        )

    def check_ready(self, options: O) -> None:
        """Refuse options with which no input could be answered, because one that is needed is missing."""

    def prepare(self, example: E, document: Document, options: O) -> Document:
        """Change a document's windows before they are run."""
        return document

    def table(self, answer: A) -> list[dict[str, Any]]:
        """Return the rows of a table that shows an answer, by ``columns``."""
        found: Any = answer if isinstance(answer, list) else [answer]
        return [dict(row) for row in found]

    # -- calls -------------------------------------------------------------------------------------------------

    @overload
    def __call__(self, inputs: str | Mapping[str, Any] | tuple[Any, ...], **options: Any) -> A: ...
    @overload
    def __call__(self, inputs: list[Any], **options: Any) -> list[A]: ...
    @overload
    def __call__(self, inputs: Iterable[Any], **options: Any) -> Iterator[A]: ...
    def __call__(self, inputs: Any, **options: Any) -> A | list[A] | Iterator[A]:
        """Answer one input, a list of them, or an iterator of them.

        Args:
            inputs: a string, dict or tuple is one input and gives its answer; a list gives a list; any other iterable
                gives an iterator, which reads at most ``lookahead`` inputs ahead.
            **options: see the task's options class; they hold for this call.

        Raises:
            InputError: an input or an option is wrong; the message names the input's number.
        """
        chosen = self._options(options)
        self.check_ready(chosen)
        if self._is_one(inputs, chosen):
            return next(self._raising([self.read(inputs, chosen)], chosen, numbered=False))
        if isinstance(inputs, list):
            examples = [self._numbered(index, item, chosen) for index, item in enumerate(inputs)]
            return list(self._raising(examples, chosen))
        if isinstance(inputs, Iterable) and not isinstance(inputs, (bytes, bytearray)):
            read = (self._numbered(index, item, chosen) for index, item in enumerate(inputs))
            return self._raising(_errors_last(read), chosen, ramp=True)
        self.read(inputs, chosen)  # says what is wrong with it
        raise InputError(f"{self.name} takes a text, a list or an iterator of them, not {kind(inputs)}")

    def stream(self, items: Iterable[Any], **options: Any) -> Iterator[A | InputError]:
        """Answer ``items`` lazily and in order; one that cannot be answered gives its error in its place.

        An item that is itself an ``InputError`` is passed through.
        """
        chosen = self._options(options)
        self.check_ready(chosen)
        return self._answers((self._caught(item, chosen) for item in items), chosen, ramp=True)

    def limit(self, max_length: int | None, name: str = "max_length") -> tuple[int, str]:
        """Return the most tokens of a row, and what sets that limit if it is not the model's positions.

        Args:
            max_length: what was asked for.
            name: the option that asked for it.

        Raises:
            InputError: that is more than the model has.
        """
        positions: int = self.config.max_position_embeddings
        if max_length is not None and max_length > positions:
            raise InputError(f"{name}={max_length} exceeds the model's {positions} positions; pass at most those")
        if max_length is not None:
            return max_length, f"{name}={max_length}"
        tokenizer_limit = self.tokenizer.model_max_length
        if tokenizer_limit < positions:
            return tokenizer_limit, f"the tokenizer's model_max_length={tokenizer_limit}"
        return positions, ""

    def __repr__(self) -> str:
        """The task, its model and its runner."""
        return f"{type(self).__name__}({self.config.name_or_path!r}, runner={type(self.runner).__name__})"

    # -- inside ------------------------------------------------------------------------------------------------

    def _is_one(self, inputs: Any, options: O) -> bool:
        return isinstance(inputs, (str, Mapping, tuple))

    def _options(self, given: Mapping[str, Any]) -> O:
        known = [field.name for field in fields(self.options_class)]
        for name in given:
            if name not in known:
                raise InputError(
                    f"{self.name} takes no argument {name!r}{suggest(name, known)}; it takes {', '.join(known)}"
                )
        chosen = replace(self.options, **given)
        check_choice("overflow", chosen.overflow, self.overflows)
        chosen.check()
        self.cut(chosen)
        return chosen

    def _numbered(self, index: int, item: Any, options: O) -> E:
        try:
            return self.read(item, options)
        except InputError as error:
            raise InputError(f"input {index}: {error}") from None

    def _caught(self, item: Any, options: O) -> E | InputError:
        if isinstance(item, InputError):
            return item
        try:
            return self.read(item, options)
        except InputError as error:
            return error

    def _raising(
        self, examples: Iterable[E | InputError], options: O, *, ramp: bool = False, numbered: bool = True
    ) -> Iterator[A]:
        for index, answer in enumerate(self._answers(examples, options, ramp=ramp)):
            if isinstance(answer, InputError):
                known = not numbered or str(answer).startswith("input ")
                raise answer if known else InputError(f"input {index}: {answer}")
            yield answer

    def _answers(
        self, examples: Iterable[E | InputError], options: O, *, ramp: bool = False
    ) -> Iterator[A | InputError]:
        def size_of(example: E | InputError) -> int:
            if isinstance(example, InputError):
                return 0
            return sum(map(_characters, self.texts(example, options)))

        limit = self.batch_tokens * _CHARACTERS
        for chunk in chunks(examples, size_of, lookahead=self.lookahead, limit=limit, ramp=ramp):
            yield from self._answer_chunk(chunk, options)

    def _answer_chunk(self, chunk: Sequence[E | InputError], options: O) -> list[A | InputError]:
        texts = [[] if isinstance(example, InputError) else self.texts(example, options) for example in chunk]
        encodings = iter(self._encode([text for group in texts for text in group]))
        results: list[Any] = []  # an error, or the documents of an example
        cut, types = self.cut(options), hasattr(self.config, "type_vocab_size")
        for example, group in zip(chunk, texts, strict=True):
            found = [next(encodings) for _ in group]
            if isinstance(example, InputError):
                results.append(example)
                continue
            try:
                documents = [split(encoding, cut, types=types) for encoding in found]
                results.append([self.prepare(example, document, options) for document in documents])
            except InputError as error:
                results.append(error)
        rows: list[Row] = []
        for documents in results:
            if not isinstance(documents, InputError):
                rows += [window.row for document in documents for window in document.windows]
        outputs = iter(run_rows(self.runner, rows, self.batch_tokens))
        for index, (example, documents) in enumerate(zip(chunk, results, strict=True)):
            if isinstance(example, InputError) or isinstance(documents, InputError):
                continue
            arrays = [[next(outputs) for _ in document.windows] for document in documents]
            try:
                results[index] = self.decode(example, documents, arrays, options)
            except InputError as error:
                results[index] = error
        return results

    def _encode(self, texts: Sequence[Text]) -> list[Encoding]:
        """Tokenize texts and pairs in one call, and those that came as words in another."""
        found: list[Any] = [None] * len(texts)
        for words in (False, True):
            places = [index for index, text in enumerate(texts) if isinstance(text, list) == words]
            if not places:
                continue
            batch = self.tokenizer(
                [texts[index] for index in places],
                is_split_into_words=words,
                return_offsets_mapping=self.needs_details,
                verbose=False,
            )
            assert batch.encodings is not None
            for index, encoding in zip(places, batch.encodings, strict=True):
                found[index] = encoding
        return found


def _characters(text: Text) -> int:
    return len(text) if isinstance(text, str) else sum(map(len, text))


def _errors_last(examples: Iterator[E]) -> Iterator[E | InputError]:
    """Turn an error of reading into the last item, so that what came before it is answered first."""
    try:
        yield from examples
    except InputError as error:
        yield error
