"""What a model was given, checked and in the form that its layers take.

Values are checked on the CPU only, and never while a graph is traced: there the check would cost a synchronization or
break the graph. Shapes are always checked.
"""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.architecture.input_checks import InputChecks, check_head_mask, check_mask_shape

__all__ = ["CHECKS", "attention_bias", "dtype_of", "per_layer_head_masks", "scores_bias"]


def dtype_of(tensor: Tensor) -> str:
    """Return the name of a tensor's dtype, such as ``"float32"``."""
    return str(tensor.dtype).removeprefix("torch.")


def _visible(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling() and not torch._C._is_tracing()


def _values_of(tensor: Tensor) -> NDArray[Any] | None:
    return tensor.numpy() if _visible(tensor) else None


CHECKS = InputChecks(dtype_of, _values_of, ".unsqueeze(0)")


def attention_bias(mask: Tensor | None, hidden: Tensor) -> Tensor | None:
    """Turn a mask (B, T) or (B, T, T) of 1 = visible, 0 = masked into what is added to the scores.

    Args:
        mask: the mask, of any dtype, or None.
        hidden: the embedding output (B, T, width), whose dtype (or autocast's) the scores will have.

    Returns:
        (B, 1, 1, T) or (B, 1, T, T): 0 where visible, the dtype's minimum where masked; None where nothing is masked.

    Raises:
        InputError: the mask has another shape.
    """
    if mask is None:
        return None
    batch, tokens, _ = hidden.shape
    check_mask_shape(mask.shape, batch, tokens)
    if _visible(mask) and bool(mask.all()):
        return None
    device = hidden.device.type
    return _bias(mask, torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype)


def scores_bias(mask: Tensor, query: Tensor) -> Tensor:
    """Turn a mask that a layer was given into what is added to the scores, of the query's dtype.

    Args:
        mask: (B, T) or (B, T, T) of 1 = visible, 0 = masked; or of a shape that fits the scores (B, H, T, T): booleans,
            true = visible, or the numbers to add.
        query: whose scores they are.
    """
    if mask.dim() < 4 or mask.dtype is torch.bool:
        return _bias(mask, query.dtype)
    return mask if mask.dtype is query.dtype else mask.to(query.dtype)


def _bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.dim() < 4:
        mask = mask[:, None, None, :] if mask.dim() == 2 else mask[:, None]
    bias = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return bias.masked_fill_(mask == 0, torch.finfo(dtype).min)


def per_layer_head_masks(head_mask: Tensor, config: PretrainedConfig, dtype: torch.dtype) -> list[Tensor]:
    """Turn a head mask (heads,) or (layers, heads) into (1, kept heads, 1, 1) for each layer.

    Pruned heads need no mask.

    Raises:
        InputError: the mask has another shape.
    """
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    kept = check_head_mask(head_mask.shape, config)
    rows = head_mask.to(dtype).expand(layers, heads)
    chosen = [row if len(keep) == heads else row[keep] for row, keep in zip(rows, kept, strict=True)]
    return [row.view(1, -1, 1, 1) for row in chosen]
