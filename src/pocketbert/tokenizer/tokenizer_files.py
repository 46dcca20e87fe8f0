"""The files of a tokenizer's folder, each read once and checked.

A folder holds ``vocab.txt`` (a token per line; the line's number is its id) or ``tokenizer.json`` (the format of the
``tokenizers`` library) or both, and optionally ``tokenizer_config.json``, ``special_tokens_map.json`` and
``added_tokens.json``.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pocketbert.errors import CheckpointError
from pocketbert.storage.texts import read_json, read_text
from pocketbert.tokenizer.added_tokens import as_added
from pocketbert.tokenizer.call.texts import replace_surrogates, side_of
from pocketbert.tokenizer.special_tokens import ROLES, additional_tokens
from pocketbert.tokenizer.steps import MAX_ADDED, MAX_ID, check_ids, read_checked

# model_type of config.json -> the class of the Python tokenizer
CLASSES = {"bert": "BertTokenizer", "distilbert": "DistilBertTokenizer", "mobilebert": "MobileBertTokenizer"}
# Names in tokenizer_config.json of the folder, not of the tokenizer.
_OF_FOLDER = frozenset({"tokenizer_class", "special_tokens_map_file", "tokenizer_file", "vocab_file", "name_or_path"})
# Tokenizer classes whose words are not BERT's, and the settings by which older folders show it.
_OTHER_WORDS = {"BertJapaneseTokenizer": "mecab"}

__all__ = ["CLASSES", "NORMALIZER", "TokenizerFolder", "TokenizerJson", "read_vocab", "vocab_text"]

logger = logging.getLogger(__name__)

# A constructor's setting -> the name of the same setting in a BertNormalizer of the tokenizers library.
NORMALIZER = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
    "clean_text": "clean_text",
}
_TYPES: dict[str, tuple[Any, str]] = {
    "do_lower_case": (bool, "true or false"),
    "do_basic_tokenize": (bool, "true or false"),
    "tokenize_chinese_chars": (bool, "true or false"),
    "clean_text": (bool, "true or false"),
    "strip_accents": (bool | None, "true, false or null"),
    "wordpieces_prefix": (str, "a string"),
}
# Settings that the constructors take; a tokenizer keeps everything else in tokenizer_config.json and saves it again.
_SETTINGS = (
    *_TYPES,
    *ROLES,
    "never_split",
    "model_max_length",
    "max_len",
    "pad_token_type_id",
    "model_input_names",
    "extra_special_tokens",
    "padding_side",
    "truncation_side",
    "clean_up_tokenization_spaces",
    "additional_special_tokens",
    "split_special_tokens",
    "added_tokens_decoder",
)


def read_vocab(source: str | os.PathLike[str] | Mapping[str, int]) -> dict[str, int]:
    """Return token -> id from a ``vocab.txt``, or a copy of a vocabulary given as a mapping.

    A token that stands on several lines has the number of the last one, as in ``transformers``; a warning names it.

    Raises:
        CheckpointError: the file cannot be read or is empty, or the mapping is of something else than tokens and ids.
    """
    if isinstance(source, Mapping):
        vocab = dict(source)
        if vocab and (fault := check_ids(vocab)) is not None:
            raise CheckpointError(f"vocab_file is no vocabulary of tokens and ids: {fault}")
        return vocab
    lines = read_text(source).split("\n")
    if lines[-1] == "":
        lines.pop()
    if not lines:
        raise CheckpointError(f"{source} is empty; a vocabulary has one token per line")
    vocab = {token: id_ for id_, token in enumerate(lines)}
    if len(vocab) < len(lines):
        counts = Counter(lines)
        del counts[""]  # an id without a token
        repeated = [token for token, count in counts.items() if count > 1]
        if repeated:
            shown = ", ".join(map(repr, repeated[:5])) + (", ..." if len(repeated) > 5 else "")
            message = "%s has %d tokens on more than one line, and the last line counts: %s"
            logger.warning(message, source, len(repeated), shown)
    return vocab


def vocab_text(vocab: Mapping[str, int]) -> str:
    """Return ``vocab`` as ``vocab.txt`` holds it; an id without a token is an empty line, so that lines stay ids.

    Raises:
        CheckpointError: a token cannot be a line of a text file, so that it would be read back as others.
    """
    for token in vocab:
        if not token.isprintable() and ("\n" in token or "\r" in token or replace_surrogates(token) != token):
            raise CheckpointError(
                f"token {token!r} cannot be a line of vocab.txt: it holds a line break or half a surrogate pair; "
                "save a Fast tokenizer with legacy_format=False, which writes tokenizer.json alone"
            )
    tokens = {id_: token for token, id_ in vocab.items()}
    return "".join(tokens.get(id_, "") + "\n" for id_ in range(max(tokens, default=-1) + 1))


@dataclass(frozen=True)
class TokenizerJson(os.PathLike[str]):
    """A ``tokenizer.json`` that was read: its content, its vocabulary, and its settings by the constructors' names."""

    path: str
    data: dict[str, Any]
    vocab: dict[str, int]
    settings: dict[str, Any]
    steps: tuple[str | None, str | None]  # the types of its normalizer and pre-tokenizer

    def __fspath__(self) -> str:
        """Return the path of the file."""
        return self.path

    __str__ = __fspath__

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> TokenizerJson:
        """Read ``path``; one that was read already is returned as it is.

        Raises:
            CheckpointError: it is damaged, or its model is not WordPiece.
        """
        if isinstance(path, cls):
            return path
        data = read_checked(path)
        model, normalizer = data["model"], data.get("normalizer") or {}
        if model["type"] != "WordPiece":
            raise CheckpointError(
                f"{path} holds a {model['type']} model; DistilBERT, MobileBERT and BERT have WordPiece"
            )
        try:
            settings: dict[str, Any] = {
                "unk_token": model.get("unk_token", "[UNK]"),
                "wordpieces_prefix": model.get("continuing_subword_prefix", "##"),
                "added_tokens_decoder": {int(token["id"]): as_added(token) for token in data.get("added_tokens") or ()},
            }
            steps = normalizer.get("type"), (data.get("pre_tokenizer") or {}).get("type")
            if steps[0] == "BertNormalizer":
                settings |= {ours: normalizer[theirs] for ours, theirs in NORMALIZER.items() if theirs in normalizer}
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise CheckpointError(f"{path} is not a tokenizer.json: {type(error).__name__} {error}") from error
        return cls(os.fspath(path), data, dict(model["vocab"]), settings, steps)


