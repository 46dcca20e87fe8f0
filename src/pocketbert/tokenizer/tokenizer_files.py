"""Tokenizer files: read with suspicion, written whole or not at all.

A folder holds ``vocab.txt`` (one token a line, its line is its id) or ``tokenizer.json`` (the ``tokenizers`` library's
own format) or both, and optionally ``tokenizer_config.json``, ``special_tokens_map.json`` and ``added_tokens.json``.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pocketbert.errors import CheckpointError
from pocketbert.tokenizer.added_tokens import as_added
from pocketbert.tokenizer.special_tokens import ROLES

__all__ = ["read_json", "read_settings", "read_tokenizer_json", "read_vocab", "vocab_text", "write_text"]

_LARGEST = 256 * 2**20  # bytes; BERT's own files have less than one per cent of it
_MOST_IDS = 2**24  # the tokenizers library makes room for every id up to the largest
_FLAGS = ("do_lower_case", "do_basic_tokenize", "tokenize_chinese_chars", "clean_text")
# Settings that the constructors take; anything else in tokenizer_config.json is kept for saving and otherwise ignored.
_SETTINGS = (
    *_FLAGS,
    *ROLES,
    "never_split",
    "strip_accents",
    "wordpieces_prefix",
    "model_max_length",
    "padding_side",
    "truncation_side",
    "clean_up_tokenization_spaces",
    "additional_special_tokens",
    "split_special_tokens",
    "added_tokens_decoder",
)


def read_text(path: str | os.PathLike[str]) -> str:
    """Return a UTF-8 file's text.

    Raises:
        CheckpointError: there is no such file, it is too large to be a tokenizer's, or it is not UTF-8.
    """
    try:
        size = os.path.getsize(path)
        if size > _LARGEST:
            raise CheckpointError(f"{path} has {size} bytes; a tokenizer file has at most {_LARGEST}")
        return Path(path).read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not UTF-8 text: {error}") from error
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        CheckpointError: it cannot be read, or holds no JSON object.
    """
    try:
        value = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds a JSON {type(value).__name__}, not an object")
    return value


def read_vocab(source: str | os.PathLike[str] | Mapping[str, int]) -> dict[str, int]:
    """Return token -> id from a ``vocab.txt``, or a copy of a vocabulary given as a mapping.

    Raises:
        CheckpointError: the file cannot be read or is empty.
    """
    if isinstance(source, Mapping):
        return dict(source)
    lines = read_text(source).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if lines[-1] == "":
        lines.pop()
    if not lines:
        raise CheckpointError(f"{source} is empty; a vocabulary has one token a line")
    return {token: id_ for id_, token in enumerate(lines)}


def vocab_text(vocab: Mapping[str, int]) -> str:
    """Return ``vocab`` as ``vocab.txt`` holds it; an id without a token is an empty line, so that lines stay ids."""
    tokens = {id_: token for token, id_ in vocab.items()}
    return "".join(tokens.get(id_, "") + "\n" for id_ in range(max(tokens, default=-1) + 1))


def read_tokenizer_json(
    path: str | os.PathLike[str], *, only_bert: bool = False
) -> tuple[dict[str, int], dict[str, Any]]:
    """Return the vocabulary of a ``tokenizer.json`` and its settings, named as the constructors name them.

    Raises:
        CheckpointError: it is damaged, its model is not WordPiece or, with ``only_bert``, it does not normalise and
            split text as BERT does.
    """
    data = read_json(path)
    try:
        model, normalizer = data["model"], data.get("normalizer") or {}
        kind = model.get("type", "WordPiece")
        if kind != "WordPiece":
            raise CheckpointError(f"{path} holds a {kind} model; DistilBERT, MobileBERT and BERT have WordPiece")
        vocab = dict(model["vocab"])
        settings: dict[str, Any] = {
            "unk_token": model.get("unk_token", "[UNK]"),
            "wordpieces_prefix": model.get("continuing_subword_prefix", "##"),
            "added_tokens_decoder": {int(token["id"]): as_added(token) for token in data.get("added_tokens") or ()},
        }
        steps = [normalizer.get("type"), (data.get("pre_tokenizer") or {}).get("type")]
        if only_bert and steps != ["BertNormalizer", "BertPreTokenizer"]:
            raise CheckpointError(f"{path} has the steps {steps}, not BERT's; load it with a Fast tokenizer")
        if steps[0] == "BertNormalizer":
            settings |= {
                "do_lower_case": normalizer.get("lowercase", True),
                "strip_accents": normalizer.get("strip_accents"),
                "tokenize_chinese_chars": normalizer.get("handle_chinese_chars", True),
                "clean_text": normalizer.get("clean_text", True),
            }
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointError(f"{path} is not a tokenizer.json: {type(error).__name__} {error}") from error
    ids = vocab.values()
    if set(map(type, ids)) != {int} or min(ids) < 0 or max(ids) >= _MOST_IDS:
        raise CheckpointError(f"{path} holds no vocabulary of tokens and ids in 0 .. {_MOST_IDS - 1}")
    return vocab, settings


