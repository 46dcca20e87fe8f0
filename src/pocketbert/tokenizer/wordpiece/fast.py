"""Tokenizers on the ``tokenizers`` library, which splits texts into tokens; the rest is shared with the Python ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from pocketbert.errors import CheckpointError, InputError
from pocketbert.tokenizer.added_tokens import AddedToken, as_added, refuse_taken, refuse_vanishing
from pocketbert.tokenizer.call.encoding import Piece
from pocketbert.tokenizer.call.row_layout import Layout, Special
from pocketbert.tokenizer.call.rows import Tokenized
from pocketbert.tokenizer.call.texts import replace_surrogates
from pocketbert.tokenizer.special_tokens import ROLES
from pocketbert.tokenizer.steps import expansion
from pocketbert.tokenizer.tokenizer_base import PreTrainedTokenizerBase
from pocketbert.tokenizer.wordpiece.library import copied, library_errors, load, own_copy, splits_at_spaces, written
from pocketbert.tokenizer.wordpiece.training import trained

if TYPE_CHECKING:
    import tokenizers

__all__ = ["PreTrainedTokenizerFast", "layouts_of"]


class PreTrainedTokenizerFast(PreTrainedTokenizerBase):
    """Any tokenizer of the ``tokenizers`` library.

    The library's object is never changed: padding and truncation are done here, and adding tokens replaces the object
    by a changed copy. So calls share no state, and threads may share a tokenizer.

    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> library = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "dog": 2}, unk_token="[UNK]"))
    >>> library.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> from pocketbert import PreTrainedTokenizerFast
    >>> PreTrainedTokenizerFast(tokenizer_object=library, unk_token="[UNK]")("a dog").input_ids
    [1, 2]
    """

    vocab_files_names: ClassVar[dict[str, str]] = {"tokenizer_file": "tokenizer.json"}
    is_fast: ClassVar[bool] = True
    can_save_slow_tokenizer: ClassVar[bool] = True
    _is_wordpiece: ClassVar[bool] = False

    def __init__(
        self,
        tokenizer_object: tokenizers.Tokenizer | None = None,
        tokenizer_file: str | os.PathLike[str] | None = None,
        **settings: Any,
    ) -> None:
        """Wrap a tokenizer of the library.

        Args:
            tokenizer_object: the tokenizer; a copy of it is used.
            tokenizer_file: path of a ``tokenizer.json``, in place of an object.
            settings: the special tokens by role (``unk_token``, ``pad_token`` and so on; none by default),
                ``model_max_length``, ``padding_side``, ``truncation_side``, ``additional_special_tokens``,
                ``clean_up_tokenization_spaces``, ``split_special_tokens``, ``pad_token_type_id``,
                ``model_input_names``.

        Raises:
            InputError: there is neither an object nor a file.
            CheckpointError: the file is missing or damaged.
        """
        if tokenizer_object is None:
            if tokenizer_file is None:
                raise InputError("no tokenizer; pass tokenizer_object or tokenizer_file")
            library = load(tokenizer_file)
        else:
            library = own_copy(tokenizer_object)
        self._init_library(library, {}, {}, path=tokenizer_file, **settings)

    def _init_library(
        self, library: tokenizers.Tokenizer, own: Mapping[str, Any], roles: Mapping[str, Any], path: Any, **given: Any
    ) -> None:
        """Set all attributes; arguments are those of ``_init_shared``, ``path`` is for messages.

        No one else has ``library``, which is changed.
        """
        self.add_prefix_space = bool(given.get("add_prefix_space", False))  # byte-level models have it, WordPiece not
        given.pop("from_slow", None)  # there is one way to build the library's tokenizer
        self._library = library
        padding, truncation = library.padding or {}, library.truncation or {}
        for name, value in (
            ("padding_side", padding.get("direction")),
            ("pad_token", padding.get("pad_token")),
            ("pad_token_type_id", padding.get("pad_type_id")),
            ("truncation_side", truncation.get("direction")),
        ):
            if value is not None and name not in roles:
                given.setdefault(name, value)
        library.no_padding()
        library.no_truncation()
        self._init_shared(own, roles, **given)
        self.expansion = expansion(self._library)
        self._layouts = layouts_of(self._library, path)

    @property
    def backend_tokenizer(self) -> tokenizers.Tokenizer:
        """The library's tokenizer, to be read; a change to it shows in calls that other threads are making."""
        return self._library

    @property
    def _tokenizer(self) -> tokenizers.Tokenizer:
        return self._library

    @property
    def decoder(self) -> Any:
        """The library's decoder, which joins tokens to a text."""
        return self._library.decoder

    def set_truncation_and_padding(self, *_: Any, **__: Any) -> None:
        """Do nothing: each call pads and truncates by its own arguments, not by the state of the library's object."""

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Id -> added token; special tokens are added tokens."""
        return dict(self._added_by_id)

    @cached_property
    def _added_by_id(self) -> dict[int, AddedToken]:
        return {id_: as_added(token) for id_, token in sorted(self._library.get_added_tokens_decoder().items())}

    @cached_property
    def _special_added(self) -> Set[str]:
        return {token.content for token in self._added_by_id.values() if token.special}

    @cached_property
    def _splits_at_spaces(self) -> bool:
        return splits_at_spaces(self._library)

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """Join tokens to a text: ``["un", "##known", "."]`` to ``"unknown."``."""
        decoder = self._library.decoder
        if decoder is None:
            return " ".join(tokens)
        with library_errors(InputError, "the tokenizers library cannot join these tokens"):
            return str(decoder.decode(list(tokens)))

    @cached_property
    def _vocab(self) -> Mapping[str, int]:
        return dict(self._library.get_vocab(with_added_tokens=False))

    def _tokenizer_json(self) -> str:
        return written(self._library, pretty=True)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: the library's tokenizer as the content of its file."""
        caches = {"_vocab", "_added_by_id", "_special_added", "_splits_at_spaces"}
        state = {name: value for name, value in self.__dict__.items() if name not in caches}
        return state | {"_library": written(self._library)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what :meth:`__getstate__` gave."""
        from tokenizers import Tokenizer

        self.__dict__.update(state)
        self._library = Tokenizer.from_str(state["_library"])

    def _token_to_id(self, token: str) -> int | None:
        id_: int | None = self._library.token_to_id(replace_surrogates(token))
        return id_

    def _id_to_token(self, id_: int) -> str | None:
        token: str | None = self._library.id_to_token(id_) if id_ < 2**32 else None
        return token

    def _token_of(self, id_: int) -> str | None:
        return self._id_to_token(id_)

    def _is_pair(self, text: Any) -> bool:
        return len(text) == 2 and all(isinstance(item, str) for item in text)

    def _add(self, tokens: Sequence[AddedToken]) -> int:
        if not tokens:
            return 0
        from tokenizers import AddedToken as LibraryToken

        library = copied(self._library)
        if library.normalizer is not None:
            refuse_vanishing(tokens, library.normalizer.normalize_str)
        known = [token for token in tokens if library.token_to_id(token.content) is not None]
        new = [token for token in tokens if library.token_to_id(token.content) is None]
        count = 0
        with library_errors(InputError, "the tokenizers library cannot add these tokens"):
            for part in (known, new):  # for ids of new ones, the library looks at what earlier calls added
                count += library.add_tokens([LibraryToken(**token.to_dict()) for token in part])
        for token in tokens:
            id_ = library.token_to_id(token.content)
            held = None if id_ is None else library.model.id_to_token(id_)
            if held not in (None, token.content):
                refuse_taken(token.content, id_, held)
        self._library = library
        for name in ("_added_by_id", "_special_added", "_splits_at_spaces"):
            self.__dict__.pop(name, None)
        return count

    def train_new_from_iterator(
        self,
        text_iterator: Iterable[Any],
        vocab_size: int,
        length: int | None = None,
        new_special_tokens: Sequence[Any] | None = None,
        special_tokens_map: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return a tokenizer of this kind, with these settings and a vocabulary learned from texts.

        Args:
            text_iterator: texts, or batches of them.
            vocab_size: the number of tokens to learn, special tokens included.
            length: the number of texts, for a progress bar.
            new_special_tokens: special tokens beside those that there are.
            special_tokens_map: old -> new special token.
            kwargs: further arguments of the library's trainer, such as ``min_frequency`` and ``show_progress``.
        """
        renamed = dict(special_tokens_map or {})
        new = [as_added(token, special=True) for token in new_special_tokens or ()]
        kept = [token for token in self.added_tokens_decoder.values() if token.special]

        def now(token: AddedToken) -> AddedToken:
            return replace(token, content=renamed.get(token.content, token.content))

        library = trained(
            self._library,
            text_iterator,
            vocab_size,
            length=length,
            special=[*map(now, kept), *new],
            renamed=renamed,
            options=kwargs,
        )
        settings = {name: value for name, value in self.init_kwargs.items() if name not in self.vocab_files_names}
        settings |= {role: now(token) for role, token in self._roles.items() if role in ROLES}
        settings["additional_special_tokens"] = [*map(now, self._additional or ()), *new]
        return type(self)(tokenizer_object=library, **settings)

    def _tokenized(
        self, texts: Sequence[Any], *, split_into_words: bool, split_special_tokens: bool, details: bool
    ) -> Tokenized:
        library = self._library
        if split_special_tokens:
            library = copied(library)
            library.encode_special_tokens = True
        pieces = _Pieces(library, texts, split_into_words)
        # whoever passes words will ask which word each token is of
        encodings = pieces.detailed if details or split_into_words else pieces.encode(library.encode_batch_fast)
        return Tokenized([encoding.ids for encoding in encodings], pieces)


@dataclass
class _Pieces:
    """The texts of a call, and the library's tokenizer at the time of the call."""

    library: tokenizers.Tokenizer
    texts: Sequence[Any]
    split_into_words: bool

    def __getitem__(self, text: int) -> Piece:
        return self.detailed[text]

    @cached_property
    def detailed(self) -> list[Piece]:
        """Encodings with tokens, words and offsets, which take longer to compute than ids alone."""
        return self.encode(self.library.encode_batch)

    def encode(self, call: Callable[..., list[Piece]]) -> list[Piece]:
        """Return what a method of the library makes of the texts."""
        with library_errors(InputError, "the tokenizers library cannot split these texts"):
            try:
                return call(self.texts, is_pretokenized=self.split_into_words, add_special_tokens=False)
            except TypeError:  # a lone surrogate: the texts were checked to be strings
                clean = [
                    replace_surrogates(text) if isinstance(text, str) else list(map(replace_surrogates, text))
                    for text in self.texts
                ]
                return call(clean, is_pretokenized=self.split_into_words, add_special_tokens=False)


def layouts_of(library: tokenizers.Tokenizer, path: str | os.PathLike[str] | None) -> tuple[Layout, Layout]:
    """Return the layouts of the library's post-processor, of any kind, by applying it to one and to two texts."""
    if library.post_processor is None:
        return Layout.bare(1), Layout.bare(2)
    layouts = []
    for texts in (["a"], ["a", "a"]):
        with library_errors(CheckpointError, f"{path}: the tokenizers library cannot use it"):
            row = library.encode(*texts)
        columns = (row.tokens, row.ids, row.type_ids, row.sequence_ids)
        groups: list[list[Special]] = [[]]
        type_ids: list[int] = []
        for token, id_, type_id, text in zip(*columns, strict=False):
            if text is None:
                groups[-1].append(Special(token, id_, type_id))
            elif text == len(groups) - 1:
                groups.append([])
                type_ids.append(type_id)
        if len(groups) != len(texts) + 1 or len({len(column) for column in columns}) > 1:
            raise CheckpointError(f"{path}: its post_processor does not put texts one after the other")
        layouts.append(Layout(tuple(map(tuple, groups)), tuple(type_ids)))
    return layouts[0], layouts[1]
