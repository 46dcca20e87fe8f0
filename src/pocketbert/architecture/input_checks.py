"""Checks of a model's inputs: every mistake is named before it becomes an index error deep inside.

A length of None is unknown (a graph is being traced) and matches any length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.errors import InputError

__all__ = ["InputChecks", "check_head_mask", "check_keeps_padding", "check_mask_shape", "fits", "new_size"]

Shape = Sequence[Any]
_IDS = ("int64", "int32")
_LABELS = (*_IDS, "uint8", "int16", "int8")


def fits(shape: Shape, wanted: Shape) -> bool:
    """Whether two shapes match in every dimension known in both."""
    if len(shape) != len(wanted):
        return False
    return all(a is None or b is None or a == b for a, b in zip(shape, wanted, strict=True))


@dataclass(frozen=True)
class InputChecks:
    """The checks of one framework's tensors.

    Attributes:
        dtype_of: returns the name of a tensor's dtype, such as ``"int32"``.
        values_of: returns a tensor's values, or None where they are not to be looked at, as in a graph.
        batch_axis: how one writes a batch of one text.
    """

    dtype_of: Callable[[Any], str]
    values_of: Callable[[Any], NDArray[Any] | None]
    batch_axis: str

    def tokens(
        self,
        config: PretrainedConfig,
        input_ids: Any,
        token_type_ids: Any,
        position_ids: Any,
        inputs_embeds: Any,
        embedding_size: int,
    ) -> None:
        """Check what tells an encoder its tokens; ``embedding_size`` is the width of a word's vector.

        Raises:
            InputError: both or neither of ids and vectors was given, a shape or dtype is wrong, an id is out of range,
                or there are more tokens than positions.
        """
        if (input_ids is None) == (inputs_embeds is None):
            given = "neither" if input_ids is None else "both"
            raise InputError(f"give either input_ids or inputs_embeds; {given} was given")
        if input_ids is None:
            shape = tuple(inputs_embeds.shape)
            if not fits(shape, (None, None, embedding_size)):
                raise InputError(f"inputs_embeds of shape {shape} must be (batch, tokens, {embedding_size})")
        else:
            shape = tuple(input_ids.shape)
            if len(shape) != 2:
                raise InputError(
                    f"input_ids of shape {shape} must be (batch, tokens); one text needs {self.batch_axis}"
                )
        size, tokens, limit = shape[:2], shape[1], config.max_position_embeddings
        if tokens == 0:
            raise InputError("the input has no tokens; even an empty text has [CLS] and [SEP]")
        if tokens is not None and tokens > limit:
            raise InputError(
                f"{tokens} tokens exceed the model's {limit} positions; "
                "truncate the text or split it into windows when tokenizing"
            )
        if input_ids is not None:
            self._ids(config, "input_ids", input_ids, "vocab_size")
        limits = {"token_type_ids": "type_vocab_size", "position_ids": "max_position_embeddings"}
        for (name, limit_name), ids in zip(limits.items(), (token_type_ids, position_ids), strict=True):
            if ids is not None:
                if not any(fits(tuple(ids.shape), one) for one in (size, (1, tokens), (tokens,))):
                    raise InputError(
                        f"{name} of shape {tuple(ids.shape)} must match the input's (batch, tokens) = {size}"
                    )
                self._ids(config, name, ids, limit_name)

    def _ids(self, config: PretrainedConfig, name: str, ids: Any, limit_name: str) -> None:
        self._integers(name, ids, _IDS)
        values, limit = self.values_of(ids), getattr(config, limit_name)
        if values is not None and values.size:
            low, high = int(values.min()), int(values.max())
            if low < 0 or high >= limit:
                worst = low if low < 0 else high
                raise InputError(f"{name} holds {worst}, outside 0 .. {limit - 1} ({limit_name} is {limit})")

    def labels(self, name: str, labels: Any, classes: int, ignore: int) -> None:
        """Check that class labels are integers in [0, classes), ``ignore`` aside.

        Raises:
            InputError: they are not.
        """
        self._integers(name, labels, _LABELS)
        values = self.values_of(labels)
        if values is None:
            return
        wrong = values[((values < 0) | (values >= classes)) & (values != ignore)]
        if wrong.size:
            also = f"(or {ignore}, which is ignored)"
            raise InputError(f"{name} holds {wrong[0]}, outside 0 .. {classes - 1} {also}")

    def _integers(self, name: str, given: Any, allowed: Sequence[str]) -> None:
        dtype = self.dtype_of(given)
        if dtype not in allowed:
            wanted = " or ".join(allowed) if allowed is _IDS else "integers"
            raise InputError(f"{name} must be {wanted}, got {dtype}")


def check_mask_shape(shape: Shape, batch: Any, tokens: Any) -> None:
    """Check that an attention mask is (batch, tokens) or (batch, tokens, tokens).

    Raises:
        InputError: it is not.
    """
    if not (fits(shape, (batch, tokens)) or fits(shape, (batch, tokens, tokens))):
        raise InputError(
            f"attention_mask of shape {tuple(shape)} must be (batch, tokens) = ({batch}, {tokens}) "
            f"or ({batch}, {tokens}, {tokens})"
        )


def check_head_mask(shape: Shape, config: PretrainedConfig) -> list[list[int]]:
    """Return the heads of each layer that are not pruned, for a head mask that is (heads,) or (layers, heads).

    Raises:
        InputError: it is not.
    """
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    if not (fits(shape, (heads,)) or fits(shape, (layers, heads))):
        raise InputError(
            f"head_mask of shape {tuple(shape)} must be (heads,) = ({heads},) or (layers, heads) = ({layers}, {heads})"
        )
    return [[h for h in range(heads) if h not in config.pruned_heads.get(layer, ())] for layer in range(layers)]


def new_size(name: str, size: Any, multiple: int | None = None) -> int:
    """Return the length that a table is to get, rounded up to a multiple.

    Raises:
        InputError: it is no positive integer.
    """
    for what, value in ((name, size), ("pad_to_multiple_of", 1 if multiple is None else multiple)):
        if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
            raise InputError(f"{what} {value!r} must be a positive integer")
    count = int(size)
    return count if multiple is None else -(-count // multiple) * multiple


def check_keeps_padding(size: int, pad_token_id: int | None) -> None:
    """Check that a vocabulary of this size still has the padding token.

    Raises:
        InputError: it does not.
    """
    if pad_token_id is not None and size <= pad_token_id:
        raise InputError(f"new_num_tokens {size} would drop pad_token_id {pad_token_id}")
