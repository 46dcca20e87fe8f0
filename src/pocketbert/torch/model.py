"""What every PyTorch model can do beside its forward pass: start, load, save; the rest comes from its bases."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.heads import BARE
from pocketbert.architecture.parameters import Parameter
from pocketbert.architecture.precision import check_precision
from pocketbert.checkpoint.loading import open_source
from pocketbert.checkpoint.opened import Opened
from pocketbert.errors import ConfigError, InputError
from pocketbert.storage.keywords import loading_options, saving_options
from pocketbert.storage.pushing import Pushable
from pocketbert.storage.recognized import Recognized
from pocketbert.torch.gradients import GradientOptions
from pocketbert.torch.initializing import empty_layers, fill_any, is_building
from pocketbert.torch.loading import describe, float_dtype, load, parameters_of, save
from pocketbert.torch.pruning import HeadPruning

__all__ = ["PreTrainedModel"]

M = TypeVar("M", bound="PreTrainedModel")


class PreTrainedModel(HeadPruning, GradientOptions, Pushable, Recognized):
    """The root of all models; ``state_dict()`` carries the names that are on disk.

    A class of your own adds layers to an encoder, ends its constructor with ``post_init()``, and then loads any
    checkpoint of the encoder's family: layers that the checkpoint lacks start with random values, and are named.

    Example:
        >>> from pocketbert import DistilBertConfig, DistilBertModel, DistilBertPreTrainedModel
        >>> import torch
        >>> class Scorer(DistilBertPreTrainedModel):
        ...     def __init__(self, config):
        ...         super().__init__(config)
        ...         self.distilbert = DistilBertModel(config)
        ...         self.score = torch.nn.Linear(config.dim, 1)
        ...         self.post_init()
        ...
        ...     def forward(self, input_ids, attention_mask=None):
        ...         return self.score(self.distilbert(input_ids, attention_mask)[0][:, 0])
        >>> Scorer(DistilBertConfig(vocab_size=99, dim=8, n_heads=2, n_layers=1, hidden_dim=16)).save_pretrained("own")
        >>> Scorer.from_pretrained("own")(torch.tensor([[2, 7, 3]])).shape
        torch.Size([1, 1])
    """

    config_class: ClassVar[type[PretrainedConfig]] = PretrainedConfig
    base_model_prefix: ClassVar[str] = ""
    head: ClassVar[str] = BARE
    accepts_loss_kwargs: ClassVar[bool] = False  # tells trainers that forward takes no loss arguments
    _stands_for = ("transformers.modeling_utils", "PreTrainedModel")
    _keys_to_ignore_on_save: Any = None  # read by transformers' Trainer when it resumes
    is_parallelizable: ClassVar[bool] = False
    model_parallel: ClassVar[bool] = False

    def __init__(self, config: PretrainedConfig, *inputs: Any, **kwargs: Any) -> None:
        super().__init__()
        if not isinstance(config, self.config_class):
            wanted = self.config_class.__name__
            raise ConfigError(f"{type(self).__name__} needs a {wanted}, got a {type(config).__name__}")
        config.validate()
        self.config: Any = config
        self.name_or_path: str = config.name_or_path
        self.warnings_issued = {}
        self.allow_float16 = False
        self.gradient_checkpointing = False

    # -- loading and saving ------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls: type[M],
        pretrained_model_name_or_path: str | os.PathLike[str] | Opened | None,
        *model_args: Any,
        config: PretrainedConfig | str | os.PathLike[str] | None = None,
        state_dict: Mapping[str, Tensor] | None = None,
        dtype: torch.dtype | str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        device: torch.device | str | None = None,
        device_map: Any = None,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        allow_float16: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Load a model from a folder or a hub name, completely or not at all; it comes back in eval mode.

        Args:
            pretrained_model_name_or_path: folder in Hugging Face layout, hub name, or opened checkpoint; None with
                ``config`` and ``state_dict``.
            *model_args: more arguments of the class.
            config: use this configuration (or folder) instead of the checkpoint's own.
            state_dict: use these tensors instead of the checkpoint's weights.
            dtype: dtype of the parameters, ``"auto"`` for the one on disk; float32 by default.
            torch_dtype: older name of ``dtype``.
            device: where to put the model; ``device_map`` may name the same single device.
            ignore_mismatched_sizes: start parameters of another shape afresh instead of refusing.
            output_loading_info: also return a dict of ``missing_keys``, ``unexpected_keys``, ``mismatched_keys``.
            allow_float16: load a ``no_norm`` MobileBERT as float16 although its activations overflow.
            **kwargs: where files come from (``revision``, ``cache_dir``, ``local_files_only``, ``token``,
                ``force_download``, ``subfolder``, ``variant``, ``use_safetensors``, ``from_tf``, ``from_pt``), fields
                that override the configuration (``num_labels=3``), or arguments of the class; the other keywords of
                transformers change nothing or are refused by name (see ``docs/differences.md``).

        Raises:
            CheckpointError: names are missing, misshaped or unexpected (all are listed), or a file is damaged.
            UnsafeFileError: a file tries to run code or to leave the folder.
            PrecisionError: float16 was asked for a model that overflows in it.
            ConfigError: the configuration describes no model of this class, or a keyword is unknown.

        Warns:
            UserWarning: names the parameters of a head that the checkpoint lacks and that were started afresh.

        >>> from tempfile import TemporaryDirectory
        >>> from pocketbert import DistilBertConfig, DistilBertModel
        >>> model = DistilBertModel(DistilBertConfig(vocab_size=99, dim=8, n_heads=2, n_layers=1, hidden_dim=16))
        >>> with TemporaryDirectory() as folder:
        ...     model.save_pretrained(folder)
        ...     again = DistilBertModel.from_pretrained(folder)
        >>> again.num_parameters() == model.num_parameters()
        True
        """
        source = open_source(
            cls,
            pretrained_model_name_or_path,
            config=config,
            state_dict=state_dict,
            describe=describe,
            hub=loading_options(kwargs),
            overrides=kwargs,
        )
        model, info = load(
            source,
            model_args,
            dtype=dtype if dtype is not None else torch_dtype,
            device=_one_device(device, device_map),
            ignore_mismatched_sizes=ignore_mismatched_sizes,
            allow_float16=allow_float16,
        )
        return (model, info) if output_loading_info else model

    @classmethod
    def from_config(
        cls: type[M],
        config: PretrainedConfig,
        *,
        dtype: torch.dtype | str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        device: torch.device | str | None = None,
        attn_implementation: str | None = None,
        **kwargs: Any,
    ) -> M:
        """Build a model with fresh weights.

        Args:
            config: the architecture.
            dtype: dtype of the parameters; torch's default where None.
            torch_dtype: older name of ``dtype``.
            device: where to put them.
            attn_implementation: ``"sdpa"`` or ``"eager"``.
            **kwargs: arguments of the class, such as ``add_pooling_layer``.
        """
        if attn_implementation is not None:
            config.attn_implementation = attn_implementation
        chosen = dtype if dtype is not None else torch_dtype
        with torch.device(device or "cpu"):
            model = cls(config, **kwargs)
        return model if chosen is None else model.to(dtype=float_dtype(chosen))

    _from_config = from_config

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        *,
        state_dict: Mapping[str, Tensor] | None = None,
        max_shard_size: int | str = "5GB",
        safe_serialization: bool = True,
        **kwargs: Any,
    ) -> None:
        """Write ``config.json`` and the weights as safetensors; all old files stay if anything fails.

        Args:
            save_directory: folder, made if absent.
            state_dict: write these tensors instead of the model's (say, gathered from several processes).
            max_shard_size: largest file, in bytes or as ``"200MB"``; larger models are split, with an index.
            safe_serialization: must be true; pickles are read but never written.
            **kwargs: ``push_to_hub`` with ``repo_id`` and the like, ``variant``, ``is_main_process``.

        Raises:
            InputError: ``max_shard_size`` or ``safe_serialization`` has no meaning.
            CheckpointError: the folder cannot be written, or the disk is full; the old files are intact.
        """
        if not safe_serialization:
            raise InputError("safe_serialization=False would write a pickle; only safetensors is written")
        options = saving_options(kwargs, save_directory)
        if options.write:
            save(self, save_directory, state_dict, max_shard_size, options.variant)
            self._push(options.push, state_dict=state_dict, max_shard_size=max_shard_size)

    @property
    def compute_dtype(self) -> torch.dtype:
        """The dtype in which matrices are multiplied: autocast's inside it, else that of the parameters."""
        device = self.device.type
        autocast = device != "meta" and torch.is_autocast_enabled(device)
        return torch.get_autocast_dtype(device) if autocast else self.dtype

    def check_precision(self, dtype: torch.dtype) -> None:
        """Refuse a dtype in which this architecture overflows.

        Raises:
            PrecisionError: float16 with ``normalization_type="no_norm"``, unless the encoder allows it.
        """
        name = str(dtype).removeprefix("torch.")
        check_precision(self.config, name, allow_float16=getattr(self.base_model, "allow_float16", False))

    # -- parts -------------------------------------------------------------------------------------------------

    @property
    def base_model(self) -> Any:
        """The bare encoder."""
        return getattr(self, self.base_model_prefix, self)

    def library_parameters(self) -> list[Parameter]:
        """List what the library knows of this model's parameters: its encoder's, under their names in this model."""
        base = self.base_model
        if base is self or not isinstance(base, PreTrainedModel):
            return []
        return [p.below(self.base_model_prefix) for p in base.library_parameters()]

    def parameters_on_disk(self) -> list[Parameter]:
        """List this model's parameters as they are on disk, those of a user's own layers too."""
        return parameters_of(self)

    def set_attn_implementation(self, attn_implementation: str | dict[str, str]) -> None:
        """Choose how attention is computed: ``"sdpa"`` or ``"eager"``.

        Raises:
            InputError: there is no such way.
        """
        chosen = attn_implementation
        if isinstance(chosen, dict):
            chosen = chosen.get("", self.config.attn_implementation)
        if chosen not in ("sdpa", "eager"):
            raise InputError(f"attn_implementation {chosen!r} is unknown; choose 'sdpa' or 'eager'")
        for module in self.modules():
            if isinstance(module, PreTrainedModel):
                module.config.attn_implementation = chosen

    # -- fresh weights -----------------------------------------------------------------------------------------

    def assembling(self) -> AbstractContextManager[None]:
        """Make layers inside this; they are left empty while the model is being loaded."""
        return empty_layers(self)

    def post_init(self) -> None:
        """Fill what this class adds with fresh weights and tie what is shared; the last step of a constructor."""
        self.init_weights()
        if getattr(self.config, "gradient_checkpointing", False):
            self.gradient_checkpointing_enable()
            del self.config.gradient_checkpointing

    def init_weights(self) -> None:
        """Fill every module that has no weights yet, by ``_init_weights``, and tie what is shared."""
        if not is_building():
            self.initialize_weights()
        self.tie_weights()

    @torch.no_grad()
    def initialize_weights(self) -> None:
        """Fill every module that has no weights yet; a model inside this one fills its own."""
        _fill_below(self, self)

    def _initialize_weights(self, module: nn.Module) -> None:
        if not getattr(module, "_is_hf_initialized", False):
            self._init_weights(module)
            module._is_hf_initialized = True  # type: ignore[assignment]

    def _init_weights(self, module: nn.Module) -> None:
        """Give one module's own parameters fresh weights; a class may do this in its own way."""
        fill_any(module, getattr(self.config, "initializer_range", 0.02))


def _fill_below(module: nn.Module, owner: PreTrainedModel) -> None:
    for child in module.children():
        _fill_below(child, child if isinstance(child, PreTrainedModel) else owner)
    owner._initialize_weights(module)


def _one_device(device: torch.device | str | None, device_map: Any) -> torch.device:
    if device_map is not None:
        values = set(device_map.values()) if isinstance(device_map, Mapping) else {device_map}
        if len(values) != 1 or values & {"auto", "balanced", "balanced_low_0", "sequential"}:
            raise InputError(f"device_map {device_map!r}: these models fit on one device; pass device='cuda' or 'cpu'")
        device = device if device is not None else values.pop()
    return torch.device(device if device is not None else "cpu")
