"""A name becomes a local folder; the only file that downloads.

A folder that exists is used as it is and never touches the network. Anything else is a name on the Hugging Face Hub,
fetched through ``huggingface_hub``, whose cache and environment variables (``HF_HOME``, ``HF_HUB_OFFLINE``,
``HF_TOKEN``, ...) are honored.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pocketbert.errors import CheckpointError, HubError, UnsafeFileError
from pocketbert.storage.access_token import checked_token, first_line
from pocketbert.storage.commits import finish_save
from pocketbert.storage.connection import unreachable
from pocketbert.storage.texts import read_json

__all__ = ["CONFIG_FILES", "LOOKUP", "TOKENIZER_FILES", "WEIGHT_FILES"]
__all__ += ["HubOptions", "find_file", "given_file", "local_folder", "safe_name", "shard_names", "with_variant"]

CONFIG_FILES = ("config.json",)
TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
# keywords that say where a hub name is looked up
LOOKUP = ("revision", "cache_dir", "local_files_only", "token", "force_download", "subfolder")
_CURE = "check the name, the revision, the token and the connection, or pass a local folder"
# In order of preference: the first that a checkpoint has is the one that is read.
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "tf_model.h5",
    "tf_model.h5.index.json",
)


@dataclass(frozen=True)
class HubOptions:
    """How a hub name is looked up; of a local folder only ``subfolder`` and what follows it count.

    Attributes:
        revision: branch, tag or commit.
        cache_dir: where files are kept.
        local_files_only: use the cache, never the network.
        token: access token, or False for none.
        force_download: fetch files that are cached already.
        subfolder: folder within the repository.
        weight_files: which files may hold the weights, the preferred one first.
        runs_remote_code: the caller lets the repository's own code run, which is refused where there is any.
    """

    revision: str | None = None
    cache_dir: str | os.PathLike[str] | None = None
    local_files_only: bool = False
    token: str | bool | None = field(default=None, repr=False)
    force_download: bool = False
    subfolder: str = ""
    weight_files: tuple[str, ...] = WEIGHT_FILES
    runs_remote_code: bool = False


def local_folder(
    name_or_path: str | os.PathLike[str],
    required: Iterable[str] = (),
    optional: Iterable[str] = (),
    *,
    weights: bool = False,
    options: HubOptions | None = None,
) -> Path:
    """Return the local folder of a checkpoint, downloading what is asked for if ``name_or_path`` is a hub name.

    Args:
        name_or_path: a folder, or a hub name such as ``"distilbert-base-uncased"`` or ``"google/mobilebert-uncased"``.
        required: file names without which the checkpoint is of no use to the caller (checked for hub names only).
        optional: file names that are fetched where the repository has them.
        weights: also fetch the first of ``options.weight_files`` that the repository has, with its shards.
        options: revision, cache, token, offline mode, subfolder.

    Raises:
        CheckpointError: ``name_or_path`` is plainly a path and there is no such folder.
        HubError: the hub name is unknown, lacks a required file, or cannot be reached.
    """
    options = options or HubOptions()
    name = os.path.expanduser(os.fspath(name_or_path))
    if os.path.isdir(name):
        inner = _inside(Path(name), options.subfolder)
        _finish_saves(Path(name), inner)
        return inner
    if os.path.exists(name):
        raise CheckpointError(f"{name} is a file; pass the folder that holds config.json and the weights")
    if _is_path(name):
        cure = "pass an existing checkpoint folder or a hub name such as 'owner/model'"
        raise CheckpointError(f"no folder {name}; {cure}")
    hub = _Repository(name, options)
    required, optional = list(required), list(optional)
    fetched = [hub.download(file) for file in required]
    fetched += [path for file in optional if (path := hub.download(file, absent_ok=True))]
    if weights:
        fetched.append(_download_weights(hub))
    found = [path for path in fetched if path is not None]
    if not found:
        raise HubError(f"{name} has none of {', '.join([*required, *optional])} that can be reached; {_CURE}")
    # the folder of the snapshot: its files are links, so the path that the hub gave is kept as it is
    return found[0].parent


def find_file(name_or_path: str | os.PathLike[str], file: str, options: HubOptions | None = None) -> Path | None:
    """Return where a file of a checkpoint lies, downloading it for a hub name; None if the checkpoint has none.

    Args:
        name_or_path: see ``local_folder``.
        file: its name, within ``options.subfolder``; ``/`` separates folders.
        options: see ``local_folder``.

    Raises:
        HubError: the hub name is unknown or cannot be reached.
    """
    options = options or HubOptions()
    name = os.path.expanduser(os.fspath(name_or_path))
    if os.path.exists(name) or _is_path(name):
        _finish_saves(Path(name), Path(name) / options.subfolder)
        path = Path(name) / options.subfolder / file
        return path if os.path.isfile(path) else None  # false, too, for a name that is too long
    return _Repository(name, options).download(file, absent_ok=True)


def given_file(name_or_path: str | os.PathLike[str]) -> Path | None:
    """Return the path of a file that was given in place of a folder or a hub name; None if it is no file."""
    path = Path(os.path.expanduser(os.fspath(name_or_path)))
    if path.is_dir():
        return None
    finish_save(path.parent)
    return path if os.path.isfile(path) else None


def _finish_saves(*folders: Path) -> None:
    for folder in dict.fromkeys(folders):
        finish_save(folder)


def with_variant(file: str, variant: str | None) -> str:
    """Return a weight file's name for a variant: ``model.fp16.safetensors``, ``model.safetensors.index.fp16.json``."""
    if variant is None:
        return file
    stem, _, suffix = safe_name(file, where="variant").rpartition(".")
    return safe_name(f"{stem}.{variant}.{suffix}", where="variant")


