"""WordPiece tokenizers: Python ones to read and trust, Fast ones to use, behind one surface.

The classes resolve lazily; importing this package imports neither the ``tokenizers`` library nor a framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketbert.tokenizer.added_tokens import AddedToken
    from pocketbert.tokenizer.auto import AutoTokenizer
    from pocketbert.tokenizer.call.batch_encoding import BatchEncoding
    from pocketbert.tokenizer.call.encoding import CharSpan, Encoding, TokenSpan
    from pocketbert.tokenizer.models import (
        BertTokenizer,
        BertTokenizerFast,
        DistilBertTokenizer,
        DistilBertTokenizerFast,
        MobileBertTokenizer,
        MobileBertTokenizerFast,
    )
    from pocketbert.tokenizer.tokenizer_base import TokenizerBase

__all__ = [
    "AddedToken",
    "AutoTokenizer",
    "BatchEncoding",
    "BertTokenizer",
    "BertTokenizerFast",
    "CharSpan",
    "DistilBertTokenizer",
    "DistilBertTokenizerFast",
    "Encoding",
    "MobileBertTokenizer",
    "MobileBertTokenizerFast",
    "TokenSpan",
    "TokenizerBase",
]

_HOMES = {
    "AddedToken": "added_tokens",
    "AutoTokenizer": "auto",
    "BatchEncoding": "call.batch_encoding",
    "CharSpan": "call.encoding",
    "Encoding": "call.encoding",
    "TokenSpan": "call.encoding",
    "TokenizerBase": "tokenizer_base",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'models')}"), name)
