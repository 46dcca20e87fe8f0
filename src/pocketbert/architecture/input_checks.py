"""Checks of input shapes and ranges, shared by all frameworks.

A length of None is unknown (a graph is being traced) and matches any length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.errors import InputError

__all__ = [
    "check_classes",
    "check_head_mask_shape",
    "check_integers",
    "check_mask_shape",
    "check_range",
    "check_shape",
    "fits",
    "tokens_of",
]

Shape = Sequence[Any]


def fits(shape: Shape, wanted: Shape) -> bool:
    """Whether two shapes match in every dimension known in both."""
    if len(shape) != len(wanted):
        return False
    return all(a is None or b is None or a == b for a, b in zip(shape, wanted, strict=True))


def tokens_of(
    config: PretrainedConfig,
    ids_shape: Shape | None,
    embeds_shape: Shape | None,
    embedding_size: int,
    batch_axis: str = "ids[None]",
) -> tuple[Any, Any]:
    """Return (batch, tokens) of whichever of ids and vectors was given.

    Args:
        config: the model's configuration.
        ids_shape: shape of ``input_ids``, or None.
        embeds_shape: shape of ``inputs_embeds``, or None.
        embedding_size: width of a word's vector.
        batch_axis: how one writes a batch of one text in this framework.

    Raises:
        InputError: both or neither was given, a shape is wrong, or there are more tokens than positions.
    """
    if (ids_shape is None) == (embeds_shape is None):
        given = "neither" if ids_shape is None else "both"
        raise InputError(f"give either input_ids or inputs_embeds; {given} was given")
    if ids_shape is not None:
        if len(ids_shape) != 2:
            shape = tuple(ids_shape)
            raise InputError(f"input_ids of shape {shape} must be (batch, tokens); one text needs {batch_axis}")
        batch, tokens = ids_shape
    else:
        assert embeds_shape is not None
        if not fits(embeds_shape, (None, None, embedding_size)):
            raise InputError(f"inputs_embeds of shape {tuple(embeds_shape)} must be (batch, tokens, {embedding_size})")
        batch, tokens = embeds_shape[:2]
    if tokens is not None:
        if tokens == 0:
            raise InputError("the input has no tokens; even an empty text has [CLS] and [SEP]")
        if tokens > config.max_position_embeddings:
            raise InputError(
                f"{tokens} tokens exceed the model's {config.max_position_embeddings} positions; "
                "truncate the text or split it into windows when tokenizing"
            )
    return batch, tokens


def check_shape(name: str, shape: Shape, wanted: Shape, *, one_row: bool = False) -> None:
    """Check that ``name`` has the input's (batch, tokens), or its last part with ``one_row``.

    Raises:
        InputError: it has not.
    """
    allowed = [wanted, (1, wanted[1]), wanted[1:]] if one_row else [wanted]
    if not any(fits(shape, one) for one in allowed):
        raise InputError(f"{name} of shape {tuple(shape)} must match the input's (batch, tokens) = {tuple(wanted)}")


def check_integers(name: str, dtype: str, allowed: Sequence[str] = ("int64", "int32")) -> None:
    """Check that ids or labels are whole numbers.

    Raises:
        InputError: they are not.
    """
    if dtype not in allowed:
        wanted = " or ".join(allowed) if len(allowed) == 2 else "integers"
        raise InputError(f"{name} must be {wanted}, got {dtype}")


def check_range(name: str, low: int, high: int, limit: int, limit_name: str) -> None:
    """Check that ids from ``low`` to ``high`` lie in [0, limit).

    Raises:
        InputError: they do not.
    """
    if low < 0 or high >= limit:
        worst = low if low < 0 else high
        raise InputError(f"{name} holds {worst}, outside 0 .. {limit - 1} ({limit_name} is {limit})")


def check_classes(name: str, wrong: Any, classes: int, ignore: int | None) -> None:
    """Refuse labels outside [0, classes), of which ``wrong`` is a flat array, unless they are all ``ignore``.

    Raises:
        InputError: one is not.
    """
    wrong = wrong if ignore is None else wrong[wrong != ignore]
    if len(wrong):
        also = f" (or {ignore}, which is ignored)" if ignore is not None else ""
        raise InputError(f"{name} holds {int(wrong[0])}, outside 0 .. {classes - 1}{also}")


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


def check_head_mask_shape(shape: Shape, layers: int, heads: int) -> None:
    """Check that a head mask is (heads,) or (layers, heads).

    Raises:
        InputError: it is not.
    """
    if not (fits(shape, (heads,)) or fits(shape, (layers, heads))):
        raise InputError(
            f"head_mask of shape {tuple(shape)} must be (heads,) = ({heads},) or (layers, heads) = ({layers}, {heads})"
        )
