"""The arguments of transformers' pipelines: what each of them means here.

The sister of ``pocketbert.storage.keywords``, which knows those of ``from_pretrained``. An argument is honored, stands
for its successor (with a ``FutureWarning``), can change nothing here and is accepted, or is refused with what to do
instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.errors import InputError
from pocketbert.notices import renamed, warn
from pocketbert.storage.hub import HubOptions
from pocketbert.storage.keywords import loading_options
from pocketbert.tasks.devices import device_name, mapped_device
from pocketbert.tasks.option_checks import kind

__all__ = ["Loading", "read_loading", "read_options"]

# of a pipeline's construction: parts that a text has no use for, and how work is spread
_PARTS = frozenset({"args_parser", "binary_output", "feature_extractor", "image_processor", "modelcard", "processor"})
# of a call: how texts are batched, and how the tokenizer hands its result over; an answer does not depend on it
_CALL = frozenset(
    """
    batch_size num_workers padding pad_to_multiple_of padding_side return_attention_mask return_length
    return_offsets_mapping return_overflowing_tokens return_special_tokens_mask return_token_type_ids verbose
    """.split()  # noqa: SIM905  # one name per line would be a page
)
_SUCCESSORS = {"topk": "top_k", "multi_class": "multi_label"}
_REFUSED = {
    "offset_mapping": "offsets come from the tokenizer; leave it out",
    "split_special_tokens": "set it on the tokenizer: tokenizer.split_special_tokens = True",
}
_FRAMEWORKS = {"pt": "torch", "tf": "keras"}
_TRUNCATIONS = ("longest_first", "only_first", "only_second")


@dataclass(frozen=True)
class Loading:
    """How a pipeline's model is loaded.

    Attributes:
        runtime: what runs it; None to choose.
        device: where; None for the CPU, or where a loaded model is.
        stays: a loaded model is not moved: the device was given as -1, which says nothing of it in transformers.
        dtype: of its parameters; None for float32, or those that a loaded model has.
        threads: most CPU threads of a call.
        use_fast: whether to load the Fast tokenizer.
        config: a configuration in place of the checkpoint's.
        fields: fields in place of the configuration's.
        hub: where a hub name is looked up.
    """

    runtime: str | None = None
    device: str | None = None
    stays: bool = False
    dtype: str | None = None
    threads: int | None = None
    use_fast: bool = True
    config: PretrainedConfig | str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    hub: HubOptions = field(default_factory=HubOptions)


def read_loading(given: dict[str, Any]) -> Loading:
    """Take what concerns loading out of ``given``; what is left are options of the task.

    Raises:
        InputError: an argument has no meaning, contradicts another, or asks for what this library does not do.
    """
    for name in _PARTS & given.keys():
        del given[name]
    fields = dict(given.pop("model_kwargs", None) or {})
    for place in (given, fields):
        if place.get("torch_dtype") is not None:
            renamed("torch_dtype", "dtype")
    dtype = _one("dtype", *_taken(given, "dtype", "torch_dtype"), *_taken(fields, "dtype", "torch_dtype"))
    device = _one("device", *_taken(given, "device"), *_taken(fields, "device"))
    device_map = _one("device_map", *_taken(given, "device_map"), *_taken(fields, "device_map"))
    if device is None:
        device = mapped_device(device_map)
    runtime = _runtime(given.pop("runtime", None), given.pop("framework", None))
    threads, use_fast = given.pop("threads", None), bool(given.pop("use_fast", True))
    config = given.pop("config", None)
    if config is not None and not isinstance(config, (str, PretrainedConfig)):
        raise InputError(f"config must be a configuration, a folder or a hub name, not {kind(config)}")
    _taken(fields, "attn_implementation")  # all of them compute the same
    settings = fields | {name: value for name, value in given.items() if value is not None or name not in fields}
    if settings.get("subfolder", "") is None:
        del settings["subfolder"]
    hub = loading_options(settings)
    for name in given.keys() - settings.keys():
        del given[name]
    fields = {name: value for name, value in fields.items() if name in settings and name not in given}
    return Loading(
        runtime=runtime,
        device=device_name(device, runtime),
        stays=isinstance(device, int) and device < 0,
        dtype=None if dtype is None else str(dtype).removeprefix("torch."),
        threads=threads,
        use_fast=use_fast,
        config=config,
        fields=fields,
        hub=hub,
    )


def read_options(given: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a task that the arguments of a call mean.

    Args:
        given: the arguments.
        known: the task's options, as they are without them.

    Raises:
        InputError: an argument contradicts another, or asks for what this library does not do.
    """
    options = {name: value for name, value in given.items() if name not in ("tokenizer_kwargs", "tokenize_kwargs")}
    for nested in (given.get("tokenizer_kwargs"), given.get("tokenize_kwargs")):
        for name, value in (nested or {}).items():
            if options.setdefault(name, value) is not value:
                raise InputError(f"{name} is given twice, as an argument and for the tokenizer; pass it once")
    for old, new in _SUCCESSORS.items():
        if old in options and new in known:
            renamed(old, new)
            options.setdefault(new, options[old])
            del options[old]
    for name in _REFUSED.keys() & options.keys():
        if options.pop(name):
            raise InputError(f"{name} is not supported: {_REFUSED[name]}")
    if options.get("return_token_type_ids") is False:
        raise InputError("return_token_type_ids=False would hide which text of a pair is which; leave it out")
    _cut(options, known)
    for name in _CALL & options.keys() - known.keys():
        del options[name]
    if "return_tensors" not in known:
        options.pop("return_tensors", None)
    return options