def read_settings(folder: Path) -> dict[str, Any]:
    """Return what the files beside the vocabulary say, named as the constructors name it.

    ``tokenizer_config.json`` is read last and wins, as in ``transformers``; what it says of added tokens stands for
    ``special_tokens_map.json`` and ``added_tokens.json`` too.

    Raises:
        CheckpointError: a file is damaged, or a setting has the wrong type.
    """
    path = folder / "tokenizer_config.json"
    config = read_json(path) if path.is_file() else {}
    settings = {name: config[name] for name in _SETTINGS if name in config}
    try:
        if "added_tokens_decoder" not in settings:
            settings |= _legacy_tokens(folder)
        return _checked(settings)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointError(
            f"{folder}: a setting in tokenizer_config.json or beside it is damaged: {error}"
        ) from error


def _checked(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of the right types, tokens as :class:`AddedToken`."""
    limit = settings.get("model_max_length", 1)
    sides = {settings.get(name, "right") for name in ("padding_side", "truncation_side")}
    if not all(isinstance(settings.get(name, True), bool) for name in _FLAGS):
        raise TypeError(f"{', '.join(_FLAGS)} must be true or false")
    if not isinstance(settings.get("strip_accents"), (bool, type(None))):
        raise TypeError(f"strip_accents must be true, false or null, not {settings['strip_accents']!r}")
    kept = settings.get("never_split") or []
    if not isinstance(kept, list) or not all(isinstance(word, str) for word in kept):
        raise TypeError(f"never_split must be a list of words, not {kept!r}")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, (int, float)) or limit < 1):
        raise TypeError(f"model_max_length must be a number of tokens, not {limit!r}")
    if not isinstance(settings.get("wordpieces_prefix", ""), str):
        raise TypeError(f"wordpieces_prefix must be a string, not {settings['wordpieces_prefix']!r}")
    if not sides <= {"left", "right"}:
        raise TypeError("padding_side and truncation_side must be 'left' or 'right'")
    changed: dict[str, Any] = {role: as_added(settings[role], special=True) for role in ROLES if settings.get(role)}
    if "additional_special_tokens" in settings:
        tokens = settings["additional_special_tokens"] or ()
        changed["additional_special_tokens"] = [as_added(token, special=True) for token in tokens]
    if "added_tokens_decoder" in settings:
        tokens = settings["added_tokens_decoder"].items()
        changed["added_tokens_decoder"] = {int(id_): as_added(token) for id_, token in tokens}
    if limit is not None and "model_max_length" in settings:
        changed["model_max_length"] = int(limit)
    return settings | changed


def _legacy_tokens(folder: Path) -> dict[str, Any]:
    """Special and added tokens as files older than ``added_tokens_decoder`` hold them."""
    settings: dict[str, Any] = {}
    path = folder / "special_tokens_map.json"
    if path.is_file():
        settings |= {name: value for name, value in read_json(path).items() if name in _SETTINGS}
    path = folder / "added_tokens.json"
    if path.is_file():
        names = {_content(token) for role in ROLES if (token := settings.get(role))}
        names |= {_content(token) for token in settings.get("additional_special_tokens") or ()}
        settings["added_tokens_decoder"] = {
            id_: {"content": token, "special": token in names, "normalized": token not in names}
            for token, id_ in read_json(path).items()
        }
    return settings


def _content(token: Any) -> Any:
    return token.get("content") if isinstance(token, dict) else token


def write_text(path: Path, text: str) -> None:
    """Write a file so that readers see the old one or the new one, never a part, whatever happens meanwhile."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
