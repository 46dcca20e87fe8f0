"""The base class of all tasks: read inputs, tokenize, split into rows, run in length-sorted batches, decode in order.

A subclass defines how an input becomes texts and how the model's outputs become an answer.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field, fields, replace
from itertools import chain, islice, zip_longest
from typing import Any, ClassVar, Generic, TypeVar, overload

from pocketbert.errors import ConfigError, InputError
from pocketbert.runtime.batching import BATCH_TOKENS, LOOKAHEAD, PAUSE, Floats, Pause, Runner, chunks, run_rows
from pocketbert.storage.pushing import Pushable
from pocketbert.tasks.arguments import Loading, read_loading, read_options
from pocketbert.tasks.option_checks import check_choice, check_flag, check_text, check_whole, fields_of, kind, suggest
from pocketbert.tasks.parts import device_of, make_runner, make_tokenizer, model_of, open_source, with_runtime
from pocketbert.tasks.saving import packed, save_parts, unpacked
from pocketbert.tasks.windows import Cut, Document, split
from pocketbert.tokenizer.call.encoding import Encoding
from pocketbert.tokenizer.call.long_texts import LONG_TEXT, MAX_CHARACTERS, characters, check_size
from pocketbert.tokenizer.call.truncation import Truncation
from pocketbert.tokenizer.tokenizer_base import PreTrainedTokenizerBase

__all__ = ["Answers", "Options", "Outputs", "Pipeline", "Text", "option"]

A = TypeVar("A")
E = TypeVar("E")
R = TypeVar("R")
O = TypeVar("O", bound="Options")  # noqa: E741  # example, answer, options

Text = str | tuple[str, str] | list[str]  # a text, a pair, or the words of a text
Outputs = list[list[Floats]]  # per document, one array per window

_CHARACTERS = 32  # characters read ahead per token of a batch; bounds memory for long texts


def option(default: Any, check: Callable[..., object], *limits: Any, **more: Any) -> Any:
    """Declare an option: its default, and the check of its name and value, such as those of ``option_checks``."""
    return field(default=default, metadata={"check": lambda name, value: check(name, value, *limits, **more)})


@dataclass(frozen=True)
class Options:
    """Options that every task accepts, at construction or per call.

    Attributes:
        overflow: what to do with a text longer than the model's positions: ``"error"``, ``"truncate"`` or, if the
            task can merge windows, ``"window"``.
        max_length: maximum tokens per row; the model's positions by default.
        stride: tokens shared by consecutive windows; a quarter of the row by default.
        truncation: which text of a pair loses tokens: ``"longest_first"``, ``"only_first"`` or ``"only_second"``; by
            default what suits the task. ``truncation=True`` stands for ``overflow="truncate"``.
        add_special_tokens: whether a text gets its ``[CLS]`` and ``[SEP]``.
        max_characters: the most characters of a text that are tokenized, as in a tokenizer's call; 5 million by
            default.
    """

    overflow: str = "error"
    max_length: int | None = option(None, check_whole, 1, none="the model's positions")
    stride: int | None = option(None, check_whole, 0, none="a quarter of the row")
    truncation: str | None = None
    add_special_tokens: bool = option(True, check_flag)
    max_characters: int = option(MAX_CHARACTERS, check_whole, 1)

    def check(self) -> None:
        """Check the values.

        Raises:
            InputError: a value is of the wrong type or out of range.
        """
        for each in fields(self):
            if "check" in each.metadata:
                each.metadata["check"](each.name, getattr(self, each.name))


class Answers(Iterator[A]):
    """The answers to inputs whose number is known: an iterator with a length, for a progress bar."""

    def __init__(self, answers: Iterator[A], count: int) -> None:
        self._answers, self._count = answers, count

    def __next__(self) -> A:
        return next(self._answers)

    def __len__(self) -> int:
        return self._count


class Pipeline(ABC, Pushable, Generic[E, A, O]):
    """A model and a tokenizer, combined into a callable that turns texts into answers.

    ``model`` is the PyTorch or Keras model; on another runtime it has the configuration, the device and the dtype.

    It pickles: a pipeline of a folder reloads from it, one of a loaded model takes the model along.

    Args:
        model: a model of this library, a ``Runner``, a folder or a hub name.
        tokenizer: the model's tokenizer, or where to load it; by default from the model's folder.
        task: the name that it was asked for by.
        batch_tokens: token budget of a batch.
        lookahead: maximum inputs read before their answers are returned.
        loading: arguments of ``pipeline`` that were read already.
        **given: arguments of ``pipeline``, and options that hold for every call; see the task's options class.

    Raises:
        InputError: an argument is unknown or its value is invalid.
        ConfigError: the runner has a different head than the task needs.
    """

    name: ClassVar[str]
    head: ClassVar[str]
    options_class: ClassVar[type[Any]] = Options
    overflows: ClassVar[tuple[str, ...]] = ("error", "truncate", "window")
    truncates: ClassVar[str] = "longest_first"  # see Cut
    window_over: ClassVar[int | None] = None  # see Cut
    needs_details: ClassVar[bool] = False  # whether decoding reads offsets and words
    shows_rest: ClassVar[bool] = False  # whether answers show what truncation cuts off
    columns: ClassVar[tuple[str, ...]]  # shown by `predict` in a table
    input_keys: ClassVar[tuple[str, ...]] = ("text",)  # keys of a dict input, or columns of a file
    optional_keys: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase | str | os.PathLike[str] | tuple[str, dict[str, Any]] | None = None,
        *,
        task: str = "",
        batch_tokens: int = BATCH_TOKENS,
        lookahead: int = LOOKAHEAD,
        loading: Loading | None = None,
        **given: Any,
    ) -> None:
        for step in ("preprocess", "_forward", "postprocess", "_sanitize_parameters"):
            if hasattr(self, step):
                raise InputError(
                    f"{type(self).__name__}.{step} would not be called here; override read, texts or decode"
                )
        check_whole("batch_tokens", batch_tokens, 1)
        check_whole("lookahead", lookahead, 1)
        loading = read_loading(given) if loading is None else loading
        self.source = open_source(model, loading)
        self.loading = replace(loading, runtime=with_runtime(self.source, loading))
        self.task = task or self.name
        self.batch_tokens = batch_tokens
        self.lookahead = lookahead
        self._run_on(make_runner(self.source, self.name, self.head, self.loading))
        self.tokenizer: PreTrainedTokenizerBase = make_tokenizer(tokenizer, self.source, self.config, loading)
        self.options: O = self.options_class()
        self.options = self._options({**self.own_options(given), **given})

    # -- what users of transformers look at ------------------------------------------------------------------------

    @property
    def device(self) -> Any:
        """Where the model runs."""
        return device_of(self.runner)

    @property
    def dtype(self) -> Any:
        """The dtype of the model's parameters."""
        return getattr(self.model, "dtype", None)

    torch_dtype = dtype

    @property
    def framework(self) -> str:
        """``"tf"`` if Keras runs the model, else ``"pt"``."""
        return getattr(self.runner, "framework", "pt")

    def predict(self, X: Any) -> Any:  # noqa: N803  # scikit-learn's name
        """Answer; see ``__call__``."""
        return self(X)

    def transform(self, X: Any) -> Any:  # noqa: N803  # scikit-learn's name
        """Answer; see ``__call__``."""
        return self(X)

    def save_pretrained(self, save_directory: str | os.PathLike[str], **options: Any) -> None:
        """Save the model and the tokenizer into a folder.

        Args:
            save_directory: the folder, made if absent.
            **options: of the model's ``save_pretrained``.

        Raises:
            InputError: there is nothing that could be saved: a ``Runner`` was given.
        """
        save_parts(self.source, self.runner, self.tokenizer, save_directory, options)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "source": packed(self.source, self.config), "runner": None, "model": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.source = unpacked(self.source)
        self._run_on(make_runner(self.source, self.name, self.head, self.loading))

    def _run_on(self, runner: Runner) -> None:
        if runner.head != self.head:
            raise ConfigError(f"{self.name} needs a {self.head} head, the runner has {runner.head}")
        self.runner = runner
        self.config: Any = runner.config
        self.model = model_of(self.source, runner, self.loading)

    # -- defined by subclasses -------------------------------------------------------------------------------------

    def read(self, item: Any, options: O) -> E:
        """Validate one input and convert it to the task's example type; by default a text, or a pair if it takes two.

        Raises:
            InputError: it is not a valid input for this task.
        """
        names, values = self.input_keys + self.optional_keys, [item]
        if isinstance(item, Mapping):
            values = fields_of(item, self.input_keys, self.optional_keys)
        elif isinstance(item, tuple) and len(item) == len(names) == 2:
            values = list(item)
        given = [(n, value) for n, value in zip_longest(names, values) if value is not None or n in self.input_keys]
        texts: Any = tuple(check_text(name, value) for name, value in given)
        example: E = texts if len(texts) > 1 else texts[0]
        return example

    def texts(self, example: E, options: O) -> list[Text]:
        """Return the texts or pairs to tokenize for an example; by default the example is the only one."""
        only: Any = example
        return [only]

    @abstractmethod
    def decode(self, example: E, documents: list[Document], outputs: Outputs, options: O) -> A:
        """Convert outputs into the answer.

        Args:
            example: what ``read`` returned.
            documents: one per text of the example.
            outputs: per document, one array per window.
            options: the options of this call.
        """

    def own_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return options that the checkpoint asks for beside those that the caller gives, which come first."""
        del given
        return {}

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options that the arguments of a call mean; see ``arguments.read_options``."""
        return read_options(given, vars(self.options))

    def cut(self, options: O) -> Cut:
        """Return how to handle texts that are too long."""
        return Cut(
            options.overflow,
            *self.limit(options.max_length),
            options.stride,
            truncation=options.truncation or self.truncates,
            window_over=self.window_over,
            side=self.tokenizer.truncation_side,
            windowed="window" in self.overflows,
        )

    def check_ready(self, options: O) -> None:
        """Raise InputError if a required option is missing."""

    def prepare(self, example: E, document: Document, options: O) -> Document:
        """Modify a document's windows before they run."""
        return document

    def table(self, answer: A) -> list[dict[str, Any]]:
        """Return an answer as table rows, keyed by ``columns``."""
        rows: Any = answer if isinstance(answer, list) else [answer]
        return [dict(row) for row in rows]

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
                or data set gives an iterator, which reads at most ``lookahead`` inputs ahead.
            **options: options for this call only; see the task's options class.

        Raises:
            InputError: an input or an option is wrong; the message gives the input's index.
        """
        chosen = self._options(options)
        self.check_ready(chosen)
        if self._is_one(inputs, chosen):
            (answer,) = self._answers([self.read(inputs, chosen)], chosen)
            if isinstance(answer, InputError):
                raise answer
            return answer
        if isinstance(inputs, list):
            examples = list(self._reading(inputs, chosen))
            if examples and isinstance(examples[-1], InputError):  # before any is answered
                raise _at(len(examples) - 1, examples[-1])
            return list(self._raising(examples, chosen))
        if (items := _iterated(inputs)) is not None:
            answers = self._raising(self._reading(items, chosen), chosen, ramp=True)
            return Answers(answers, len(inputs)) if isinstance(inputs, Sized) else answers
        self.read(inputs, chosen)  # raises a specific error
        raise InputError(f"{self.name} takes a text, a list or an iterator of them, not {kind(inputs)}")

    def stream(self, items: Iterable[Any], /, **options: Any) -> Iterator[A | InputError]:
        """Answer ``items`` lazily and in order, yielding an ``InputError`` in place of each answer that fails.

        An item that is already an ``InputError`` is passed through; at ``PAUSE`` all items before it are answered.
        """
        chosen = self._options(options)
        self.check_ready(chosen)
        examples = (item if item is PAUSE else _attempt(self.read, item, chosen) for item in items)
        return self._answers(examples, chosen, ramp=True)

    def chosen(self, /, **options: Any) -> dict[str, Any]:
        """Return the value of every option in a call with ``options``.

        Raises:
            InputError: an option is unknown or its value is invalid.
        """
        return dict(vars(self._options(options)))

    def limit(self, max_length: int | None, name: str = "max_length") -> tuple[int, str]:
        """Return the maximum tokens per row, and what sets that limit.

        Args:
            max_length: the requested maximum, or None.
            name: the option that it came from.

        Raises:
            InputError: it exceeds the model's positions.
        """
        positions: int = self.config.max_position_embeddings
        if max_length is not None and max_length > positions:
            raise InputError(f"{name}={max_length} exceeds the model's {positions} positions; pass at most those")
        if max_length is not None:
            return max_length, f"{name}={max_length}"
        tokenizer_limit = self.tokenizer.model_max_length
        if tokenizer_limit < positions:
            return tokenizer_limit, f"the tokenizer's model_max_length={tokenizer_limit}"
        return positions, f"the model's {positions} positions"

    def __repr__(self) -> str:
        """The task, its model and its runner."""
        return f"{type(self).__name__}({self.config.name_or_path!r}, runner={type(self.runner).__name__})"

    # -- internals ---------------------------------------------------------------------------------------------

    def _is_one(self, inputs: Any, options: O) -> bool:
        return isinstance(inputs, (str, Mapping, tuple))

    def _options(self, given: Mapping[str, Any]) -> O:
        known = [each.name for each in fields(self.options_class)]
        given = self.arguments(given)
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

    def _reading(self, items: Iterable[Any], options: O) -> Iterator[E | InputError]:
        """Yield an error in reading as the last item, so that the inputs before it are answered first."""
        try:
            for item in items:
                yield self.read(item, options)
        except InputError as error:
            yield error

    def _raising(self, examples: Iterable[E | InputError], options: O, *, ramp: bool = False) -> Iterator[A]:
        for index, answer in enumerate(self._answers(examples, options, ramp=ramp)):
            if isinstance(answer, InputError):
                raise _at(index, answer)
            yield answer

    def _answers(
        self, examples: Iterable[E | InputError | Pause], options: O, *, ramp: bool = False
    ) -> Iterator[A | InputError]:
        def size_of(example: E | InputError) -> int:
            return sum(map(_characters_of, self._texts(example, options)))

        limit = self.batch_tokens * _CHARACTERS
        made: Iterator[list[E | InputError]] = chunks(
            examples, size_of, lookahead=self.lookahead, limit=limit, ramp=ramp
        )
        for chunk in made:
            yield from self._answer_chunk(chunk, options)

    def _texts(self, example: E | InputError, options: O) -> list[Text]:
        return [] if isinstance(example, InputError) else self.texts(example, options)

    def _answer_chunk(self, chunk: Sequence[E | InputError], options: O) -> list[A | InputError]:
        bounded = [_attempt(self._bounded, example, options) for example in chunk]
        chunk = [group if isinstance(group, InputError) else each for each, group in zip(chunk, bounded, strict=True)]
        texts = [[] if isinstance(group, InputError) else group for group in bounded]
        encodings = iter(self._encode(list(chain.from_iterable(texts)), options))
        cut, types = self.cut(options), hasattr(self.config, "type_vocab_size")

        def documents_of(example: E, encoded: list[Encoding]) -> list[Document]:
            documents = [split(encoding, cut, types=types) for encoding in encoded]
            return [self.prepare(example, document, options) for document in documents]

        encoded = [list(islice(encodings, len(group))) for group in texts]
        made = [_attempt(documents_of, example, group) for example, group in zip(chunk, encoded, strict=True)]
        documents = [document for group in made if not isinstance(group, InputError) for document in group]
        rows = [window.row for document in documents for window in document.windows]
        outputs = iter(run_rows(self.runner, rows, self.batch_tokens))

        def answer_of(documents: list[Document], example: E) -> A:
            arrays = [[next(outputs) for _ in document.windows] for document in documents]
            return self.decode(example, documents, arrays, options)

        return [_attempt(answer_of, group, example) for group, example in zip(made, chunk, strict=True)]

    def _bounded(self, example: E, options: O) -> list[Text]:
        """Return the texts of an example, long ones without what truncation cuts off; refuse those too long."""
        texts, tokenizer = self.texts(example, options), self.tokenizer
        if max(map(_characters_of, texts), default=0) <= min(LONG_TEXT, options.max_characters):
            return texts
        own = isinstance(tokenizer, PreTrainedTokenizerBase)
        if own and options.overflow == "truncate" and not self.shows_rest:
            cut = self.cut(options)
            truncation = Truncation(cut.truncation, cut.limit, 0, cut.side)
            texts = [self._shortened(text, truncation, options) for text in texts]
        for text in texts:
            for part in text if isinstance(text, tuple) else (text,):
                check_size(part, "a text", options.max_characters, tokenizer.expansion if own else 1)
        return texts

    def _shortened(self, text: Text, cut: Truncation, options: O) -> Text:
        row: tuple[Any, ...] = self.tokenizer.shortened(
            text if isinstance(text, tuple) else (text,),
            cut,
            add_special_tokens=options.add_special_tokens,
            is_split_into_words=isinstance(text, list),
            split_special_tokens=self.tokenizer.split_special_tokens,
        )
        return row if isinstance(text, tuple) else row[0]

    def _encode(self, texts: Sequence[Text], options: O) -> list[Encoding]:
        """Tokenize texts and pairs in one call, and pre-split words in another."""
        encodings: list[Any] = [None] * len(texts)
        # texts were checked; a tokenizer of another library has no such argument
        larger: dict[str, Any] = (
            {"max_characters": options.max_characters} if options.max_characters > MAX_CHARACTERS else {}
        )
        for words in (False, True):
            places = [index for index, text in enumerate(texts) if isinstance(text, list) == words]
            if not places:
                continue
            batch = self.tokenizer(
                [texts[index] for index in places],
                is_split_into_words=words,
                add_special_tokens=options.add_special_tokens,
                return_offsets_mapping=self.needs_details,
                verbose=False,
                **larger,
            )
            assert batch.encodings is not None
            for index, encoding in zip(places, batch.encodings, strict=True):
                encodings[index] = encoding
        return encodings


def _iterated(inputs: Any) -> Iterable[Any] | None:
    """Return what yields the items of an iterable, or of a data set that only has items and a length; else None."""
    if isinstance(inputs, (bytes, bytearray)):
        return None
    if isinstance(inputs, Iterable):
        return inputs
    if isinstance(inputs, Sized) and hasattr(inputs, "__getitem__"):
        return (inputs[index] for index in range(len(inputs)))
    return None


def _at(index: int, error: InputError) -> InputError:
    """Return the error with the number of the input that it is about."""
    error.args = (f"input {index}: {error}",)
    return error


def _characters_of(text: Text) -> int:
    return sum(map(characters, text)) if isinstance(text, tuple) else characters(text)


def _attempt(step: Callable[..., R], item: Any, *rest: Any) -> R | InputError:
    """Return what a step makes of an item: an InputError if it fails, or if an earlier step did."""
    if isinstance(item, InputError):
        return item
    try:
        return step(item, *rest)
    except InputError as error:
        return error
