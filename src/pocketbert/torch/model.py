"""What every PyTorch model can do beside its forward pass: load, save, tie, resize, prune, count."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from pocketbert.architecture import families
from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.heads import BARE, head_named
from pocketbert.architecture.parameters import Parameter
from pocketbert.architecture.precision import check_precision
from pocketbert.checkpoint.loading import open_source
from pocketbert.checkpoint.opened import Opened
from pocketbert.errors import ConfigError, InputError
from pocketbert.storage.keywords import loading_options, saving_options
from pocketbert.storage.pushing import Pushable
from pocketbert.storage.recognized import Recognized
from pocketbert.torch.layers import prune_linear
from pocketbert.torch.loading import describe, initialize, load, save

__all__ = ["PreTrainedModel"]

M = TypeVar("M", bound="PreTrainedModel")


class PreTrainedModel(nn.Module, Pushable, Recognized):
    """The root of all models; ``state_dict()`` carries the names that are on disk."""

    config_class: ClassVar[type[PretrainedConfig]]
    base_model_prefix: ClassVar[str] = ""
    head: ClassVar[str] = BARE
    main_input_name: ClassVar[str] = "input_ids"
    supports_gradient_checkpointing: ClassVar[bool] = True
    accepts_loss_kwargs: ClassVar[bool] = False  # tells trainers that forward takes no loss arguments
    _stands_for = ("transformers.modeling_utils", "PreTrainedModel")
    _keys_to_ignore_on_save: ClassVar[None] = None  # read by transformers' Trainer when it resumes
    is_parallelizable: ClassVar[bool] = False
    model_parallel: ClassVar[bool] = False

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        if not isinstance(config, self.config_class):
            wanted = self.config_class.__name__
            raise ConfigError(f"{type(self).__name__} needs a {wanted}, got a {type(config).__name__}")
        config.validate()
        self.config: Any = config
        self.allow_float16 = False
        self.gradient_checkpointing = False

    # -- loading and saving ------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls: type[M],
        pretrained_model_name_or_path: str | os.PathLike[str] | Opened | None,
        *,
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
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        **kwargs: Any,
    ) -> M:
        """Build a model with fresh weights.

        Args:
            config: the architecture.
            dtype: dtype of the parameters; torch's default where None.
            device: where to put them.
            **kwargs: arguments of the class, such as ``add_pooling_layer``.
        """
        with torch.device(device or "cpu"):
            model = cls(config, **kwargs)
        return model.to(dtype=dtype) if dtype is not None else model

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
            OSError: the disk refused; the old checkpoint is intact.
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
        check_precision(self.config, name, allow_float16=self.base_model.allow_float16)

    # -- parts -------------------------------------------------------------------------------------------------

    @property
    def base_model(self) -> PreTrainedModel:
        """The bare encoder."""
        return getattr(self, self.base_model_prefix, self)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the parameters."""
        return next(self.parameters()).dtype

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Count the parameters, shared ones once.

        Args:
            only_trainable: count only those that require a gradient.
            exclude_embeddings: leave out the embedding tables.
        """
        tables = {id(m.weight) for m in self.modules() if isinstance(m, nn.Embedding)} if exclude_embeddings else set()
        kept = [p for p in self.parameters() if id(p) not in tables and (p.requires_grad or not only_trainable)]
        return sum(p.numel() for p in kept)

    def get_input_embeddings(self) -> nn.Embedding:
        """Return the word table."""
        return self.base_model.embeddings.word_embeddings  # type: ignore[union-attr, return-value]

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the word table; a tied head follows.

        Raises:
            InputError: its weight has another shape than the configuration gives.
        """
        wanted = (self.config.vocab_size, self.get_input_embeddings().embedding_dim)
        shape = tuple(getattr(value, "weight", torch.empty(0)).shape)
        if shape != wanted:
            raise InputError(f"word table of shape {shape} must be {wanted}; to resize: resize_token_embeddings")
        self.base_model.embeddings.word_embeddings = value  # type: ignore[union-attr]
        self.tie_weights()

    def get_output_embeddings(self) -> nn.Module | None:
        """Return the layer that maps onto the vocabulary, or None where no words are predicted."""
        predicts = any(answer.per == "position" for answer in head_named(self.head).answers)
        return self.get_submodule(families.family_of(self.config).words.decoder) if predicts else None

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the layer that maps onto the vocabulary.

        Raises:
            InputError: this class has none.
        """
        if self.get_output_embeddings() is None:
            raise InputError(f"{type(self).__name__} has no output embeddings")
        words = families.family_of(self.config).words
        for path, value in ((words.decoder, new_embeddings), (words.bias, new_embeddings.bias)):
            owner, name = self._owner(path)
            setattr(owner, name, value)

    def tie_weights(self) -> None:
        """Let the head share what the schema says it shares: the word table, and one bias under two names."""
        for parameter in self.parameters_on_disk():
            if parameter.tied_to is not None:
                owner, name = self._owner(parameter.name)
                source, source_name = self._owner(parameter.tied_to)
                setattr(owner, name, getattr(source, source_name))

    # -- changes of shape --------------------------------------------------------------------------------------

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None
    ) -> nn.Embedding:
        """Grow or shrink the vocabulary: the word table and everything in a head that has its length.

        Old rows are kept, new rows start as fresh weights do (zero in a bias).

        Args:
            new_num_tokens: the new size; None only rounds up.
            pad_to_multiple_of: round the size up to a multiple of this.

        Returns:
            the word table.

        Raises:
            InputError: the size is not a positive integer, or drops the padding token.
        """
        table = self.get_input_embeddings()
        size = table.num_embeddings if new_num_tokens is None else new_num_tokens
        if not isinstance(size, int) or size < 1:
            raise InputError(f"new_num_tokens {size!r} must be a positive integer")
        if pad_to_multiple_of is not None:
            if pad_to_multiple_of < 1:
                raise InputError(f"pad_to_multiple_of {pad_to_multiple_of} must be at least 1")
            size = -(-size // pad_to_multiple_of) * pad_to_multiple_of
        if self.config.pad_token_id is not None and size <= self.config.pad_token_id:
            raise InputError(f"new_num_tokens {size} would drop pad_token_id {self.config.pad_token_id}")
        if size == table.num_embeddings:
            return table
        old = {parameter.name: parameter.shape for parameter in self.parameters_on_disk()}
        self.config.vocab_size = size
        for parameter in self.parameters_on_disk():
            if parameter.tied_to is None and parameter.shape != old[parameter.name]:
                owner, name = self._owner(parameter.name)
                self._replace(owner, name, parameter)
        self.tie_weights()
        for module in self.modules():
            _describe(module)
        return table

    def prune_heads(self, heads_to_prune: Mapping[int, list[int]]) -> None:
        """Remove attention heads for good; the configuration and saved files remember which.

        Args:
            heads_to_prune: ``{layer: [heads]}``, counted as in the unpruned model; repeating a head is harmless.

        Raises:
            ConfigError: a layer or head does not exist, or a layer would be left without heads.
        """
        before = {layer: set(heads) for layer, heads in self.config.pruned_heads.items()}
        wanted = {layer: before.get(layer, set()) | set(heads) for layer, heads in heads_to_prune.items()}
        merged = {layer: sorted(heads) for layer, heads in {**before, **wanted}.items() if heads}
        previous, self.config.pruned_heads = self.config.pruned_heads, merged
        try:
            self.config.validate()
        except ConfigError:
            self.config.pruned_heads = previous
            raise
        total = self.config.num_attention_heads
        for layer, heads in merged.items():
            standing = [head for head in range(total) if head not in before.get(layer, ())]
            keep = [index for index, head in enumerate(standing) if head not in heads]
            if len(keep) < len(standing):
                self.base_model._prune_layer(layer, keep, len(standing))

    def _prune_layer(self, layer: int, keep: list[int], standing: int) -> None:
        """Keep the heads at these places of the ``standing`` ones of a layer; called on the encoder."""
        *inputs, output = self._attention_linears(layer)
        index = torch.tensor(keep, device=self.device)
        size = output.in_features // standing
        columns = (index[:, None] * size + torch.arange(size, device=self.device)).flatten()
        for linear in inputs:
            prune_linear(linear, columns, dim=0)
        prune_linear(output, columns, dim=1)

    def _attention_linears(self, layer: int) -> tuple[nn.Linear, nn.Linear, nn.Linear, nn.Linear]:
        """Return query, key, value and output of a layer's attention; defined by encoders."""
        raise NotImplementedError

    # -- training ----------------------------------------------------------------------------------------------

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether layers are recomputed in the backward pass."""
        return self.base_model.gradient_checkpointing

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: Mapping[str, Any] | None = None) -> None:
        """Recompute layers in the backward pass instead of keeping their activations (training mode only).

        Args:
            gradient_checkpointing_kwargs: only ``{"use_reentrant": False}``, which is what is done anyway.

        Raises:
            InputError: another option was given.
        """
        if gradient_checkpointing_kwargs and dict(gradient_checkpointing_kwargs) != {"use_reentrant": False}:
            raise InputError(
                f"gradient_checkpointing_kwargs {gradient_checkpointing_kwargs!r}: only use_reentrant=False"
            )
        self.base_model.gradient_checkpointing = True

    def gradient_checkpointing_disable(self) -> None:
        """Keep activations again."""
        self.base_model.gradient_checkpointing = False

    # -- parameters --------------------------------------------------------------------------------------------

    def parameters_on_disk(self) -> list[Parameter]:
        """List this model's parameters as they are on disk."""
        pooler = getattr(self.base_model, "pooler", None) is not None
        return families.parameters(self.config, self.head, pooler=pooler)

    def _owner(self, name: str) -> tuple[nn.Module, str]:
        path, _, leaf = name.rpartition(".")
        return self.get_submodule(path), leaf

    def _replace(self, owner: nn.Module, name: str, parameter: Parameter) -> None:
        """Give ``owner`` a parameter of the schema's shape that keeps what fits of the old one."""
        old = getattr(owner, name)
        new = initialize(parameter, self.config, old.dtype, old.device)
        common = tuple(slice(0, min(a, b)) for a, b in zip(old.shape, new.shape, strict=True))
        with torch.no_grad():
            new[common] = old[common]
        setattr(owner, name, nn.Parameter(new, requires_grad=old.requires_grad))

    def post_init(self) -> None:
        """Fill what this class adds with fresh weights and tie what is shared; the last step of a constructor."""
        done = f"{self.base_model_prefix}." if self.base_model is not self else None
        with torch.no_grad():
            for parameter in self.parameters_on_disk():
                if parameter.tied_to is None and not (done and parameter.name.startswith(done)):
                    owner, name = self._owner(parameter.name)
                    target = getattr(owner, name)
                    if target.device.type != "meta":
                        target.copy_(initialize(parameter, self.config, target.dtype, target.device))
        self.tie_weights()


def _describe(module: nn.Module) -> None:
    """Let a module's sizes say what its weight's shape is."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.Embedding):
        module.num_embeddings, module.embedding_dim = module.weight.shape


def _one_device(device: torch.device | str | None, device_map: Any) -> torch.device:
    if device_map is not None:
        values = set(device_map.values()) if isinstance(device_map, Mapping) else {device_map}
        if len(values) != 1 or values & {"auto", "balanced", "balanced_low_0", "sequential"}:
            raise InputError(f"device_map {device_map!r}: these models fit on one device; pass device='cuda' or 'cpu'")
        device = device if device is not None else values.pop()
    return torch.device(device if device is not None else "cpu")
