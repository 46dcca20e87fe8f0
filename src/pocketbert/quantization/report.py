"""What quantising did to a model: typed, printable, and stored beside the weights as ``report.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["FILE_NAME", "Part", "QuantizationReport", "Score"]

FILE_NAME = "report.json"


@dataclass(frozen=True)
class Score:
    """A metric on labelled data, 1 at best, with the float32 weights and with the int8 ones."""

    name: str
    before: float
    after: float

    @property
    def fall(self) -> float:
        """How much is lost; negative where int8 does better."""
        return self.before - self.after


@dataclass(frozen=True)
class Part:
    """A part of the model (``"embeddings"``, ``"layer 3"``, ``"head"``) and what int8 in it alone costs.

    ``loss`` is 1 less the agreement with float32, as in ``QuantizationReport``.
    """

    name: str
    loss: float


@dataclass(frozen=True)
class QuantizationReport:
    """What ``quantize`` measured.

    Attributes:
        folder: the int8 checkpoint.
        source: the checkpoint that it was made from.
        head: the head that both have.
        size_before: bytes of the source's weights.
        size_after: bytes of the int8 weights.
        texts: what agreement was measured on: ``"built-in texts"``, ``"given texts"`` or ``"pseudo-random
            words"``.
        agreement: of the int8 results with the float32 ones, see ``plan.agreement``: cosines, shares of equal answers
            and errors, of the hidden states and of every head.
        scores: the task's metrics on labelled data, the deciding one first; empty without such data.
        loss: what ``max_loss`` limits: the fall of the first score, or without scores 1 less the least cosine of the
            results (of the hidden states for a bare encoder).
        max_loss: the limit.
        parts: what int8 costs in each part alone, the worst first.
    """

    folder: str
    source: str
    head: str
    size_before: int
    size_after: int
    texts: str
    agreement: dict[str, float]
    scores: tuple[Score, ...]
    loss: float
    max_loss: float
    parts: tuple[Part, ...]

    @property
    def worst(self) -> Part:
        """The part that loses most."""
        return self.parts[0]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``report.json``."""
        return asdict(self)

    def to_json(self) -> str:
        """Return ``report.json``; it holds no path of this machine."""
        content = self.to_dict()
        del content["folder"], content["source"]
        return json.dumps(content, indent=2) + "\n"
