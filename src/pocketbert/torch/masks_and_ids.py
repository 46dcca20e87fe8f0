"""What a model was given, checked: every mistake is named before it becomes an index error deep inside.

Values are checked on the CPU only, and never while a graph is traced: there the check would cost a synchronization or
break the graph. Shapes are always checked.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pocketbert.architecture import input_checks as shared
from pocketbert.architecture.config import PretrainedConfig

__all__ = [
    "attention_bias",
    "check_ids",
    "check_labels",
    "check_tokens",
    "per_layer_head_masks",
    "scores_bias",
    "values_visible",
]


def values_visible(tensor: Tensor) -> bool:
    """Whether the values of ``tensor`` may be looked at: it is on the CPU and no graph is being traced."""
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling() and not torch._C._is_tracing()


def check_tokens(
    config: PretrainedConfig, input_ids: Tensor | None, inputs_embeds: Tensor | None, embedding_size: int
) -> tuple[int, int]:
    """Return (batch, tokens) of whichever of the two was given.

    Raises:
        InputError: both or neither was given, a shape or dtype is wrong, an id lies outside the vocabulary, or there
            are more tokens than positions.
    """
    shapes = [None if given is None else given.shape for given in (input_ids, inputs_embeds)]
    size = shared.tokens_of(config, shapes[0], shapes[1], embedding_size, ".unsqueeze(0)")
    if input_ids is not None:
        check_ids("input_ids", input_ids, config.vocab_size, "vocab_size")
    return size


def check_ids(
    name: str, ids: Tensor, limit: int, limit_name: str, shape: tuple[int, int] | None = None, *, one_row: bool = False
) -> None:
    """Check that ``ids`` are integers in [0, limit), of ``shape`` if given (or of its last part, with ``one_row``).

    Raises:
        InputError: they are not.
    """
    if shape is not None:
        shared.check_shape(name, ids.shape, shape, one_row=one_row)
    shared.check_integers(name, _dtype(ids))
    if values_visible(ids) and ids.numel():
        low, high = torch.aminmax(ids)
        shared.check_range(name, int(low), int(high), limit, limit_name)


def check_labels(name: str, labels: Tensor, classes: int, ignore: int | None = None) -> None:
    """Check that class labels are integers in [0, classes), ``ignore`` aside.

    Raises:
        InputError: they are not.
    """
    shared.check_integers(name, _dtype(labels), ("int64", "int32", "uint8", "int16", "int8"))
    if values_visible(labels):
        shared.check_classes(name, labels[(labels < 0) | (labels >= classes)], classes, ignore)


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
    shared.check_mask_shape(mask.shape, batch, tokens)
    if values_visible(mask) and bool(mask.all()):
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
    shared.check_head_mask_shape(head_mask.shape, layers, heads)
    rows = head_mask.to(dtype).expand(layers, heads)
    kept = [[h for h in range(heads) if h not in config.pruned_heads.get(layer, ())] for layer in range(layers)]
    chosen = [row if len(keep) == heads else row[keep] for row, keep in zip(rows, kept, strict=True)]
    return [row.view(1, -1, 1, 1) for row in chosen]


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
