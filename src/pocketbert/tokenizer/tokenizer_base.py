"""What the Python and the Fast tokenizers share: all but the vocabulary and the splitting of a text into tokens."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from pocketbert.errors import InputError
from pocketbert.tokenizer.added_tokens import AddedToken, as_added
from pocketbert.tokenizer.call.arrays import as_lists
from pocketbert.tokenizer.call.methods import CallMethods
from pocketbert.tokenizer.call.row_layout import Layout
from pocketbert.tokenizer.call.texts import NO_LIMIT, side_of
from pocketbert.tokenizer.saved import Pretrained
from pocketbert.tokenizer.special_tokens import ROLES

__all__ = ["TokenizerBase"]


class TokenizerBase(CallMethods, Pretrained):
    """The methods of every tokenizer.

    Those that make model inputs are in :mod:`.call.methods`, loading and saving in :mod:`.saved`, special tokens
    in :mod:`.special_tokens`; subclasses, in :mod:`.wordpiece`, hold the vocabulary and split texts into tokens.
    """

    model_input_names: Sequence[str] = ("input_ids", "token_type_ids", "attention_mask")
    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": "vocab.txt"}
    is_fast: ClassVar[bool] = False

    def _init_shared(
        self,
        unk_token: Any,
        sep_token: Any,
        pad_token: Any,
        cls_token: Any,
        mask_token: Any,
        *,
        bos_token: Any = None,
        eos_token: Any = None,
        model_max_length: int | None = None,
        padding_side: str = "right",
        truncation_side: str = "right",
        clean_up_tokenization_spaces: bool = True,
        additional_special_tokens: Sequence[Any] | None = None,
        split_special_tokens: bool = False,
        pad_token_type_id: int = 0,
        model_input_names: Sequence[str] | None = None,
        added_tokens_decoder: Mapping[int, AddedToken] | None = None,
        name_or_path: str = "",
        **unknown: Any,
    ) -> None:
        """Set the attributes that all tokenizers have; called last by a constructor, since it looks tokens up."""
        if unknown:
            raise InputError(f"{type(self).__name__} takes no argument {', '.join(map(repr, sorted(unknown)))}")
        self.model_max_length = NO_LIMIT if model_max_length is None else model_max_length
        self.padding_side = side_of("padding_side", padding_side)
        self.truncation_side = side_of("truncation_side", truncation_side)
        self.clean_up_tokenization_spaces = clean_up_tokenization_spaces
        self.split_special_tokens = split_special_tokens
        self.pad_token_type_id = pad_token_type_id
        self.name_or_path = name_or_path
        if model_input_names is not None:
            self.model_input_names = tuple(model_input_names)
        roles = (bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token)
        self._init_roles(roles, additional_special_tokens or ())
        saved = sorted((added_tokens_decoder or {}).items())
        self._add([token for id_, token in saved if self.added_tokens_decoder.get(id_) != token])
        self._required("unk_token")
        first, last = self._required("cls_token"), self._required("sep_token")
        known = self.added_tokens_encoder
        self._add([token for token in self.all_special_tokens_extended if token.content not in known])
        self._layouts = (Layout.bert(1, first, last), Layout.bert(2, first, last))

    @abstractmethod
    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """Join tokens to a text: ``["un", "##known", "."]`` to ``"unknown."``."""

    def get_vocab(self) -> dict[str, int]:
        """Return token -> id, added tokens included."""
        return {**self._vocab, **self.added_tokens_encoder}

    @property
    def vocab_size(self) -> int:
        """The number of tokens, added tokens not counted."""
        return len(self._vocab)

    def __len__(self) -> int:
        """The number of tokens, added tokens included."""
        return self.vocab_size + sum(token not in self._vocab for token in self.added_tokens_encoder)

    def __repr__(self) -> str:
        """The class, its size and its special tokens."""
        return (
            f"{type(self).__name__}(vocab_size={self.vocab_size}, model_max_length={self.model_max_length}, "
            f"special_tokens={self.special_tokens_map})"
        )

    @property
    def vocab(self) -> dict[str, int]:
        """Token -> id, added tokens included."""
        return self.get_vocab()

    def get_added_vocab(self) -> dict[str, int]:
        """Added token -> id."""
        return self.added_tokens_encoder

    def add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:
        """Add one token or a list of them (strings or :class:`AddedToken`); return how many were added.

        New tokens get the next ids: resize the model's embeddings to ``len(tokenizer)``.
        """
        if not new_tokens:
            return 0
        tokens = new_tokens if isinstance(new_tokens, (list, tuple)) else [new_tokens]
        return self._add([as_added(token, special=special_tokens) for token in tokens])

    def add_special_tokens(
        self, special_tokens_dict: Mapping[str, Any], replace_additional_special_tokens: bool = True
    ) -> int:
        """Set the tokens of roles, adding those that the vocabulary lacks.

        Args:
            special_tokens_dict: role -> token, and ``"additional_special_tokens"`` -> list of tokens.
            replace_additional_special_tokens: whether that list replaces the present one or extends it.

        Returns:
            How many tokens were added.

        Raises:
            InputError: an unknown role.
        """
        added: list[AddedToken] = []
        for role, value in special_tokens_dict.items():
            if role == "additional_special_tokens":
                tokens = [as_added(token, special=True) for token in value]
                kept = [] if replace_additional_special_tokens else self._additional
                self._additional = [*kept, *(token for token in tokens if token not in kept)]
                added += tokens
            elif role in ROLES:
                added.append(as_added(value, special=True))
                self._set_role(role, added[-1])
            else:
                raise InputError(f"{role!r} is no role of a special token; roles: {', '.join(ROLES)}")
        return self._add(added)

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """Return the id of a token, or of each token of a list; the unknown token's for those not in the vocabulary."""
        if isinstance(tokens, str):
            return self._id_of(tokens)
        if not isinstance(tokens, Iterable) or not all(isinstance(token, str) for token in tokens):
            raise InputError(f"tokens must be strings, not {str(tokens)[:60]}")
        return [self._id_of(token) for token in tokens]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Return the token of an id, or of each id of a list; the unknown token for those not in the vocabulary."""
        if not isinstance(ids := as_lists(ids), list):
            return self._token_of(_id(ids))
        skip = set(self.all_special_ids) if skip_special_tokens else ()
        return [self._token_of(id_) for id_ in map(_id, ids) if id_ not in skip]

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> str:
        """Return the text of ids; those that are not in the vocabulary are left out.

        Args:
            token_ids: an int, a list, or an array of one row.
            skip_special_tokens: leave out ``[CLS]``, ``[SEP]``, ``[PAD]`` and other special tokens.
            clean_up_tokenization_spaces: write ``do n't`` as ``don't``, and so on; by default the tokenizer's setting.
        """
        ids = as_lists(token_ids)
        added = self.added_tokens_decoder.values() if skip_special_tokens else ()
        special = {token.content for token in added if token.special}
        tokens = [self._id_to_token(_id(id_)) for id_ in (ids if isinstance(ids, list) else [ids])]
        text = self.convert_tokens_to_string([token for token in tokens if token is not None and token not in special])
        clean = clean_up_tokenization_spaces
        clean = self.clean_up_tokenization_spaces if clean is None else clean
        return self.clean_up_tokenization(text) if clean else text

    def batch_decode(
        self, sequences: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> list[str]:
        """Return the text of each row; see :meth:`decode`."""
        return [self.decode(row, skip_special_tokens, clean_up_tokenization_spaces) for row in as_lists(sequences)]

    @staticmethod
    def clean_up_tokenization(out_string: str) -> str:
        """Remove the spaces before English punctuation and contractions."""
        for spaced in (" .", " ?", " !", " ,", " n't", " 'm", " 's", " 've", " 're"):
            if spaced == " n't":
                out_string = out_string.replace(" ' ", "'")
            out_string = out_string.replace(spaced, spaced[1:])
        return out_string


def _id(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"ids must be whole numbers of at least 0, not {str(value)[:40]}")
    return value
