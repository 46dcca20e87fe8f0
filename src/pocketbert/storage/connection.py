"""Whether the hub can be reached, asked once: its client tries each file six times over minutes before it gives up."""

from __future__ import annotations

import time

__all__ = ["root_cause", "unreachable"]

_FORGET = 60.0  # seconds after which a hub that did not answer is asked again
_silent: dict[str, tuple[float, str]] = {}  # endpoint -> when it did not answer, and why
_answered: set[str] = set()


def unreachable() -> str | None:
    """Return one line that says why the hub does not answer, or None if it does.

    Any answer will do. It waits as long as the client would for one (``HF_HUB_ETAG_TIMEOUT``, 10 seconds), and goes
    through the client's own session, so that proxies and certificates count. What it found is remembered, a failure
    for a minute.
    """
    from huggingface_hub import constants, get_session

    endpoint = constants.ENDPOINT
    when, why = _silent.get(endpoint, (-_FORGET, ""))
    if endpoint in _answered:
        return None
    if time.monotonic() - when < _FORGET:
        return why
    try:
        get_session().head(endpoint, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception as error:  # what a lost connection raises is the business of the client's HTTP library
        why = f"{endpoint} does not answer ({root_cause(error)})"
        _silent[endpoint] = (time.monotonic(), why)
        return why
    _answered.add(endpoint)
    return None


def root_cause(error: BaseException) -> str:
    """Return the first line of the error that an error began with, which is the shortest."""
    seen = {id(error)}
    while (deeper := error.__cause__ or error.__context__) is not None and id(deeper) not in seen:
        error = deeper
        seen.add(id(error))
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
