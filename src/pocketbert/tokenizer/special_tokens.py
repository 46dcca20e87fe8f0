"""The special tokens of a tokenizer, by role: ``cls_token``, ``cls_token_id`` and so on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pocketbert.errors import InputError
from pocketbert.tokenizer.added_tokens import AddedToken, as_added

__all__ = ["ROLES", "SpecialTokens"]

ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class _Token:
    """Attribute ``cls_token`` and the like: the token of a role, None if the tokenizer has none."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._role = name

    def __get__(self, obj: SpecialTokens | None, owner: type) -> str | None:
        token = None if obj is None else obj._roles.get(self._role)
        return None if token is None else token.content

    def __set__(self, obj: SpecialTokens, value: Any) -> None:
        obj._set_role(self._role, value)


class _TokenId:
    """Attribute ``cls_token_id`` and the like: the id of a role's token, None if the tokenizer has none."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._role = name.removesuffix("_id")

    def __get__(self, obj: SpecialTokens | None, owner: type) -> int | None:
        token = None if obj is None else obj._roles.get(self._role)
        return None if obj is None or token is None else obj._id_of(token.content)

    def __set__(self, obj: SpecialTokens, value: int | None) -> None:
        obj._set_role(self._role, None if value is None else obj._token_of(value))


class SpecialTokens:
    """Special tokens as attributes that can be read and set."""

    bos_token, eos_token, unk_token, sep_token = _Token(), _Token(), _Token(), _Token()
    pad_token, cls_token, mask_token = _Token(), _Token(), _Token()
    bos_token_id, eos_token_id, unk_token_id, sep_token_id = _TokenId(), _TokenId(), _TokenId(), _TokenId()
    pad_token_id, cls_token_id, mask_token_id = _TokenId(), _TokenId(), _TokenId()

    def _init_roles(self, tokens: Iterable[Any], additional: Iterable[Any]) -> None:
        """Set the tokens of all roles, in the order of ``ROLES``, and those without a role."""
        self._roles: dict[str, AddedToken] = {}
        self._additional = [as_added(token, special=True) for token in additional]
        for role, token in zip(ROLES, tokens, strict=True):
            self._set_role(role, token)

    def _set_role(self, role: str, token: Any) -> None:
        if token is None:
            self._roles.pop(role, None)
        elif isinstance(token, (str, Mapping)) or hasattr(token, "content"):
            self._roles[role] = as_added(token, special=True)
        else:
            raise InputError(f"{role}={token!r} must be a string, an AddedToken or None")

    def _id_of(self, token: str) -> int | None:
        raise NotImplementedError

    def _token_of(self, id_: int) -> str | None:
        raise NotImplementedError

    @property
    def additional_special_tokens(self) -> list[str]:
        """Special tokens without a role."""
        return [token.content for token in self._additional]

    @additional_special_tokens.setter
    def additional_special_tokens(self, tokens: Iterable[Any]) -> None:
        self._additional = [as_added(token, special=True) for token in tokens]

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        """The ids of :attr:`additional_special_tokens`."""
        return [id_ for token in self.additional_special_tokens if (id_ := self._id_of(token)) is not None]

    @property
    def special_tokens_map(self) -> dict[str, str | list[str]]:
        """Role -> token, and ``additional_special_tokens`` -> the rest."""
        named: dict[str, str | list[str]] = {role: self._roles[role].content for role in ROLES if role in self._roles}
        return {**named, "additional_special_tokens": self.additional_special_tokens} if self._additional else named

    @property
    def special_tokens_map_extended(self) -> dict[str, AddedToken | list[AddedToken]]:
        """As :attr:`special_tokens_map`, with the rules by which each token is matched."""
        named: dict[str, AddedToken | list[AddedToken]] = {
            role: self._roles[role] for role in ROLES if role in self._roles
        }
        return {**named, "additional_special_tokens": list(self._additional)} if self._additional else named

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token, once."""
        return [token.content for token in self.all_special_tokens_extended]

    @property
    def all_special_tokens_extended(self) -> list[AddedToken]:
        """Every special token, once, with the rules by which it is matched."""
        ordered = [self._roles[role] for role in ROLES if role in self._roles] + self._additional
        return list({token.content: token for token in ordered}.values())

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of :attr:`all_special_tokens`."""
        return [id_ for token in self.all_special_tokens if (id_ := self._id_of(token)) is not None]
