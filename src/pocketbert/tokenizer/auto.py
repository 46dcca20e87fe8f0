"""The tokenizer that a checkpoint's files call for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.config.recognition import family_by_fields, family_by_path
from pocketbert.errors import CheckpointError, InputError
from pocketbert.storage.hub import CONFIG_FILES, TOKENIZER_FILES, given_file, local_folder
from pocketbert.storage.keywords import loading_options
from pocketbert.storage.texts import read_json
from pocketbert.tokenizer import models
from pocketbert.tokenizer.tokenizer_base import PreTrainedTokenizerBase
from pocketbert.tokenizer.tokenizer_files import CLASSES, TokenizerFolder

__all__ = ["AutoTokenizer", "load_tokenizer"]

_registered: dict[str, tuple[type[PreTrainedTokenizerBase], type[PreTrainedTokenizerBase]]] = {}  # Fast, Python


class AutoTokenizer:
    """Chooses by ``tokenizer_class`` in ``tokenizer_config.json``, else by that or ``model_type`` in ``config.json``.

    >>> import tempfile
    >>> from pocketbert import AutoTokenizer, DistilBertTokenizer
    >>> vocab = {token: id_ for id_, token in enumerate("[UNK] [CLS] [SEP] [PAD] [MASK] a dog ##s".split())}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = DistilBertTokenizer(vocab).save_pretrained(folder)
    ...     tokenizer = AutoTokenizer.from_pretrained(folder)
    >>> type(tokenizer).__name__, tokenizer.tokenize("A dog's dogs")
    ('DistilBertTokenizerFast', ['a', 'dog', '[UNK]', '[UNK]', 'dog', '##s'])
    """

    def __init__(self) -> None:
        """There are no instances: use :meth:`from_pretrained`."""
        raise TypeError("AutoTokenizer has no instances; call AutoTokenizer.from_pretrained(name_or_path)")

    @classmethod
    def register(
        cls,
        config_class: type[PretrainedConfig],
        slow_tokenizer_class: type[PreTrainedTokenizerBase] | None = None,
        fast_tokenizer_class: type[PreTrainedTokenizerBase] | None = None,
        exist_ok: bool = False,
    ) -> None:
        """Let checkpoints of a configuration class give tokenizers of yours.

        Args:
            config_class: the configurations; their ``model_type`` is what counts.
            slow_tokenizer_class: your class for ``use_fast=False``, and for all where it is the only one.
            fast_tokenizer_class: your class for ``use_fast=True``, and for all where it is the only one.
            exist_ok: whether they may take the place of others.

        Raises:
            InputError: no class is given, or the configurations have tokenizers already and ``exist_ok`` is false.
        """
        name = config_class.model_type
        given = [kind for kind in (fast_tokenizer_class, slow_tokenizer_class) if kind is not None]
        if not given:
            raise InputError("pass slow_tokenizer_class, fast_tokenizer_class or both")
        if not exist_ok and (name in CLASSES or name in _registered):
            raise InputError(f"{config_class.__name__} has tokenizers already; pass exist_ok=True to replace them")
        _registered[name] = (given[0], given[-1])

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *, use_fast: bool = True, **settings: Any
    ) -> PreTrainedTokenizerBase:
        """Load a tokenizer from a folder or by hub name.

        Args:
            pretrained_model_name_or_path: a folder, or a name such as ``"distilbert-base-uncased"``.
            use_fast: whether to choose the Fast tokenizer or the Python one.
            settings: hub options and settings, as in the tokenizer's own ``from_pretrained``.

        Raises:
            CheckpointError: the files name no tokenizer of this library, or one of them is damaged.
            HubError: the name cannot be turned into a folder.
        """
        settings.pop("config", None)
        if (path := given_file(pretrained_model_name_or_path)) is not None:
            return _class_of(family_by_path(path), use_fast, path).from_pretrained(path, **settings)
        files = (*CONFIG_FILES, *TOKENIZER_FILES)
        folder = local_folder(pretrained_model_name_or_path, optional=files, options=loading_options(settings))
        settings = {"name_or_path": str(pretrained_model_name_or_path), **settings}
        return load_tokenizer(folder, use_fast=use_fast, **settings)


def load_tokenizer(
    folder: str | os.PathLike[str], *, model_type: str | None = None, use_fast: bool = True, **settings: Any
) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a local folder; each file is read once.

    Args:
        folder: where the tokenizer's files lie.
        model_type: of the checkpoint's config, if the caller has read it; by default ``config.json`` is read.
        use_fast: whether to choose the Fast tokenizer or the Python one.
        settings: arguments of the tokenizer's constructor, which take precedence over the files.

    Raises:
        CheckpointError: the files name no tokenizer of this library, or one of them is damaged.
    """
    files = TokenizerFolder(Path(folder))
    config: dict[str, Any] = {}
    known = model_type is not None
    if not known and (path := files.path / "config.json").is_file():
        config = read_json(path)
        model_type = config.get("model_type") or family_by_fields(config)
    named = files.config.get("tokenizer_class") or config.get("tokenizer_class")
    if model_type is None and config and named is None:
        model_type = family_by_path(settings.get("name_or_path", folder))
    if known and str(named).removesuffix("Fast") in CLASSES.values():
        named = None  # a caller who knows the model wants the names of its inputs
    if named == "PreTrainedTokenizerFast":
        if (files.path / "tokenizer.json").is_file():
            use_fast = True
        else:
            named = None
    kind = _class_of(model_type, use_fast, folder, named)
    return kind.from_files(files, **{"name_or_path": str(folder), **settings})


def _class_of(
    model_type: str | None, use_fast: bool, source: str | os.PathLike[str], named: str | None = None
) -> type[PreTrainedTokenizerBase]:
    """Return the class of the name ``named``, which may end in Fast, else of the model."""
    if (of_user := _registered.get(str(model_type))) and named in (None, *(each.__name__ for each in of_user)):
        return of_user[0 if use_fast else 1]
    name = str(named or CLASSES.get(str(model_type))).removesuffix("Fast")
    if name not in (*CLASSES.values(), "PreTrainedTokenizer"):
        raise CheckpointError(
            f"{source} names no tokenizer of {', '.join(CLASSES.values())} (tokenizer_class={named!r}, "
            f"model_type={model_type!r}); if it is WordPiece with BERT's words, call from_pretrained of the one that "
            "you want"
        )
    kind: type[PreTrainedTokenizerBase] = getattr(models, f"{name}Fast" if use_fast else name)
    return kind
