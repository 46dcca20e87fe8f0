"""Checks of a ``tokenizer.json``: which steps and models it may hold, and how large.

A file from a stranger is a small program: its steps rewrite every text. Those that published checkpoints have are
accepted, within bounds that keep memory and time in proportion to the text; all others are refused by name.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pocketbert.errors import CheckpointError
from pocketbert.storage.texts import parse_json, read_text

if TYPE_CHECKING:
    import tokenizers

__all__ = ["MAX_ADDED", "MAX_ID", "check_ids", "expansion", "flat_steps", "read_checked", "state_of"]

MAX_ID = 2**24 - 1  # of a token; far above any vocabulary
MAX_ADDED = 2_000_000  # characters of all added tokens: the automaton that finds them takes much memory for each
_MAX_STEPS = 16  # of a kind
_MAX_STRING = 256  # characters of a string in a step
_MAX_ENTRIES = 64  # of a list in a step
_MAX_EXPANSION = 64  # by which the steps may lengthen a text
_MAX_WORD = 1000  # characters that WordPiece looks at; its time grows with their square

# kind of step -> the field of a Sequence that holds its steps, and the other types
_STEPS: dict[str, tuple[str, frozenset[str]]] = {
    "normalizer": (
        "normalizers",
        frozenset({"BertNormalizer", "ByteLevel", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled"})
        | {"Prepend", "Replace", "Strip", "StripAccents"},
    ),
    "pre_tokenizer": (
        "pretokenizers",
        frozenset({"BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "FixedLength", "Metaspace"})
        | {"Punctuation", "Split", "UnicodeScripts", "Whitespace", "WhitespaceSplit"},
    ),
    "post_processor": (
        "processors",
        frozenset({"BertProcessing", "ByteLevel", "RobertaProcessing", "TemplateProcessing"}),
    ),
    "decoder": (
        "decoders",
        frozenset({"BPEDecoder", "ByteFallback", "ByteLevel", "Fuse", "Metaspace", "Replace", "Strip", "WordPiece"}),
    ),
}
_MODELS = ("WordPiece", "WordLevel", "BPE", "Unigram")
_COMPATIBILITY = 18  # characters that Unicode's compatibility decomposition makes of one, at most (U+FDFA)
_BYTES = 4  # characters that a byte-level step makes of one, at most

# Patterns whose time is in proportion to the text: branches of characters and classes, of which only the last may
# repeat without end; and those of published byte-level tokenizers, which need more.
_ESCAPE = r"\\[sSdDwWnrt]|\\[pP]\{\^?\w{1,32}\}|\\[^\w\s]"
_SET = rf"(?:{_ESCAPE}|\[\^?(?:{_ESCAPE}|[^\\\[\]&])+\])"
_ATOM = rf"(?:{_SET}|[^\\\[\](){{}}|*+?^$])"
_BRANCH = rf"(?:{_ATOM}\??)*{_ATOM}(?:[+*?]|\{{\d(?:,\d?)?\}})?"
_LINEAR = re.compile(rf"{_BRANCH}(?:\|{_BRANCH})*")
_MOST_OPTIONAL = 3  # optional parts of a pattern; each doubles the ways to match
_CONTRACTIONS, _BREAKS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|", r"[\r\n]*|\s*[\r\n]+|"
_OTHERS, _SPACES = r" ?[^\s\p{L}\p{N}]+", r"\s+(?!\S)|\s+"
_KNOWN_PATTERNS = frozenset(
    {
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+|" + f"{_OTHERS}|{_SPACES}",
        _CONTRACTIONS + r"\p{N}{1,3}|" + f"{_OTHERS}{_BREAKS}{_SPACES}",
        _CONTRACTIONS + r"\p{N}|" + f"{_OTHERS}{_BREAKS}{_SPACES}",
    }
)


def read_checked(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a ``tokenizer.json`` and check its steps, its model and its added tokens.

    Raises:
        CheckpointError: it cannot be read, or holds what is not accepted; the message names it.
    """
    data = parse_json(read_text(path), path)
    try:
        for kind in _STEPS:
            for step in _list_of_steps(kind, data.get(kind)):
                _check_values(kind, step)
        _expansion(data.get("normalizer"), data.get("pre_tokenizer"))
        decoders = _list_of_steps("decoder", data.get("decoder"))
        _check_expansion(_product(_replacement(step) for step in decoders if step["type"] == "Replace"), "decoder")
        _check_model(data["model"])
        _check_added(data.get("added_tokens") or [])
    except _Refused as error:
        raise CheckpointError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointError(f"{path} is not a tokenizer.json: {type(error).__name__} {error}") from error
    return data


