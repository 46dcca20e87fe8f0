"""``from_pretrained`` and ``save_pretrained``: folders that ``transformers`` reads and writes too."""

from __future__ import annotations

import json
import logging
import os
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pocketbert.errors import CheckpointError
from pocketbert.storage.hub import TOKENIZER_FILES, HubOptions, local_folder, safe_name
from pocketbert.tokenizer.added_tokens import AddedToken
from pocketbert.tokenizer.call.arguments import NO_LIMIT
from pocketbert.tokenizer.call.row_layout import Side
from pocketbert.tokenizer.special_tokens import SpecialTokens
from pocketbert.tokenizer.tokenizer_files import read_settings, read_tokenizer_json, vocab_text, write_text

__all__ = ["Pretrained"]

logger = logging.getLogger(__name__)
P = TypeVar("P", bound="Pretrained")


class Pretrained(SpecialTokens):
    """A tokenizer's files."""

    is_fast: ClassVar[bool]
    model_max_length: int
    padding_side: Side
    truncation_side: Side
    clean_up_tokenization_spaces: bool
    name_or_path: str
    _settings: dict[str, Any]  # what the constructor was given and tokenizer_config.json keeps

    def __init__(self, **arguments: Any) -> None:
        """Subclasses take a vocabulary and settings."""
        raise NotImplementedError

    @property
    @abstractmethod
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Id -> added token (special tokens among them)."""

    @abstractmethod
    def _base_vocab(self) -> dict[str, int]:
        """Token -> id, added tokens left out."""

    def _tokenizer_json(self) -> str | None:
        """The ``tokenizer.json`` of a Fast tokenizer."""
        return None

    @classmethod
    def from_pretrained(
        cls: type[P],
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
        force_download: bool = False,
        subfolder: str = "",
        **settings: Any,
    ) -> P:
        """Load a tokenizer from a folder, or from the Hugging Face Hub by name.

        The folder needs ``vocab.txt`` or ``tokenizer.json``. Settings come from ``tokenizer.json``, then
        ``special_tokens_map.json`` and ``tokenizer_config.json``, then the arguments; the last to speak wins.

        Args:
            pretrained_model_name_or_path: a folder, or a name such as ``"distilbert-base-uncased"``.
            revision: branch, tag or commit of a hub name.
            cache_dir: where hub files are kept.
            local_files_only: use the cache, never the network.
            token: access token of the hub.
            force_download: fetch files that are cached already.
            subfolder: folder within the repository.
            settings: arguments of the constructor, such as ``do_lower_case=False`` or ``model_max_length=256``.

        Raises:
            CheckpointError: the folder holds no vocabulary, or a file in it is damaged.
            HubError: the name cannot be turned into a folder.
            ConfigError: the vocabulary lacks a special token.
        """
        options = HubOptions(revision, cache_dir, local_files_only, token, force_download, subfolder)
        folder = local_folder(pretrained_model_name_or_path, optional=TOKENIZER_FILES, options=options)
        arguments = {
            "name_or_path": str(pretrained_model_name_or_path),
            **_arguments(folder, fast=cls.is_fast),
            **settings,
        }
        saved = arguments.get("added_tokens_decoder", {})
        tokenizer = cls(**arguments)
        for id_, added in tokenizer.added_tokens_decoder.items():
            wanted = next((i for i, token in saved.items() if token.content == added.content), id_)
            if wanted != id_:
                raise CheckpointError(
                    f"{folder}: added token {added.content!r} was saved with id {wanted}, and the vocabulary before it "
                    f"ends so that it gets {id_}; vocab.txt and the added tokens are not of one tokenizer"
                )
        return tokenizer

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
    ) -> tuple[str, ...]:
        """Write every file that :meth:`from_pretrained`, here and in ``transformers``, reads; returns their paths.

        Args:
            save_directory: a folder, made if there is none. Each file is replaced whole.
            legacy_format: True leaves out ``tokenizer.json``, False writes no ``vocab.txt``; by default both.
            filename_prefix: put before each file's name, with a dash.

        Raises:
            CheckpointError: the folder cannot be written.
        """
        texts = {
            "tokenizer_config.json": _json(self._config()),
            "special_tokens_map.json": _json(_plain(self.special_tokens_map_extended)),
        }
        library = self._tokenizer_json()
        if legacy_format is False and library is None:
            raise CheckpointError("legacy_format=False writes tokenizer.json alone, which only a Fast tokenizer has")
        if legacy_format is not False:
            vocab = self._base_vocab()
            texts["vocab.txt"] = vocab_text(vocab)
            added = {
                token.content: id_ for id_, token in self.added_tokens_decoder.items() if token.content not in vocab
            }
            if added:
                texts["added_tokens.json"] = _json(added)
        if library is not None and not legacy_format:
            texts["tokenizer.json"] = library
        return _write(save_directory, texts, filename_prefix)

    def save_vocabulary(self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None) -> tuple[str]:
        """Write ``vocab.txt`` alone; returns its path."""
        (path,) = _write(save_directory, {"vocab.txt": vocab_text(self._base_vocab())}, filename_prefix)
        return (path,)

    def _config(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            **self._settings,
            **self.special_tokens_map,
            "model_max_length": self.model_max_length or NO_LIMIT,
            "clean_up_tokenization_spaces": self.clean_up_tokenization_spaces,
            "tokenizer_class": type(self).__name__.removesuffix("Fast"),
            "added_tokens_decoder": _plain({str(id_): token for id_, token in self.added_tokens_decoder.items()}),
        }
        sides = {"padding_side": self.padding_side, "truncation_side": self.truncation_side}
        return config | {name: side for name, side in sides.items() if side != "right"}


def _arguments(folder: Path, *, fast: bool) -> dict[str, Any]:
    """The constructor's arguments, from the files of a folder."""
    vocab, library = folder / "vocab.txt", folder / "tokenizer.json"
    settings = read_settings(folder)
    if fast:
        kept, basic = settings.pop("never_split", None), settings.pop("do_basic_tokenize", True)
        if kept or not basic:
            logger.warning("%s: never_split and do_basic_tokenize=False are for the Python tokenizers only", folder)
    if not fast and vocab.is_file() and settings.keys() >= {"do_lower_case", "added_tokens_decoder"}:
        return {"vocab_file": vocab, **settings}
    if not library.is_file():
        if not vocab.is_file():
            raise CheckpointError(f"{folder} holds neither vocab.txt nor tokenizer.json")
        return {"vocab_file": vocab, **settings}
    tokens, defaults = read_tokenizer_json(library, only_bert=not fast)
    if "added_tokens_decoder" in settings:  # same tokens as in tokenizer.json, or later news of them
        defaults.pop("added_tokens_decoder")
    source: dict[str, Any] = {"tokenizer_file": library}
    if not fast:
        source = {"vocab_file": vocab if vocab.is_file() else tokens}
    return {**source, **defaults, **settings}


def _write(folder: str | os.PathLike[str], texts: dict[str, str], prefix: str | None) -> tuple[str, ...]:
    directory = Path(folder)
    names = {
        safe_name(f"{prefix}-{name}" if prefix else name, where="filename_prefix"): text for name, text in texts.items()
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in names.items():
            write_text(directory / name, text)
    except OSError as error:
        raise CheckpointError(f"cannot write to {directory}: {error.strerror}") from error
    return tuple(str(directory / name) for name in names)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    """Added tokens within ``value`` as the dicts that files hold."""
    if isinstance(value, AddedToken):
        return value.to_dict()
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
