"""Objects of the ``tokenizers`` library: read, copied and written, and its panics as this library's errors."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pocketbert.errors import CheckpointError, InputError, PocketBertError
from pocketbert.tokenizer.added_tokens import has_space
from pocketbert.tokenizer.steps import check_ids, flat_steps, read_checked, state_of
from pocketbert.tokenizer.tokenizer_files import TokenizerJson

if TYPE_CHECKING:
    import tokenizers

__all__ = ["bert_normalizer", "copied", "library_errors", "load", "own_copy", "splits_at_spaces", "written"]

_LOCAL = frozenset({"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents"})
_SPLITTING = frozenset({"BertPreTokenizer", "Whitespace", "WhitespaceSplit"})
_STEPS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")


@contextmanager
def library_errors(kind: type[PocketBertError], words: str) -> Iterator[None]:
    """Raise ``kind`` with ``words`` in place of the library's errors and panics; the latter are no ``Exception``."""
    try:
        yield
    except (PocketBertError, MemoryError):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise kind(f"{words}: {error}") from error


def bert_normalizer(settings: Mapping[str, Any]) -> Any:
    """Return the library's BertNormalizer.

    Raises:
        InputError: a setting is neither true nor false.
    """
    from tokenizers.normalizers import BertNormalizer

    with library_errors(InputError, "settings of the tokenizer must be true or false"):
        return BertNormalizer(**settings)


def load(path: str | os.PathLike[str]) -> tokenizers.Tokenizer:
    """Return the library's tokenizer of a file.

    Raises:
        CheckpointError: the file is missing, damaged, not accepted or not for this version of the library.
    """
    from tokenizers import Tokenizer

    data = path.data if isinstance(path, TokenizerJson) else read_checked(path)
    with library_errors(CheckpointError, f"{path}: the tokenizers library cannot read it"):
        return Tokenizer.from_str(json.dumps(data))


def copied(library: tokenizers.Tokenizer, model: Any = None) -> tokenizers.Tokenizer:
    """Return a tokenizer with the same model, or another, and the same steps and added tokens."""
    copy = type(library)(library.model if model is None else model)
    for step in _STEPS:
        setattr(copy, step, getattr(library, step))
    copy.add_tokens(list(library.get_added_tokens_decoder().values()))
    return copy


def own_copy(library: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """Return a copy of a caller's tokenizer that shares nothing with it.

    Raises:
        CheckpointError: its ids are out of range, or it cannot be copied.
    """
    vocab = library.get_vocab(with_added_tokens=False)
    if vocab and (fault := check_ids(vocab)) is not None:
        raise CheckpointError(f"the tokenizer's vocabulary cannot be used: {fault}")
    if _has_holes(vocab):
        return copied(library, _with_vocab(library.model, vocab))
    with library_errors(CheckpointError, "the tokenizers library cannot copy the tokenizer"):
        return type(library).from_str(library.to_str())


def splits_at_spaces(library: tokenizers.Tokenizer) -> bool:
    """Return whether the tokens before a space never depend on what follows it.

    So it is where every step before the words looks at single characters, or at those that compose with them, words
    end at spaces, and no added token holds one.
    """
    normalizer, pre_tokenizer = state_of(library.normalizer), state_of(library.pre_tokenizer)
    if any(step["type"] not in _LOCAL for step in flat_steps("normalizer", normalizer)):
        return False
    first = next(flat_steps("pre_tokenizer", pre_tokenizer), {"type": None})
    if first["type"] not in _SPLITTING:
        return False
    contents = (
        library.normalizer.normalize_str(token.content) if token.normalized and normalizer else token.content
        for token in library.get_added_tokens_decoder().values()
    )
    return not any(map(has_space, contents))


def written(library: tokenizers.Tokenizer, *, pretty: bool = False) -> str:
    """Return the content of ``tokenizer.json``.

    The library itself prints on stdout where ids below the largest have no token; then its vocabulary is put in here.

    Raises:
        CheckpointError: that is so, and its model is of a kind that is not known here.
    """
    vocab = library.get_vocab(with_added_tokens=False)
    if not _has_holes(vocab):
        return str(library.to_str(pretty=pretty))
    empty = _with_vocab(library.model, {})
    if empty is None:
        raise CheckpointError(
            f"the largest id of {len(vocab)} tokens is {max(vocab.values())}: a tokenizer of {type(library.model)} "
            "whose ids leave some out cannot be written; train or build one with the ids 0, 1, 2 and so on"
        )
    content = json.loads(copied(library, empty).to_str())
    content["model"]["vocab"] = dict(sorted(vocab.items(), key=lambda item: item[1]))
    content["added_tokens"] = [
        {"id": id_, **{rule: getattr(token, rule) for rule in _RULES}}
        for id_, token in library.get_added_tokens_decoder().items()
    ]
    return json.dumps(content, ensure_ascii=False, indent=2 if pretty else None)


_RULES = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")


def _has_holes(vocab: dict[str, int]) -> bool:
    return max(vocab.values(), default=-1) >= len(vocab)


def _with_vocab(model: Any, vocab: dict[str, int]) -> Any:
    """Return a model like ``model`` with another vocabulary; None if its kind has more than a vocabulary."""
    from tokenizers import models

    if isinstance(model, models.WordPiece):
        rules = ("unk_token", "continuing_subword_prefix", "max_input_chars_per_word")
        return models.WordPiece(vocab, **{rule: getattr(model, rule) for rule in rules})
    if isinstance(model, models.WordLevel):
        return models.WordLevel(vocab, unk_token=model.unk_token)
    return None
