"""The Fast tokenizers of BERT and its kin: WordPiece on the ``tokenizers`` library."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pocketbert.errors import CheckpointError, InputError
from pocketbert.tokenizer.call.row_layout import Layout
from pocketbert.tokenizer.tokenizer_files import TokenizerJson, read_vocab
from pocketbert.tokenizer.wordpiece.fast import PreTrainedTokenizerFast
from pocketbert.tokenizer.wordpiece.library import bert_normalizer, library_errors, load, own_copy
from pocketbert.tokenizer.wordpiece.python import PreTrainedTokenizer

if TYPE_CHECKING:
    import tokenizers

__all__ = ["WordPieceFast"]


class WordPieceFast(PreTrainedTokenizerFast):
    """WordPiece with BERT's steps and special tokens."""

    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": "vocab.txt", "tokenizer_file": "tokenizer.json"}
    slow_tokenizer_class: ClassVar[type | None] = PreTrainedTokenizer
    _is_wordpiece: ClassVar[bool] = True

    def __init__(
        self,
        vocab_file: str | os.PathLike[str] | Mapping[str, int] | None = None,
        tokenizer_file: str | os.PathLike[str] | None = None,
        do_lower_case: bool = True,
        unk_token: Any = "[UNK]",
        sep_token: Any = "[SEP]",
        pad_token: Any = "[PAD]",
        cls_token: Any = "[CLS]",
        mask_token: Any = "[MASK]",
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        **shared: Any,
    ) -> None:
        """Build a tokenizer from a vocabulary or a ``tokenizer.json``.

        Args:
            vocab_file: path of a ``vocab.txt``, or the vocabulary itself as a mapping of token to id.
            tokenizer_file: path of a ``tokenizer.json``; ``vocab_file`` is then ignored.
            do_lower_case: lowercase the text.
            unk_token, sep_token, pad_token, cls_token, mask_token: the special tokens.
            tokenize_chinese_chars: make every CJK ideograph a word; False suits Japanese.
            strip_accents: remove accents; by default if ``do_lower_case``.
            shared: ``tokenizer_object``, a tokenizer of the library in place of a file; ``clean_text``, whether to
                remove control characters and make all whitespace spaces; ``wordpieces_prefix``, which marks pieces
                that do not begin a word (``##``); ``model_max_length``, ``padding_side``, ``truncation_side``,
                ``additional_special_tokens``, ``clean_up_tokenization_spaces``, ``split_special_tokens``,
                ``pad_token_type_id``, ``model_input_names``.

        Raises:
            CheckpointError: a file is missing or damaged.
            ConfigError: the vocabulary lacks ``unk_token``, ``cls_token`` or ``sep_token``.
        """
        tokenizer_object = shared.pop("tokenizer_object", None)
        clean_text, wordpieces_prefix = shared.pop("clean_text", True), shared.pop("wordpieces_prefix", "##")
        normalizer = {
            "clean_text": clean_text,
            "handle_chinese_chars": tokenize_chinese_chars,
            "strip_accents": strip_accents,
            "lowercase": do_lower_case,
        }
        if tokenizer_object is not None:
            library = own_copy(tokenizer_object)
        elif tokenizer_file is not None:
            library = _read(tokenizer_file, normalizer)
        elif vocab_file is not None:
            library = _build(read_vocab(vocab_file), str(unk_token), wordpieces_prefix, normalizer)
        else:
            raise InputError("no vocabulary; pass vocab_file, tokenizer_file or tokenizer_object")
        self.do_lower_case = do_lower_case
        own: dict[str, Any] = {
            "do_lower_case": do_lower_case,
            "tokenize_chinese_chars": tokenize_chinese_chars,
            "strip_accents": strip_accents,
            "do_basic_tokenize": True,
            "never_split": None,
            "clean_up_tokenization_spaces": True,
        }
        if not clean_text:
            own["clean_text"] = False
        if wordpieces_prefix != "##":
            own["wordpieces_prefix"] = wordpieces_prefix
        roles = {
            "unk_token": unk_token,
            "sep_token": sep_token,
            "pad_token": pad_token,
            "cls_token": cls_token,
            "mask_token": mask_token,
        }
        self._init_library(library, own, roles, path=tokenizer_file, **{**own, **shared})

    def _check_roles(self) -> None:
        self._required("unk_token")
        first, last = self._required("cls_token"), self._required("sep_token")
        if self._library.post_processor is None:
            self._library.post_processor = _post_processor(Layout.bert(2, first, last))


def _build(vocab: dict[str, int], unk_token: str, prefix: str, normalizer: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """Return the library's tokenizer with BERT's steps."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    with library_errors(CheckpointError, "the tokenizers library cannot use the vocabulary"):
        model = models.WordPiece(vocab, unk_token=unk_token, continuing_subword_prefix=prefix)
    library = Tokenizer(model)
    library.normalizer = bert_normalizer(normalizer)
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.decoder = decoders.WordPiece(prefix=prefix)
    return library


def _read(path: str | os.PathLike[str], normalizer: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """Return the library's tokenizer of a file; a BERT normalizer in it gets the arguments ``normalizer``."""
    from tokenizers import normalizers

    library = load(TokenizerJson.read(path))
    if isinstance(library.normalizer, normalizers.BertNormalizer):
        library.normalizer = bert_normalizer(normalizer)
    return library


def _post_processor(layout: Layout) -> Any:
    """Return BERT's layout of a pair as the library's post-processor, for other readers of a saved tokenizer.json."""
    from tokenizers.processors import TemplateProcessing

    (cls,), (sep,), _ = layout.groups
    row = [f"{cls.token}:0", "$A:0", f"{sep.token}:0"]
    pair = [*row, "$B:1", f"{sep.token}:1"]
    special = {cls.token: cls.id, sep.token: sep.id}
    return TemplateProcessing(single=row, pair=pair, special_tokens=list(special.items()))
