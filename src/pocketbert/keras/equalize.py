"""Rescale the channels of MobileBERT's hidden states, so that none dwarfs the others when a row has one 8-bit scale.

With ``no_norm`` a channel may be stored divided by any t > 0: the weights that write it are divided by t, those that
read it are multiplied. Every t is a power of two, so the results stay the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pocketbert.architecture.families import family_of
from pocketbert.architecture.heads import BARE
from pocketbert.keras.model import TFPreTrainedModel

__all__ = ["can_equalize", "equalize"]

_LARGEST = 40  # t is at most 2 ** 40


def can_equalize(model: TFPreTrainedModel) -> bool:
    """Whether no layer norm fixes the scale of the hidden states: MobileBERT's with ``no_norm`` and bottlenecks."""
    config = model.config
    return getattr(config, "normalization_type", None) == "no_norm" and bool(config.use_bottleneck)


def equalize(model: TFPreTrainedModel, rows: NDArray[Any]) -> None:
    """Change the parameters of a model in place; its outputs stay.

    Args:
        model: one that ``can_equalize``.
        rows: hidden states of typical texts, from the embeddings and every layer, (rows, hidden_size).
    """
    base: Any = model.get_base_model()
    layers = base.encoder.layer
    reading = [dense for layer in layers for dense in _readers(layer)]
    heads = _head_readers(model)
    times = _factors(rows, [*reading, *heads])
    for dense in (*reading, *heads):
        dense.kernel.assign(np.asarray(dense.kernel) * times[:, None])
    norm = base.embeddings.LayerNorm
    _multiply(1 / times, norm.gamma, norm.beta)
    for layer in layers:
        way_out = layer.output_.bottleneck
        _multiply(1 / times, way_out.dense.kernel, way_out.dense.bias)
        if layer is layers[-1] and not heads:  # what the model gives keeps its scale
            _multiply(times, way_out.LayerNorm.gamma)
        else:
            _multiply(1 / times, way_out.LayerNorm.beta)


def _readers(layer: Any) -> list[keras.layers.Dense]:
    """Return what reads a layer's input."""
    way_in, attention = layer.bottleneck, layer.attention.self
    if way_in.inside:
        return [way_in.input_.dense]
    queries = [attention.query, attention.key] if way_in.attention is None else [way_in.attention.dense]
    return [way_in.input_.dense, *queries, attention.value]


def _head_readers(model: Any) -> list[keras.layers.Dense]:
    """Return what a head reads the last hidden states with."""
    if model.head == BARE:
        return []
    family, pooler = family_of(model.config), model.get_base_model().pooler
    readers = []
    for answer in model.record.answers:
        if answer.per == "position":
            readers.append(model.layer_at(family.words.transform))
        elif answer.per == "text" and pooler.dense is not None:
            readers.append(pooler.dense)
        else:
            readers.append(model.layer_at(answer.layer))
    return readers


def _factors(rows: NDArray[Any], readers: Sequence[keras.layers.Dense]) -> NDArray[Any]:
    """Return t for each channel: where its values stand out, halfway between its values and its weights."""
    sizes = np.abs(rows.astype(np.float64))
    values = (sizes / np.maximum(np.median(sizes, axis=1, keepdims=True), 1e-30)).max(axis=0)
    kernels = [np.abs(np.asarray(dense.kernel, np.float64)) for dense in readers]
    weights = np.max([(k / max(np.median(k.max(axis=1)), 1e-30)).max(axis=1) for k in kernels], axis=0)
    ratio = (values / max(np.median(values), 1e-30)) / np.maximum(weights, 2.0**-_LARGEST)
    times: NDArray[Any] = np.exp2(np.clip(np.round(np.log2(np.maximum(ratio, 1e-30)) / 2), 0, _LARGEST))
    return times.astype(np.float32)


def _multiply(times: NDArray[Any], *variables: keras.Variable) -> None:
    for variable in variables:
        variable.assign(np.asarray(variable) * times)