@dataclass(frozen=True)
class TokenizerFolder:
    """A folder with tokenizer files."""

    path: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """The content of ``tokenizer_config.json``; empty if there is none.

        Raises:
            CheckpointError: the file is damaged.
        """
        return self._read("tokenizer_config.json")

    def _read(self, name: str) -> dict[str, Any]:
        """Return the content of a file; empty if there is none."""
        path = self.path / name
        return read_json(path) if path.is_file() else {}

    @property
    def other(self) -> dict[str, Any]:
        """What ``tokenizer_config.json`` says beside the arguments of the constructors."""
        return {name: self.config[name] for name in self.config.keys() - _OF_FOLDER - set(_SETTINGS)}

    def check_class(self, wanted: str) -> None:
        """Check that a tokenizer of the class ``wanted`` splits texts as the folder's own does.

        Raises:
            CheckpointError: the folder's tokenizer makes words or pieces in another way.
        """
        named = self.config.get("tokenizer_class")
        words = self.config.get("word_tokenizer_type", _OTHER_WORDS.get(str(named), "basic"))
        pieces = self.config.get("subword_tokenizer_type", "wordpiece")
        if words not in ("basic", None) or pieces not in ("wordpiece", None):
            raise CheckpointError(
                f"{self.path} is of {named or 'a tokenizer'} with word_tokenizer_type={words!r} and "
                f"subword_tokenizer_type={pieces!r}, which {wanted} cannot follow: its ids would be wrong; "
                "use transformers' tokenizer and pass its ids to the model"
            )
        if isinstance(named, str) and named.removesuffix("Fast") not in (
            *CLASSES.values(),
            "PreTrainedTokenizer",
            wanted.removesuffix("Fast"),
        ):
            logger.warning("%s is of a %s and is read as a %s", self.path, named, wanted)

    def arguments(self, *, fast: bool, wordpiece: bool = True) -> dict[str, Any]:
        """Return the arguments of a constructor, of a Fast or a Python tokenizer, that make the saved tokenizer.

        Without ``wordpiece``, ``tokenizer.json`` may hold any model.

        ``tokenizer_config.json`` takes precedence over ``special_tokens_map.json`` and ``added_tokens.json``, and
        these over ``tokenizer.json``, as in ``transformers``.

        Raises:
            CheckpointError: there is no vocabulary, a file is damaged, a setting has the wrong type, or a Python
                tokenizer cannot do what ``tokenizer.json`` asks for.
        """
        vocab, library = self.path / "vocab.txt", self.path / "tokenizer.json"
        settings = self._settings()
        if not wordpiece:
            if not library.is_file():
                raise CheckpointError(f"{self.path} holds no tokenizer.json")
            return {"tokenizer_file": library, **settings}
        if fast:
            never_split, basic = settings.get("never_split"), settings.get("do_basic_tokenize", True)
            if never_split or not basic:
                message = "%s: never_split and do_basic_tokenize=False are for the Python tokenizers only"
                logger.warning(message, self.path)
        complete = not fast and vocab.is_file() and settings.keys() >= {"do_lower_case", "added_tokens_decoder"}
        if complete or not library.is_file():
            if not vocab.is_file():
                raise CheckpointError(f"{self.path} holds neither vocab.txt nor tokenizer.json")
            return {"vocab_file": vocab, **settings}
        file = TokenizerJson.read(library)
        if fast:
            source: dict[str, Any] = {"tokenizer_file": file}
        elif file.steps == ("BertNormalizer", "BertPreTokenizer"):
            source = {"vocab_file": vocab if vocab.is_file() else file.vocab}
        else:
            raise CheckpointError(
                f"{library} has the steps {list(file.steps)}, not BERT's; load it with a Fast tokenizer"
            )
        return {**source, **file.settings, **settings}

    def _settings(self) -> dict[str, Any]:
        """Return what the files beside the vocabulary say, by the constructors' names, checked."""
        settings = {name: self.config[name] for name in _SETTINGS if name in self.config}
        try:
            if "added_tokens_decoder" not in settings:
                settings |= self._legacy_tokens()
            return _checked(settings)
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise CheckpointError(
                f"{self.path}: a setting in tokenizer_config.json or beside it is damaged: {error}"
            ) from error

    def _legacy_tokens(self) -> dict[str, Any]:
        """Return special and added tokens as folders without ``added_tokens_decoder`` hold them."""
        roles = self._read("special_tokens_map.json")
        settings = {name: value for name, value in roles.items() if name in _SETTINGS}
        if added := self._read("added_tokens.json"):
            special = [token for role in ROLES if (token := settings.get(role))]
            special += settings.get("additional_special_tokens") or ()
            names = {as_added(token).content for token in special}
            settings["added_tokens_decoder"] = {
                id_: {"content": token, "special": token in names} for token, id_ in added.items()
            }
        return settings