def safe_name(name: str, *, where: str) -> str:
    """Return ``name`` if it is a plain file name that stays in its folder.

    Raises:
        UnsafeFileError: it is absolute, holds ``..``, a separator or a control character; ``where`` says which file
            named it.
    """
    if any(sign in name for sign in "\x00\\:") or name in ("", "..") or PurePosixPath(name).parts != (name,):
        raise UnsafeFileError(f"{where} names {name!r}, which leaves its folder; only plain file names are followed")
    if not name.isprintable():
        raise UnsafeFileError(f"{where} names {name!r}, which would control a terminal that shows it")
    return name


def shard_names(index: Path) -> list[str]:
    """Return the names of the files that a shard index lists.

    Raises:
        CheckpointError: it is no shard index.
        UnsafeFileError: it names a file outside its folder.
    """
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(file, str) for file in weight_map.values()):
        raise CheckpointError(f"{index} has no weight_map of names to files")
    return sorted({safe_name(file, where=index.name) for file in weight_map.values()})


def _inside(folder: Path, subfolder: str) -> Path:
    inner = (folder / subfolder).resolve()
    if not inner.is_relative_to(folder.resolve()):
        raise UnsafeFileError(f"subfolder {subfolder!r} leaves {folder}")
    if not os.path.isdir(inner):  # false, too, for a name that is too long
        raise CheckpointError(f"no folder {folder / subfolder}")
    return folder / subfolder if subfolder else folder


def _is_path(name: str) -> bool:
    return name.startswith((".", "/", "\\", "~")) or "\\" in name or name.count("/") > 1 or os.path.isabs(name)


class _Repository:
    """A repository of the hub, or what the cache has of it where the hub cannot be asked."""

    def __init__(self, name: str, options: HubOptions) -> None:
        from huggingface_hub import constants

        self.name, self.options = name, options
        self.token = checked_token(options.token)
        self.is_offline = options.local_files_only or constants.HF_HUB_OFFLINE  # because the caller wants it
        self.unreachable = None if self.is_offline else unreachable()

    def download(self, file: str, *, absent_ok: bool = False) -> Path | None:
        """Return where a file lies; None if it is absent and ``absent_ok``."""
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

        name, options = self.name, self.options

        def why(error: Exception) -> str:
            return first_line(error, self.token)

        try:
            return Path(
                hf_hub_download(
                    name,
                    file,
                    subfolder=options.subfolder or None,
                    revision=options.revision,
                    cache_dir=os.fspath(options.cache_dir) if options.cache_dir is not None else None,
                    local_files_only=options.local_files_only or self.unreachable is not None,
                    token=self.token,
                    force_download=options.force_download,
                )
            )
        except LocalEntryNotFoundError as error:  # not in the cache, and the hub cannot be asked
            if absent_ok and (self.is_offline or self._is_known_absent(file)):
                return None
            reason = self.unreachable or why(error)
            raise HubError(f"cannot reach the hub for {file} of {name}: {reason}; {_CURE}") from None
        except EntryNotFoundError as error:
            if absent_ok:
                return None
            raise HubError(f"{name} has no {file}: {why(error)}; {_CURE}") from None
        except HFValidationError as error:
            raise HubError(f"no folder {name!r}, and it is no hub name either: {why(error)}") from None
        except Exception as error:  # what a lost connection raises is the business of the hub library's HTTP client
            raise HubError(f"cannot fetch {file} of {name}: {why(error)}; {_CURE}") from None

    def _is_known_absent(self, file: str) -> bool:
        """Whether the cache remembers that the repository lacks ``file``: then a lost connection hides nothing."""
        from huggingface_hub import try_to_load_from_cache

        options = self.options
        path = f"{options.subfolder}/{file}" if options.subfolder else file
        cache = os.fspath(options.cache_dir) if options.cache_dir is not None else None
        return not isinstance(try_to_load_from_cache(self.name, path, cache, options.revision), (str, type(None)))


def _download_weights(hub: _Repository) -> Path:
    files = hub.options.weight_files
    for file in files:
        path = hub.download(file, absent_ok=True)
        if path is None:
            continue
        if ".index." in file:
            for shard in shard_names(path):
                hub.download(shard)
        return path
    raise HubError(f"{hub.name} has no weights that can be reached: none of {', '.join(files)}; {_CURE}")
