"""A tokenized text and the rows that the model sees of it: the whole, a cut, or overlapping windows.

A text is tokenized once, whole. What is too long is then cut by index, so that every row remembers which tokens of the
whole it holds, and what the model says of each token can be put back in one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketbert.errors import InputError
from pocketbert.runtime.batching import Row
from pocketbert.tokenizer.call.encoding import Encoding
from pocketbert.tokenizer.call.texts import Side
from pocketbert.tokenizer.call.truncation import row_spans

__all__ = ["Cut", "Document", "Window", "split"]


@dataclass(frozen=True)
class Cut:
    """How to handle a text that is too long.

    Attributes:
        overflow: ``"error"``, ``"truncate"`` or ``"window"``.
        limit: tokens of a row, special tokens included.
        limit_name: what sets the limit; for error messages.
        stride: tokens shared by consecutive windows; None for a quarter of the limit.
        exact: keep the stride as given; otherwise it is capped at half a window.
        truncation: which text of a pair loses tokens, as the tokenizer's argument.
        window_over: the text of a pair, 0 or 1, that is cut into windows; None for the longer one.
        side: the side that truncation cuts off.
        windowed: whether the task supports windows; for error messages.
        most: tokens that a row may have where the other text of a pair leaves windows no longer than the stride.
    """

    overflow: str
    limit: int
    limit_name: str = "a row"
    stride: int | None = None
    exact: bool = True
    truncation: str = "longest_first"
    window_over: int | None = None
    side: Side = "right"
    windowed: bool = True
    most: int | None = None


@dataclass(frozen=True)
class Window:
    """One row of a document.

    Attributes:
        row: the model input.
        tokens: the index, in the whole document, of each token of the row; None if the row is the document.
        fresh: how many tokens of the text no earlier window holds; the window's weight in an average.
    """

    row: Row
    tokens: NDArray[np.int64] | None
    fresh: int


@dataclass(frozen=True)
class Document:
    """A text or pair as tokens, and its windows in order."""

    encoding: Encoding
    windows: list[Window]

    def __len__(self) -> int:
        """Tokens of the whole, special tokens included."""
        return len(self.encoding.ids)

    def depths(self, window: Window) -> NDArray[np.int64]:
        """Return each token's distance to the nearer end of its window, (row tokens,)."""
        place = np.arange(len(window.row))
        return np.minimum(place, place[::-1])

    def merge(self, outputs: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        """Merge one (row tokens, width) array per window into (tokens, width).

        A token in several windows is taken from the one where it is farthest from both ends; truncated tokens are NaN.
        """
        if self.windows[0].tokens is None:
            return np.asarray(outputs[0], np.float32)
        merged = np.full((len(self), outputs[0].shape[1]), np.nan, np.float32)
        best = np.full(len(self), -1)
        for window, output in zip(self.windows, outputs, strict=True):
            assert window.tokens is not None
            depth = self.depths(window)
            better = depth > best[window.tokens]
            merged[window.tokens[better]] = output[better]
            best[window.tokens[better]] = depth[better]
        return merged

    def average(self, outputs: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
        """Average one array per window, weighted by the number of tokens that no earlier window has."""
        if len(outputs) == 1:
            return np.asarray(outputs[0], np.float64)
        weights = [max(window.fresh, 1) for window in self.windows]
        return np.average(np.asarray(outputs, np.float64), axis=0, weights=weights)


def split(encoding: Encoding, cut: Cut, *, types: bool) -> Document:
    """Cut an encoding into rows of at most ``cut.limit`` tokens.

    Args:
        encoding: the whole text or pair, with its special tokens.
        cut: the limit and what to do beyond it.
        types: whether the model takes token types.

    Raises:
        InputError: the text is too long and ``cut`` says so, or its special tokens or the other text leave no room.
    """
    total, pair = len(encoding.ids), encoding.n_sequences > 1
    if total > cut.limit and pair and cut.most is not None:
        cut = _roomier(encoding, cut, cut.most)
    if total <= cut.limit:
        row = Row(encoding.ids, encoding.type_ids if types and pair else None)
        return Document(encoding, [Window(row, None, total)])
    if cut.overflow == "error":
        ways = '"window" to split the text or "truncate" to cut it' if cut.windowed else '"truncate" to cut it'
        raise InputError(f"{total} tokens exceed {cut.limit_name}; pass overflow={ways}")
    places = _places(encoding)
    lengths = tuple(stop - start for start, stop in places)
    room = cut.limit - (total - sum(lengths))
    windows = []
    ids, kinds = np.asarray(encoding.ids), np.asarray(encoding.type_ids) if types and pair else None
    reached = [0] * len(places)
    for spans in _spans(lengths, room, cut):
        keep = np.ones(total, bool)
        fresh = 0
        for text, ((start, stop), (first, last)) in enumerate(zip(places, spans, strict=True)):
            keep[start : start + first] = keep[start + last : stop] = False
            fresh += max(last - max(reached[text], first), 0)
            reached[text] = max(reached[text], last)
        kept = np.flatnonzero(keep)
        row = Row(ids[kept].tolist(), None if kinds is None else kinds[kept].tolist())
        windows.append(Window(row, kept, fresh))
    return Document(encoding, windows)


def _roomier(encoding: Encoding, cut: Cut, most: int) -> Cut:
    """Return a cut with rows of ``most`` tokens if the other text leaves windows no longer than the stride."""
    start, stop = _places(encoding)[cut.window_over or 0]
    others = len(encoding.ids) - (stop - start)
    stride = cut.limit // 4 if cut.stride is None else cut.stride
    if cut.limit - others > stride:
        return cut
    stride = stride if cut.exact else max(min(stride, (most - others) // 2), 0)
    return replace(cut, limit=most, limit_name=f"the model's {most} positions", stride=stride, most=None)


def _places(encoding: Encoding) -> list[tuple[int, int]]:
    """Return the token range of each text."""
    texts = encoding.sequence_ids
    places = []
    after = 0
    for text in range(encoding.n_sequences):
        count = texts.count(text)
        after = texts.index(text) if count else after + 1  # an empty text stands between its special tokens
        places.append((after, after + count))
        after += count
    return places


def _spans(lengths: tuple[int, ...], room: int, cut: Cut) -> list[tuple[tuple[int, int], ...]]:
    if cut.overflow == "truncate":
        strategy = cut.truncation if len(lengths) > 1 else "only_first"
        text = {"only_first": 0, "only_second": 1}.get(strategy)
        if text is not None:
            _check_room(lengths, room, text, cut)
        return row_spans(lengths, room, strategy=strategy, stride=0, side=cut.side, overflow=False)
    text = cut.window_over if cut.window_over is not None else lengths.index(max(lengths))
    size = _check_room(lengths, room, text, cut)
    stride = cut.limit // 4 if cut.stride is None else cut.stride
    if stride >= size and (cut.stride is None or not cut.exact):
        stride = size // 2
    if stride >= size:
        raise InputError(f"stride={stride} leaves windows of {size} tokens no step; pass a stride below {size}")
    strategy = ("only_first", "only_second")[text]
    return row_spans(lengths, room, strategy=strategy, stride=stride, side="right", overflow=True)


def _check_room(lengths: tuple[int, ...], room: int, text: int, cut: Cut) -> int:
    """Return how many tokens of ``text`` a row holds beside the other text."""
    others = sum(lengths) - lengths[text]
    if others >= room:
        other = f"the other text has {others} tokens and with " if len(lengths) > 1 else ""
        what = f"{other}the special tokens it leaves no room in {cut.limit_name}"
        raise InputError(f"{what}; shorten it or raise the limit")
    return room - others
