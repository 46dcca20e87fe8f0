"""BERT's two steps as classes of their own, as BERT's original code has them: words, then their pieces.

``BasicTokenizer`` is the original's to the character; the tokenizers themselves follow the ``tokenizers`` library
where the two disagree (see :mod:`pocketbert.tokenizer.wordpiece.python`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

__all__ = ["BasicTokenizer", "WordpieceTokenizer"]

_LONGEST_WORD = 100  # characters; a longer word is unknown, as in BERT's original code
# the blocks of CJK unified and compatibility ideographs
_IDEOGRAPH = re.compile(
    "([\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002ceaf\U0002f800-\U0002fa1f])"
)
_SYMBOLS = frozenset("$+<=>^`|~")  # ASCII that Unicode does not count as punctuation and BERT does


class BasicTokenizer:
    """Splits a text at whitespace and punctuation, and normalizes it.

    >>> from pocketbert import BasicTokenizer
    >>> BasicTokenizer().tokenize("Café, s'il vous plaît!")
    ['cafe', ',', 's', "'", 'il', 'vous', 'plait', '!']
    """

    def __init__(
        self,
        do_lower_case: bool = True,
        never_split: Iterable[str] | None = None,
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        do_split_on_punc: bool = True,
    ) -> None:
        """Choose the steps; see :class:`pocketbert.BertTokenizer`. ``do_split_on_punc``: split at punctuation."""
        self.do_lower_case = do_lower_case
        self.never_split = set(never_split or ())
        self.tokenize_chinese_chars = tokenize_chinese_chars
        self.strip_accents = strip_accents
        self.do_split_on_punc = do_split_on_punc

    def tokenize(self, text: str, never_split: Iterable[str] | None = None) -> list[str]:
        """Return the words and punctuation marks of ``text``; those of ``never_split`` stay as they are."""
        whole = self.never_split | set(never_split or ())
        text = "".join(" " if _is_space(char) else char for char in text if not _is_dropped(char))
        if self.tokenize_chinese_chars:
            text = _IDEOGRAPH.sub(r" \1 ", text)
        words: list[str] = []
        for word in unicodedata.normalize("NFC", text).split():
            words += [word] if word in whole else self._split(self._normalized(word), whole)
        return words

    def _normalized(self, word: str) -> str:
        lower = self.do_lower_case
        word = word.lower() if lower else word
        if self.strip_accents or (lower and self.strip_accents is None):
            word = "".join(char for char in unicodedata.normalize("NFD", word) if unicodedata.category(char) != "Mn")
        return word

    def _split(self, word: str, whole: set[str]) -> list[str]:
        if self.do_split_on_punc and word not in whole:
            word = "".join(f" {char} " if _is_punctuation(char) else char for char in word)
        return word.split()


class WordpieceTokenizer:
    """Splits a word into the longest pieces that the vocabulary has, greedily (Wu et al. 2016, section 4.1).

    >>> from pocketbert import WordpieceTokenizer
    >>> WordpieceTokenizer({"un": 0, "##aff": 1, "##able": 2}, unk_token="[UNK]").tokenize("unaffable dog")
    ['un', '##aff', '##able', '[UNK]']
    """

    def __init__(
        self,
        vocab: Mapping[str, int],
        unk_token: str,
        max_input_chars_per_word: int = _LONGEST_WORD,
        *,
        prefix: str = "##",
    ) -> None:
        """Use the pieces of ``vocab``; ``prefix`` marks those that do not begin a word.

        A word that ``vocab`` cannot spell, or of more than ``max_input_chars_per_word``, becomes ``unk_token``.
        """
        self.vocab = vocab
        self.unk_token = unk_token
        self.max_input_chars_per_word = max_input_chars_per_word
        self._prefix = prefix
        self._longest = max(map(len, vocab), default=0)

    def tokenize(self, text: str) -> list[str]:
        """Return the pieces of the words of ``text``, which whitespace separates."""
        tokens: list[str] = []
        for word in text.split():
            pieces = self.pieces(word)
            tokens += [self.unk_token] if pieces is None else [piece for piece, _, _ in pieces]
        return tokens

    def pieces(self, word: str) -> list[tuple[str, int, int]] | None:
        """Return each piece, as the vocabulary writes it, with its start and exclusive end in ``word``.

        None if the vocabulary cannot spell the word.
        """
        if len(word) > self.max_input_chars_per_word:
            return None
        pieces: list[tuple[str, int, int]] = []
        start, prefix = 0, ""
        while start < len(word):
            for stop in range(min(len(word), start + self._longest), start, -1):
                piece = prefix + word[start:stop]
                if piece in self.vocab:
                    break
            else:
                return None
            pieces.append((piece, start, stop))
            start, prefix = stop, self._prefix
        return pieces


def _is_space(char: str) -> bool:
    return char in " \t\n\r" or unicodedata.category(char) == "Zs"


def _is_dropped(char: str) -> bool:
    """Return whether ``char`` is a control or format character, unassigned, or stands for one that was unreadable."""
    return char == "\ufffd" or (char not in "\t\n\r" and unicodedata.category(char)[0] == "C")


def _is_punctuation(char: str) -> bool:
    return char in _SYMBOLS or unicodedata.category(char)[0] == "P"
