"""Lone surrogates, which Python strings may hold and the ``tokenizers`` library, which takes UTF-8, does not."""

from __future__ import annotations

import re

__all__ = ["replace_surrogates"]

_SURROGATE = re.compile("[\ud800-\udfff]")


def replace_surrogates(text: str) -> str:
    """Replace each lone surrogate by U+FFFD, one character by one, so that offsets stay."""
    return _SURROGATE.sub("\ufffd", text)
