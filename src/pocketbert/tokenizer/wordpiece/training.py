"""A new vocabulary for a tokenizer of the ``tokenizers`` library, learned from texts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pocketbert.errors import InputError
from pocketbert.tokenizer.added_tokens import AddedToken
from pocketbert.tokenizer.wordpiece.library import library_errors, written

if TYPE_CHECKING:
    import tokenizers

__all__ = ["trained"]

_TRAINERS = {"WordPiece": "WordPieceTrainer", "WordLevel": "WordLevelTrainer", "BPE": "BpeTrainer"}


def trained(
    library: tokenizers.Tokenizer,
    texts: Iterable[Any],
    vocab_size: int,
    *,
    length: int | None,
    special: list[AddedToken],
    renamed: Mapping[str, str],
    options: dict[str, Any],
) -> tokenizers.Tokenizer:
    """Return a tokenizer with the steps of ``library`` and a vocabulary learned from ``texts``.

    Args:
        library: the tokenizer whose steps are kept; it stays as it is.
        texts: texts, or batches of them.
        vocab_size: the number of tokens to learn, special tokens included.
        length: the number of texts, for a progress bar.
        special: the special tokens, which get the first ids.
        renamed: old -> new special token.
        options: further arguments of the library's trainer.

    Raises:
        InputError: the model cannot be trained here.
    """
    from tokenizers import AddedToken as LibraryToken
    from tokenizers import Tokenizer, trainers

    parts = json.loads(written(library))
    model, rows = parts["model"], parts["post_processor"]
    if model["type"] not in _TRAINERS:
        raise InputError(f"a {model['type']} model cannot be trained; {', '.join(_TRAINERS)} can")
    model |= {"vocab": {}, **({"merges": []} if model["type"] == "BPE" else {})}
    if model.get("unk_token") in renamed:
        model["unk_token"] = renamed[model["unk_token"]]
    for name in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(name) is not None:
            options.setdefault(name, model[name])
    blank = Tokenizer.from_str(json.dumps(parts | {"added_tokens": [], "post_processor": None}))
    tokens = [LibraryToken(**token.to_dict()) for token in special]
    kind = getattr(trainers, _TRAINERS[model["type"]])
    for name in options:
        if not hasattr(kind, name):  # the library would print on stdout that it ignores it
            raise InputError(f"{name!r} is no argument of the library's {kind.__name__}; leave it out")
    trainer = kind(vocab_size=vocab_size, special_tokens=tokens, **options)
    with library_errors(InputError, "the tokenizers library cannot learn from these texts"):
        blank.train_from_iterator(texts, length=length, trainer=trainer)
    if rows is not None:
        made = json.loads(blank.to_str())
        made["post_processor"] = _moved(rows, renamed, blank)
        blank = Tokenizer.from_str(json.dumps(made))
    return blank


def _moved(part: Any, renamed: Mapping[str, str], library: tokenizers.Tokenizer) -> Any:
    """Return a post-processor with the new tokens and ids of its special tokens."""
    if isinstance(part, list):
        if len(part) == 2 and isinstance(part[0], str) and isinstance(part[1], int):  # [token, id], as BERT's own has
            token = renamed.get(part[0], part[0])
            return [token, library.token_to_id(token)]
        return [_moved(item, renamed, library) for item in part]
    if not isinstance(part, dict):
        return part
    if "SpecialToken" in part:
        place = part["SpecialToken"]
        return {"SpecialToken": place | {"id": renamed.get(place["id"], place["id"])}}
    if "special_tokens" in part:
        special = {}
        for entry in part["special_tokens"].values():
            names = [renamed.get(token, token) for token in entry["tokens"]]
            name = renamed.get(entry["id"], entry["id"])
            special[name] = {"id": name, "ids": [library.token_to_id(token) for token in names], "tokens": names}
        part = part | {"special_tokens": {}}
        return {name: _moved(item, renamed, library) for name, item in part.items()} | {"special_tokens": special}
    return {name: _moved(item, renamed, library) for name, item in part.items()}