def _checked(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings whose types are right, with tokens as :class:`AddedToken`; raise TypeError for others."""
    for name, (kind, words) in _TYPES.items():
        if name in settings and not isinstance(settings[name], kind):
            raise TypeError(f"{name} must be {words}, not {settings[name]!r}")
    for name in ("padding_side", "truncation_side"):
        side_of(name, settings.get(name, "right"))
    limit = settings.get("model_max_length", settings.get("max_len"))
    never_split = settings.get("never_split") or []
    if not isinstance(never_split, list) or not all(isinstance(word, str) for word in never_split):
        raise TypeError(f"never_split must be a list of words, not {never_split!r}")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, (int, float)) or limit < 1):
        raise TypeError(f"model_max_length must be a number of tokens, not {limit!r}")
    extra = settings.get("extra_special_tokens") or {}
    if not isinstance(extra, dict):
        raise TypeError(f"extra_special_tokens must be role: token, not {extra!r}")
    names = settings.get("model_input_names") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"model_input_names must be a list of names, not {names!r}")
    segment = settings.get("pad_token_type_id", 0)
    if isinstance(segment, bool) or not isinstance(segment, int) or segment < 0:
        raise TypeError(f"pad_token_type_id must be a whole number of at least 0, not {segment!r}")
    changed: dict[str, Any] = {role: as_added(settings[role], special=True) for role in ROLES if settings.get(role)}
    if "additional_special_tokens" in settings:
        tokens = settings["additional_special_tokens"] or ()
        changed["additional_special_tokens"] = additional_tokens(tokens)
    if "added_tokens_decoder" in settings:
        decoder = {int(id_): as_added(token) for id_, token in settings["added_tokens_decoder"].items()}
        size = sum(len(token.content) for token in decoder.values())
        if size > MAX_ADDED or not all(0 <= id_ <= MAX_ID for id_ in decoder):
            raise ValueError(
                f"added tokens of {size} characters with ids {min(decoder)} .. {max(decoder)}; the limits are "
                f"{MAX_ADDED} and 0 .. {MAX_ID}"
            )
        changed["added_tokens_decoder"] = decoder
    if limit is not None:
        changed["model_max_length"] = int(limit)
    return settings | changed
