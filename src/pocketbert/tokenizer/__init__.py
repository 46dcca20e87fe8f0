"""WordPiece tokenizers in Python, to be read, and on the ``tokenizers`` library, to be fast, with the same methods.

Importing them imports neither the ``tokenizers`` library nor a framework.
"""

from pocketbert.tokenizer.added_tokens import AddedToken
from pocketbert.tokenizer.auto import AutoTokenizer
from pocketbert.tokenizer.call.arrays import TensorType
from pocketbert.tokenizer.call.batch_encoding import BatchEncoding
from pocketbert.tokenizer.call.encoding import CharSpan, Encoding, TokenSpan
from pocketbert.tokenizer.models import (
    BertTokenizer,
    BertTokenizerFast,
    DistilBertTokenizer,
    DistilBertTokenizerFast,
    MobileBertTokenizer,
    MobileBertTokenizerFast,
    PreTrainedTokenizer,
    PreTrainedTokenizerFast,
)
from pocketbert.tokenizer.special_tokens import SpecialTokensMixin
from pocketbert.tokenizer.tokenizer_base import PreTrainedTokenizerBase
from pocketbert.tokenizer.wordpiece.basic import BasicTokenizer, WordpieceTokenizer

__all__ = [
    "AddedToken",
    "AutoTokenizer",
    "BasicTokenizer",
    "BatchEncoding",
    "BertTokenizer",
    "BertTokenizerFast",
    "CharSpan",
    "DistilBertTokenizer",
    "DistilBertTokenizerFast",
    "Encoding",
    "MobileBertTokenizer",
    "MobileBertTokenizerFast",
    "PreTrainedTokenizer",
    "PreTrainedTokenizerBase",
    "PreTrainedTokenizerFast",
    "SpecialTokensMixin",
    "TensorType",
    "TokenSpan",
    "WordpieceTokenizer",
]
