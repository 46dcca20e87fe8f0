"""What a model was given: named as documented, checked, and in the form that its layers take.

Values are checked only where they can be looked at, never while a graph is traced. Shapes are checked as far as they
are known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np
from keras import KerasTensor, backend, ops

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.input_checks import InputChecks, check_head_mask, check_mask_shape
from pocketbert.errors import InputError
from pocketbert.notices import renamed

__all__ = ["CHECKS", "attention_bias", "dtype_of", "name_inputs", "per_layer_head_masks", "whole"]

Tensor = Any
_IDS = ("input_ids", "token_type_ids", "position_ids")
# what looking at a traced tensor raises: TensorFlow, JAX, torch and Keras differ
_TRACED = (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError)


# -- names -----------------------------------------------------------------------------------------------------


def name_inputs(
    where: str,
    names: Sequence[str],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    rank: int = 2,
    old_names: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Turn any documented form of a call into keywords.

    The first argument may be ids, a list of inputs in documented order, or a dict of them. Plain lists of numbers
    become arrays.

    Args:
        where: the call, for error messages.
        names: what it takes, in order.
        args: what was given by position.
        kwargs: what was given by name.
        rank: of ids: a list of numbers one level deeper is a list of inputs.
        old_names: names of older versions and what they are called now.

    Raises:
        TypeError: a name is unknown or given twice, or there are too many.
        InputError: a list has rows of different lengths.
    """
    if len(args) > len(names):
        raise TypeError(f"{where} takes {len(names)} inputs, got {len(args)}: {', '.join(names)}")
    named = [*zip(names, args, strict=False), *kwargs.items()]
    first: Any = next((value for name, value in named if name == names[0]), None)
    if _is_bundle(first, rank):
        if len(first) > len(names):
            raise TypeError(f"{where} takes {len(names)} inputs, got a list of {len(first)}: {', '.join(names)}")
        first = dict(zip(names, first, strict=False))
    if isinstance(first, Mapping):
        named = [*first.items(), *(pair for pair in named if pair[0] != names[0])]
    given: dict[str, Any] = {}
    for name, value in named:
        new = (old_names or {}).get(name, name)
        if new != name:
            renamed(name, new)
        if new not in names:
            raise TypeError(f"{where} got an unexpected keyword argument {name!r}")
        if given.get(new) is not None and value is not None:
            raise TypeError(f"{where} got {new} twice" + (f", once by its old name {name}" if new != name else ""))
        if value is not None or new not in given:
            given[new] = _array(new, value)
    return given


def _is_bundle(value: Any, rank: int) -> bool:
    """Whether a list is a list of inputs: of tensors, or of numbers one level deeper than ids are."""
    if not isinstance(value, (list, tuple)):
        return False
    depth, item = 0, value
    while isinstance(item, (list, tuple)) and item:
        depth, item = depth + 1, item[0]
    return depth > rank or item is None or hasattr(item, "shape")


def _array(name: str, value: Any) -> Any:
    if not isinstance(value, (list, tuple)):
        return value
    try:
        return np.asarray(value)
    except ValueError as error:
        raise InputError(f"{name} has rows of different lengths; pass padding=True to the tokenizer") from error


# -- checks ----------------------------------------------------------------------------------------------------


def dtype_of(tensor: Tensor) -> str:
    """Return the name of a tensor's dtype, such as ``"int32"``."""
    return str(backend.standardize_dtype(tensor.dtype))


def _values_of(tensor: Tensor) -> np.ndarray[Any, Any] | None:
    if isinstance(tensor, KerasTensor):
        return None
    try:
        return np.asarray(ops.convert_to_numpy(tensor))
    except _TRACED:
        return None


def whole(name: str, value: Any) -> Any:
    """Cast ids that Keras made floats, as an ``Input`` without a dtype does, where no values are visible to check.

    Raises:
        InputError: the dtype is too narrow to hold ids.
    """
    if name not in _IDS or not hasattr(value, "dtype") or "float" not in dtype_of(value):
        return value
    if _values_of(value) is not None:
        return value  # refused with the other checks
    if dtype_of(value) not in ("float32", "float64"):
        raise InputError(f"{name} of {dtype_of(value)} holds no ids above a few hundred; give the Input dtype='int32'")
    return ops.cast(value, "int32")


CHECKS = InputChecks(dtype_of, _values_of, "ids[None]")


# -- masks -----------------------------------------------------------------------------------------------------


def attention_bias(mask: Tensor | None, hidden: Tensor) -> Tensor | None:
    """Turn a mask (B, T) or (B, T, T) of 1 = visible, 0 = masked into what is added to the scores.

    Args:
        mask: the mask, of any dtype, or None.
        hidden: the embedding output (B, T, width), whose dtype the scores will have.

    Returns:
        (B, 1, 1, T) or (B, 1, T, T): 0 where visible, the dtype's minimum where masked; None without a mask.

    Raises:
        InputError: the mask has another shape.
    """
    if mask is None:
        return None
    batch, tokens, _ = hidden.shape
    check_mask_shape(tuple(mask.shape), batch, tokens)
    mask = ops.expand_dims(mask, (1, 2) if len(mask.shape) == 2 else 1)
    dtype = dtype_of(hidden)
    return ops.cast(ops.equal(mask, 0), dtype) * float(ml_dtypes.finfo(dtype).min)  # type: ignore[no-untyped-call]


def per_layer_head_masks(head_mask: Tensor | None, config: PretrainedConfig, hidden: Tensor) -> list[Tensor | None]:
    """Turn a head mask (heads,) or (layers, heads) into (kept heads,) for each layer; pruned heads need no mask.

    Raises:
        InputError: the mask has another shape.
    """
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    if head_mask is None:
        return [None] * layers
    kept = check_head_mask(tuple(head_mask.shape), config)
    masks = ops.broadcast_to(ops.cast(head_mask, dtype_of(hidden)), (layers, heads))
    return [ops.take(masks[layer], keep, axis=0) for layer, keep in enumerate(kept)]
