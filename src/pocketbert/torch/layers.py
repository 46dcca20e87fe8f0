"""The pieces that every encoder shares: activations, norms, attention, and the loop over layers.

Shapes: B batch, T tokens, H heads, D head size, W width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from pocketbert.architecture.outputs import BaseModelOutput
from pocketbert.torch.masks_and_ids import scores_bias

__all__ = [
    "ACTIVATIONS",
    "CHECKPOINT",
    "Dropout",
    "ExtraColumns",
    "NoNorm",
    "Stack",
    "activation",
    "attend",
    "drop",
    "make_norm",
    "prune_linear",
    "untouched",
]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": partial(nn.GELU, approximate="none"),
    "gelu_new": partial(nn.GELU, approximate="tanh"),
    "gelu_pytorch_tanh": partial(nn.GELU, approximate="tanh"),
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "linear": nn.Identity,
}
CHECKPOINT: Callable[..., Any] = partial(checkpoint, use_reentrant=False)


def activation(name: str | Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a module for a configuration's activation; a function that stands there is returned as it is."""
    return ACTIVATIONS[name]() if isinstance(name, str) else name


def untouched(module: nn.Module, *kinds: type[nn.Module]) -> bool:
    """Whether a module is what was built: nobody replaced it or hung a hook on it, so a shorter way may be taken."""
    hooks = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    return type(module) in kinds and not hooks


class NoNorm(nn.Module):
    """MobileBERT's replacement of layer normalization: ``weight * x + bias`` (arXiv 2004.02984, section 3.4)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size)."""
        tracing = not torch.compiler.is_compiling() and torch._C._is_tracing()
        if torch.is_grad_enabled() or tracing:  # a traced graph is the same with gradients and without
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


class Dropout(nn.Dropout):
    """Dropout that draws fewer random numbers (see ``drop``), and costs nothing in eval mode."""

    def forward(self, x: Tensor) -> Tensor:
        """(...) -> (...)."""
        return drop(x, self.p) if self.training else x


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    head_size: int,
    mask: Tensor | None,
    head_mask: Tensor | None,
    dropout: nn.Module,
    need_weights: bool | None,
    implementation: str,
) -> tuple[Tensor, Tensor | None]:
    """Scaled dot-product attention over packed heads.

    Args:
        q: queries, (B, T, H*D).
        k: keys, (B, T, H*D).
        v: values, (B, T, H*D).
        head_size: D.
        mask: see ``scores_bias``.
        head_mask: multiplies the weights; of a shape that fits (B, H, T, T).
        dropout: what the weights pass through.
        need_weights: also return the weights.
        implementation: ``"sdpa"`` or ``"eager"``. Weights and head masks always take the eager form, which is equal,
            and so does dropout on the CPU, where SDPA has no fused form with dropout.

    Returns:
        the context (B, T, H*D), and the weights (B, H, T, T) or None.
    """
    heads = q.shape[-1] // head_size
    q, k, v = (x.view(*x.shape[:2], heads, head_size).transpose(1, 2) for x in (q, k, v))  # (B, H, T, D)
    bias = None if mask is None else scores_bias(mask, q)
    if implementation != "eager" and not need_weights and head_mask is None and untouched(dropout, Dropout, nn.Dropout):
        probability: Any = dropout.p if dropout.training else 0.0
        if not probability or q.device.type != "cpu":
            context = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=probability)
            return context.transpose(1, 2).flatten(2), None
    scores = (q / math.sqrt(head_size)) @ k.transpose(-1, -2)  # (B, H, T, T)
    if bias is not None:
        scores = scores + bias
    weights = dropout(torch.softmax(scores, dim=-1))
    if head_mask is not None:
        weights = weights * head_mask
    context = (weights @ v).transpose(1, 2).flatten(2)
    return context, weights if need_weights else None


class Stack(nn.Module):
    """The layers, one after another, under the name that they have on disk.

    Attributes:
        hidden_at, weights_at: where the hidden state and the attention weights stand in what a layer returns.
        gradient_checkpointing: layers are recomputed in the backward pass, in training mode.
    """

    hidden_at: ClassVar[int] = 0
    weights_at: ClassVar[int] = 1

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layer = nn.ModuleList(layers)
        self.gradient_checkpointing = False
        self._gradient_checkpointing_func = CHECKPOINT

    def run(
        self,
        hidden: Tensor,
        mask: Tensor | None,
        head_mask: Any,
        output_attentions: bool | None,
        output_hidden_states: bool | None,
        return_dict: bool | None,
    ) -> BaseModelOutput | tuple[Any, ...]:
        """Run ``hidden`` (B, T, W) through the layers, each ``(hidden, mask, head mask, weights wanted) -> tuple``.

        Args:
            hidden: the embedding output.
            mask: see ``scores_bias``.
            head_mask: one entry a layer, or None.
            output_attentions, output_hidden_states: also return these, of every layer.
            return_dict: return a ``BaseModelOutput`` instead of a tuple.
        """
        hidden_states = [hidden]
        attentions = []
        checkpointing = self.gradient_checkpointing and self.training
        for index, layer in enumerate(self.layer):
            given = (hidden, mask, None if head_mask is None else head_mask[index], bool(output_attentions))
            output = self._gradient_checkpointing_func(layer.__call__, *given) if checkpointing else layer(*given)
            hidden = output[self.hidden_at]
            if output_hidden_states:
                hidden_states.append(hidden)
            if output_attentions:
                attentions.append(output[self.weights_at])
        result = BaseModelOutput(
            hidden, tuple(hidden_states) if output_hidden_states else None, tuple(attentions) if attentions else None
        )
        return result if return_dict else result.to_tuple()


def prune_linear(linear: nn.Linear, keep: Tensor, dim: int) -> None:
    """Keep only the rows (``dim`` 0) or columns (1) ``keep`` of a linear layer, in place."""
    with torch.no_grad():
        linear.weight = nn.Parameter(linear.weight.index_select(dim, keep).clone(), linear.weight.requires_grad)
        if dim == 0 and linear.bias is not None:
            linear.bias = nn.Parameter(linear.bias.index_select(0, keep).clone(), linear.bias.requires_grad)
    linear.out_features, linear.in_features = linear.weight.shape
