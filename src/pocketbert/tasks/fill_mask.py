"""Fill-mask: the words that a masked language model expects in place of each ``[MASK]``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from pocketbert.errors import InputError, PipelineException
from pocketbert.notices import warn
from pocketbert.runtime.batching import Floats
from pocketbert.tasks.answers import Fill
from pocketbert.tasks.numeric import best_first, softmax
from pocketbert.tasks.option_checks import check_whole, kind
from pocketbert.tasks.task import Options, Outputs, Pipeline, option
from pocketbert.tasks.windows import Document, Window

__all__ = ["FillMaskPipeline", "FillMaskOptions"]


def _check_targets(name: str, targets: Any) -> None:
    if targets is None or isinstance(targets, str):
        return
    if not isinstance(targets, (list, tuple)) or not all(isinstance(word, str) for word in targets):
        raise InputError(f"{name} must be a word or a list of words, not {kind(targets)}")
    if not targets:
        raise InputError(f"{name} is empty; pass at least one word, or None for the whole vocabulary")


@dataclass(frozen=True)
class FillMaskOptions(Options):
    """Options of fill-mask.

    Attributes:
        top_k: how many words to return for a mask.
        targets: a word or a list of words to choose among, instead of the whole vocabulary.
    """

    top_k: int = option(5, check_whole, 1)
    targets: str | Sequence[str] | None = option(None, _check_targets)


class FillMaskPipeline(Pipeline[str, "list[Fill] | list[list[Fill]]", FillMaskOptions]):
    """Returns ``[{"score", "token", "token_str", "sequence"}, ...]``, best first, ``top_k`` of them.

    A list of one text gives that text's answer, as in transformers. A text with several masks gets a list of such
    lists, one per mask, in order; each mask is scored by itself, with the other masks left in place. With ``targets``,
    scores are still over the whole vocabulary, so they need not add up to 1. With ``overflow="window"`` each mask is
    read in the window with the most context around it.
    """

    name = "fill-mask"
    head: ClassVar[str] = "masked_lm"
    options_class = FillMaskOptions
    shows_rest = True
    columns = ("token_str", "score", "sequence")

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Fill the masks of a text, a list of them or an iterator of them; see ``Pipeline.__call__``."""
        answers = super().__call__(inputs, **options)
        return answers[0] if isinstance(inputs, list) and len(inputs) == 1 else answers

    def prepare(self, example: str, document: Document, options: FillMaskOptions) -> Document:
        """Read each mask in the window where it has the most context, and drop windows left without a mask."""
        best: dict[int, tuple[int, int, int]] = {}  # mask -> (depth, window, token of the window)
        for number, window in enumerate(document.windows):
            depths = document.depths(window)
            for place in np.flatnonzero(np.asarray(window.row.input_ids) == self.tokenizer.mask_token_id).tolist():
                token = place if window.tokens is None else int(window.tokens[place])
                if depths[place] > best.get(token, (-1, 0, 0))[0]:
                    best[token] = (int(depths[place]), number, place)
        if not best:
            shown, mask = len(document.windows[0].row), self.tokenizer.mask_token
            where = f"the first {shown} tokens of " if shown < len(document) else ""
            reason = f"no {mask} in {where}{example[:60]!r}; put {mask} where a word is missing"
            raise PipelineException(self.name, self.config.model_type, reason)
        windows = []
        for number, window in enumerate(document.windows):
            masks = [(token, place) for token, (_, chosen, place) in sorted(best.items()) if chosen == number]
            if masks:
                row = replace(window.row, positions=[place for _, place in masks])
                windows.append(Window(row, np.asarray([token for token, _ in masks]), window.fresh))
        return Document(document.encoding, windows)

    def decode(
        self, example: str, documents: list[Document], outputs: Outputs, options: FillMaskOptions
    ) -> list[Fill] | list[list[Fill]]:
        """See ``Pipeline.decode``."""
        document = documents[0]
        ids: Sequence[int] = document.encoding.ids
        masks = [int(token) for window in document.windows for token in window.tokens]  # type: ignore[union-attr]
        if options.overflow == "truncate":  # shown as the model saw it
            shown = document.windows[0].row
            ids, masks = shown.input_ids, [int(place) for place in shown.positions or ()]
        logits = np.concatenate(outputs[0])  # (masks, V)
        targets = self._target_ids(options.targets)
        fills = [
            self._fills(ids, mask, row, targets, options.top_k, alone=len(masks) == 1)
            for mask, row in sorted(zip(masks, logits, strict=True), key=lambda pair: pair[0])
        ]
        return fills[0] if len(fills) == 1 else fills

    def table(self, answer: list[Fill] | list[list[Fill]]) -> list[dict[str, Any]]:
        """See ``Pipeline.table``."""
        return [dict(row) for group in (answer if isinstance(answer[0], list) else [answer]) for row in group]

    def _fills(
        self, ids: Sequence[int], mask: int, logits: Floats, targets: list[int] | None, top_k: int, *, alone: bool
    ) -> list[Fill]:
        scores = softmax(logits)
        among = np.arange(len(scores)) if targets is None else np.asarray(targets)
        words = [int(among[index]) for index in best_first(scores[among], top_k)]
        return [
            Fill(
                score=float(scores[word]),
                token=word,
                token_str=self.tokenizer.decode([word]),
                sequence=self.tokenizer.decode(
                    [i for i in (*ids[:mask], word, *ids[mask + 1 :]) if i != self.tokenizer.pad_token_id],
                    skip_special_tokens=alone,
                ),
            )
            for word in words
        ]

    def _options(self, given: Mapping[str, Any]) -> FillMaskOptions:
        if self.tokenizer.mask_token_id is None:
            reason = "fill-mask needs a tokenizer with a mask token; set tokenizer.mask_token"
            raise PipelineException(self.name, self.config.model_type, reason)
        chosen = super()._options(given)
        self._target_ids(chosen.targets, tell=given.get("targets") is not None)
        return chosen

    def _target_ids(self, targets: str | Sequence[str] | None, *, tell: bool = False) -> list[int] | None:
        """Return the distinct token ids of the targets; ``tell`` warns of those that are no token by themselves."""
        if targets is None:
            return None
        words = [targets] if isinstance(targets, str) else targets
        ids = {found for word in words if (found := self._target_id(word, tell=tell)) is not None}
        if not ids:
            raise InputError(f"targets={targets!r} holds no word; pass at least one, or None for the whole vocabulary")
        return sorted(ids)

    def _target_id(self, word: str, *, tell: bool) -> int | None:
        known: int | None = self.tokenizer.get_vocab().get(word)
        if known is not None:
            return known
        pieces = self.tokenizer(word, add_special_tokens=False, verbose=False)["input_ids"]
        if len(pieces) == 1 and pieces[0] != self.tokenizer.unk_token_id:
            return int(pieces[0])
        if tell:
            taken = f"{self.tokenizer.convert_ids_to_tokens(pieces[0])} takes its place" if pieces else "it is left out"
            shown = ", ".join(self.tokenizer.convert_ids_to_tokens(pieces)) or "nothing"
            warn(f"target {word!r} is not one token of the vocabulary (it is {shown}); {taken}")
        return int(pieces[0]) if pieces else None
