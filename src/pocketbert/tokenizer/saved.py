"""``from_pretrained`` and ``save_pretrained``, for folders that ``transformers`` reads and writes too."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pocketbert.errors import CheckpointError
from pocketbert.notices import warn
from pocketbert.storage.hub import TOKENIZER_FILES, given_file, local_folder, safe_name
from pocketbert.storage.keywords import loading_options, saving_options
from pocketbert.storage.pushing import Pushable
from pocketbert.storage.recognized import Recognized
from pocketbert.storage.replacing import replacing
from pocketbert.tokenizer.added_tokens import AddedToken
from pocketbert.tokenizer.call.texts import NO_LIMIT, Side
from pocketbert.tokenizer.special_tokens import SpecialTokensMixin
from pocketbert.tokenizer.tokenizer_files import TokenizerFolder, vocab_text

__all__ = ["Pretrained"]

P = TypeVar("P", bound="Pretrained")

# attributes that may have been set since the constructor -> those values that need not be written
_CHANGEABLE = {
    "padding_side": "right",
    "truncation_side": "right",
    "clean_up_tokenization_spaces": None,
    "split_special_tokens": False,
    "pad_token_type_id": 0,
    "chat_template": None,
}


class Pretrained(SpecialTokensMixin, Pushable, Recognized):
    """The methods that load a tokenizer and save it."""

    _stands_for = ("transformers.tokenization_utils_base", "PreTrainedTokenizerBase")
    is_fast: ClassVar[bool]
    _is_wordpiece: ClassVar[bool] = True  # the vocabulary may come from vocab.txt, and the settings are BERT's
    model_max_length: int
    padding_side: Side
    truncation_side: Side
    clean_up_tokenization_spaces: bool
    name_or_path: str
    vocab_files_names: ClassVar[dict[str, str]]
    extra_special_tokens: dict[str, Any]
    init_kwargs: dict[str, Any]  # arguments of the constructor, which tokenizer_config.json holds

    def __init__(self, **arguments: Any) -> None:
        """Take a vocabulary and settings."""
        raise NotImplementedError

    def _tokenizer_json(self) -> str | None:
        """Return the content of ``tokenizer.json``; None for a Python tokenizer."""
        return None

    @classmethod
    def from_pretrained(
        cls: type[P],
        pretrained_model_name_or_path: str | os.PathLike[str],
        **settings: Any,
    ) -> P:
        """Load a tokenizer from a folder, or from the Hugging Face Hub by name.

        The folder needs ``vocab.txt`` or ``tokenizer.json``. The path of one of these works, too, with a warning; then
        no other file is read. Settings come from ``tokenizer.json``, then
        ``special_tokens_map.json`` and ``tokenizer_config.json``, then the arguments; later ones take precedence.

        Args:
            pretrained_model_name_or_path: a folder, or a name such as ``"distilbert-base-uncased"``.
            settings: arguments of the constructor, such as ``do_lower_case=False`` or ``model_max_length=256``, and
                where files come from: ``revision``, ``cache_dir``, ``local_files_only``, ``token``,
                ``force_download``, ``subfolder``.

        Raises:
            CheckpointError: the folder holds no vocabulary, or a file in it is damaged.
            HubError: the name cannot be turned into a folder.
            ConfigError: the vocabulary lacks a special token.
        """
        options = loading_options(settings)
        if (path := given_file(pretrained_model_name_or_path)) is not None:
            message = f"{cls.__name__}.from_pretrained with the path of a single file is deprecated; pass its folder"
            warn(message, FutureWarning)
            return cls.from_file(path, **settings)
        folder = local_folder(pretrained_model_name_or_path, optional=TOKENIZER_FILES, options=options)
        settings = {"name_or_path": str(pretrained_model_name_or_path), **settings}
        return cls.from_files(TokenizerFolder(folder), **settings)

    @classmethod
    def from_file(cls: type[P], path: Path, **settings: Any) -> P:
        """Build a tokenizer of one file, ``vocab.txt`` or, if it is a Fast one, ``tokenizer.json``."""
        is_library = path.suffix == ".json"
        if is_library and not cls.is_fast:
            raise CheckpointError(f"{path} is for a Fast tokenizer; a {cls.__name__} reads vocab.txt")
        settings = {"name_or_path": str(path), **settings}
        return cls(**{"tokenizer_file" if is_library else "vocab_file": path, **settings})

    @classmethod
    def from_files(cls: type[P], files: TokenizerFolder, **settings: Any) -> P:
        """Build the tokenizer of a local folder; ``settings`` and errors are those of :meth:`from_pretrained`."""
        files.check_class(cls.__name__)
        arguments = files.arguments(fast=cls.is_fast, wordpiece=cls._is_wordpiece) | settings
        saved = arguments.get("added_tokens_decoder", {})
        tokenizer = cls(**arguments)
        tokenizer.init_kwargs |= {name: value for name, value in files.other.items() if name not in arguments}
        ids = {token.content: id_ for id_, token in reversed(saved.items())}
        for id_, added in tokenizer.added_tokens_decoder.items():
            wanted = ids.get(added.content, id_)
            if wanted != id_:
                raise CheckpointError(
                    f"{files.path}: added token {added.content!r} was saved with id {wanted}, but after this "
                    f"vocabulary its id is {id_}; vocab.txt and the added tokens are not of one tokenizer"
                )
        return tokenizer

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> tuple[str, ...]:
        """Write the files that :meth:`from_pretrained`, here and in ``transformers``, reads; return their paths.

        Args:
            save_directory: a folder, made if there is none. A tokenizer in it is replaced as a whole or not at all.
            legacy_format: True leaves out ``tokenizer.json``, False leaves out ``vocab.txt``; by default both.
            filename_prefix: put before each file's name, with a dash.
            push_to_hub: send them to the hub, too; ``repo_id``, ``token`` and so on go with it.

        Raises:
            CheckpointError: the folder cannot be written.
        """
        options = saving_options({"push_to_hub": push_to_hub, **kwargs}, save_directory)
        texts = {
            "tokenizer_config.json": _json(self._config()),
            "special_tokens_map.json": _json(self.special_tokens_map_extended),
        }
        library = self._tokenizer_json()
        if legacy_format is False and library is None:
            raise CheckpointError("legacy_format=False writes tokenizer.json alone, which only a Fast tokenizer has")
        if legacy_format is not False:
            texts["vocab.txt"] = vocab_text(self._vocab)
            added = {token: id_ for token, id_ in self.added_tokens_encoder.items() if token not in self._vocab}
            if added:
                texts["added_tokens.json"] = _json(added)
        if library is not None and not legacy_format:
            texts["tokenizer.json"] = library
        # a file of the old tokenizer beside those of the new one would be read with them
        written = _write(save_directory, texts, filename_prefix, () if filename_prefix else TOKENIZER_FILES)
        self._push(options.push)
        return written

    def save_vocabulary(self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None) -> tuple[str]:
        """Write ``vocab.txt`` alone; return its path."""
        (path,) = _write(save_directory, {"vocab.txt": vocab_text(self._vocab)}, filename_prefix)
        return (path,)

    def _config(self) -> dict[str, Any]:
        """Return ``tokenizer_config.json``: the constructor's arguments, with the values that attributes have now."""
        names = {*self.init_kwargs, *_CHANGEABLE} - {"name_or_path", *self.vocab_files_names}
        config = {name: getattr(self, name, self.init_kwargs.get(name)) for name in sorted(names)}
        for name, default in _CHANGEABLE.items():
            if config[name] == default and name not in self.init_kwargs:
                del config[name]
        return {
            **config,
            **self.special_tokens_map,
            "model_max_length": self.model_max_length or NO_LIMIT,
            "extra_special_tokens": {name: str(token) for name, token in self.extra_special_tokens.items()},
            "tokenizer_class": self._saved_class,
            "added_tokens_decoder": {str(id_): token for id_, token in self.added_tokens_decoder.items()},
        }

    @property
    def _saved_class(self) -> str:
        return type(self).__name__.removesuffix("Fast")


def _write(
    folder: str | os.PathLike[str], texts: dict[str, str], prefix: str | None, stale: Iterable[str] = ()
) -> tuple[str, ...]:
    """Write files, all or none of them, in place of these and the ``stale`` ones."""
    names = [safe_name(f"{prefix}-{name}" if prefix else name, where="filename_prefix") for name in texts]
    directory = Path(folder).expanduser()
    with replacing(directory, stale) as stage:
        for name, text in zip(names, texts.values(), strict=True):
            (stage / name).write_text(text, "utf-8", newline="\n")
    return tuple(str(directory / name) for name in names)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=AddedToken.to_dict) + "\n"
