"""The pieces that every encoder shares: activations, norms, attention, and the loop over layers.

Shapes: B batch, T tokens, H heads, D head size, W width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

__all__ = ["Attention", "ExtraColumns", "NoNorm", "activation", "drop", "make_norm", "prune_linear", "run_layers"]

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": lambda x: F.gelu(x, approximate="none"),
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "relu6": F.relu6,
    "silu": F.silu,
    "tanh": torch.tanh,
    "linear": lambda x: x,
}


def activation(name: str | Callable[[Any], Any]) -> Callable[[Tensor], Tensor]:
    """Return the function of a configuration's activation."""
    return _ACTIVATIONS[name] if isinstance(name, str) else name


class NoNorm(nn.Module):
    """MobileBERT's replacement of layer normalization: ``weight * x + bias`` (arXiv 2004.02984, section 3.4)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size)."""
        if torch.is_grad_enabled():
            return x * self.weight + self.bias  # addcmul's backward would multiply once more
        return torch.addcmul(self.bias, x, self.weight)


class ExtraColumns(nn.Linear):
    """What the word table lacks of the output matrix, (W - E, V); there may be no such columns."""

    def reset_parameters(self) -> None:
        """Leave the filling to ``post_init``: torch's own warns of an empty matrix."""


def make_norm(kind: str, size: int, eps: float) -> nn.Module:
    """Return the module of a ``normalization_type``."""
    return NoNorm(size) if kind == "no_norm" else nn.LayerNorm(size, eps=eps)


def drop(x: Tensor, probability: float) -> Tensor:
    """Dropout, as ``F.dropout``, that draws four elements from one random number on the CPU.

    On the CPU, drawing random numbers takes most of dropout's time. Sixteen bits decide on each element, so the
    probability is met to within 1e-5, and the kept elements are scaled by the probability that was really used.
    """
    cut = round(probability * 65536)
    if x.device.type != "cpu" or not 0 < cut < 65536 or torch.compiler.is_compiling():
        return F.dropout(x, probability)
    draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    keep = draws.view(torch.int16)[: x.numel()].view(x.shape) >= cut - 32768
    return x * keep.to(x.dtype).mul_(65536 / (65536 - cut))


class Attention:
    """Scaled dot-product attention over packed heads, for one call of forward.

    Args:
        bias: added to the scores, broadcast to (B, H, T, T): 0 where visible, the dtype's minimum where masked.
        head_masks: (H,) or None for each layer; multiplies the weights.
        need_weights: also return the weights.
        implementation: ``"sdpa"`` or ``"eager"``. Weights and head masks always take the eager form, which is equal,
            and so does dropout on the CPU, where SDPA has no fused form with dropout.
    """

    def __init__(
        self, bias: Tensor | None, head_masks: Sequence[Tensor | None], need_weights: bool, implementation: str
    ) -> None:
        self.bias = bias
        self.head_masks = head_masks
        self.need_weights = need_weights
        self.eager = need_weights or implementation == "eager"

    def __call__(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, heads: int, dropout: float
    ) -> tuple[Tensor, Tensor | None]:
        """Return the context (B, T, H*D) and the weights (B, H, T, T) or None, for packed q, k and v (B, T, H*D).

        ``layer`` is the layer's index, for its head mask, and ``dropout`` the probability that a weight is dropped.
        """
        q, k, v = (x.view(*x.shape[:2], heads, -1).transpose(1, 2) for x in (q, k, v))  # (B, H, T, D)
        head_mask = self.head_masks[layer]
        if not self.eager and head_mask is None and not (dropout and q.device.type == "cpu"):
            context = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias, dropout_p=dropout)
            return context.transpose(1, 2).flatten(2), None
        scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-1, -2)  # (B, H, T, T)
        if self.bias is not None:
            scores = scores + self.bias
        weights = drop(torch.softmax(scores, dim=-1), dropout)
        if head_mask is not None:
            weights = weights * head_mask.view(1, heads, 1, 1)
        context = (weights @ v).transpose(1, 2).flatten(2)
        return context, weights if self.need_weights else None


def run_layers(
    layers: Sequence[nn.Module],
    hidden: Tensor,
    attention: Attention,
    *,
    keep_hidden: bool,
    checkpointing: bool,
) -> tuple[Tensor, tuple[Tensor, ...] | None, tuple[Tensor, ...] | None]:
    """Run ``hidden`` (B, T, W) through ``layers``, each ``(hidden, attention) -> (hidden, weights)``.

    Returns:
        the last hidden state, all hidden states from the input on or None, the attention weights or None.
    """
    hidden_states = [hidden]
    attentions: list[Tensor] = []
    for layer in layers:
        if checkpointing:
            hidden, weights = checkpoint(layer, hidden, attention, use_reentrant=False)
        else:
            hidden, weights = layer(hidden, attention)
        if keep_hidden:
            hidden_states.append(hidden)
        if attention.need_weights:
            attentions.append(weights)
    return hidden, tuple(hidden_states) if keep_hidden else None, tuple(attentions) if attention.need_weights else None


def prune_linear(linear: nn.Linear, keep: Tensor, dim: int) -> None:
    """Keep only the rows (``dim`` 0) or columns (1) ``keep`` of a linear layer, in place."""
    with torch.no_grad():
        linear.weight = nn.Parameter(linear.weight.index_select(dim, keep).clone(), linear.weight.requires_grad)
        if dim == 0 and linear.bias is not None:
            linear.bias = nn.Parameter(linear.bias.index_select(0, keep).clone(), linear.bias.requires_grad)
    linear.out_features, linear.in_features = linear.weight.shape
