"""What the Python and the Fast tokenizers share: all but the vocabulary and the splitting of a text into tokens."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from pocketbert.errors import InputError
from pocketbert.tokenizer.added_tokens import AddedToken, as_added
from pocketbert.tokenizer.call.arrays import as_lists
from pocketbert.tokenizer.call.ids import IdMethods
from pocketbert.tokenizer.call.texts import NO_LIMIT, Side, side_of
from pocketbert.tokenizer.older_methods import OlderMethods
from pocketbert.tokenizer.saved import Pretrained
from pocketbert.tokenizer.special_tokens import ROLES, additional_tokens

__all__ = ["MethodNameError", "PreTrainedTokenizerBase"]


logger = logging.getLogger(__name__)

# settings of every tokenizer beside its special tokens
_SHARED = frozenset(
    """
    model_max_length max_len padding_side truncation_side clean_up_tokenization_spaces split_special_tokens
    pad_token_type_id model_input_names additional_special_tokens extra_special_tokens chat_template verbose
    name_or_path add_prefix_space
    """.split()  # noqa: SIM905 - one name per line would be a page
) | set(ROLES)


class MethodNameError(InputError, AttributeError):
    """A setting has the name of a method, which it would hide."""


class PreTrainedTokenizerBase(IdMethods, OlderMethods, Pretrained):
    """The methods of every tokenizer.

    Those that make model inputs are in :mod:`.call.methods`, loading and saving in :mod:`.saved`, special tokens
    in :mod:`.special_tokens`; subclasses, in :mod:`.wordpiece`, hold the vocabulary and split texts into tokens.
    """

    model_input_names: list[str] = ["input_ids", "token_type_ids", "attention_mask"]  # noqa: RUF012 - as in transformers
    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": "vocab.txt"}
    pretrained_vocab_files_map: ClassVar[dict[str, dict[str, str]]] = {}
    slow_tokenizer_class: ClassVar[type | None] = None
    is_fast: ClassVar[bool] = False
    padding_side: Side = "right"
    truncation_side: Side = "right"
    pad_token_type_id: int = 0
    init_inputs: tuple[Any, ...] = ()

    def _init_shared(
        self,
        own: Mapping[str, Any],
        roles: Mapping[str, Any],
        *,
        added_tokens_decoder: Mapping[int, AddedToken] | None = None,
        **given: Any,
    ) -> None:
        """Set the attributes that all tokenizers have; called last by a constructor, since it looks tokens up.

        Args:
            own: the settings of the caller's class.
            roles: the special tokens by role.
            added_tokens_decoder: id -> added token, of a saved tokenizer.
            given: settings that all tokenizers have, and any others, which are kept in ``init_kwargs`` alone.
        """
        if unknown := given.keys() - own.keys() - roles.keys() - _SHARED:
            logger.warning("%s keeps and does not use %s", type(self).__name__, ", ".join(sorted(unknown)))
        for name in given:
            if callable(getattr(type(self), name, None)):
                raise MethodNameError(f"{name} conflicts with the method {name} in {type(self).__name__}")
        self.init_kwargs: dict[str, Any] = {**own, **roles, **given}
        self.name_or_path = given.get("name_or_path", "")
        limit = given.get("model_max_length", given.get("max_len"))  # the name before transformers 3
        self.model_max_length: int = NO_LIMIT if limit is None else limit
        self.padding_side = side_of("padding_side", given.get("padding_side", self.padding_side))
        self.truncation_side = side_of("truncation_side", given.get("truncation_side", self.truncation_side))
        self.clean_up_tokenization_spaces: bool = given.get("clean_up_tokenization_spaces", False)
        self.split_special_tokens: bool = given.get("split_special_tokens", False)
        self.pad_token_type_id = given.get("pad_token_type_id", 0)
        self.model_input_names = list(given.get("model_input_names") or self.model_input_names)
        self.chat_template = given.get("chat_template")
        self.verbose: bool = given.get("verbose", False)
        self.deprecation_warnings: dict[str, bool] = {}
        roles = {role: given.get(role) for role in ROLES} | {**roles}
        self._init_roles(roles, given.get("additional_special_tokens") or (), given.get("extra_special_tokens") or {})
        known = self.added_tokens_decoder
        self._add([token for id_, token in sorted((added_tokens_decoder or {}).items()) if known.get(id_) != token])
        self._check_roles()
        added = self.added_tokens_encoder
        self._add([token for token in self.all_special_tokens_extended if token.content not in added])

    def _check_roles(self) -> None:
        """Check that the vocabulary has the tokens that every row needs, before others are added to it."""

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
        """The class, its settings and its added tokens."""
        added = "".join(f"\t{id_}: {token!r},\n" for id_, token in self.added_tokens_decoder.items())
        return (
            f"{type(self).__name__}(name_or_path={self.name_or_path!r}, vocab_size={self.vocab_size}, "
            f"model_max_length={self.model_max_length}, is_fast={self.is_fast}, padding_side={self.padding_side!r}, "
            f"truncation_side={self.truncation_side!r}, special_tokens={self.special_tokens_map}, "
            f"clean_up_tokenization_spaces={self.clean_up_tokenization_spaces}, "
            f"added_tokens_decoder={{\n{added}}}\n)"
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
                tokens = additional_tokens(value)
                kept = [] if replace_additional_special_tokens else self._additional or []
                known = {*kept}
                self._additional = [*kept, *(token for token in tokens if token not in known)]
                added += tokens
            elif role in self.SPECIAL_TOKENS_ATTRIBUTES:
                added.append(as_added(value, special=True))
                self._set_role(role, added[-1])
            else:
                raise InputError(
                    f"{role!r} is no role of a special token; roles: {', '.join(self.SPECIAL_TOKENS_ATTRIBUTES)}"
                )
        return self._add(added)

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """Return the id of a token, or of each token of a list; the unknown token's for those not in the vocabulary."""
        if tokens is None:
            return None
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

    def _convert_token_to_id(self, token: str) -> int | None:
        """Return the id of a token; collators of transformers call it."""
        return self._id_of(token)

    _convert_token_to_id_with_added_voc = _convert_token_to_id

    def _convert_id_to_token(self, index: int) -> str | None:
        """Return the token of an id; collators of transformers call it."""
        return self._token_of(int(index))

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **_: Any,
    ) -> str:
        """Return the text of ids; those that are not in the vocabulary are left out.

        Args:
            token_ids: an int, a list, or an array of one row.
            skip_special_tokens: leave out ``[CLS]``, ``[SEP]``, ``[PAD]`` and other special tokens.
            clean_up_tokenization_spaces: write ``do n't`` as ``don't``, and so on; by default the tokenizer's setting.
        """
        ids = as_lists(token_ids)
        special = self._special_added if skip_special_tokens else ()
        tokens = [self._id_to_token(_id(id_)) for id_ in (ids if isinstance(ids, list) else [ids])]
        text = self.convert_tokens_to_string([token for token in tokens if token is not None and token not in special])
        clean = clean_up_tokenization_spaces
        clean = self.clean_up_tokenization_spaces if clean is None else clean
        return self.clean_up_tokenization(text) if clean else text

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **_: Any,
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
