"""What every encoder's call does: check the inputs, embed them, run the layers, pool.

Shapes: B batch, T tokens, W hidden_size.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from pocketbert.architecture.outputs import BaseModelOutput, BaseModelOutputWithPooling, ModelOutput
from pocketbert.keras.layers import Attention, Layer, Tensor, run_layers
from pocketbert.keras.masks_and_ids import CHECKS, attention_bias, per_layer_head_masks
from pocketbert.keras.model import TFPreTrainedModel

__all__ = ["Encoder"]


class Encoder(TFPreTrainedModel):
    """A bare encoder; a family makes its layers and its ``pooler``, which is None where it was left out."""

    embeddings: Any

    def encoder_layers(self) -> list[Layer]:
        """Return the layers in order, each ``(hidden, attention) -> (hidden, weights)``."""
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
        words = self.get_input_embeddings()
        CHECKS.tokens(config, input_ids, token_type_ids, position_ids, inputs_embeds, words.output_dim)
        vectors = words(input_ids) if inputs_embeds is None else ops.cast(inputs_embeds, self.compute_dtype)
        hidden = self.embeddings(vectors, token_type_ids=token_type_ids, position_ids=position_ids)
        masks = per_layer_head_masks(head_mask, config, hidden)
        attention = Attention(attention_bias(attention_mask, hidden), masks, want_attentions)
        last, hidden_states, attentions = run_layers(self.encoder_layers(), hidden, attention, keep_hidden=want_hidden)
        if not hasattr(self, "pooler"):
            output: ModelOutput = BaseModelOutput(last, hidden_states, attentions)
            return output if want_dict else output.to_tuple()
        pooled = None if self.pooler is None else self.pooler(last)
        if want_dict:
            return BaseModelOutputWithPooling(last, pooled, hidden_states, attentions)
        return (last, pooled, *(x for x in (hidden_states, attentions) if x is not None))
