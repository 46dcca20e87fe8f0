"""The forward signatures of the task classes: documented order and names, one per family and kind of labels.

Every argument is optional. ``input_ids`` (batch, tokens) or ``inputs_embeds`` (batch, tokens, width) is needed;
``attention_mask`` is (batch, tokens) with 1 = visible; ``head_mask`` is (heads,) or (layers, heads) with 1 = kept.
Arguments that older versions named otherwise arrive in ``renamed``; any other name raises ``TypeError``.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pocketbert.architecture.outputs import ModelOutput
from pocketbert.torch.heads import Task

__all__ = ["BertCall", "BertPreTrainingCall", "BertSpanCall", "DistilBertCall", "DistilBertSpanCall"]

Output = ModelOutput | tuple[Any, ...]


class BertCall(Task):
    """BERT and MobileBERT, heads with ``labels``."""

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **renamed: Any,
    ) -> Output:
        """Run encoder and head; the loss comes first in the output where ``labels`` are given."""
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, head_mask, inputs_embeds)
        outputs = (output_attentions, output_hidden_states, return_dict)
        return self.run(inputs, outputs, self.with_renamed((labels,), renamed))


class BertPreTrainingCall(Task):
    """BERT and MobileBERT, both pre-training heads."""

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        next_sentence_label: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **renamed: Any,
    ) -> Output:
        """Run encoder and heads; ``labels`` (batch, tokens), -100 ignored, ``next_sentence_label`` (batch,)."""
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, head_mask, inputs_embeds)
        outputs = (output_attentions, output_hidden_states, return_dict)
        return self.run(inputs, outputs, self.with_renamed((labels, next_sentence_label), renamed))


class BertSpanCall(Task):
    """BERT and MobileBERT, question answering."""

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **renamed: Any,
    ) -> Output:
        """Run encoder and head; positions (batch,) are token indices of the answer's first and last token."""
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, head_mask, inputs_embeds)
        outputs = (output_attentions, output_hidden_states, return_dict)
        return self.run(inputs, outputs, self.with_renamed((start_positions, end_positions), renamed))


class DistilBertCall(Task):
    """DistilBERT, heads with ``labels``; ``token_type_ids`` is accepted and ignored."""

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        **renamed: Any,
    ) -> Output:
        """Run encoder and head; the loss comes first in the output where ``labels`` are given."""
        inputs = (input_ids, attention_mask, None, position_ids, head_mask, inputs_embeds)
        outputs = (output_attentions, output_hidden_states, return_dict)
        return self.run(inputs, outputs, self.with_renamed((labels,), renamed))


class DistilBertSpanCall(Task):
    """DistilBERT, question answering; ``token_type_ids`` is accepted and ignored."""

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        **renamed: Any,
    ) -> Output:
        """Run encoder and head; positions (batch,) are token indices of the answer's first and last token."""
        inputs = (input_ids, attention_mask, None, position_ids, head_mask, inputs_embeds)
        outputs = (output_attentions, output_hidden_states, return_dict)
        return self.run(inputs, outputs, self.with_renamed((start_positions, end_positions), renamed))
