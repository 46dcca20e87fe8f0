"""Tables and what shares their length: the word table, the layer that predicts words, the positions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pocketbert.architecture.input_checks import check_keeps_padding, new_size
from pocketbert.errors import InputError
from pocketbert.torch.embeddings import TokenEmbeddings
from pocketbert.torch.facts import ModelFacts
from pocketbert.torch.layers import ExtraColumns

__all__ = ["VocabularyAccess"]

_CHUNK = 256  # new rows that are drawn at once


class VocabularyAccess(ModelFacts):
    """Access to the tables, and changes of their length."""

    @property
    def base_model(self) -> Any:
        """The bare encoder."""
        raise NotImplementedError

    # -- words -------------------------------------------------------------------------------------------------

    def get_input_embeddings(self) -> nn.Module:
        """Return the word table."""
        base = self.base_model
        if base is self:
            raise NotImplementedError(f"{type(self).__name__} has no encoder: define get_input_embeddings in it")
        return base.get_input_embeddings()  # type: ignore[no-any-return]

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the word table; a tied head follows."""
        base = self.base_model
        if base is self:
            raise NotImplementedError(f"{type(self).__name__} has no encoder: define set_input_embeddings in it")
        base.set_input_embeddings(value)
        self.tie_weights()

    def get_output_embeddings(self) -> nn.Module | None:
        """Return the layer that maps onto the vocabulary, or None where no words are predicted."""
        return None

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the layer that maps onto the vocabulary.

        Raises:
            InputError: this class has none.
        """
        raise InputError(f"{type(self).__name__} has no output embeddings")

    def tie_weights(self) -> None:
        """Let the layer that predicts words share the word table, unless the configuration says otherwise.

        Parts that share something of their own have a method ``_tie_weights``. With ``torchscript`` in the
        configuration nothing is shared: the weights are copied.
        """
        output = self.get_output_embeddings()
        if output is not None and getattr(self.config, "tie_word_embeddings", True):
            self._tie(output, self.get_input_embeddings())
        for module in self.modules():
            if hasattr(module, "_tie_weights"):
                module._tie_weights()  # type: ignore[operator]

    def _tie(self, output: Any, table: Any) -> None:
        if getattr(self.config, "torchscript", False):
            output.weight = nn.Parameter(table.weight.detach().clone(), requires_grad=table.weight.requires_grad)
        else:
            output.weight = table.weight
        bias = getattr(output, "bias", None)
        rows = output.weight.shape[0]
        if bias is not None and bias.shape[0] < rows:
            bias.data = nn.functional.pad(bias.data, (0, rows - bias.shape[0]))
        if hasattr(output, "out_features"):
            output.out_features = rows

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, mean_resizing: bool = True
    ) -> nn.Module:
        """Grow or shrink the vocabulary: the word table and everything in a head that has its length.

        Old rows are kept. If the call fails, the model is as it was.

        Args:
            new_num_tokens: the new size; None only rounds up.
            pad_to_multiple_of: round the size up to a multiple of this.
            mean_resizing: new rows start close to the mean of the old ones, as
                https://nlp.stanford.edu/~johnhew/vocab-expansion.html advises; otherwise as fresh weights do.

        Returns:
            the word table.

        Raises:
            InputError: the size is not a positive integer, or drops the padding token.
        """
        table: Any = self.get_input_embeddings()
        old: int = table.weight.shape[0]
        size = new_size("new_num_tokens", old if new_num_tokens is None else new_num_tokens, pad_to_multiple_of)
        check_keeps_padding(size, getattr(self.config, "pad_token_id", None))
        output: Any = self.get_output_embeddings()
        tied = output is not None and output.weight is table.weight
        if size != old:
            changes = [(table, "weight", _resized(table.weight, size, 0, self._new_rows(mean_resizing)))]
            if output is not None:
                bias = getattr(output, "bias", None)
                if not tied:
                    changes.append((output, "weight", _resized(output.weight, size, 0, self._new_rows(mean_resizing))))
                if bias is not None:
                    start = None if tied or not mean_resizing else _near_mean
                    changes.append((output, "bias", _resized(bias, size, 0, start)))
            for module in self.modules():
                if isinstance(module, ExtraColumns):
                    changes.append((module, "weight", _resized(module.weight, size, 1, self._new_rows(mean_resizing))))
            self._replace(changes)
        self._note_vocabulary(size)
        self.tie_weights()
        return table  # type: ignore[no-any-return]

    def _new_rows(self, mean: bool) -> Any:
        """Return what makes new rows of old ones, given their number."""
        if mean:
            return _near_mean
        deviation = getattr(self.config, "initializer_range", 0.02)
        return lambda old, count: torch.empty(count, *old.shape[1:]).normal_(0.0, deviation)

    def _replace(self, changes: list[tuple[Any, str, nn.Parameter]]) -> None:
        """Put new parameters in the place of old ones, under every name that an old one has."""
        owners = [(module, name, id(p)) for module in self.modules() for name, p in module._parameters.items()]
        for module, name, new in changes:
            old = id(getattr(module, name))
            for owner, place, held in owners:
                if held == old:
                    setattr(owner, place, new)
                    _describe(owner)

    def _note_vocabulary(self, size: int) -> None:
        for module in self.modules():
            if isinstance(module, VocabularyAccess):
                module.config.vocab_size = size
        self.vocab_size = size

    # -- positions ---------------------------------------------------------------------------------------------

    def get_position_embeddings(self) -> nn.Module:
        """Return the position table."""
        return self.base_model.embeddings.position_embeddings  # type: ignore[no-any-return]

    def resize_position_embeddings(self, new_num_position_embeddings: int) -> None:
        """Grow or shrink the number of positions; old rows are kept, new ones are fresh, or sinusoids if all are.

        Raises:
            InputError: the number is not a positive integer.
        """
        size = new_size("new_num_position_embeddings", new_num_position_embeddings)
        embeddings = self.base_model.embeddings
        table = embeddings.position_embeddings
        if size != table.weight.shape[0]:
            self._replace([(table, "weight", _resized(table.weight, size, 0, self._new_rows(mean=False)))])
            if isinstance(embeddings, TokenEmbeddings):
                embeddings.fill_buffers()
                if getattr(embeddings, "sinusoidal", False):
                    self.base_model._init_weights(embeddings)
        for module in self.modules():
            if isinstance(module, VocabularyAccess):
                module.config.max_position_embeddings = size


def _resized(old: Tensor, size: int, axis: int, start: Any) -> nn.Parameter:
    """Return a parameter of this length along an axis; ``start`` makes the new rows, which are zero without it."""
    rows = old.detach().transpose(0, axis)
    count = size - rows.shape[0]
    if count > 0:
        new = rows.new_zeros(count, *rows.shape[1:]) if start is None else start(rows, count).to(rows)
        rows = torch.cat([rows, new])
    return nn.Parameter(rows[:size].transpose(0, axis).contiguous().clone(), requires_grad=old.requires_grad)


def _near_mean(old: Tensor, count: int) -> Tensor:
    """Draw rows from the normal distribution with the mean of old ones and 1e-9 of their covariance."""
    rows = old.float()
    mean = rows.mean(0)
    spread = (rows - mean) * (1e-9 / rows.shape[0]) ** 0.5
    parts = [min(_CHUNK, count - start) for start in range(0, count, _CHUNK)]
    noise = [torch.randn(part, rows.shape[0], device=rows.device) for part in parts]
    return torch.cat([mean + (z @ spread.flatten(1) if rows.dim() > 1 else z @ spread) for z in noise])


def _describe(module: nn.Module) -> None:
    """Let a module's sizes say what its weight's shape is."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.Embedding):
        module.num_embeddings, module.embedding_dim = module.weight.shape