class _Refused(Exception):
    """What is not accepted, in words."""


def flat_steps(kind: str, step: Any) -> Iterator[dict[str, Any]]:
    """Yield a step, or those of a Sequence in their order; ``kind`` is the field that holds it."""
    waiting = [] if step is None else [step]
    while waiting:
        step = waiting.pop()
        if step["type"] == "Sequence":
            waiting += reversed(step[_STEPS[kind][0]])
        else:
            yield step


def _list_of_steps(kind: str, step: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for each in flat_steps(kind, step):
        if each["type"] not in _STEPS[kind][1]:
            known = ", ".join(sorted(_STEPS[kind][1]))
            raise _Refused(f"its {kind} {each['type']!r} is none of those that are accepted: Sequence, {known}")
        found.append(each)
        if len(found) > _MAX_STEPS:
            raise _Refused(f"its {kind} has more than {_MAX_STEPS} steps, the limit")
    return found


def _check_values(kind: str, step: dict[str, Any]) -> None:
    """Check the sizes of what a step holds, however deep, and its patterns."""
    name = f"its {kind} {step['type']}"
    waiting: list[tuple[str, Any]] = [item for item in step.items() if item[0] != "precompiled_charsmap"]
    while waiting:
        field, value = waiting.pop()
        if isinstance(value, str) and len(value) > _MAX_STRING:
            raise _Refused(f"{name} has a {field} of {len(value)} characters; the limit is {_MAX_STRING}")
        if isinstance(value, (list, dict)) and len(value) > _MAX_ENTRIES:
            raise _Refused(f"{name} has a {field} of {len(value)} entries; the limit is {_MAX_ENTRIES}")
        if isinstance(value, (int, float)) and not 0 <= value <= MAX_ID:
            raise _Refused(f"{name} has {field}={value}; the limit is 0 .. {MAX_ID}")
        if isinstance(value, list):
            waiting += [(field, item) for item in value]
        elif isinstance(value, dict):
            waiting += value.items()
    pattern = step.get("pattern")
    if pattern is None:
        return
    if pattern.get("String") == "":
        raise _Refused(f"{name} has an empty pattern")
    regex = pattern.get("Regex")
    if regex is not None and regex not in _KNOWN_PATTERNS and not _is_linear(regex):
        raise _Refused(
            f"{name} has the pattern {regex!r}, whose time may grow faster than the text; "
            "groups, look-around and repetition before the end of a branch are not accepted"
        )


def _is_linear(regex: str) -> bool:
    return bool(_LINEAR.fullmatch(regex)) and re.sub(_SET, "", regex).count("?") <= _MOST_OPTIONAL


def state_of(step: Any) -> dict[str, Any] | None:
    """Return a step of the library as its file holds it; None if there is none, of a custom type for a caller's own."""
    if step is None:
        return None
    try:
        found: dict[str, Any] = json.loads(step.__getstate__())
    except Exception:  # the library has no other error for steps that are written in Python
        return {"type": "Custom"}
    return found


def expansion(library: tokenizers.Tokenizer) -> float:
    """Return the factor by which the steps of the library's tokenizer may lengthen a text; 1 for BERT's.

    Raises:
        CheckpointError: it is above the limit.
    """
    try:
        return _expansion(state_of(library.normalizer), state_of(library.pre_tokenizer))
    except _Refused as error:
        raise CheckpointError(f"the tokenizer cannot be used: {error}") from None


def _expansion(normalizer: Any, pre_tokenizer: Any) -> float:
    """Return the factor by which a text may grow; the step that Unicode defines counts once, since it is idempotent."""
    chosen, unicode = 1.0, 1.0
    for step in (*flat_steps("normalizer", normalizer), *flat_steps("pre_tokenizer", pre_tokenizer)):
        kind = step["type"]
        if kind == "Replace":
            chosen *= _replacement(step)
        elif kind == "Prepend":
            chosen *= 1 + len(step["prepend"])
        elif kind == "ByteLevel":
            chosen *= _BYTES
        elif kind in ("NFKC", "NFKD"):
            unicode = max(unicode, _COMPATIBILITY)
        elif kind == "Precompiled":
            unicode = max(unicode, _longest_mapped(step["precompiled_charsmap"]))
        _check_expansion(chosen * unicode, "normalizer and pre_tokenizer")
    return chosen * unicode


def _check_expansion(factor: float, what: str) -> None:
    if factor > _MAX_EXPANSION:
        raise _Refused(f"its {what} may make a text {factor:.0f} times as long; the limit is {_MAX_EXPANSION} times")


def _product(factors: Iterator[float]) -> float:
    product = 1.0
    for factor in factors:
        product *= factor
    return product


def _replacement(step: Mapping[str, Any]) -> float:
    """Return how many characters a Replace makes of one; of a regular expression's matches, which may be empty, too."""
    pattern, content = step["pattern"], len(step["content"])
    return max(1.0, content / len(pattern["String"])) if "String" in pattern else 1.0 + content


def _longest_mapped(charsmap: Any) -> int:
    """Return the characters of the longest text that a precompiled map puts in place of one.

    It is a trie of 32-bit units, after its size in bytes, and the texts that it leads to, each with a NUL at its end.
    """
    try:
        raw = base64.b64decode(charsmap or "", validate=True)
    except ValueError as error:
        raise _Refused(f"its normalizer Precompiled has a damaged map: {error}") from None
    size = int.from_bytes(raw[:4], "little")
    texts = raw[4 + size :]
    if size % 4 or not texts.endswith(b"\0"):
        raise _Refused("its normalizer Precompiled has a damaged map: its parts do not fit its size")
    return max(len(text.decode("utf-8", "replace")) for text in texts.split(b"\0"))


def _check_model(model: dict[str, Any]) -> None:
    """Check the model, and give it the type that old files leave out."""
    kind = model.setdefault("type", "BPE" if "merges" in model else "WordPiece")
    if kind not in _MODELS:
        raise _Refused(f"its model {kind!r} is none of {', '.join(_MODELS)}")
    most = model.get("max_input_chars_per_word", 0)
    if kind == "WordPiece" and (type(most) is not int or not 0 <= most <= _MAX_WORD):
        raise _Refused(f"its model has max_input_chars_per_word={most!r}; the limit is 0 .. {_MAX_WORD}")
    for name in ("unk_token", "continuing_subword_prefix", "end_of_word_suffix"):
        if len(model.get(name) or "") > _MAX_STRING:
            raise _Refused(f"its model has a {name} of {len(model[name])} characters; the limit is {_MAX_STRING}")
    if kind != "Unigram":
        fault = check_ids(model["vocab"])
        if fault is not None:
            raise _Refused(f"it holds no vocabulary of tokens and ids: {fault}")


def check_ids(vocab: Mapping[Any, Any]) -> str | None:
    """Return what is wrong with a vocabulary, token -> id; None if nothing is."""
    if not vocab:
        return "it is empty"
    if set(map(type, vocab)) != {str} or set(map(type, vocab.values())) != {int}:
        return "tokens must be strings, and ids whole numbers"
    if min(vocab.values()) < 0 or max(vocab.values()) > MAX_ID:
        token, id_ = next((token, id_) for token, id_ in vocab.items() if not 0 <= id_ <= MAX_ID)
        return f"{token!r} has id {id_}; the limit is 0 .. {MAX_ID}"
    if len(set(vocab.values())) < len(vocab):
        seen: dict[int, str] = {}
        token, id_ = next((token, id_) for token, id_ in vocab.items() if seen.setdefault(id_, token) != token)
        return f"{seen[id_]!r} and {token!r} have the same id {id_}"
    try:
        "".join(vocab).encode()
    except UnicodeEncodeError as error:
        return f"a token holds half a surrogate pair, {error.object[error.start]!r}"
    return None


def _check_added(tokens: list[dict[str, Any]]) -> None:
    size = sum(len(token["content"]) for token in tokens)
    if size > MAX_ADDED:
        raise _Refused(f"its added_tokens have {size} characters together; the limit is {MAX_ADDED}")
    for token in tokens:
        if not 0 <= token["id"] <= MAX_ID:
            raise _Refused(f"its added token {token['content']!r} has id {token['id']}; the limit is 0 .. {MAX_ID}")