def _cut(options: dict[str, Any], known: Mapping[str, Any]) -> None:
    """Replace ``truncation`` by ``overflow``; a ``max_length`` alone truncates, as in the tokenizers."""
    truncation = options.pop("truncation", None)
    truncation = getattr(truncation, "value", truncation)  # of an enumeration
    if truncation is not None:
        if truncation is not True and truncation is not False and truncation not in (*_TRUNCATIONS, "do_not_truncate"):
            raise InputError(f"truncation={truncation!r} must be True, False or one of {', '.join(_TRUNCATIONS)}")
        overflow = "error" if truncation in (False, "do_not_truncate") else "truncate"
        if options.setdefault("overflow", overflow) != overflow:
            raise InputError(
                f"truncation={truncation!r} contradicts overflow={options['overflow']!r}; pass one of them"
            )
        if truncation in _TRUNCATIONS:
            options["truncation"] = truncation
    elif (
        isinstance(options.get("max_length"), int)
        and options["max_length"] > 0
        and "overflow" not in options
        and known["overflow"] == "error"
        and options.get("padding") in (None, False, "do_not_pad")
    ):
        warn(f"max_length={options['max_length']!r} cuts longer texts; pass truncation=True to say so")
        options["overflow"] = "truncate"


def _taken(given: dict[str, Any], *names: str) -> list[Any]:
    return [given.pop(name) for name in names if name in given]


def _one(name: str, *values: Any) -> Any:
    """Return the one value that was given."""
    found = [value for value in values if value is not None]
    if any(str(value) != str(found[0]) for value in found):
        raise InputError(f"{name} is given as {' and as '.join(map(repr, found))}; pass one of them")
    return found[0] if found else None


def _runtime(runtime: str | None, framework: str | None) -> str | None:
    if framework is None:
        return runtime
    if framework not in _FRAMEWORKS:
        raise InputError(f"framework={framework!r} is unknown; choose 'pt' (PyTorch) or 'tf' (Keras), or leave it out")
    if runtime not in (None, _FRAMEWORKS[framework]):
        raise InputError(f"framework={framework!r} contradicts runtime={runtime!r}; pass one of them")
    return _FRAMEWORKS[framework]
