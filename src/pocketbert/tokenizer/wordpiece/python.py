"""The Python tokenizers: the reference that can be read, with no other library, agreeing with the Fast ones."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pocketbert.errors import InputError
from pocketbert.tokenizer.added_tokens import AddedToken, AddedVocabulary
from pocketbert.tokenizer.call.encoding import Offsets
from pocketbert.tokenizer.call.rows import Tokenized
from pocketbert.tokenizer.tokenizer_base import TokenizerBase
from pocketbert.tokenizer.tokenizer_files import read_vocab
from pocketbert.tokenizer.wordpiece.normalize import (
    Aligned,
    Normalizer,
    replace_surrogates,
    split_punctuation,
    split_whitespace,
)

__all__ = ["PythonTokenizer", "WordPiece"]

_LONGEST_WORD = 100  # characters; a longer word is unknown, as in BERT's own code


class WordPiece:
    """Splits a word into the longest pieces that the vocabulary has, greedily (Wu et al. 2016, section 4.1)."""

    def __init__(self, vocab: Mapping[str, int], prefix: str = "##") -> None:
        """Split by ``vocab``, where ``prefix`` marks pieces that do not begin a word."""
        self._vocab = vocab
        self._prefix = prefix
        self._longest = max(map(len, vocab), default=0)

    def __call__(self, word: str) -> list[Offsets] | None:
        """The pieces as (start, exclusive end) in ``word``; None if the vocabulary cannot spell it."""
        if len(word) > _LONGEST_WORD:
            return None
        pieces: list[Offsets] = []
        start = 0
        while start < len(word):
            stop = min(len(word), start + self._longest)
            while stop > start and self.piece(word, start, stop) not in self._vocab:
                stop -= 1
            if stop == start:
                return None
            pieces.append((start, stop))
            start = stop
        return pieces

    def piece(self, word: str, start: int, stop: int) -> str:
        """The piece as the vocabulary writes it."""
        return word[start:stop] if start == 0 else self._prefix + word[start:stop]


@dataclass
class _Piece:
    """The tokens of one text."""

    ids: list[int] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    offsets: list[Offsets] = field(default_factory=list)
    word_ids: list[int | None] = field(default_factory=list)

    def add(self, token: str, id_: int, offsets: Offsets, word: int) -> None:
        self.ids.append(id_)
        self.tokens.append(token)
        self.offsets.append(offsets)
        self.word_ids.append(word)


class PythonTokenizer(TokenizerBase):
    """WordPiece in Python."""

    def __init__(
        self,
        vocab_file: str | os.PathLike[str] | Mapping[str, int],
        do_lower_case: bool = True,
        do_basic_tokenize: bool = True,
        never_split: Iterable[str] | None = None,
        unk_token: Any = "[UNK]",
        sep_token: Any = "[SEP]",
        pad_token: Any = "[PAD]",
        cls_token: Any = "[CLS]",
        mask_token: Any = "[MASK]",
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        clean_up_tokenization_spaces: bool = True,
        *,
        clean_text: bool = True,
        wordpieces_prefix: str = "##",
        **shared: Any,
    ) -> None:
        """Build a tokenizer from a vocabulary.

        Args:
            vocab_file: path of a ``vocab.txt``, or the vocabulary itself as a mapping of token to id.
            do_lower_case: lowercase the text.
            do_basic_tokenize: normalise the text and split punctuation off; without it words are what blanks separate.
            never_split: words, between blanks, that are kept as they are, though lowercased with the rest: with
                ``do_lower_case``, name them in lower case.
            unk_token: stands for words that the vocabulary cannot spell.
            sep_token: ends each text of a row.
            pad_token: fills short rows.
            cls_token: begins a row.
            mask_token: stands for a token to be predicted.
            tokenize_chinese_chars: make every CJK ideograph a word; switch it off for Japanese.
            strip_accents: remove accents; None means if ``do_lower_case``.
            clean_up_tokenization_spaces: undo blanks before punctuation when decoding.
            clean_text: remove control characters and make every blank a space.
            wordpieces_prefix: what marks a piece inside a word.
            shared: ``model_max_length``, ``padding_side``, ``truncation_side``, ``additional_special_tokens``,
                ``split_special_tokens``, ``pad_token_type_id``, ``model_input_names``.

        Raises:
            CheckpointError: the file is missing or damaged.
            ConfigError: the vocabulary lacks ``unk_token``, ``cls_token`` or ``sep_token``.
        """
        if isinstance(never_split, str):
            raise InputError(f"never_split={never_split!r} must be a list of words; pass [{never_split!r}]")
        self._vocab = read_vocab(vocab_file)
        self._tokens = {id_: token for token, id_ in self._vocab.items()}
        self._wordpiece = WordPiece(self._vocab, wordpieces_prefix)
        self._prefix = wordpieces_prefix
        self._basic = do_basic_tokenize
        self._never_split = frozenset(never_split or ())
        self._normalizer = Normalizer(
            clean_text=clean_text and do_basic_tokenize,
            chinese=tokenize_chinese_chars and do_basic_tokenize,
            strip_accents=do_basic_tokenize and (do_lower_case if strip_accents is None else strip_accents),
            lowercase=do_lower_case and do_basic_tokenize,
        )
        self._added = AddedVocabulary(self._vocab, self._normalizer)
        self.do_lower_case = do_lower_case
        self._settings = {
            "do_lower_case": do_lower_case,
            "do_basic_tokenize": do_basic_tokenize,
            "never_split": sorted(self._never_split) or None,
            "tokenize_chinese_chars": tokenize_chinese_chars,
            "strip_accents": strip_accents,
            "clean_text": clean_text,
            "wordpieces_prefix": wordpieces_prefix,
        }
        self._init_shared(
            {
                "unk_token": unk_token,
                "sep_token": sep_token,
                "pad_token": pad_token,
                "cls_token": cls_token,
                "mask_token": mask_token,
            },
            clean_up_tokenization_spaces=clean_up_tokenization_spaces,
            **shared,
        )

    @property
    def vocab_size(self) -> int:
        """The number of tokens, added tokens not counted."""
        return len(self._vocab)

    def get_vocab(self) -> dict[str, int]:
        """Token -> id, added tokens included."""
        return {**self._vocab, **self._added.ids}

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Id -> added token (special tokens among them)."""
        return dict(sorted(self._added.by_id.items()))

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """Join word pieces to text: ``["un", "##known", "."]`` is ``"unknown."``."""
        joined = [
            token.removeprefix(self._prefix) if token.startswith(self._prefix) else f" {token}" for token in tokens[1:]
        ]
        return "".join(map(self.clean_up_tokenization, [*tokens[:1], *joined]))

    def _base_vocab(self) -> dict[str, int]:
        return dict(self._vocab)

    def _token_to_id(self, token: str) -> int | None:
        return self._added.ids.get(token, self._vocab.get(token))

    def _id_to_token(self, id_: int) -> str | None:
        added = self._added.by_id.get(id_)
        return self._tokens.get(id_) if added is None else added.content

    def _add(self, tokens: Sequence[AddedToken]) -> int:
        return self._added.add(tokens)

    def _tokenized(
        self, texts: Sequence[Any], *, split_into_words: bool, split_special_tokens: bool, details: bool
    ) -> Tokenized:
        del details  # they cost nothing here
        pieces = [_Piece() for _ in texts]
        for piece, text in zip(pieces, texts, strict=True):
            if split_into_words:
                for word, part in enumerate(text):
                    self._tokenize(replace_surrogates(part), piece, not split_special_tokens, word)
            else:
                self._tokenize(replace_surrogates(text), piece, not split_special_tokens, None)
        return Tokenized([piece.ids for piece in pieces], pieces.__getitem__)

    def _tokenize(self, text: str, piece: _Piece, keep_special: bool, word: int | None) -> None:
        """Add the tokens of ``text`` to ``piece``, as parts of word ``word`` or of words of their own."""
        for count, (token, part) in enumerate(self._words(text, keep_special)):
            number = count if word is None else word
            if token is not None:
                piece.add(*token, part.span(0, len(part.text)), number)
                continue
            spans = self._wordpiece(part.text)
            if spans is None:
                piece.add(*self._required("unk_token"), part.span(0, len(part.text)), number)
                continue
            for start, stop in spans:
                name = self._wordpiece.piece(part.text, start, stop)
                piece.add(name, self._vocab[name], part.span(start, stop), number)

    def _words(self, text: str, keep_special: bool) -> Iterator[tuple[tuple[str, int] | None, Aligned]]:
        """The words of ``text``: those that are kept whole with their token and id, the others with None."""
        for id_, start, stop in self._added.split_raw(text, keep_special=keep_special):
            if id_ is not None:
                yield self._added_token(id_), Aligned(text[start:stop], list(range(start, stop)))
                continue
            for kept, part in self._kept(self._normalizer.clean(text[start:stop], start)):
                if kept:
                    yield (part.text, self._known_id(part.text)), part
                else:
                    yield from self._split(self._normalizer.fold(part), keep_special)

    def _kept(self, aligned: Aligned) -> Iterator[tuple[bool, Aligned]]:
        """Cleaned text, the words that are never split set apart; they are sought in lowercased text."""
        if self._never_split:
            aligned = replace(self._normalizer, strip_accents=False).fold(aligned)
        done = 0
        for match in re.finditer(r"\S+", aligned.text) if self._never_split else ():
            if match.group() in self._never_split:
                yield False, aligned.cut(done, match.start())
                yield True, aligned.cut(*match.span())
                done = match.end()
        yield False, aligned.cut(done, len(aligned.text))

    def _split(self, aligned: Aligned, keep_special: bool) -> Iterator[tuple[tuple[str, int] | None, Aligned]]:
        """The words of normalised text."""
        for id_, start, stop in self._added.split_normalized(aligned.text, keep_special=keep_special):
            part = aligned.cut(start, stop)
            if id_ is not None:
                yield self._added_token(id_), part
                continue
            for word in split_whitespace(part):
                yield from ((None, piece) for piece in (split_punctuation(word) if self._basic else [word]))

    def _added_token(self, id_: int) -> tuple[str, int]:
        return self._added.by_id[id_].content, id_

    def _known_id(self, token: str) -> int:
        id_ = self._token_to_id(token)
        return self._required("unk_token")[1] if id_ is None else id_
