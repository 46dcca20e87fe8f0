"""The public tokenizers: for each model one in Python, and one on the ``tokenizers`` library (Fast)."""

from __future__ import annotations

from pocketbert.tokenizer.wordpiece.bert_fast import WordPieceFast
from pocketbert.tokenizer.wordpiece.fast import PreTrainedTokenizerFast
from pocketbert.tokenizer.wordpiece.python import PreTrainedTokenizer

__all__ = [
    "BertTokenizer",
    "BertTokenizerFast",
    "DistilBertTokenizer",
    "DistilBertTokenizerFast",
    "MobileBertTokenizer",
    "MobileBertTokenizerFast",
    "PreTrainedTokenizer",
    "PreTrainedTokenizerFast",
]


class BertTokenizer(PreTrainedTokenizer):
    """BERT's tokenizer, in Python.

    >>> from pocketbert import BertTokenizer
    >>> vocab = {token: id_ for id_, token in enumerate("[UNK] [CLS] [SEP] [PAD] a dog ##s".split())}
    >>> dict(BertTokenizer(vocab)("A dogs!"))
    {'input_ids': [1, 4, 5, 6, 0, 2], 'token_type_ids': [0, 0, 0, 0, 0, 0], 'attention_mask': [1, 1, 1, 1, 1, 1]}
    """


class BertTokenizerFast(WordPieceFast):
    """BERT's tokenizer, on the ``tokenizers`` library.

    >>> from pocketbert import BertTokenizerFast
    >>> vocab = {token: id_ for id_, token in enumerate("[UNK] [CLS] [SEP] [PAD] a dog ##s".split())}
    >>> tokenizer = BertTokenizerFast(vocab)
    >>> tokenizer(["dogs", "a dog dogs"], padding=True)["input_ids"]
    [[1, 5, 6, 2, 3, 3], [1, 4, 5, 5, 6, 2]]
    >>> tokenizer.decode([1, 4, 5, 2], skip_special_tokens=True)
    'a dog'
    """

    slow_tokenizer_class = BertTokenizer


class MobileBertTokenizer(PreTrainedTokenizer):
    """MobileBERT's tokenizer, in Python; the same as BERT's.

    >>> from pocketbert import MobileBertTokenizer
    >>> vocab = {token: id_ for id_, token in enumerate("[UNK] [CLS] [SEP] [PAD] a dog ##s".split())}
    >>> MobileBertTokenizer(vocab).tokenize("a dogs")
    ['a', 'dog', '##s']
    """


class MobileBertTokenizerFast(WordPieceFast):
    """MobileBERT's tokenizer, on the ``tokenizers`` library; the same as BERT's.

    >>> from pocketbert import MobileBertTokenizerFast
    >>> vocab = {token: id_ for id_, token in enumerate("[UNK] [CLS] [SEP] [PAD] a dog ##s".split())}
    >>> MobileBertTokenizerFast(vocab)("a", "dogs").token_type_ids
    [0, 0, 0, 1, 1, 1]
    """

    slow_tokenizer_class = MobileBertTokenizer


class DistilBertTokenizer(PreTrainedTokenizer):
    """DistilBERT's tokenizer, in Python: BERT's, without ``token_type_ids`` unless a call asks for them.

    >>> from pocketbert import DistilBertTokenizer
    >>> vocab = {token: id_ for id_, token in enumerate("[UNK] [CLS] [SEP] [PAD] a dog ##s".split())}
    >>> dict(DistilBertTokenizer(vocab)("dogs"))
    {'input_ids': [1, 5, 6, 2], 'attention_mask': [1, 1, 1, 1]}
    """

    model_input_names = ["input_ids", "attention_mask"]  # noqa: RUF012 - as in transformers


class DistilBertTokenizerFast(WordPieceFast):
    """DistilBERT's tokenizer, on the ``tokenizers`` library: BERT's, without ``token_type_ids`` unless a call asks.

    >>> from pocketbert import DistilBertTokenizerFast
    >>> vocab = {token: id_ for id_, token in enumerate("[UNK] [CLS] [SEP] [PAD] a dog ##s".split())}
    >>> DistilBertTokenizerFast(vocab)("a dogs", return_offsets_mapping=True).offset_mapping
    [(0, 0), (0, 1), (2, 5), (5, 6), (0, 0)]
    """

    slow_tokenizer_class = DistilBertTokenizer

    model_input_names = ["input_ids", "attention_mask"]  # noqa: RUF012 - as in transformers
