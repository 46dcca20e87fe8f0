"""The special tokens of a tokenizer, by role: ``cls_token``, ``cls_token_id`` and so on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from pocketbert.errors import ConfigError, InputError
from pocketbert.tokenizer.added_tokens import AddedToken, as_added

__all__ = ["ROLES", "SpecialTokensMixin", "additional_tokens"]

ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class _Token:
    """Attribute ``cls_token`` and the like: the token of a role, None if the tokenizer has none."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._role = name

    def __get__(self, obj: SpecialTokensMixin | None, owner: type) -> str | None:
        token = None if obj is None else obj._roles.get(self._role)
        return None if token is None else token.content

    def __set__(self, obj: SpecialTokensMixin, value: Any) -> None:
        obj._set_role(self._role, value)


class _TokenId:
    """Attribute ``cls_token_id`` and the like: the id of a role's token, None if the tokenizer has none."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._role = name.removesuffix("_id")

    def __get__(self, obj: SpecialTokensMixin | None, owner: type) -> int | None:
        token = None if obj is None else obj._roles.get(self._role)
        return None if obj is None or token is None else obj._id_of(token.content)

    def __set__(self, obj: SpecialTokensMixin, value: int | None) -> None:
        obj._set_role(self._role, None if value is None else obj._token_of(value))


class SpecialTokensMixin(ABC):
    """Special tokens as attributes that can be read and set."""

    bos_token, eos_token, unk_token, sep_token = _Token(), _Token(), _Token(), _Token()
    pad_token, cls_token, mask_token = _Token(), _Token(), _Token()
    bos_token_id, eos_token_id, unk_token_id, sep_token_id = _TokenId(), _TokenId(), _TokenId(), _TokenId()
    pad_token_id, cls_token_id, mask_token_id = _TokenId(), _TokenId(), _TokenId()

    SPECIAL_TOKENS_ATTRIBUTES: list[str] = [*ROLES, "additional_special_tokens"]  # noqa: RUF012 - as in transformers
    extra_special_tokens: dict[str, Any]

    def _init_roles(self, tokens: Mapping[str, Any], additional: Any, extra: Mapping[str, Any]) -> None:
        """Set the tokens by role, those without a role, and those of roles that the caller named (``extra``)."""
        self._roles: dict[str, AddedToken] = {}
        self._additional: list[AddedToken] | None = additional_tokens(additional)
        self.extra_special_tokens = dict(extra)
        if extra:
            self.SPECIAL_TOKENS_ATTRIBUTES = [*type(self).SPECIAL_TOKENS_ATTRIBUTES, *extra]
        for role, token in {**tokens, **extra}.items():
            self._set_role(role, token)

    if not TYPE_CHECKING:  # a type checker would take any name for a role

        def __getattr__(self, name: str) -> Any:
            """Return the token, or its id, of a role that the caller named."""
            role = name.removesuffix("_id")
            if role not in self.__dict__.get("extra_special_tokens", ()):
                raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
            token = self._roles.get(role)
            if token is None:
                return None
            return token.content if name == role else self._id_of(token.content)

    def _set_role(self, role: str, token: Any) -> None:
        if token is None:
            self._roles.pop(role, None)
        elif isinstance(token, (str, Mapping)) or hasattr(token, "content"):
            self._roles[role] = as_added(token, special=True)
        else:
            raise InputError(f"{role}={token!r} must be a string, an AddedToken or None")

    def _required(self, role: str) -> tuple[str, int]:
        """Return the token of a role and its id; raise ConfigError if there is none."""
        token = self._roles.get(role)
        id_ = None if token is None else self._token_to_id(token.content)
        if token is None or id_ is None:
            raise ConfigError(
                f"{role}={token and token.content!r} is not among the {len(self._vocab)} tokens of the vocabulary; "
                f"pass the {role} that it holds, or a vocabulary made for BERT"
            )
        return token.content, id_

    @property
    @abstractmethod
    def _vocab(self) -> Mapping[str, int]:
        """Token -> id, without the added tokens."""

    @property
    @abstractmethod
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Id -> added token; special tokens are added tokens."""

    @property
    @abstractmethod
    def _special_added(self) -> Set[str]:
        """The added tokens that are special."""

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """Added token -> id."""
        return {token.content: id_ for id_, token in self.added_tokens_decoder.items()}

    @abstractmethod
    def _add(self, tokens: Sequence[AddedToken]) -> int:
        """Add tokens; return how many were not added tokens before."""

    @abstractmethod
    def _token_to_id(self, token: str) -> int | None:
        """Return the id of ``token``; None if it is not in the vocabulary."""

    @abstractmethod
    def _id_to_token(self, id_: int) -> str | None:
        """Return the token of ``id_``; None if the vocabulary has no such id."""

    def _id_of(self, token: str) -> int | None:
        """Return the id of ``token``; the unknown token's if it is not in the vocabulary."""
        id_ = self._token_to_id(token)
        unknown = self._roles.get("unk_token")
        return self._token_to_id(unknown.content) if id_ is None and unknown else id_

    def _token_of(self, id_: int) -> str | None:
        """Return the token of ``id_``; the unknown token if the vocabulary has no such id."""
        token = self._id_to_token(id_)
        return self.unk_token if token is None else token

    @property
    def additional_special_tokens(self) -> list[str]:
        """Special tokens without a role; None after it was set to None."""
        return None if self._additional is None else [token.content for token in self._additional]  # type: ignore[return-value]

    @additional_special_tokens.setter
    def additional_special_tokens(self, tokens: Any) -> None:
        self._additional = None if tokens is None else additional_tokens(tokens)

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        """The ids of :attr:`additional_special_tokens`."""
        return [id_ for token in self._additional or () if (id_ := self._id_of(token.content)) is not None]

    @additional_special_tokens_ids.setter
    def additional_special_tokens_ids(self, ids: Iterable[int]) -> None:
        self.additional_special_tokens = [self._token_of(id_) for id_ in ids]

    @property
    def special_tokens_map(self) -> dict[str, str | list[str]]:
        """Role -> token, and ``additional_special_tokens`` -> the rest."""
        named = self.special_tokens_map_extended.items()
        return {name: list(map(str, token)) if isinstance(token, list) else str(token) for name, token in named}

    @property
    def special_tokens_map_extended(self) -> dict[str, AddedToken | list[AddedToken]]:
        """As :attr:`special_tokens_map`, with the rules by which each token is matched."""
        tokens: dict[str, AddedToken | list[AddedToken]] = {
            **self._roles,
            "additional_special_tokens": list(self._additional or ()),
        }
        return {role: tokens[role] for role in self.SPECIAL_TOKENS_ATTRIBUTES if tokens.get(role)}

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token, once."""
        return [token.content for token in self.all_special_tokens_extended]

    @property
    def all_special_tokens_extended(self) -> list[AddedToken]:
        """Every special token, once, with the rules by which it is matched."""
        values = self.special_tokens_map_extended.values()
        ordered = [token for value in values for token in (value if isinstance(value, list) else [value])]
        return list({token.content: token for token in ordered}.values())

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of :attr:`all_special_tokens`."""
        return [id_ for token in self.all_special_tokens if (id_ := self._id_of(token)) is not None]


def additional_tokens(tokens: Any) -> list[AddedToken]:
    """Return ``additional_special_tokens`` as added tokens."""
    if isinstance(tokens, (str, AddedToken)) or not isinstance(tokens, (Sequence, Set)):
        raise InputError(f"additional_special_tokens={tokens!r} must be a list of tokens; pass [{tokens!r}]")
    return [as_added(token, special=True) for token in tokens]
