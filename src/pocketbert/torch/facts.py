"""What can be asked of a model: where and what its parameters are, how many, and how masks are prepared for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pocketbert.errors import InputError
from pocketbert.notices import warn

__all__ = ["ModelFacts"]


class ModelFacts(nn.Module):
    """Questions that every model answers."""

    config: Any
    main_input_name: ClassVar[str] = "input_ids"
    framework: ClassVar[str] = "pt"
    warnings_issued: dict[str, Any]
    model_tags: list[str] | None = None

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(_tensors(self)).device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the parameters."""
        last = torch.get_default_dtype()
        for tensor in _tensors(self):
            last = tensor.dtype
            if last.is_floating_point:
                break
        return last

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Count the parameters, shared ones once.

        Args:
            only_trainable: count only those that require a gradient.
            exclude_embeddings: leave out the embedding tables.
        """
        tables = {id(m.weight) for m in self.modules() if isinstance(m, nn.Embedding)} if exclude_embeddings else set()
        kept = [p for p in self.parameters() if id(p) not in tables and (p.requires_grad or not only_trainable)]
        return sum(p.numel() for p in kept)

    def get_memory_footprint(self, return_buffers: bool = True) -> int:
        """Return the bytes of all parameters, and of all buffers unless told otherwise."""
        tensors = [*self.parameters(), *(self.buffers() if return_buffers else ())]
        return sum(tensor.nelement() * tensor.element_size() for tensor in tensors)

    def estimate_tokens(self, input_dict: dict[str, Any]) -> int:
        """Return the number of tokens of a batch; 0 if it has none."""
        given = input_dict.get(self.main_input_name)
        return 0 if given is None else given.numel()

    def floating_point_ops(self, input_dict: dict[str, Any], exclude_embeddings: bool = True) -> int:
        """Estimate the operations of forward and backward pass for a batch: 6 for each parameter and token."""
        return 6 * self.estimate_tokens(input_dict) * self.num_parameters(exclude_embeddings=exclude_embeddings)

    @property
    def dummy_inputs(self) -> dict[str, Tensor]:
        """Inputs that the model can be called with."""
        return {"input_ids": torch.tensor([[7, 6, 0, 0, 1], [1, 2, 3, 0, 0], [0, 0, 0, 4, 5]])}

    @classmethod
    def can_generate(cls) -> bool:
        """Whether the model writes texts: encoders do not."""
        return False

    def add_model_tags(self, tags: list[str] | str) -> None:
        """Add tags for the model card that ``push_to_hub`` writes; a tag that is there is not added again."""
        have = list(self.model_tags or [])
        self.model_tags = have + [tag for tag in ([tags] if isinstance(tags, str) else tags) if tag not in have]

    # -- masks -------------------------------------------------------------------------------------------------

    def get_extended_attention_mask(
        self,
        attention_mask: Tensor,
        input_shape: tuple[int, ...],
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Turn a mask of 1 = visible, 0 = masked into what is added to the scores.

        Args:
            attention_mask: (batch, tokens), or (batch, tokens, tokens).
            input_shape: the shape of the ids; only messages use it.
            device: no longer has a meaning.
            dtype: of the result; the model's by default.

        Returns:
            0 where visible, the dtype's minimum where masked, of a shape that fits (batch, heads, tokens, tokens).
        """
        if device is not None:
            warn("device has no meaning here any more: the mask stays where it is", FutureWarning)
        if attention_mask.dim() not in (2, 3):
            shapes = f"{tuple(attention_mask.shape)} with ids of shape {tuple(input_shape)}"
            raise InputError(f"attention_mask of shape {shapes} must be (batch, tokens) or (batch, tokens, tokens)")
        dtype = self.dtype if dtype is None else dtype
        mask = attention_mask[:, None, None, :] if attention_mask.dim() == 2 else attention_mask[:, None]
        return (1.0 - mask.to(dtype)) * torch.finfo(dtype).min

    def invert_attention_mask(self, encoder_attention_mask: Tensor) -> Tensor:
        """As ``get_extended_attention_mask``, for a mask by itself."""
        return self.get_extended_attention_mask(encoder_attention_mask, tuple(encoder_attention_mask.shape))

    def get_head_mask(
        self, head_mask: Tensor | None, num_hidden_layers: int, is_attention_chunked: bool = False
    ) -> Any:
        """Turn a head mask (heads,) or (layers, heads) into (layers, 1, heads, 1, 1), or None into a list of None.

        Args:
            head_mask: 1 = kept, 0 = masked.
            num_hidden_layers: how many layers there are.
            is_attention_chunked: give the result one more axis.
        """
        if head_mask is None:
            return [None] * num_hidden_layers
        if head_mask.dim() not in (1, 2):
            raise InputError(f"head_mask of shape {tuple(head_mask.shape)} must be (heads,) or (layers, heads)")
        rows = head_mask.expand(num_hidden_layers, -1) if head_mask.dim() == 1 else head_mask
        mask = rows[:, None, :, None, None].to(self.dtype)
        return mask.unsqueeze(-1) if is_attention_chunked else mask


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    """Yield the parameters; of a replica, which has none, the tensors that stand in their place."""
    yield from model.parameters()
    for module in model.modules():
        yield from (value for value in vars(module).values() if isinstance(value, Tensor))
    yield from model.buffers()
