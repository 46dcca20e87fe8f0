"""The pieces that every encoder shares: activations, norms, attention, and the loop over layers.

Shapes: B batch, T tokens, H heads, D head size, W width. Every layer makes its weights in its constructor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

__all__ = [
    "FEW_HEADS",
    "Attention",
    "Dense",
    "ExtraColumns",
    "Layer",
    "NoNorm",
    "Vocabulary",
    "WordTable",
    "activation",
    "join_heads",
    "layer_norm",
    "linear",
    "make_norm",
    "rows",
    "run_layers",
    "split_heads",
    "table",
]

Tensor = Any  # of whichever backend Keras runs on

FEW_HEADS = 4  # up to so many, split and stack are faster in TensorFlow than transpose, which has a fixed cost

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": lambda x: 0.5 * x * (1.0 + ops.erf(x * math.sqrt(0.5))),
    "gelu_new": lambda x: ops.gelu(x, approximate=True),
    "gelu_pytorch_tanh": lambda x: ops.gelu(x, approximate=True),
    "relu": ops.relu,
    "relu6": ops.relu6,
    "silu": ops.silu,
    "tanh": ops.tanh,
    "linear": lambda x: x,
}


def activation(name: str | Callable[[Any], Any]) -> Callable[[Tensor], Tensor]:
    """Return the function of a configuration's activation."""
    return _ACTIVATIONS[name] if isinstance(name, str) else name


