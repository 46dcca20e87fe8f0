"""The public tokenizers, a Python and a Fast one for each model."""

from __future__ import annotations

from pocketbert.tokenizer.wordpiece.fast import FastTokenizer
from pocketbert.tokenizer.wordpiece.python import PythonTokenizer

__all__ = [
    "BertTokenizer",
    "BertTokenizerFast",
    "DistilBertTokenizer",
    "DistilBertTokenizerFast",
    "MobileBertTokenizer",
    "MobileBertTokenizerFast",
]


class BertTokenizer(PythonTokenizer):
    """BERT's tokenizer, in Python."""


class BertTokenizerFast(FastTokenizer):
    """BERT's tokenizer, on the ``tokenizers`` library."""


class MobileBertTokenizer(PythonTokenizer):
    """MobileBERT's tokenizer, in Python; BERT's by another name."""


class MobileBertTokenizerFast(FastTokenizer):
    """MobileBERT's tokenizer, on the ``tokenizers`` library; BERT's by another name."""


class DistilBertTokenizer(PythonTokenizer):
    """DistilBERT's tokenizer, in Python: BERT's, without ``token_type_ids`` unless a call asks for them."""

    model_input_names = ("input_ids", "attention_mask")


class DistilBertTokenizerFast(FastTokenizer):
    """DistilBERT's tokenizer, on the ``tokenizers`` library: BERT's, without ``token_type_ids`` unless a call asks."""

    model_input_names = ("input_ids", "attention_mask")
