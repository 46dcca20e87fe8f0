"""The word table of a Keras model and the layer that maps onto words: read, replaced, resized."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from pocketbert.architecture.families import family_of
from pocketbert.architecture.heads import head_named
from pocketbert.architecture.input_checks import check_keeps_padding, new_size
from pocketbert.architecture.parameters import Parameter
from pocketbert.errors import InputError
from pocketbert.keras.loading import ATTRIBUTES, owner_of

__all__ = ["WordTables"]


class WordTables:
    """What a model does with its vocabulary."""

    config: Any
    head: ClassVar[str]
    get_base_model: Any
    parameters_on_disk: Any

    def get_input_embeddings(self) -> keras.layers.Embedding:
        """Return the word table."""
        return self.get_base_model().embeddings.word_embeddings

    def set_input_embeddings(self, value: Any) -> None:
        """Set the word table; the vocabulary gets as many words as there are rows, and a tied head follows.

        Args:
            value: an ``Embedding`` or its values, (words, width).

        Raises:
            InputError: its vectors have another width.
        """
        values = np.asarray(ops.convert_to_numpy(getattr(value, "embeddings", value)))
        width = self.get_input_embeddings().output_dim
        if values.ndim != 2 or values.shape[1] != width:
            raise InputError(f"word table of shape {values.shape} must be (words, {width})")
        self.resize_token_embeddings(values.shape[0])
        self.get_input_embeddings().embeddings.assign(values)

    def get_lm_head(self) -> Any:
        """Return the layer that gives every word its logit, or None where no words are predicted."""
        if not any(answer.per == "position" for answer in head_named(self.head).answers):
            return None
        layer: Any = self
        for name in family_of(self.config).words.decoder.split("."):
            layer = getattr(layer, name)
        return layer

    def get_output_embeddings(self) -> Any:
        """Return the layer that holds the matrix onto words: the word table where they are tied; None without one."""
        decoder = self.get_lm_head()
        return decoder if decoder is None or not decoder.tied else self.get_input_embeddings()

    def set_output_embeddings(self, value: Any) -> None:
        """Set the matrix onto words, (words, width), or take that of a layer.

        Raises:
            InputError: no words are predicted, or the shape is another.
        """
        layer = self._words("output embeddings")
        values = np.asarray(ops.convert_to_numpy(getattr(value, "weight", getattr(value, "embeddings", value))))
        if layer.tied:
            self.set_input_embeddings(values)
            return
        wanted = tuple(layer.kernel.shape)[::-1]
        if values.shape != wanted:
            raise InputError(f"output embeddings of shape {values.shape} must be {wanted}")
        layer.kernel.assign(values.T)

    def get_bias(self) -> dict[str, Any] | None:
        """Return ``{"bias": ...}`` of the words' logits, or None where no words are predicted."""
        layer = self.get_lm_head()
        return None if layer is None else {"bias": layer.bias}

    def set_bias(self, value: Any) -> None:
        """Set the bias of the words' logits, as ``get_bias`` gives it.

        Raises:
            InputError: no words are predicted.
        """
        self._words("bias").bias.assign(value["bias"])

    def resize_token_embeddings(self, new_num_tokens: int | None = None) -> keras.layers.Embedding:
        """Grow or shrink the vocabulary: the word table and everything in a head that has its length.

        Old rows are kept, new rows start as fresh weights do (zero in a bias). Compile again before training.

        Args:
            new_num_tokens: the new size; None changes nothing.

        Returns:
            the word table.

        Raises:
            InputError: the size is not a positive integer, or drops the padding token.
        """
        table, size = self.get_input_embeddings(), new_num_tokens
        if size is None or size == self.config.vocab_size:
            return table
        size = new_size("new_num_tokens", size)
        check_keeps_padding(size, self.config.pad_token_id)
        old = {parameter.name: parameter.shape for parameter in self.parameters_on_disk()}
        self.config.vocab_size = size
        changed = [p for p in self.parameters_on_disk() if p.tied_to is None and p.shape != old[p.name]]
        for parameter in sorted(changed, key=lambda p: p.kind == "linear_bias"):  # as a layer makes them
            self._resize(parameter)
        for name in ("train_function", "test_function", "predict_function"):
            setattr(self, name, None)  # graphs that hold the old variables
        return table

    def _resize(self, parameter: Parameter) -> None:
        layer, name = owner_of(self, parameter), ATTRIBUTES[parameter.kind]
        old = getattr(layer, name)
        shape = parameter.shape[::-1] if parameter.kind == "linear_weight" else parameter.shape
        random = keras.initializers.RandomNormal(stddev=self.config.initializer_range)
        start = np.array(ops.convert_to_numpy((keras.initializers.Zeros() if len(shape) == 1 else random)(shape)))
        common = tuple(slice(0, min(pair)) for pair in zip(old.shape, shape, strict=True))
        start[common] = ops.convert_to_numpy(old)[common]
        locked = layer._tracker.locked
        layer._tracker.unlock()
        layer._untrack_variable(old)
        new = layer.add_weight(shape=shape, initializer="zeros", name=name, dtype=old.dtype, trainable=old.trainable)
        new.assign(start)
        if isinstance(layer, keras.layers.Embedding):
            layer._embeddings, layer.input_dim = new, shape[0]
        else:
            setattr(layer, name, new)
        if locked:
            layer._tracker.lock()

    def _words(self, what: str) -> Any:
        layer = self.get_lm_head()
        if layer is None:
            raise InputError(f"{type(self).__name__} has no {what}")
        return layer
