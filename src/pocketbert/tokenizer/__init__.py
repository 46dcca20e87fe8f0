"""WordPiece tokenizers in Python, to be read, and on the ``tokenizers`` library, to be fast, with the same methods.

Importing them imports neither the ``tokenizers`` library nor a framework.
"""

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
