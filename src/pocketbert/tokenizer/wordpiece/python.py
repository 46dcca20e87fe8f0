"""The Python tokenizers: WordPiece, added tokens and ``never_split`` in code that can be read.

The ``tokenizers`` library normalizes the text and splits it into words, as for the Fast tokenizers, so that both agree
on every character. Where the library and BERT's original code (the slow tokenizers of ``transformers``) disagree, the
library's ids are those that users of released checkpoints see:

- unassigned code points stay (the original drops them as controls);
- marks and punctuation newer than Unicode 7 are letters;
- U+2B820 to U+2B91F are no Chinese characters;
- a final capital sigma becomes a small sigma, not a final small sigma;
- text that keeps its accents is not composed (NFC) first;
- lone surrogates, which the library does not take, count as U+FFFD and are dropped by cleaning.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pocketbert.errors import InputError
from pocketbert.tokenizer.added_tokens import AddedToken, AddedVocabulary
from pocketbert.tokenizer.call.encoding import Offsets
from pocketbert.tokenizer.call.row_layout import Layout
from pocketbert.tokenizer.call.rows import Tokenized
from pocketbert.tokenizer.call.texts import replace_surrogates
from pocketbert.tokenizer.tokenizer_base import PreTrainedTokenizerBase
from pocketbert.tokenizer.tokenizer_files import NORMALIZER, read_vocab
from pocketbert.tokenizer.wordpiece.basic import BasicTokenizer, WordpieceTokenizer
from pocketbert.tokenizer.wordpiece.library import bert_normalizer

if TYPE_CHECKING:
    from tokenizers import NormalizedString, Token

__all__ = ["PreTrainedTokenizer"]

Name = tuple[str, int]  # the token and id that a part is as a whole
Part = tuple["NormalizedString", Name | None]
Span = tuple[int, int, Name | None]  # a part by its characters: start, exclusive end

_FEW = 8  # slices of a text that are taken one by one


@dataclass
class _Piece:
    """The tokens of one text."""

    ids: list[int] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    offsets: list[Offsets] = field(default_factory=list)
    word_ids: list[int | None] = field(default_factory=list)
    words: int = 0

    def add(
        self, ids: list[int], tokens: list[str], offsets: list[Offsets], words: list[int], word: int | None
    ) -> None:
        """Append tokens, of the next words by the numbers ``words``, or of word ``word`` if it is not None."""
        self.ids += ids
        self.tokens += tokens
        self.offsets += offsets
        self.word_ids += [self.words + number if word is None else word for number in words]
        self.words += words[-1] + 1 if words else 0


@dataclass
class _Run:
    """Tokens of several parts of a text, and how many of them were moved on."""

    ids: list[int]
    tokens: list[str]
    offsets: list[Offsets]
    words: list[int]
    moved: int = 0
    moved_words: int = 0

    def move(self, words: int, piece: _Piece, word: int | None) -> None:
        """Move the tokens of the next ``words`` words to ``piece``; ``word`` as in ``_Piece.add``."""
        first, base = self.moved, self.moved_words
        self.moved_words += words
        self.moved = last = bisect_left(self.words, self.moved_words, first)
        numbers = [number - base for number in self.words[first:last]]
        piece.add(self.ids[first:last], self.tokens[first:last], self.offsets[first:last], numbers, word)


def _slices(text: NormalizedString, spans: Sequence[Span]) -> Iterator[Part]:
    """Yield the parts of ``text`` that ``spans`` say.

    A slice takes time for all that is before it, so of many spans each half is sliced from its half of the text.
    """
    if len(spans) > _FEW:
        middle = len(spans) // 2
        cut = spans[middle][0]
        yield from _slices(text[:cut], spans[:middle])
        yield from _slices(text[cut:], [(start - cut, stop - cut, name) for start, stop, name in spans[middle:]])
        return
    for start, stop, name in spans:
        yield text[start:stop], name


class PreTrainedTokenizer(PreTrainedTokenizerBase):
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
        **shared: Any,
    ) -> None:
        """Build a tokenizer from a vocabulary.

        Args:
            vocab_file: path of a ``vocab.txt``, or the vocabulary itself as a mapping of token to id.
            do_lower_case: lowercase the text.
            do_basic_tokenize: normalize the text and split at whitespace and punctuation; without it, at whitespace
                alone.
            never_split: words between whitespace that stay whole and keep their accents; with ``do_lower_case``, give
                them in lower case.
            unk_token, sep_token, pad_token, cls_token, mask_token: the special tokens.
            tokenize_chinese_chars: make every CJK ideograph a word; False suits Japanese.
            strip_accents: remove accents; by default if ``do_lower_case``.
            clean_up_tokenization_spaces: remove spaces before punctuation when decoding.
            shared: ``clean_text``, whether to remove control characters and make all whitespace spaces;
                ``wordpieces_prefix``, which marks pieces that do not begin a word (``##``);
                ``model_max_length``, ``padding_side``, ``truncation_side``, ``additional_special_tokens``,
                ``split_special_tokens``, ``pad_token_type_id``, ``model_input_names``.

        Raises:
            CheckpointError: the file is missing or damaged.
            ConfigError: the vocabulary lacks ``unk_token``, ``cls_token`` or ``sep_token``.
        """
        from tokenizers import Token
        from tokenizers.normalizers import BertNormalizer
        from tokenizers.pre_tokenizers import BertPreTokenizer, WhitespaceSplit

        clean_text, wordpieces_prefix = shared.pop("clean_text", True), shared.pop("wordpieces_prefix", "##")
        if isinstance(never_split, str):
            raise InputError(f"never_split={never_split!r} must be a list of words; pass [{never_split!r}]")
        self._ids = read_vocab(vocab_file)
        self.ids_to_tokens = {id_: token for token, id_ in self._ids.items()}
        self.wordpiece_tokenizer = WordpieceTokenizer(self._ids, str(unk_token), prefix=wordpieces_prefix)
        self._prefix = wordpieces_prefix
        self._token = Token
        self._never_split = frozenset(never_split or ())
        self.do_basic_tokenize = do_basic_tokenize
        if do_basic_tokenize:
            self.basic_tokenizer = BasicTokenizer(
                do_lower_case, self._never_split, tokenize_chinese_chars, strip_accents
            )
        self.do_lower_case = do_lower_case
        own: dict[str, Any] = {
            "do_lower_case": do_lower_case,
            "do_basic_tokenize": do_basic_tokenize,
            "never_split": sorted(self._never_split) or None,
            "tokenize_chinese_chars": tokenize_chinese_chars,
            "strip_accents": strip_accents,
            "clean_up_tokenization_spaces": clean_up_tokenization_spaces,
        }
        if not clean_text:
            own["clean_text"] = False
        if wordpieces_prefix != "##":
            own["wordpieces_prefix"] = wordpieces_prefix
        roles = {
            "unk_token": unk_token,
            "sep_token": sep_token,
            "pad_token": pad_token,
            "cls_token": cls_token,
            "mask_token": mask_token,
        }
        settings = own | {"clean_text": clean_text}
        steps = {name: do_basic_tokenize and settings[setting] for setting, name in NORMALIZER.items()}
        self._normalizer = bert_normalizer(steps)
        self._pre_tokenizer = BertPreTokenizer() if do_basic_tokenize else WhitespaceSplit()
        self._added = AddedVocabulary(self._ids, self._normalizer.normalize_str)
        if never_split:  # these words keep their accents, so the other words lose theirs in a second pass
            self._clean = BertNormalizer(**(steps | {"strip_accents": False}))
            self._normalizer = BertNormalizer(**(steps | {"clean_text": False, "handle_chinese_chars": False}))
        self._init_shared(own, roles, **{**own, **shared})

    def _check_roles(self) -> None:
        self._required("unk_token")
        first, last = self._required("cls_token"), self._required("sep_token")
        self._layouts = (Layout.bert(1, first, last), Layout.bert(2, first, last))

    @property
    def vocab(self) -> dict[str, int]:
        """Token -> id, without the added tokens."""
        return self._ids

    @property
    def _vocab(self) -> Mapping[str, int]:
        return self._ids

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Id -> added token; special tokens are added tokens."""
        return dict(sorted(self._added.by_id.items()))

    @property
    def _special_added(self) -> Set[str]:
        return self._added.special

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """Join tokens to a text: ``["un", "##known", "."]`` to ``"unknown."``."""
        joined = [
            token.removeprefix(self._prefix) if token.startswith(self._prefix) else f" {token}" for token in tokens[1:]
        ]
        return "".join(map(self.clean_up_tokenization, [*tokens[:1], *joined]))

    def _token_to_id(self, token: str) -> int | None:
        return self._added.ids.get(token, self._ids.get(token))

    def _id_to_token(self, id_: int) -> str | None:
        added = self._added.by_id.get(id_)
        return self.ids_to_tokens.get(id_) if added is None else added.content

    def _add(self, tokens: Sequence[AddedToken]) -> int:
        return self._added.add(tokens)

    def _tokenized(
        self, texts: Sequence[Any], *, split_into_words: bool, split_special_tokens: bool, details: bool
    ) -> Tokenized:
        del details  # always there
        pieces = [_Piece() for _ in texts]
        for piece, text in zip(pieces, texts, strict=True):
            for word, part in enumerate(text) if split_into_words else [(None, text)]:
                self._add_text(replace_surrogates(part), piece, not split_special_tokens, word)
        return Tokenized([piece.ids for piece in pieces], pieces)

    def _tokenize(self, text: str, **_: Any) -> list[str]:
        """Return the tokens of a text between added tokens; a subclass may split texts in its own way here."""
        piece = _Piece()
        self._add_words(text, 0, piece, True, None)
        return piece.tokens

    def _add_text(self, text: str, piece: _Piece, keep_special: bool, word: int | None) -> None:
        """Add the tokens of ``text`` to ``piece``: tokens of word ``word``, or of further words if it is None."""
        for id_, start, stop in self._added.split(text, normalized=False, keep_special=keep_special):
            if id_ is not None:
                piece.add([id_], [self._added.by_id[id_].content], [(start, stop)], [0], word)
                continue
            if self._splits_itself:
                tokens = self._tokenize(text[start:stop])
                known = self._added.ids
                ids: list[Any] = [known.get(token, self._convert_token_to_id(token)) for token in tokens]
                piece.add(ids, tokens, [(start, stop)] * len(tokens), list(range(len(tokens))), word)
            else:
                self._add_words(text[start:stop], start, piece, keep_special, word)

    @property
    def _splits_at_spaces(self) -> bool:
        return not self._splits_itself and not self._added.may_cross_spaces

    @property
    def _splits_itself(self) -> bool:
        """Whether a subclass splits texts in its own way; where in the text its tokens stand is then not known."""
        return type(self)._tokenize is not PreTrainedTokenizer._tokenize

    def _add_words(self, raw: str, start: int, piece: _Piece, keep_special: bool, word: int | None) -> None:
        """Add the tokens of ``raw``, which begins at ``start`` of its text and holds no raw added token."""
        from tokenizers import NormalizedString

        parts = list(self._parts(NormalizedString(raw), keep_special))
        texts = [part for part, name in parts if name is None]
        whole_parts = [part for part, name in parts if name is not None]
        names = iter([name for _, name in parts if name is not None])
        # The words of all parts at once, and then the whole ones: each call takes time for the length of raw.
        split = self._run(raw, start, texts, self._word, self._pre_tokenizer)
        whole = self._run(raw, start, whole_parts, lambda word: [self._whole(word, *next(names))])
        for part, name in parts:
            if name is not None:
                whole.move(1, piece, word)
            elif len(parts) == 1:
                split.move(len(split.words), piece, word)  # no part has more words than tokens
            else:
                split.move(len(self._pre_tokenizer.pre_tokenize_str(part.normalized)), piece, word)

    @staticmethod
    def _run(
        raw: str,
        start: int,
        parts: list[NormalizedString],
        tokens_of: Callable[[str], list[Token]],
        pre_tokenizer: Any = None,
    ) -> _Run:
        """Return the tokens of ``parts``, made from ``raw``: of their words, or of each part as one word."""
        from tokenizers import PreTokenizedString

        if not parts:
            return _Run([], [], [], [])
        words = PreTokenizedString(raw)
        words.split(lambda *_: parts)
        if pre_tokenizer is not None:
            pre_tokenizer.pre_tokenize(words)
        words.tokenize(tokens_of)
        found = words.to_encoding()
        offsets = [(start + first, start + last) for first, last in found.offsets]
        return _Run(found.ids, found.tokens, offsets, found.word_ids)

    def _parts(self, text: NormalizedString, keep_special: bool) -> Iterator[Part]:
        """Normalize ``text`` and split it at words that are never split and at added tokens.

        These come with their token and id, the text between them with None.
        """
        spans: list[Span] = []
        if self._never_split:
            self._clean.normalize(text)
            done = 0
            for match in re.finditer(r"\S+", text.normalized):
                if match.group() in self._never_split:
                    id_ = self._token_to_id(match.group())
                    id_ = self._required("unk_token")[1] if id_ is None else id_
                    spans += [(done, match.start(), None), (*match.span(), (match.group(), id_))]
                    done = match.end()
            spans.append((done, len(text.normalized), None))
        for part, name in _slices(text, [span for span in spans if span[0] < span[1]]) if spans else [(text, None)]:
            if name is None:
                yield from self._split(part, keep_special)
            else:
                yield part, name

    def _split(self, text: NormalizedString, keep_special: bool) -> Iterator[Part]:
        self._normalizer.normalize(text)
        found = self._added.split(text.normalized, normalized=True, keep_special=keep_special)
        known = self._added.by_id
        spans = [(start, stop, None if id_ is None else (known[id_].content, id_)) for id_, start, stop in found]
        yield from _slices(text, spans)

    def _word(self, word: str) -> list[Token]:
        """Return the tokens of a normalized word."""
        pieces = self.wordpiece_tokenizer.pieces(word)
        if pieces is None:
            return [self._whole(word, *self._required("unk_token"))]
        tokens, end = [], 0
        for piece, start, stop in pieces:
            begin, end = end, end + len(word[start:stop].encode())  # the library counts bytes
            tokens.append(self._token(self._ids[piece], piece, (begin, end)))
        return tokens

    def _whole(self, word: str, token: str, id_: int) -> Token:
        """Return ``token`` as the one token of ``word``."""
        return self._token(id_, token, (0, len(word.encode())))
