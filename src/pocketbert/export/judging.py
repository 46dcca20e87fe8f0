"""How near an exported file is to the model it was made from, and whether that is near enough."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.errors import InputError, PrecisionError
from pocketbert.plan.structure import Array
from pocketbert.runtime.batching import PackedBatch, Row, pack

__all__ = ["FLOAT_LIMIT", "INT8_LIMIT", "Report", "check_limit", "judge", "measure", "random_texts"]

FLOAT_LIMIT = 1e-3  # largest difference of a float32 file, relative to the output's largest value
INT8_LIMIT = 0.9  # least agreement of an int8 file with the float32 model


@dataclass(frozen=True)
class Report:
    """What was written, and how near it is to the float32 model.

    Attributes:
        path: the file or folder.
        size: its bytes.
        head: the head that it has.
        int8: whether weights are in 8 bits.
        inputs: names of the graph's inputs, each (batch, length).
        errors: output -> largest difference, relative to the output's largest value.
        agreement: output -> cosine between its values and the expected ones, both less the expected ones' mean, so
            that 1 is best; of hidden states, channel by channel and divided by the channel's spread, so that a few huge
            ones do not decide.
    """

    path: Path
    size: int
    head: str
    int8: bool
    inputs: tuple[str, ...]
    errors: dict[str, float]
    agreement: dict[str, float]


def check_limit(limit: float | None) -> None:
    """Raise InputError unless ``limit`` is None or a number of at least 0."""
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, (int, float)) or not limit >= 0):
        raise InputError(f"limit={limit!r} must be a number of at least 0")


def random_texts(config: PretrainedConfig, lengths: Iterable[tuple[int, ...]], typed: bool) -> Iterator[PackedBatch]:
    """Yield batches of texts of these lengths, of pseudo-random words, the same on every call."""
    generator = np.random.default_rng(1)
    for batch in lengths:
        rows = []
        for length in batch:
            tokens = min(length, config.max_position_embeddings)
            types = generator.integers(0, config.type_vocab_size, tokens).tolist() if typed else None
            rows.append(Row(generator.integers(0, config.vocab_size, tokens).tolist(), types))
        yield pack(rows)


def measure(
    found: Mapping[str, list[Array]], expected: Mapping[str, list[Array]]
) -> tuple[dict[str, float], dict[str, float]]:
    """Compare outputs, each a list of arrays that are equal in shape on both sides.

    Returns:
        errors and agreement, by output; see ``Report``.
    """
    return (
        {name: _error(found[name], expected[name]) for name in found},
        {name: _likeness(found[name], expected[name], name == "last_hidden_state") for name in found},
    )


def judge(
    errors: Mapping[str, float], agreement: Mapping[str, float], int8: bool, limit: float | None, cure: str
) -> None:
    """Raise PrecisionError where an output is off; NaN is never near enough.

    ``errors`` decide for a float32 file and ``agreement`` for an int8 file, where ``cure`` says what to do. A limit of
    None means ``FLOAT_LIMIT`` or ``INT8_LIMIT``.
    """
    if int8:
        name, value = min(agreement.items(), key=lambda item: -np.inf if np.isnan(item[1]) else item[1])
        least = INT8_LIMIT if limit is None else limit
        if not value >= least:
            raise PrecisionError(
                f"in int8 the agreement of {name} with float32 is {value:.3f}, below the limit of {least}; nothing was "
                f"written: {cure}, or pass a lower limit"
            )
        return
    name, value = max(errors.items(), key=lambda item: np.inf if np.isnan(item[1]) else item[1])
    most = FLOAT_LIMIT if limit is None else limit
    if not value <= most:
        raise PrecisionError(
            f"{name} differs from the reference by {value:.1e} of its largest value, more than the limit of {most:.1e}"
            "; nothing was written: the model multiplies the rounding of float32"
        )


def _error(found: list[Array], expected: list[Array]) -> float:
    """Return the largest difference, relative to the largest value."""
    difference = max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True))
    if not all(np.isfinite(rows).all() for rows in found):
        return float("nan")
    return difference / max(max(float(np.abs(b).max()) for b in expected), 1e-30)


def _likeness(found: list[Array], expected: list[Array], by_channel: bool) -> float:
    """Return the cosine between values, centered where the expected ones have their mean."""
    flat = [[rows if by_channel else rows.ravel() for rows in side] for side in (found, expected)]
    a, b = (np.concatenate(side).astype(np.float64) for side in flat)
    axis = 0 if by_channel else None
    center, spread = b.mean(axis=axis), b.std(axis=axis)
    spread = np.where(spread > 0, spread, 1)
    a, b = (a - center) / spread, (b - center) / spread
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float((a * b).sum()) / size if size else 1.0
