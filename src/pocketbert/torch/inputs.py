"""What a model was given, checked: every mistake is named before it becomes an index error deep inside.

Values are checked on the CPU only, and never while a graph is traced: there the check would cost a synchronisation or
break the graph. Shapes are always checked.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pocketbert.config import PretrainedConfig
from pocketbert.errors import InputError

__all__ = ["attention_bias", "check_ids", "check_labels", "check_tokens", "per_layer_head_masks", "values_visible"]


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
    if (input_ids is None) == (inputs_embeds is None):
        given = "neither" if input_ids is None else "both"
        raise InputError(f"give either input_ids or inputs_embeds; {given} was given")
    if input_ids is not None:
        if input_ids.dim() != 2:
            shape = tuple(input_ids.shape)
            raise InputError(f"input_ids of shape {shape} must be (batch, tokens); one text needs .unsqueeze(0)")
        check_ids("input_ids", input_ids, config.vocab_size, "vocab_size")
        batch, tokens = input_ids.shape
    else:
        assert inputs_embeds is not None
        if inputs_embeds.dim() != 3 or inputs_embeds.shape[2] != embedding_size:
            shape = tuple(inputs_embeds.shape)
            raise InputError(f"inputs_embeds of shape {shape} must be (batch, tokens, {embedding_size})")
        batch, tokens = inputs_embeds.shape[:2]
    if tokens == 0:
        raise InputError("the input has no tokens; even an empty text has [CLS] and [SEP]")
    if tokens > config.max_position_embeddings:
        raise InputError(
            f"{tokens} tokens exceed the model's {config.max_position_embeddings} positions; "
            "truncate the text or split it into windows when tokenizing"
        )
    return batch, tokens


def check_ids(
    name: str, ids: Tensor, limit: int, limit_name: str, shape: tuple[int, int] | None = None, *, one_row: bool = False
) -> None:
    """Check that ``ids`` are integers in [0, limit), of ``shape`` if given (or of its last part, with ``one_row``).

    Raises:
        InputError: they are not.
    """
    if (
        shape is not None
        and tuple(ids.shape) != shape
        and not (one_row and tuple(ids.shape) in ((1, shape[1]), shape[1:]))
    ):
        raise InputError(f"{name} of shape {tuple(ids.shape)} must match the input's (batch, tokens) = {tuple(shape)}")
    if ids.dtype not in (torch.int64, torch.int32):
        raise InputError(f"{name} must be int64 or int32, got {str(ids.dtype).removeprefix('torch.')}")
    if values_visible(ids) and ids.numel():
        low, high = torch.aminmax(ids)
        if low < 0 or high >= limit:
            worst = int(low) if low < 0 else int(high)
            raise InputError(f"{name} holds {worst}, outside 0 .. {limit - 1} ({limit_name} is {limit})")


def check_labels(name: str, labels: Tensor, classes: int, ignore: int | None = None) -> None:
    """Check that class labels are integers in [0, classes), ``ignore`` aside.

    Raises:
        InputError: they are not.
    """
    if labels.dtype not in (torch.int64, torch.int32, torch.uint8, torch.int16, torch.int8):
        raise InputError(f"{name} must be integers, got {str(labels.dtype).removeprefix('torch.')}")
    if values_visible(labels):
        wrong = (labels < 0) | (labels >= classes)
        if ignore is not None:
            wrong &= labels != ignore
        if bool(wrong.any()):
            also = f" (or {ignore}, which is ignored)" if ignore is not None else ""
            raise InputError(f"{name} holds {int(labels[wrong][0])}, outside 0 .. {classes - 1}{also}")


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
    if tuple(mask.shape) not in ((batch, tokens), (batch, tokens, tokens)):
        raise InputError(
            f"attention_mask of shape {tuple(mask.shape)} must be (batch, tokens) = ({batch}, {tokens}) "
            f"or ({batch}, {tokens}, {tokens})"
        )
    if values_visible(mask) and bool(mask.all()):
        return None
    mask = mask[:, None, None, :] if mask.dim() == 2 else mask[:, None]
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    bias = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return bias.masked_fill_(mask == 0, torch.finfo(dtype).min)


def per_layer_head_masks(head_mask: Tensor | None, config: PretrainedConfig, dtype: torch.dtype) -> list[Tensor | None]:
    """Turn a head mask (heads,) or (layers, heads) into one (kept heads,) a layer; pruned heads need no mask.

    Raises:
        InputError: the mask has another shape.
    """
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    if head_mask is None:
        return [None] * layers
    if tuple(head_mask.shape) not in ((heads,), (layers, heads)):
        raise InputError(
            f"head_mask of shape {tuple(head_mask.shape)} must be (heads,) = ({heads},) "
            f"or (layers, heads) = ({layers}, {heads})"
        )
    rows = head_mask.to(dtype).expand(layers, heads)
    kept = [[h for h in range(heads) if h not in config.pruned_heads.get(layer, ())] for layer in range(layers)]
    return [row if len(keep) == heads else row[keep] for row, keep in zip(rows, kept, strict=True)]
