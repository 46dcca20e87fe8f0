"""What every encoder's forward does: check the inputs, embed them, run the layers, pool.

Shapes: B batch, T tokens, W hidden_size.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from pocketbert.architecture import families
from pocketbert.architecture.outputs import BaseModelOutput, BaseModelOutputWithPooling, ModelOutput
from pocketbert.architecture.parameters import Parameter
from pocketbert.torch.masks_and_ids import CHECKS, attention_bias, per_layer_head_masks
from pocketbert.torch.model import PreTrainedModel

__all__ = ["Encoder"]


class Encoder(PreTrainedModel):
    """A bare encoder; a family makes its layers and its ``pooler``, which is None where it was left out."""

    embeddings: nn.Module
    pooler: nn.Module | None

    def embed(
        self,
        input_ids: Tensor | None,
        token_type_ids: Tensor | None,
        position_ids: Tensor | None,
        inputs_embeds: Tensor | None,
    ) -> Tensor:
        """Call the embeddings: ids (B, T) or word vectors -> (B, T, W)."""
        raise NotImplementedError

    def run_stack(self, hidden: Tensor, mask: Tensor | None, head_mask: Any, weights: bool, states: bool) -> Any:
        """Call the stack of layers for a ``BaseModelOutput``, with all weights and states where wanted."""
        raise NotImplementedError

    def encode(
        self, inputs: tuple[Tensor | None, ...], outputs: tuple[bool | None, ...]
    ) -> ModelOutput | tuple[Any, ...]:
        """Run the model; the arguments are those of ``heads.Task.run``."""
        config = self.config
        input_ids, attention_mask, token_type_ids, position_ids, head_mask, inputs_embeds = inputs
        defaults = (config.output_attentions, config.output_hidden_states, config.use_return_dict)
        want_attentions, want_hidden, want_dict = (
            default if given is None else given for given, default in zip(outputs, defaults, strict=True)
        )
        self.check_precision(self.compute_dtype)
        width = getattr(config, "embedding_size", config.hidden_size)
        CHECKS.tokens(config, input_ids, token_type_ids, position_ids, inputs_embeds, width)
        hidden = self.embed(input_ids, token_type_ids, position_ids, inputs_embeds)
        heads = None if head_mask is None else per_layer_head_masks(head_mask, config, hidden.dtype)
        states: BaseModelOutput = self.run_stack(
            hidden, attention_bias(attention_mask, hidden), heads, want_attentions, want_hidden
        )
        if not hasattr(self, "pooler"):
            return states if want_dict else states.to_tuple()
        last = states.last_hidden_state
        pooled = None if self.pooler is None else self.pooler(last)
        if want_dict:
            return BaseModelOutputWithPooling(last, pooled, states.hidden_states, states.attentions)
        return (last, pooled, *states.to_tuple()[1:])

    def library_parameters(self) -> list[Parameter]:
        """See ``PreTrainedModel``."""
        return families.parameters(self.config, pooler=getattr(self, "pooler", None) is not None)

    def get_input_embeddings(self) -> nn.Module:
        """Return the word table."""
        return self.embeddings.word_embeddings  # type: ignore[return-value]

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the word table."""
        self.embeddings.word_embeddings = value
