"""What every Keras model can do beside its call: load, save, name its inputs, and train on its head's own loss."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

import keras

from pocketbert.architecture import families
from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.heads import BARE
from pocketbert.architecture.outputs import ModelOutput
from pocketbert.architecture.parameters import Parameter
from pocketbert.architecture.precision import check_precision
from pocketbert.checkpoint import SAVEDMODEL
from pocketbert.checkpoint.loading import open_source
from pocketbert.checkpoint.opened import Opened
from pocketbert.errors import ConfigError, InputError
from pocketbert.keras.batches import Batches
from pocketbert.keras.frozen import set_trainable, trainable_parts
from pocketbert.keras.layers import Tensor
from pocketbert.keras.loading import describe, load, save
from pocketbert.keras.masks_and_ids import name_inputs, whole
from pocketbert.keras.serving import Serving
from pocketbert.keras.word_tables import WordTables
from pocketbert.storage.keywords import loading_options, saving_options
from pocketbert.storage.pushing import Pushable
from pocketbert.storage.replacing import replacing

__all__ = ["TFPreTrainedModel", "register"]

M = TypeVar("M", bound="TFPreTrainedModel")

# lets `.keras` files name a public class
register = keras.saving.register_keras_serializable("pocketbert")


class TFPreTrainedModel(WordTables, Serving, Batches, keras.Model, Pushable):  # type: ignore[misc]  # Keras ships no types
    """The root of all Keras models.

    Args:
        config: the architecture.
        add_pooling_layer: whether an encoder has its pooler, where its family has one.
        allow_float16: build a ``no_norm`` MobileBERT in float16 although its activations overflow.
        dtype: dtype policy, such as ``"mixed_bfloat16"``; Keras's global one where None.
        name: Keras's name of the model.
        trainable: whether its weights train.

    Raises:
        ConfigError: ``config`` is of another family.
        PrecisionError: the policy computes in float16 and the model overflows in it.
    """

    config_class: ClassVar[type[PretrainedConfig]]
    base_model_prefix: ClassVar[str] = ""
    head: ClassVar[str] = BARE
    main_input_name: ClassVar[str] = "input_ids"
    framework: ClassVar[str] = "tf"
    output_class: ClassVar[type[ModelOutput]]
    old_names: ClassVar[dict[str, str]] = {}
    input_rank: ClassVar[int] = 2  # of input_ids

    def __init__(
        self,
        config: PretrainedConfig,
        add_pooling_layer: bool = True,
        *,
        allow_float16: bool = False,
        dtype: Any = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(dtype=dtype, name=name)
        if not isinstance(config, self.config_class):
            wanted = self.config_class.__name__
            raise ConfigError(f"{type(self).__name__} needs a {wanted}, got a {type(config).__name__}")
        config.validate()
        check_precision(config, self.compute_dtype, allow_float16=allow_float16)
        self.config: Any = config
        self.add_pooling_layer = add_pooling_layer
        self.allow_float16 = allow_float16
        with _policy(self.dtype_policy):
            self.build_layers()
        self.build(None)
        self.tell_inputs()
        set_trainable(self, trainable)

    def build_layers(self) -> None:
        """Make the layers, with their weights."""
        raise NotImplementedError

    # -- calls -------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model on inputs in any documented form; see ``call`` for their names and order."""
        return super().__call__(**self._named(args, kwargs))

    def stateless_call(
        self,
        trainable_variables: Any,
        non_trainable_variables: Any,
        *args: Any,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> Any:
        """As Keras's, with inputs in any documented form."""
        named = self._named(args, kwargs)
        return super().stateless_call(
            trainable_variables, non_trainable_variables, return_losses=return_losses, **named
        )

    def _named(self, args: Any, kwargs: Any) -> dict[str, Any]:
        names = list(inspect.signature(type(self).call).parameters)[1:]
        where = f"{type(self).__name__}.call()"
        named = name_inputs(where, names, args, kwargs, rank=self.input_rank, old_names=self.old_names)
        return {name: whole(name, value) for name, value in named.items()}

    # -- training ----------------------------------------------------------------------------------------------

    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, **kwargs: Any) -> None:
        """As Keras's; without a ``loss``, the head's own is used."""
        if isinstance(loss, str) and loss in ("auto", "auto_with_warning", "passthrough"):  # transformers' names of it
            loss = None
        self.loss = None  # Keras would keep an earlier one
        super().compile(optimizer, loss=loss, **kwargs)

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Compile as a saved model was."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def make_train_function(self, force: bool = False) -> None:
        """As Keras's; the optimizer's variables are made first, or TensorFlow would trace the whole step twice."""
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        super().make_train_function(force)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the loss that ``compile`` was given, over this model's predictions, or the head's own."""
        labels = self.labels_of(x, y)
        if self.loss is not None:
            weights = self.labels_of(None, sample_weight)
            return super().compute_loss(x, labels, self.predictions(y_pred), weights, training)
        return self.own_loss(labels, y_pred, sample_weight) + sum(self.losses)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Update the metrics with this model's predictions."""
        return super().compute_metrics(x, self.labels_of(x, y), self.predictions(y_pred), sample_weight)

    def labels_of(self, x: Any, y: Any) -> Any:
        """Return labels in the structure of ``predictions``, or None."""
        return y

    def predictions(self, outputs: Any) -> Any:
        """Return the tensor, or tuple of tensors, that losses and metrics are about."""
        return outputs[0]

    def own_loss(self, labels: Any, outputs: Any, sample_weight: Any) -> Tensor:
        """Return the head's loss of labels in the structure of ``predictions``."""
        raise InputError(f"{type(self).__name__} has no loss of its own; pass one to compile")

    # -- loading and saving ------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls: type[M],
        pretrained_model_name_or_path: str | os.PathLike[str] | Opened | None,
        *,
        config: PretrainedConfig | str | os.PathLike[str] | None = None,
        state_dict: Mapping[str, Any] | None = None,
        dtype: Any = None,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        allow_float16: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Load a model from a folder or a hub name, completely or not at all.

        Args:
            pretrained_model_name_or_path: folder in Hugging Face layout, hub name, or opened checkpoint; None with
                ``config`` and ``state_dict``.
            config: use this configuration (or folder) instead of the checkpoint's own.
            state_dict: use these arrays, as they are on disk, instead of the checkpoint's weights.
            dtype: dtype policy, such as ``"mixed_bfloat16"``; Keras's global one where None.
            ignore_mismatched_sizes: start parameters of another shape afresh instead of refusing.
            output_loading_info: also return a dict of ``missing_keys``, ``unexpected_keys``, ``mismatched_keys``.
            allow_float16: load a ``no_norm`` MobileBERT in float16 although its activations overflow.
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
        >>> from pocketbert import DistilBertConfig, TFDistilBertModel
        >>> model = TFDistilBertModel(DistilBertConfig(vocab_size=99, dim=8, n_heads=2, n_layers=1, hidden_dim=16))
        >>> with TemporaryDirectory() as folder:
        ...     model.save_pretrained(folder)
        ...     again = TFDistilBertModel.from_pretrained(folder)
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
            source, dtype=dtype, ignore_mismatched_sizes=ignore_mismatched_sizes, allow_float16=allow_float16
        )
        return (model, info) if output_loading_info else model

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        saved_model: bool = False,
        version: int = 1,
        *,
        signatures: Any = None,
        max_shard_size: int | str = "5GB",
        safe_serialization: bool = True,
        **kwargs: Any,
    ) -> None:
        """Write ``config.json`` and the weights as safetensors, as the PyTorch classes do and read.

        Args:
            save_directory: folder, made if absent; its old files stay if anything fails.
            saved_model: also write a SavedModel, into ``saved_model/VERSION`` of that folder.
            version: of the SavedModel.
            signatures: of the SavedModel, in place of ``serving_default`` (int32) and ``int64_serving``.
            max_shard_size: largest file, in bytes or as ``"200MB"``; larger models are split, with an index.
            safe_serialization: must be true; h5 files are read but never written.
            **kwargs: ``push_to_hub`` with ``repo_id`` and the like, ``variant``, ``is_main_process``.

        Raises:
            InputError: ``max_shard_size`` or ``safe_serialization`` has no meaning.
            CheckpointError: the folder cannot be written, or the disk is full; the old files are intact.
        """
        if not safe_serialization:
            raise InputError("safe_serialization=False would write an h5 file; only safetensors is written")
        options = saving_options(kwargs, save_directory)
        if options.write:
            inner = f"saved_model/{version}"
            with replacing(save_directory, [f"{inner}/{name}" for name in SAVEDMODEL] if saved_model else ()) as stage:
                save(self, stage, max_shard_size, options.variant)
                if saved_model:
                    self.write_saved_model(stage / inner, signatures)
            self._push(options.push, max_shard_size=max_shard_size)

    # -- Keras's own -------------------------------------------------------------------------------------------

    @property
    def _default_save_signature(self) -> None:
        """Nothing; TensorFlow would otherwise trace this model, and its encoder, on inputs of unknown shape."""

    def get_config(self) -> dict[str, Any]:
        """Return what ``from_config`` builds this model from."""
        return {
            "config": self.config.to_dict(),
            "add_pooling_layer": self.add_pooling_layer,
            "allow_float16": self.allow_float16,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "name": self.name,
            "trainable": trainable_parts(self),
        }

    @classmethod
    def from_config(cls: type[M], config: Any, custom_objects: Any = None, **kwargs: Any) -> M:  # noqa: ARG003  # Keras's
        """Build a model with fresh weights from a configuration, or from what ``get_config`` returns."""
        if isinstance(config, PretrainedConfig):
            return cls(config, **kwargs)
        options = dict(config)
        trainable = options.pop("trainable", True)
        model = cls(cls.config_class.from_dict(options.pop("config")), **options, **kwargs)
        set_trainable(model, trainable)
        return model

    def get_build_config(self) -> None:
        """Return nothing: the constructor builds."""

    # -- parts -------------------------------------------------------------------------------------------------

    def get_base_model(self) -> TFPreTrainedModel:
        """Return the bare encoder.

        Not a property as in PyTorch: Keras saves what properties give, and would save the encoder once more.
        """
        encoder: Any = getattr(self, self.base_model_prefix, self)
        return encoder  # type: ignore[no-any-return]

    def num_parameters(self, only_trainable: bool = False) -> int:
        """Count the parameters, shared ones once.

        Args:
            only_trainable: count only those that are trained.
        """
        weights = self.trainable_weights if only_trainable else self.weights
        return sum(int(weight.numpy().size) for weight in weights)

    def parameters_on_disk(self) -> list[Parameter]:
        """List this model's parameters as they are on disk."""
        pooler = getattr(self.get_base_model(), "pooler", None) is not None
        return families.parameters(self.config, self.head, pooler=pooler)


@contextmanager
def _policy(policy: Any) -> Iterator[None]:
    """Make the layers that are built inside follow a dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
