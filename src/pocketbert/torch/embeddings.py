"""What the embeddings of all families share: the word and position tables, and the positions of a row.

Shapes: B batch, T tokens, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pocketbert.torch.layers import untouched

__all__ = ["TokenEmbeddings", "TypedEmbeddings"]


class TokenEmbeddings(nn.Module):
    """Words and positions.

    Attributes:
        position_ids: 0 .. the last position, (1, positions); not saved.
    """

    position_ids: Tensor

    def __init__(self, words: int, word_width: int, positions: int, width: int, pad_token_id: int | None) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(words, word_width, padding_idx=pad_token_id)
        self.position_embeddings = nn.Embedding(positions, width)
        self.register_buffer("position_ids", torch.arange(positions).expand((1, -1)), persistent=False)

    def fill_buffers(self) -> None:
        """Give the buffers, which no file has, their values."""
        positions, device = self.position_embeddings.num_embeddings, self.position_ids.device
        self.position_ids = torch.arange(positions, device=device).expand((1, -1))

    def vectors(self, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
        """(B, T) -> (B, T, word width), unless the vectors are given."""
        return self.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds

    def places(self, tokens: int, position_ids: Tensor | None) -> Tensor:
        """Return the rows of the positions, which are 0 .. T-1 if not given: (1, T, W) or (B, T, W)."""
        given = self.position_ids[:, :tokens] if position_ids is None else position_ids
        return self.position_embeddings(given)  # type: ignore[no-any-return]


class TypedEmbeddings(TokenEmbeddings):
    """Words, positions and token types."""

    def __init__(
        self, words: int, word_width: int, positions: int, width: int, pad_token_id: int | None, types: int
    ) -> None:
        super().__init__(words, word_width, positions, width, pad_token_id)
        self.token_type_embeddings = nn.Embedding(types, width)

    def place(self, words: Tensor, token_type_ids: Tensor | None, position_ids: Tensor | None) -> Tensor:
        """Add position and type to word vectors (B, T, W); absent ids mean type 0 and positions 0 .. T-1."""
        types = self.token_type_embeddings
        if token_type_ids is None and untouched(types, nn.Embedding):
            kind = types.weight[0]
        else:
            zeros = torch.zeros(words.shape[:2], dtype=torch.long, device=words.device)
            kind = types(zeros if token_type_ids is None else token_type_ids)
        return words + self.places(words.shape[1], position_ids) + kind