class Layer(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """A layer that is complete when its constructor returns."""

    def __init__(self) -> None:
        super().__init__()
        self.built = True


class NoNorm(Layer):
    """MobileBERT's replacement of layer normalization: ``gamma * x + beta`` (arXiv 2004.02984, section 3.4)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.gamma = self.add_weight(shape=(size,), initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=(size,), initializer="zeros", name="beta")

    def call(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size)."""
        return x * self.gamma + self.beta


def layer_norm(size: int, eps: float) -> keras.layers.Layer:
    """Return a layer normalization of the last axis."""
    norm = keras.layers.LayerNormalization(epsilon=eps)
    norm.build((None, size))
    return norm


def make_norm(kind: str, size: int, eps: float) -> keras.layers.Layer:
    """Return the layer of a ``normalization_type``."""
    return NoNorm(size) if kind == "no_norm" else layer_norm(size, eps)


class Dense(keras.layers.Dense):  # type: ignore[misc]  # Keras ships no types
    """A dense layer that TensorFlow runs fast.

    It fuses bias and activation into a product, if that has two matrices and they come before the rank is restored.
    A product without activation gains nothing by that, and its bias is cheaper as an addition than as a ``BiasAdd``.
    """

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """(..., into) -> (..., out)."""
        if self.activation is keras.activations.linear:
            return ops.matmul(inputs, self.kernel) + self.bias
        *rest, into = ops.shape(inputs)
        outputs = ops.matmul(ops.reshape(inputs, (-1, into)), self.kernel)
        outputs = self.activation(ops.add(outputs, self.bias))  # `+` is not fused
        return ops.reshape(outputs, (*rest, self.units))


def linear(config: Any, into: int, out: int, activate: Callable[[Tensor], Tensor] | None = None) -> Dense:
    """Return a dense layer (..., into) -> (..., out), started as ``config`` says, with what follows it."""
    dense = Dense(out, activate, kernel_initializer=keras.initializers.RandomNormal(stddev=config.initializer_range))
    dense.build((None, into))
    return dense


def table(
    config: Any, size: int, width: int, initializer: Any = None, *, trainable: bool = True
) -> keras.layers.Embedding:
    """Return ``size`` vectors of ``width``, started as ``config`` says unless ``initializer`` does."""
    initializer = initializer or keras.initializers.RandomNormal(stddev=config.initializer_range)
    embedding = keras.layers.Embedding(size, width, embeddings_initializer=initializer, trainable=trainable)
    embedding.build(None)
    return embedding


class WordTable(keras.layers.Embedding):  # type: ignore[misc]  # Keras ships no types
    """The word table. The row of ``[PAD]`` starts as zero, and looking it up does not train it."""

    def __init__(self, config: Any, width: int) -> None:
        self.padding = config.pad_token_id
        self.normal = keras.initializers.RandomNormal(stddev=config.initializer_range)
        super().__init__(config.vocab_size, width, embeddings_initializer=self.fresh)
        self.build(None)

    def fresh(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        """Return the values to start from."""
        values = self.normal(shape, dtype)
        if self.padding is None:
            return values
        return ops.where(ops.expand_dims(ops.arange(shape[0]), 1) == self.padding, 0, values)

    @property
    def weight(self) -> keras.Variable:
        """The table, (V, width), under the name that it has in PyTorch."""
        return self.embeddings

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """(B, T) -> (B, T, width)."""
        vectors = super().call(inputs)
        if not training or self.padding is None:
            return vectors
        padding = ops.expand_dims(ops.equal(inputs, self.padding), -1)
        return ops.where(padding, ops.stop_gradient(vectors), vectors)


def rows(embedding: keras.layers.Embedding, ids: Tensor | None, like: Tensor) -> Tensor:
    """Return the vectors of ``ids``, or where those are None the first T of the table, for ``like`` (B, T, W)."""
    if ids is not None:
        return embedding(ids)
    return ops.cast(embedding.embeddings[: ops.shape(like)[1]], like.dtype)


class Vocabulary(Layer):
    """Logits of every word: a matrix, which is the word table where those are tied, and a bias."""

    def __init__(self, config: Any, width: int) -> None:
        super().__init__()
        self.tied = config.tie_word_embeddings
        if not self.tied:
            normal = keras.initializers.RandomNormal(stddev=config.initializer_range)
            self.kernel = self.add_weight(shape=(width, config.vocab_size), initializer=normal, name="kernel")
        self.bias = self.add_weight(shape=(config.vocab_size,), initializer="zeros", name="bias")

    @property
    def weight(self) -> Tensor:
        """The matrix of its own, (V, width), which it has where it is not tied."""
        return ops.transpose(self.kernel)

    def call(self, hidden: Tensor, table: Tensor) -> Tensor:
        """(B, T, width) -> (B, T, V); ``table`` is the word table, (V, width)."""
        kernel = ops.transpose(ops.cast(table, hidden.dtype)) if self.tied else self.kernel
        return ops.matmul(hidden, kernel) + self.bias


class ExtraColumns(Layer):
    """What the word table lacks of the output matrix: (V, W - E), where on disk it is (W - E, V)."""

    def __init__(self, config: Any, columns: int) -> None:
        super().__init__()
        normal = keras.initializers.RandomNormal(stddev=config.initializer_range)
        self.kernel = self.add_weight(shape=(config.vocab_size, columns), initializer=normal, name="kernel")

    def call(self, hidden: Tensor) -> Tensor:
        """(B, T, W - E) -> (B, T, V)."""
        return ops.matmul(hidden, ops.transpose(self.kernel))


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, T, H*D) -> (B, H, T, D)."""
    if heads <= FEW_HEADS:
        return ops.stack(ops.split(x, heads, axis=2), axis=1)
    batch, tokens, width = ops.shape(x)
    return ops.transpose(ops.reshape(x, (batch, tokens, heads, width // heads)), (0, 2, 1, 3))


def join_heads(x: Tensor) -> Tensor:
    """(B, H, T, D) -> (B, T, H*D)."""
    batch, heads, tokens, size = ops.shape(x)
    if heads <= FEW_HEADS:
        x = ops.stack(ops.unstack(x, heads, axis=1), axis=2)
    else:
        x = ops.transpose(x, (0, 2, 1, 3))
    return ops.reshape(x, (batch, tokens, heads * size))


class Attention:
    """Scaled dot-product attention over packed heads, for one call of a model.

    Args:
        bias: added to the scores, broadcast to (B, H, T, T): 0 where visible, the dtype's minimum where masked.
        head_masks: (H,) or None for each layer; multiplies the weights.
        need_weights: also return the weights.
    """

    def __init__(self, bias: Tensor | None, head_masks: Sequence[Tensor | None], need_weights: bool) -> None:
        self.bias = bias
        self.head_masks = head_masks
        self.need_weights = need_weights

    def __call__(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, heads: int, dropout: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """Return the context (B, T, H*D) and the weights (B, H, T, T) or None, for packed q, k and v (B, T, H*D).

        ``layer`` is the index of the layer, for its head mask, and ``dropout`` what drops weights while training.
        """
        size = q.shape[2] // heads
        q, k, v = (split_heads(x, heads) for x in (q, k, v))  # (B, H, T, D)
        scores = ops.einsum("bhqd,bhkd->bhqk", q, k) * size**-0.5  # (B, H, T, T)
        if self.bias is not None:
            scores = scores + self.bias
        weights = dropout(ops.softmax(scores, axis=-1))
        head_mask = self.head_masks[layer]
        if head_mask is not None:
            weights = weights * ops.reshape(head_mask, (1, heads, 1, 1))
        return join_heads(ops.matmul(weights, v)), weights if self.need_weights else None


def run_layers(
    layers: Sequence[keras.layers.Layer], hidden: Tensor, attention: Attention, *, keep_hidden: bool
) -> tuple[Tensor, tuple[Tensor, ...] | None, tuple[Tensor, ...] | None]:
    """Run ``hidden`` (B, T, W) through ``layers``, each ``(hidden, attention) -> (hidden, weights)``.

    Returns:
        the last hidden state, all hidden states from the input on or None, the attention weights or None.
    """
    hidden_states = [hidden]
    attentions: list[Tensor] = []
    for layer in layers:
        hidden, weights = layer(hidden, attention=attention)
        if keep_hidden:
            hidden_states.append(hidden)
        if attention.need_weights:
            attentions.append(weights)
    return hidden, tuple(hidden_states) if keep_hidden else None, tuple(attentions) if attention.need_weights else None
