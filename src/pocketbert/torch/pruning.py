"""Removing attention heads for good."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from pocketbert.architecture.config.field_checks import from_the_first
from pocketbert.errors import ConfigError
from pocketbert.torch.layers import prune_linear
from pocketbert.torch.vocabulary import VocabularyAccess

__all__ = ["HeadPruning"]


class HeadPruning(VocabularyAccess):
    """Removal of attention heads."""

    def prune_heads(self, heads_to_prune: Mapping[int, Iterable[int]]) -> None:
        """Remove attention heads for good; the configuration and saved files remember which.

        Args:
            heads_to_prune: ``{layer: heads}``, counted as in the unpruned model; repeating a head is harmless, and a
                negative layer counts from the last.

        Raises:
            ConfigError: a layer or head does not exist, or a layer would be left without heads.
        """
        config = self.base_model.config
        before = {layer: set(heads) for layer, heads in config.pruned_heads.items()}
        wanted = {layer: set(heads) for layer, heads in before.items()}
        for layer, heads in from_the_first(heads_to_prune, config.num_hidden_layers).items():
            wanted[layer] = wanted.get(layer, set()) | set(heads)
        merged = {layer: sorted(heads) for layer, heads in wanted.items() if heads}
        previous, config.pruned_heads = config.pruned_heads, merged
        try:
            config.validate()
        except ConfigError:
            config.pruned_heads = previous
            raise
        self.config.pruned_heads = merged
        total = config.num_attention_heads
        for layer, heads in merged.items():
            standing = [head for head in range(total) if head not in before.get(layer, ())]
            keep = [index for index, head in enumerate(standing) if head not in heads]
            if len(keep) < len(standing):
                self.base_model._prune_layer(layer, keep, len(standing))

    def _prune_layer(self, layer: int, keep: list[int], standing: int) -> None:
        """Keep the heads at these places of the ``standing`` ones of a layer; called on the encoder."""
        *inputs, output = self.attention_linears(layer)
        index = torch.tensor(keep, device=output.weight.device)
        size = output.in_features // standing
        columns = (index[:, None] * size + torch.arange(size, device=index.device)).flatten()
        for linear in inputs:
            prune_linear(linear, columns, dim=0)
        prune_linear(output, columns, dim=1)

    def attention_linears(self, layer: int) -> tuple[nn.Linear, nn.Linear, nn.Linear, nn.Linear]:
        """Return query, key, value and output of a layer's attention; defined by encoders."""
        raise NotImplementedError
