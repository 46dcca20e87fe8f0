"""Rows made of ids that the caller has, rather than of texts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from pocketbert.errors import InputError
from pocketbert.tokenizer.call.batch_encoding import BatchEncoding
from pocketbert.tokenizer.call.methods import CallMethods
from pocketbert.tokenizer.call.texts import side_of
from pocketbert.tokenizer.call.truncation import STRATEGIES, truncation_of

__all__ = ["IdMethods"]

logger = logging.getLogger(__name__)


class IdMethods(CallMethods):
    """The methods that take ids, or tokens, in place of texts."""

    def prepare_for_model(
        self,
        ids: Sequence[int],
        pair_ids: Sequence[int] | None = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        prepend_batch_axis: bool = False,
        **_: Any,
    ) -> BatchEncoding:
        """Make a row of ids, or of two lists of them; options are those of a call.

        With ``return_overflowing_tokens`` the ids that were cut off are returned as ``overflowing_tokens``, with
        ``stride`` of those before them, and their number as ``num_truncated_tokens``.

        Raises:
            InputError: ids have no characters (``return_offsets_mapping``), or an option is wrong.
        """
        if return_offsets_mapping:
            raise InputError("return_offsets_mapping=True needs texts; ids have no characters")
        cut = truncation_of(
            truncation,
            max_length=max_length,
            stride=stride,
            side=side_of("truncation_side", self.truncation_side),
            model_max_length=self.model_max_length,
            padding=padding,
        )
        first, second = list(ids), None if pair_ids is None else list(pair_ids)
        special = self.num_special_tokens_to_add(second is not None) if add_special_tokens else 0
        total = len(first) + len(second or ()) + special
        limit = cut.length if cut else max_length
        overflowing: list[int] = []
        if cut:
            first, second, overflowing = self.truncate_sequences(
                first, second, total - cut.length, cut.strategy, stride
            )
        columns: dict[str, Any] = {}
        if return_overflowing_tokens:
            columns = {"overflowing_tokens": overflowing, "num_truncated_tokens": total - (limit or total)}
        row = self._row_of_ids(first, second, bare=not add_special_tokens)
        columns["input_ids"] = row.ids
        if self._takes("token_type_ids", return_token_type_ids):
            columns["token_type_ids"] = row.type_ids if add_special_tokens else [0] * len(row)
        if return_special_tokens_mask:
            columns["special_tokens_mask"] = row.special_tokens_mask
        self._warn_length(len(row), max_length, verbose)
        columns = dict(
            self.pad(
                columns,
                padding=padding,
                max_length=max_length,
                pad_to_multiple_of=pad_to_multiple_of,
                padding_side=padding_side,
                return_attention_mask=return_attention_mask,
            )
        )
        if return_length:
            columns["length"] = len(columns["input_ids"])
        return BatchEncoding(columns, tensor_type=return_tensors, prepend_batch_axis=prepend_batch_axis)

    def truncate_sequences(
        self,
        ids: list[int],
        pair_ids: list[int] | None = None,
        num_tokens_to_remove: int = 0,
        truncation_strategy: bool | str = "longest_first",
        stride: int = 0,
    ) -> tuple[list[int], list[int] | None, list[int]]:
        """Cut ``num_tokens_to_remove`` ids off; return both lists, and the ids cut off with ``stride`` before them.

        Of a pair that is cut by "longest_first", the ids cut off are not returned. Where a list is too short for
        the cut, both stay whole.
        """
        strategy = STRATEGIES.get(getattr(truncation_strategy, "value", truncation_strategy))
        if num_tokens_to_remove <= 0 or strategy is None:
            return ids, pair_ids, []
        if strategy == "longest_first" and pair_ids is not None:
            first, second = _shares(len(ids), len(pair_ids), num_tokens_to_remove)
            return self._kept(ids, first), self._kept(pair_ids, second), []
        cut = pair_ids if strategy == "only_second" else ids
        if cut is None or len(cut) <= num_tokens_to_remove:
            logger.error(
                "truncation=%r cannot remove %d ids of %d; pass another strategy or a larger max_length",
                strategy,
                num_tokens_to_remove,
                len(cut or ()),
            )
            return ids, pair_ids, []
        window = min(len(cut), stride + num_tokens_to_remove)
        overflowing = cut[:window] if self.truncation_side == "left" else cut[-window:]
        kept = self._kept(cut, num_tokens_to_remove)
        return (ids, kept, overflowing) if strategy == "only_second" else (kept, pair_ids, overflowing)

    def encode_plus(
        self, text: Any, text_pair: Any = None, add_special_tokens: bool = True, **options: Any
    ) -> BatchEncoding:
        """Encode one text or one pair; options are those of a call. A list of ids is taken as it is."""
        if options.get("is_split_into_words") or not _is_list(text, text_pair):
            return super().encode_plus(text, text_pair, add_special_tokens, **options)
        if self._is_pair(text) and text_pair is None:
            return super().encode_plus(text[0], text[1], add_special_tokens, **options)
        options.setdefault("prepend_batch_axis", options.get("return_tensors") is not None)
        second = None if text_pair is None else self._as_ids(text_pair)
        return self.prepare_for_model(self._as_ids(text), second, add_special_tokens, **options)

    def _is_pair(self, text: Any) -> bool:
        """Return whether a list is a text and its pair, rather than tokens."""
        return False

    def _as_ids(self, text: Any) -> list[int]:
        """Return the ids of a text, or of tokens; ids stay as they are."""
        if isinstance(text, str):
            return list(super().encode_plus(text, add_special_tokens=False, verbose=False)["input_ids"])
        if text and all(isinstance(item, str) for item in text):
            return list(self.convert_tokens_to_ids(text))
        if text and all(isinstance(item, int) and not isinstance(item, bool) for item in text):
            return list(text)
        raise InputError(
            f"encode_plus takes one text, its tokens or its ids, not {str(text)[:60]}; call the tokenizer with a batch"
        )

    def _kept(self, ids: list[int], removed: int) -> list[int]:
        return ids[removed:] if self.truncation_side == "left" else ids[: len(ids) - removed]

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """Return the id of a token, or of each token of a list."""
        raise NotImplementedError


def _is_list(*texts: Any) -> bool:
    return any(isinstance(text, (list, tuple)) for text in texts)


def _shares(first: int, second: int, removed: int) -> tuple[int, int]:
    """Return how many of ``removed`` ids each list of a pair loses: the longer one until both are alike, then both."""
    extra = min(abs(first - second), removed)
    half = (removed - extra) // 2
    return (extra + half, removed - extra - half) if first > second else (half, removed - half)
