"""A Keras model as others run it: its inputs by name, graphs that serve it, SavedModel and LiteRT files."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any, ClassVar

import keras
from keras import ops

from pocketbert.architecture import families
from pocketbert.architecture.outputs import ModelOutput
from pocketbert.errors import InputError

__all__ = ["Serving"]


class Serving:
    """What a model can do for those who run it without this library."""

    config: Any
    input_rank: ClassVar[int]
    __call__: Any

    @property
    def token_inputs(self) -> tuple[str, ...]:
        """Names of what a tokenizer gives, each (batch, tokens), or (batch, choices, tokens) for multiple choice."""
        typed = families.family_of(self.config).has_types
        return ("input_ids", "attention_mask", *(("token_type_ids",) if typed else ()))

    @property
    def input_signature(self) -> dict[str, Any]:
        """The inputs by name, int32 of any batch and length: TensorFlow's specs, or Keras's on other backends."""
        shape = (None,) * self.input_rank
        if keras.backend.backend() != "tensorflow":
            return {name: keras.InputSpec(shape=shape, dtype="int32", name=name) for name in self.token_inputs}
        return self._specs("int32")

    @classmethod
    def can_generate(cls) -> bool:
        """Whether the model writes texts: encoders do not."""
        return False

    @property
    def dummy_inputs(self) -> dict[str, Any]:
        """One text of two tokens, to try the model with."""
        shape = (1, *(2,) * (self.input_rank - 1))
        return {
            name: (ops.zeros if name == "token_type_ids" else ops.ones)(shape, dtype="int32")
            for name in self.token_inputs
        }

    @property
    def serving(self) -> Any:
        """A ``tf.function`` that runs the model on a dict of inputs; it has a concrete function for each signature."""
        return _tensorflow("serving").function(lambda inputs: self.serving_output(self(inputs, training=False)))

    def serving_output(self, output: Any) -> Any:
        """Return an output as a graph gives it: hidden states and attentions are one tensor each, where asked for."""
        if not isinstance(output, ModelOutput):
            return output
        wanted = {
            "hidden_states": self.config.output_hidden_states,
            "attentions": self.config.output_attentions,
        }
        return type(output)(
            (name, ops.stack(value) if isinstance(value, (list, tuple)) else value)
            for name, value in output.items()
            if wanted.get(name, True)
        )

    def export(
        self,
        filepath: str | os.PathLike[str],
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """As Keras's; without an ``input_signature``, batch and length stay dynamic.

        For LiteRT on the TensorFlow backend, ``optimizations=[tf.lite.Optimize.DEFAULT]`` stores weights in 8 bits.

        Args:
            filepath: what to write: a folder, or a file whose ending suits the format.
            format: ``"tf_saved_model"``, ``"litert"``, or another that Keras has on its backend.
            verbose: whether to say what was written.
            input_signature: Keras's; by default a dict of int32 inputs, named as in ``token_inputs``.
            **kwargs: what Keras hands on to the format.
        """
        if input_signature is None:
            shape = (None,) * self.input_rank
            input_signature = [
                {name: keras.InputSpec(shape=shape, dtype="int32", name=name) for name in self.token_inputs}
            ]
        if format == "tf_saved_model" and keras.backend.backend() == "tensorflow":
            archive = keras.export.ExportArchive()  # not told to track the model, or it would store all weights twice
            archive.add_endpoint("serve", self.__call__, input_signature, **kwargs)
            archive.write_out(os.fspath(filepath), verbose=verbose is not False)
        else:
            super().export(os.fspath(filepath), format, verbose, input_signature, **kwargs)  # type: ignore[misc]  # Keras's

    def write_saved_model(self, folder: str | os.PathLike[str], signatures: Any = None) -> None:
        """Write a SavedModel with the signatures ``serving_default`` (int32) and ``int64_serving``, or yours.

        Args:
            folder: what to write.
            signatures: a ``tf.function`` with an input signature, a concrete function, or a dict of them.

        Raises:
            InputError: Keras does not run on TensorFlow.
        """
        tf = _tensorflow("a SavedModel")
        if signatures is not None:
            tf.saved_model.save(self, os.fspath(folder), signatures=signatures)
            return
        archive = keras.export.ExportArchive()
        for name, dtype in (("serving_default", "int32"), ("int64_serving", "int64")):
            archive.add_endpoint(name, self.serving.python_function, [self._specs(dtype)])
        archive.write_out(os.fspath(folder), verbose=False)

    def _specs(self, dtype: str) -> dict[str, Any]:
        tf = _tensorflow("input_signature")
        return {name: tf.TensorSpec((None,) * self.input_rank, dtype, name=name) for name in self.token_inputs}

    @property
    def input_dtype(self) -> str:
        """The dtype of the first input; other inputs keep their own, see ``tell_inputs``."""
        return "int32"

    def tell_inputs(self) -> None:
        """Let ``tf.lite.TFLiteConverter.from_keras_model`` know the inputs, and Keras cast none of them."""
        self.autocast = False
        self._build_shapes_dict = {"input_shape": dict.fromkeys(self.token_inputs, (None,) * self.input_rank)}


def _tensorflow(what: str) -> Any:
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"{what} needs Keras on TensorFlow, not on {keras.backend.backend()}; set KERAS_BACKEND=tensorflow"
        )
    return import_module("tensorflow")
