"""The keywords of transformers' ``from_pretrained`` and ``save_pretrained``: what each of them means here.

One table for models of both frameworks, configurations and tokenizers. A keyword is honored, stands for its successor
(with a ``FutureWarning``), can change nothing here and is accepted, or is refused with what to do instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pocketbert.errors import InputError
from pocketbert.notices import renamed
from pocketbert.storage.hub import LOOKUP, WEIGHT_FILES, HubOptions, with_variant

__all__ = ["SaveOptions", "loading_options", "saving_options"]

# They steer how transformers reads, spreads or caches weights; what is loaded is the same.
_HARMLESS = frozenset(
    """
    _commit_hash _fast_init _from_auto _from_pipeline adapter_name code_revision low_cpu_mem_usage max_memory mirror
    offload_buffers offload_folder offload_state_dict resume_download tqdm_class user_agent weights_only
    """.split()  # noqa: SIM905  # one name per line would be a page
)
_QUANTIZED = "int8 models are made by `pocketbert quantize` and run with runtime='native' or 'onnx'"
# keyword -> what to do instead; None and False are accepted, since they ask for nothing
_REFUSED = {
    "from_flax": "Flax files are not read; save the checkpoint as safetensors",
    "gguf_file": "GGUF files are not read; pass the checkpoint that it was made from",
    "quantization_config": _QUANTIZED,
    "load_in_8bit": _QUANTIZED,
    "load_in_4bit": _QUANTIZED,
    "adapter_kwargs": "load the base model, then the adapter: peft.PeftModel.from_pretrained(model, adapter)",
    "key_mapping": "pass state_dict= with the names that the model has",
    "tp_plan": "these models fit on one device; pass device=",
    "device_mesh": "these models fit on one device; pass device=",
    "proxies": "set the environment variable HTTPS_PROXY",
    "use_flash_attention_2": "pass attn_implementation='sdpa'",
}
_SAVE_HARMLESS = frozenset({"save_function", "save_peft_format"})
_PUSH = ("token", "commit_message", "commit_description", "private", "create_pr", "revision", "tags")


def loading_options(given: dict[str, Any], /, **named: Any) -> HubOptions:
    """Take the keywords that say where files come from out of ``given``, and check the others of the table.

    Args:
        given: keywords of the caller; what the table has is removed.
        **named: those of them that have become arguments already.

    Raises:
        InputError: a keyword asks for what this library does not do.
    """
    if (old := given.pop("use_auth_token", None)) is not None:
        renamed("use_auth_token", "token")
        if named.get("token") is not None or given.get("token") is not None:
            raise InputError("token and use_auth_token are the same; pass token only")
        named["token"] = old
    for name in _HARMLESS & given.keys():
        del given[name]
    for name in _REFUSED.keys() & given.keys():
        value = given.pop(name)
        if value is not None and value is not False:
            raise InputError(f"{name}={str(value)[:60]!r} is not supported: {_REFUSED[name]}")
    named["weight_files"] = _weight_files(given)
    named["runs_remote_code"] = bool(given.pop("trust_remote_code", False))
    found = {name: given.pop(name) for name in LOOKUP if name in given}
    return HubOptions(**found | named)


def _weight_files(given: dict[str, Any]) -> tuple[str, ...]:
    """Return the files that may hold the weights, the preferred one first."""
    safe, variant = given.pop("use_safetensors", None), given.pop("variant", None)
    from_tf, from_pt = given.pop("from_tf", False), given.pop("from_pt", False)
    files = [
        name
        for name in WEIGHT_FILES
        if (safe is None or ("safetensors" in name) == bool(safe))
        and (not from_tf or name.startswith("tf_"))
        and (not from_pt or not name.startswith("tf_"))
    ]
    if not files:
        raise InputError(f"use_safetensors={safe!r} with from_tf={from_tf!r} leaves no file to read; pass one of them")
    return tuple(with_variant(name, variant) for name in files)


@dataclass(frozen=True)
class SaveOptions:
    """What ``save_pretrained`` was asked for beside the files.

    Attributes:
        write: whether this process writes; of several, one does.
        variant: goes into the names of the weight files.
        push: arguments of ``push_to_hub``, or None where nothing is sent to the hub.
    """

    write: bool = True
    variant: str | None = None
    push: dict[str, Any] | None = None


def saving_options(given: dict[str, Any], save_directory: Any) -> SaveOptions:
    """Read the keywords of ``save_pretrained``; see ``loading_options``.

    Raises:
        InputError: a keyword is unknown.
    """
    if (old := given.pop("use_auth_token", None)) is not None:
        renamed("use_auth_token", "token")
        given.setdefault("token", old)
    if "save_config" in given:
        renamed("save_config", "is_main_process")
        given.setdefault("is_main_process", given.pop("save_config"))
    for name in _SAVE_HARMLESS & given.keys():
        del given[name]
    push, repo = given.pop("push_to_hub", False), given.pop("repo_id", None)
    options = {name: given.pop(name) for name in _PUSH if name in given}
    if push:
        options["repo_id"] = repo or str(save_directory).rstrip("/\\").replace("\\", "/").rpartition("/")[2]
    write, variant = bool(given.pop("is_main_process", True)), given.pop("variant", None)
    if given:
        raise InputError(f"save_pretrained has no argument {next(iter(given))!r}")
    return SaveOptions(write, variant, options if push else None)
