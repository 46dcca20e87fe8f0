"""The hub's access token, which is sent to the hub and shown to nobody."""

from __future__ import annotations

from pocketbert.errors import HubError

__all__ = ["checked_token", "first_line"]


def checked_token(token: str | bool | None) -> str | bool | None:
    """Return a token without spaces and line ends around it, as a file has them.

    Raises:
        HubError: it holds what no token does. The HTTP client would refuse it, too, and show it.
    """
    if not isinstance(token, str):
        return token
    token = token.strip()
    if not token or not all("!" <= character <= "~" for character in token):
        raise HubError("token= is empty, or holds a space, a control character or one outside ASCII; no token does")
    return token


def first_line(error: BaseException, token: str | bool | None = None) -> str:
    """Return the first line of an error's message, without the token that was given or is stored."""
    from huggingface_hub import get_token

    lines = str(error).strip().splitlines()
    line = lines[0] if lines else type(error).__name__
    for secret in (token, get_token()):
        if isinstance(secret, str) and secret:
            line = line.replace(secret, "...")
    return line
