"""A name becomes a local folder; the only file that downloads.

A folder that exists is used as it is and never touches the network. Anything else is a name on the Hugging Face Hub,
fetched through ``huggingface_hub``, whose cache and environment variables (``HF_HOME``, ``HF_HUB_OFFLINE``,
``HF_TOKEN``, ...) are honoured.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pocketbert.errors import CheckpointError, HubError, UnsafeFileError

__all__ = ["HubOptions", "local_folder", "safe_name", "CONFIG_FILES", "TOKENIZER_FILES", "WEIGHT_FILES"]

CONFIG_FILES = ("config.json",)
TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
# In order of preference: the first that a checkpoint has is the one that is read.
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


@dataclass(frozen=True)
class HubOptions:
    """How a hub name is looked up; meaningless for a local folder, where only ``subfolder`` counts."""

    revision: str | None = None
    cache_dir: str | os.PathLike[str] | None = None
    local_files_only: bool = False
    token: str | bool | None = None
    force_download: bool = False
    subfolder: str = ""


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
        weights: also fetch the first of ``WEIGHT_FILES`` that the repository has, with its shards.
        options: revision, cache, token, offline mode, subfolder.

    Raises:
        CheckpointError: ``name_or_path`` is plainly a path and there is no such folder.
        HubError: the hub name is unknown, lacks a required file, or cannot be reached.
    """
    options = options or HubOptions()
    name = os.path.expanduser(os.fspath(name_or_path))
    if os.path.isdir(name):
        return _inside(Path(name), options.subfolder)
    if os.path.exists(name):
        raise CheckpointError(f"{name} is a file; pass the folder that holds config.json and the weights")
    if _is_path(name):
        raise CheckpointError(
            f"no folder {name}; pass an existing checkpoint folder or a hub name such as 'owner/model'"
        )
    fetched = [_download(name, file, options) for file in required]
    fetched += [path for file in optional if (path := _download(name, file, options, absent_ok=True))]
    if weights:
        fetched.append(_download_weights(name, options))
    return next(path for path in fetched if path).parent


def safe_name(name: str, *, where: str) -> str:
    """Return ``name`` if it is a plain file name that stays in its folder.

    Raises:
        UnsafeFileError: it is absolute, holds ``..`` or a separator; ``where`` says which file named it.
    """
    if (
        not name
        or "\x00" in name
        or "\\" in name
        or ":" in name
        or PurePosixPath(name).parts != (name,)
        or name == ".."
    ):
        raise UnsafeFileError(f"{where} names {name!r}, which leaves its folder; only plain file names are followed")
    return name


def _inside(folder: Path, subfolder: str) -> Path:
    inner = (folder / subfolder).resolve()
    if not inner.is_relative_to(folder.resolve()):
        raise UnsafeFileError(f"subfolder {subfolder!r} leaves {folder}")
    if not inner.is_dir():
        raise CheckpointError(f"no folder {folder / subfolder}")
    return folder / subfolder if subfolder else folder


def _is_path(name: str) -> bool:
    return name.startswith((".", "/", "\\", "~")) or "\\" in name or name.count("/") > 1 or os.path.isabs(name)


def _download(name: str, file: str, options: HubOptions, *, absent_ok: bool = False) -> Path | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    try:
        return Path(
            hf_hub_download(
                name,
                file,
                subfolder=options.subfolder or None,
                revision=options.revision,
                cache_dir=options.cache_dir,
                local_files_only=options.local_files_only,
                token=options.token,
                force_download=options.force_download,
            )
        )
    except EntryNotFoundError as error:  # not in the repository, or offline and not in the cache
        if absent_ok:
            return None
        raise HubError(f"{name} has no {file} that can be reached: {_first_line(error)}") from error
    except HFValidationError as error:
        raise HubError(f"no folder {name!r}, and it is no hub name either: {_first_line(error)}") from error
    except (HfHubHTTPError, OSError) as error:
        raise HubError(
            f"cannot fetch {file} of {name}: {_first_line(error)}; check the name, the revision and the token, "
            "or pass a local folder"
        ) from error


def _download_weights(name: str, options: HubOptions) -> Path:
    for file in WEIGHT_FILES:
        path = _download(name, file, options, absent_ok=True)
        if path is None:
            continue
        if file.endswith(".index.json"):
            for shard in _shards(path):
                _download(name, shard, options)
        return path
    raise HubError(f"{name} has no weights that can be reached: none of {', '.join(WEIGHT_FILES)}")


def _shards(index: Path) -> list[str]:
    try:
        names = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
        return sorted(safe_name(shard, where=index.name) for shard in names)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index} is not a shard index: {error}") from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
