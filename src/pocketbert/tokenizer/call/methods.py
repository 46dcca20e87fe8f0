"""The methods that turn texts into model inputs: calling a tokenizer, ``encode``, ``tokenize``, ``pad`` and so on."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import Any

from pocketbert.errors import InputError
from pocketbert.notices import renamed
from pocketbert.tokenizer.call.arrays import as_lists, kind_of
from pocketbert.tokenizer.call.batch_encoding import BatchEncoding
from pocketbert.tokenizer.call.encoding import Encoding, Piece
from pocketbert.tokenizer.call.long_texts import LONG_TEXT, MAX_CHARACTERS, beginnings, characters, check_size
from pocketbert.tokenizer.call.padding import PADDINGS, Padding, pad_row
from pocketbert.tokenizer.call.row_layout import Layout
from pocketbert.tokenizer.call.rows import Rows, Tokenized
from pocketbert.tokenizer.call.texts import NO_LIMIT, Side, Text, Texts, choice, side_of, texts_of, whole_number
from pocketbert.tokenizer.call.truncation import Truncation, truncation_of
from pocketbert.tokenizer.special_tokens import SpecialTokensMixin

__all__ = ["CallMethods"]

logger = logging.getLogger(__name__)

# Columns beside the ids, in the order in which they are returned -> the attribute of an Encoding.
_COLUMNS = {
    "token_type_ids": "type_ids",
    "attention_mask": "attention_mask",
    "special_tokens_mask": "special_tokens_mask",
    "offset_mapping": "offsets",
}


@dataclass(frozen=True)
class _Options:
    """The checked arguments of a call."""

    add_special_tokens: bool
    padding: Padding | None
    truncation: Truncation | None
    split_into_words: bool
    split_special_tokens: bool
    columns: tuple[str, ...]
    overflow: bool
    length: bool
    tensors: str | None
    warn_length: bool
    max_characters: int


class CallMethods(SpecialTokensMixin):
    """The methods that make model inputs. They change no state, so threads may share a tokenizer."""

    model_input_names: Sequence[str]
    model_max_length: int
    padding_side: Side
    truncation_side: Side
    pad_token_type_id: int
    split_special_tokens: bool
    _warned_length = False

    _layouts: tuple[Layout, Layout]  # of a row of one text, and of a row of two
    expansion: float = 1  # how many characters the steps before the model may make of one

    @property
    @abstractmethod
    def _splits_at_spaces(self) -> bool:
        """Whether the tokens before a space never depend on what follows it."""

    @abstractmethod
    def _tokenized(
        self, texts: Sequence[Any], *, split_into_words: bool, split_special_tokens: bool, details: bool
    ) -> Tokenized:
        """Tokenize ``texts`` (strings, or lists of words).

        ``details``: also compute offsets and words, which the Fast tokenizers otherwise do when they are first read.
        """

    def __call__(
        self,
        text: Any = None,
        text_pair: Any = None,
        text_target: Any = None,
        text_pair_target: Any = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        **extras: Any,
    ) -> BatchEncoding:
        """Turn one text, one pair, or a batch of either, into model inputs.

        Lone surrogates, which UTF-8 cannot encode, count as U+FFFD, the replacement character.

        Args:
            text: a string; a batch is a list of them, or of (text, pair) tuples. With ``is_split_into_words``, a list
                of words stands for each string.
            text_pair: the second text of each row, in the same form.
            text_target: texts whose ids become ``labels``.
            text_pair_target: the second texts of ``text_target``.
            add_special_tokens: put ``[CLS]`` and ``[SEP]`` around the texts.
            padding: True or "longest", "max_length", or False.
            truncation: True or "longest_first", "only_first", "only_second", or False.
            max_length: tokens of a row, special tokens included; by default ``model_max_length``. Given with neither
                ``padding`` nor ``truncation``, it truncates.
            stride: tokens that neighboring windows share, with ``return_overflowing_tokens``.
            is_split_into_words: texts come as lists of words; offsets are then within each word.
            pad_to_multiple_of: round the padded length up to a multiple.
            padding_side: "left" or "right"; by default the tokenizer's.
            return_tensors: "np", "pt" or "tf"; by default lists. Tensors always have a batch axis.
            return_token_type_ids: whether to return them; by default if the model takes them.
            return_attention_mask: whether to return it; by default if the model takes it.
            return_overflowing_tokens: return every window of a truncated text as a row, and the number of the text
                that each row is from as ``overflow_to_sample_mapping``.
            return_special_tokens_mask: return 1 for padding and special tokens that were added, 0 for others.
            return_offsets_mapping: return the characters (start, exclusive end) of each token.
            return_length: return the number of tokens of each row.
            verbose: log a warning, once per tokenizer, where a row is longer than the model takes.
            extras: ``split_special_tokens=True`` reads special tokens in the text as ordinary characters;
                ``max_characters`` is the most characters of a text that are tokenized, 5 million by default. What
                truncation cuts off does not count where the rest can be told without it.

        Raises:
            InputError: an argument is wrong; the message says which, and what to pass instead.
        """
        if "pad_to_max_length" in extras:
            renamed("pad_to_max_length", "padding='max_length'")
            padding = "max_length" if extras.pop("pad_to_max_length") else padding
            truncation = truncation if truncation is not None else max_length is not None
        split_special = extras.pop("split_special_tokens", self.split_special_tokens)
        max_characters = extras.pop("max_characters", MAX_CHARACTERS)
        whole_number("max_characters", max_characters, least=1)
        if extras:
            raise InputError(f"unknown argument {', '.join(map(repr, sorted(extras)))} in a tokenizer call")
        wanted = {
            "token_type_ids": self._takes("token_type_ids", return_token_type_ids),
            "attention_mask": self._takes("attention_mask", return_attention_mask),
            "special_tokens_mask": return_special_tokens_mask,
            "offset_mapping": return_offsets_mapping,
        }
        options = _Options(
            add_special_tokens=add_special_tokens,
            padding=self._padding(padding, max_length, pad_to_multiple_of, padding_side),
            truncation=truncation_of(
                truncation,
                max_length=max_length,
                stride=stride,
                side=side_of("truncation_side", self.truncation_side),
                model_max_length=self.model_max_length,
                padding=padding,
            ),
            split_into_words=is_split_into_words,
            split_special_tokens=split_special,
            columns=tuple(name for name, asked in wanted.items() if asked),
            overflow=return_overflowing_tokens,
            length=return_length,
            tensors=return_tensors,
            warn_length=verbose and max_length is None,
            max_characters=max_characters,
        )
        if options.padding and options.truncation and options.truncation.length % (options.padding.multiple or 1):
            raise InputError(
                f"rows cut to {options.truncation.length} tokens cannot be padded to a multiple of "
                f"{pad_to_multiple_of}; pass a max_length that is one"
            )
        if text is not None:
            batch = self._encode(texts_of(text, text_pair, split_into_words=is_split_into_words), options)
            if text_target is None:
                return batch
        if text_target is None:
            raise InputError("no text; pass text, or text_target for labels")
        target = self._encode(texts_of(text_target, text_pair_target, split_into_words=is_split_into_words), options)
        if text is None:
            return target
        batch["labels"] = target["input_ids"]
        return batch

    def encode_plus(
        self, text: Any, text_pair: Any = None, add_special_tokens: bool = True, **options: Any
    ) -> BatchEncoding:
        """Encode one text or one pair; options are those of a call."""
        if text and isinstance(text, (list, tuple)) and not isinstance(text[0], str):
            raise InputError(
                f"encode_plus takes one text, not a {type(text).__name__}; call the tokenizer with a batch"
            )
        return self(text, text_pair, add_special_tokens=add_special_tokens, **options)

    def batch_encode_plus(
        self, batch_text_or_text_pairs: Sequence[Any], add_special_tokens: bool = True, **options: Any
    ) -> BatchEncoding:
        """Encode a list of texts or of (text, pair) tuples; options are those of a call."""
        if not isinstance(batch_text_or_text_pairs, (list, tuple)):
            raise InputError(
                f"batch_encode_plus takes a list of texts, not a {type(batch_text_or_text_pairs).__name__}"
            )
        if options.get("is_split_into_words") and all(isinstance(row, str) for row in batch_text_or_text_pairs):
            batch_text_or_text_pairs = [batch_text_or_text_pairs]
        return self(batch_text_or_text_pairs, add_special_tokens=add_special_tokens, **options)

    def encode(
        self,
        text: Any,
        text_pair: Any = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        **options: Any,
    ) -> Any:
        """Return the ids of one text or pair; options are those of a call."""
        options |= {"padding": padding, "truncation": truncation, "max_length": max_length, "stride": stride}
        options |= {"padding_side": padding_side, "return_tensors": return_tensors}
        return self.encode_plus(text, text_pair, add_special_tokens, **options)["input_ids"]

    def tokenize(self, text: Any, pair: Any = None, add_special_tokens: bool = False, **options: Any) -> list[str]:
        """Return the tokens of one text or pair, as the vocabulary writes them."""
        return self.encode_plus(text, pair, add_special_tokens, **options).tokens()

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Return the number of special tokens of a row: 2 for a text, 3 for a pair."""
        return self._layouts[1 if pair else 0].special_count

    def build_inputs_with_special_tokens(
        self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None
    ) -> list[int]:
        """Return the ids of ``[CLS] A [SEP]``, or of ``[CLS] A [SEP] B [SEP]``."""
        return self._row_of_ids(token_ids_0, token_ids_1).ids

    def create_token_type_ids_from_sequences(
        self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None
    ) -> list[int]:
        """Return the segments: 0 for ``[CLS] A [SEP]``, 1 for ``B [SEP]``."""
        return self._row_of_ids(token_ids_0, token_ids_1).type_ids

    def get_special_tokens_mask(
        self,
        token_ids_0: Sequence[int],
        token_ids_1: Sequence[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """Return 1 for special tokens, 0 for others, of the row that these ids make or, with the flag, already are."""
        if not already_has_special_tokens:
            return self._row_of_ids(token_ids_0, token_ids_1).special_tokens_mask
        if token_ids_1 is not None:
            raise InputError("token_ids_1 with already_has_special_tokens=True; pass the whole row as token_ids_0")
        special = set(self.all_special_ids)
        return [int(id_ in special) for id_ in token_ids_0]

    @property
    def max_len_single_sentence(self) -> int:
        """The number of tokens of one text that the model takes beside the special tokens."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=False)

    @property
    def max_len_sentences_pair(self) -> int:
        """The number of tokens of a pair that the model takes beside the special tokens."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pad rows of ids: a dict of lists, a list of dicts, or one row as a dict.

        ``input_ids`` (the first of ``model_input_names``), ``attention_mask``, ``token_type_ids`` and
        ``special_tokens_mask`` are padded; other columns stay as they are. Arrays give arrays of their kind, lists give
        lists, unless ``return_tensors`` names a kind of array.
        """
        columns, kind = self._columns_of(encoded_inputs)
        return_tensors = kind if return_tensors is None else return_tensors
        options = self._padding(padding, max_length, pad_to_multiple_of, padding_side)
        main = self.model_input_names[0]
        single = not columns[main] or not isinstance(columns[main][0], list)
        if single:
            columns = {name: [value] for name, value in columns.items()}
        ids = columns[main]
        if any(len(column) != len(ids) for column in columns.values()):
            sizes = ", ".join(f"{name} {len(column)}" for name, column in columns.items())
            raise InputError(f"columns differ in their number of rows: {sizes}")
        if self._takes("attention_mask", return_attention_mask):
            columns.setdefault("attention_mask", [[1] * len(row) for row in ids])
        if options:
            length = options.target(max(map(len, ids)))
            fills = {main: options.id, "attention_mask": 0}
            fills |= {"token_type_ids": options.type_id, "special_tokens_mask": 1}
            for name, fill in fills.items():
                if name in columns:
                    columns[name] = [pad_row(row, length, fill, options.side) for row in columns[name]]
        if single and return_tensors is None:
            columns = {name: rows[0] for name, rows in columns.items()}
        return BatchEncoding(columns, tensor_type=return_tensors)

    def _columns_of(self, encoded: Any) -> tuple[dict[str, Any], str | None]:
        """Return the columns of the argument of ``pad`` as lists, and the kind of array that they were."""
        if isinstance(encoded, (list, tuple)) and encoded and all(isinstance(row, Mapping) for row in encoded):
            encoded = {name: [row[name] for row in encoded] for name in encoded[0]}
        main = self.model_input_names[0]
        if not isinstance(encoded, Mapping) or main not in encoded:
            given = f" it has {', '.join(map(str, encoded))}" if isinstance(encoded, Mapping) else ""
            raise InputError(f"pad takes a dict with {main}, or a list of such dicts;{given or ' this is neither'}")
        return {name: as_lists(value) for name, value in encoded.items()}, kind_of(encoded[main])

    def _takes(self, name: str, asked: bool | None) -> bool:
        return name in self.model_input_names if asked is None else asked

    def _padding(self, padding: Any, max_length: int | None, multiple: int | None, side: str | None) -> Padding | None:
        """Check the arguments of a call that ask for padding; None for no padding."""
        side = side_of("padding_side", self.padding_side if side is None else side)
        strategy = choice("padding", padding, PADDINGS)
        if multiple is not None:
            whole_number("pad_to_multiple_of", multiple, least=1)
        if strategy is None:
            return None
        if strategy == "max_length" and max_length is not None:
            whole_number("max_length", max_length, least=1)
        length = self.model_max_length if max_length is None else max_length
        if strategy == "max_length" and length >= NO_LIMIT:
            raise InputError(
                "padding='max_length' needs a length and this tokenizer has no model_max_length; pass max_length"
            )
        token, id_ = self.pad_token, self.pad_token_id
        if token is None or id_ is None:
            raise InputError(
                f"padding={padding!r} needs a pad token; set tokenizer.pad_token, '[PAD]' in BERT's vocabularies"
            )
        return Padding(None if strategy == "longest" else length, multiple, side, token, id_, self.pad_token_type_id)

    def _row_of_ids(self, first: Sequence[int], second: Sequence[int] | None, *, bare: bool = False) -> Encoding:
        layouts = (Layout.bare(1), Layout.bare(2)) if bare else self._layouts
        texts = [list(first)] if second is None else [list(first), list(second)]
        return Rows(Tokenized(texts, []), [tuple(range(len(texts)))], layouts, None, overflow=False)[0]

    def _encode(self, texts: Texts, options: _Options) -> BatchEncoding:
        flat = list(chain.from_iterable(texts.rows))
        longest = max(map(characters if options.split_into_words else len, flat), default=0)
        if longest > min(LONG_TEXT, options.max_characters / self.expansion):
            texts = replace(texts, rows=self._bounded(texts.rows, options))
            flat = list(chain.from_iterable(texts.rows))
        tokens = self._tokenized(
            flat,
            split_into_words=options.split_into_words,
            split_special_tokens=options.split_special_tokens,
            details="offset_mapping" in options.columns,
        )
        numbers = count()
        members = [tuple(next(numbers) for _ in row) for row in texts.rows]
        layouts = self._layouts if options.add_special_tokens else (Layout.bare(1), Layout.bare(2))
        rows = Rows(tokens, members, layouts, options.truncation, overflow=options.overflow)
        self._warn_length(max(map(len, rows.ids), default=0), None, options.warn_length)
        if options.padding:
            rows.pad(options.padding)
        data: dict[str, Any] = {"input_ids": rows.ids}
        data |= {name: rows.column(_COLUMNS[name]) for name in options.columns}
        if options.tensors is None and not texts.batched and not options.overflow:
            data = {name: column[0] for name, column in data.items()}
        if options.length:
            data["length"] = [len(ids) for ids in rows.ids]
        if options.overflow:
            data["overflow_to_sample_mapping"] = rows.samples
        return BatchEncoding(data, rows, options.tensors)

    def _bounded(self, rows: list[tuple[Text, ...]], options: _Options) -> list[tuple[Text, ...]]:
        """Return rows of texts that are not too long to be tokenized, in place of ``rows``."""
        if options.truncation and not options.overflow:
            rows = [
                self.shortened(
                    row,
                    options.truncation,
                    add_special_tokens=options.add_special_tokens,
                    is_split_into_words=options.split_into_words,
                    split_special_tokens=options.split_special_tokens,
                )
                for row in rows
            ]
        for sample, row in enumerate(rows):
            for text in row:
                check_size(text, f"text {sample}", options.max_characters, self.expansion)
        return rows

    def shortened(
        self,
        row: tuple[Text, ...],
        cut: Truncation,
        *,
        add_special_tokens: bool,
        is_split_into_words: bool,
        split_special_tokens: bool,
    ) -> tuple[Text, ...]:
        """Return the text or pair of a row, with long ones shortened so that the row, cut as ``cut`` says, is the same.

        See :func:`pocketbert.tokenizer.call.long_texts.beginnings`; the other arguments are those of a call.
        """

        def tokens_of(text: Text) -> Piece:
            found = self._tokenized(
                [text], split_into_words=is_split_into_words, split_special_tokens=split_special_tokens, details=True
            )
            return found.pieces[0]

        room = cut.length - (self.num_special_tokens_to_add(len(row) > 1) if add_special_tokens else 0)
        return beginnings(row, room, cut, tokens_of, at_spaces=self._splits_at_spaces) if room > 0 else row

    def _warn_length(self, length: int, max_length: int | None, verbose: bool) -> None:
        """Log, once, that a row is longer than the model takes, where the caller did not choose a length."""
        if verbose and max_length is None and not self._warned_length and length > self.model_max_length:
            self._warned_length = True
            logger.warning(
                "a text has %d tokens and the model takes %d; pass truncation=True", length, self.model_max_length
            )
