"""The Fast tokenizers: the ``tokenizers`` library splits texts into tokens, the rest is shared with the Python ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from pocketbert.errors import CheckpointError, InputError
from pocketbert.tokenizer.added_tokens import AddedToken, as_added
from pocketbert.tokenizer.call.encoding import Piece
from pocketbert.tokenizer.call.row_layout import Layout, Special
from pocketbert.tokenizer.call.rows import Tokenized
from pocketbert.tokenizer.call.texts import replace_surrogates
from pocketbert.tokenizer.tokenizer_base import TokenizerBase
from pocketbert.tokenizer.tokenizer_files import NORMALIZER, TokenizerJson, read_vocab

if TYPE_CHECKING:
    import tokenizers

__all__ = ["FastTokenizer"]


class FastTokenizer(TokenizerBase):
    """WordPiece on the ``tokenizers`` library.

    The library's object is never changed: padding and truncation are done here, and adding tokens replaces the object
    by a changed copy. So calls share no state, and threads may share a tokenizer.
    """

    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": "vocab.txt", "tokenizer_file": "tokenizer.json"}
    is_fast: ClassVar[bool] = True

    def __init__(
        self,
        vocab_file: str | os.PathLike[str] | Mapping[str, int] | None = None,
        tokenizer_file: str | os.PathLike[str] | None = None,
        do_lower_case: bool = True,
        unk_token: Any = "[UNK]",
        sep_token: Any = "[SEP]",
        pad_token: Any = "[PAD]",
        cls_token: Any = "[CLS]",
        mask_token: Any = "[MASK]",
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        *,
        clean_text: bool = True,
        wordpieces_prefix: str = "##",
        **shared: Any,
    ) -> None:
        """Build a tokenizer from a vocabulary or a ``tokenizer.json``.

        Args:
            vocab_file: path of a ``vocab.txt``, or the vocabulary itself as a mapping of token to id.
            tokenizer_file: path of a ``tokenizer.json``; ``vocab_file`` is then ignored.
            do_lower_case: this and the others are those of :class:`.PythonTokenizer`, which alone has
                ``do_basic_tokenize`` and ``never_split``.

        Raises:
            CheckpointError: a file is missing or damaged.
            ConfigError: the vocabulary lacks ``unk_token``, ``cls_token`` or ``sep_token``.
        """
        self.do_lower_case = do_lower_case
        self._settings = {
            "do_lower_case": do_lower_case,
            "tokenize_chinese_chars": tokenize_chinese_chars,
            "strip_accents": strip_accents,
            "clean_text": clean_text,
            "wordpieces_prefix": wordpieces_prefix,
        }
        normalizer = {name: self._settings[setting] for setting, name in NORMALIZER.items()}
        if tokenizer_file is not None:
            self._library = _load(tokenizer_file, normalizer)
        elif vocab_file is not None:
            self._library = _build(read_vocab(vocab_file), str(unk_token), wordpieces_prefix, normalizer)
        else:
            raise InputError("no vocabulary; pass vocab_file or tokenizer_file")
        self._init_shared(unk_token, sep_token, pad_token, cls_token, mask_token, **shared)
        if self._library.post_processor is None and tokenizer_file is None:
            self._library.post_processor = _post_processor(self._layouts[1])
        else:
            self._layouts = _layouts_of(self._library, tokenizer_file)

    @property
    def backend_tokenizer(self) -> tokenizers.Tokenizer:
        """The library's tokenizer, to be read; a change to it shows in calls that other threads are making."""
        return self._library

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Id -> added token; special tokens are added tokens."""
        return {id_: as_added(token) for id_, token in sorted(self._library.get_added_tokens_decoder().items())}

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """Join tokens to a text: ``["un", "##known", "."]`` to ``"unknown."``."""
        decoder = self._library.decoder
        return " ".join(tokens) if decoder is None else str(decoder.decode(list(tokens)))

    @cached_property
    def _vocab(self) -> Mapping[str, int]:
        return dict(self._library.get_vocab(with_added_tokens=False))

    def _tokenizer_json(self) -> str:
        return str(self._library.to_str(pretty=True))

    def _token_to_id(self, token: str) -> int | None:
        id_: int | None = self._library.token_to_id(replace_surrogates(token))
        return id_

    def _id_to_token(self, id_: int) -> str | None:
        token: str | None = self._library.id_to_token(id_) if id_ < 2**32 else None
        return token

    def _add(self, tokens: Sequence[AddedToken]) -> int:
        if not tokens:
            return 0
        from tokenizers import AddedToken as LibraryToken
        from tokenizers import Tokenizer

        library = Tokenizer.from_str(self._library.to_str())
        count = library.add_tokens([LibraryToken(**token.to_dict()) for token in tokens])
        self._library = library
        return int(count)

    def _tokenized(
        self, texts: Sequence[Any], *, split_into_words: bool, split_special_tokens: bool, details: bool
    ) -> Tokenized:
        library = self._library
        if split_special_tokens:
            library = type(library).from_str(library.to_str())
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
        try:
            return call(self.texts, is_pretokenized=self.split_into_words, add_special_tokens=False)
        except TypeError:  # a lone surrogate: the texts were checked to be strings
            clean = [
                replace_surrogates(text) if isinstance(text, str) else list(map(replace_surrogates, text))
                for text in self.texts
            ]
            return call(clean, is_pretokenized=self.split_into_words, add_special_tokens=False)


def _build(vocab: dict[str, int], unk_token: str, prefix: str, normalizer: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """Return the library's tokenizer with BERT's steps."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    library = Tokenizer(models.WordPiece(vocab, unk_token=unk_token, continuing_subword_prefix=prefix))
    library.normalizer = normalizers.BertNormalizer(**normalizer)
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.decoder = decoders.WordPiece(prefix=prefix)
    return library


def _load(path: str | os.PathLike[str], normalizer: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """Return the library's tokenizer of a file; a BERT normalizer in it gets the arguments ``normalizer``."""
    from tokenizers import Tokenizer, normalizers

    file = TokenizerJson.read(path)
    try:
        library = Tokenizer.from_str(file.text)
    except Exception as error:
        raise CheckpointError(f"{path}: the tokenizers library cannot read it: {error}") from error
    library.no_padding()
    library.no_truncation()
    if isinstance(library.normalizer, normalizers.BertNormalizer):
        library.normalizer = normalizers.BertNormalizer(**normalizer)
    return library


def _post_processor(layout: Layout) -> Any:
    """Return BERT's layout of a pair as the library's post-processor, for other readers of a saved tokenizer.json."""
    from tokenizers.processors import TemplateProcessing

    (cls,), (sep,), _ = layout.groups
    row = [f"{cls.token}:0", "$A:0", f"{sep.token}:0"]
    pair = [*row, "$B:1", f"{sep.token}:1"]
    special = {cls.token: cls.id, sep.token: sep.id}
    return TemplateProcessing(single=row, pair=pair, special_tokens=list(special.items()))


def _layouts_of(library: tokenizers.Tokenizer, path: str | os.PathLike[str] | None) -> tuple[Layout, Layout]:
    """Return the layouts of the library's post-processor, of any kind, by applying it to one and to two texts."""
    layouts = []
    for texts in (["a"], ["a", "a"]):
        try:
            row = library.encode(*texts)
        except BaseException as error:  # a panic of the library is no Exception
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise CheckpointError(f"{path}: the tokenizers library cannot use it: {error}") from error
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
