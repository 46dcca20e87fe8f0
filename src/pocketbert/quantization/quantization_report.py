"""What quantizing a model cost, as stored beside the weights in ``report.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Part", "QuantizationReport", "Score"]


@dataclass(frozen=True)
class Score:
    """A metric on labeled data, at best 1, with float32 weights and with int8 weights."""

    name: str
    before: float
    after: float

    @property
    def fall(self) -> float:
        """``before - after``; negative where int8 does better."""
        return self.before - self.after


@dataclass(frozen=True)
class Part:
    """A part of the model (``"embeddings"``, ``"layer 3"``, ``"head"``) and what int8 in that part alone costs.

    ``loss`` is 1 minus the cosine between results and those of float32; see ``QuantizationReport.loss``.
    """

    name: str
    loss: float


@dataclass(frozen=True)
class QuantizationReport:
    """What ``quantize`` measured.

    Attributes:
        folder: the int8 checkpoint.
        source: the float checkpoint.
        head: the head that both have.
        size_before: bytes of the source's weights.
        size_after: bytes of the int8 weights.
        texts: what agreement was measured on: ``"built-in texts"``, ``"given texts"`` or ``"pseudo-random
            words"``.
        agreement: of int8 results with those of float32, for the hidden states and every answer: cosines, errors and
            shares of equal answers, by the names that ``plan.agreement`` lists.
        scores: the task's metrics on labeled data, the deciding one first; empty where no data was given.
        loss: what ``max_loss`` limits: the fall of the first score, or without scores 1 minus the least cosine of the
            results (for a bare encoder, of the hidden states).
        max_loss: the limit.
        parts: what int8 costs in each part alone, the worst first.

    Example:
        >>> from pocketbert.quantization.quantization_report import Part, QuantizationReport
        >>> sizes = {"size_before": 400, "size_after": 104}
        >>> losses = {"loss": 0.002, "max_loss": 0.01, "parts": (Part("layer 3", 0.0015), Part("embeddings", 0.0002))}
        >>> measured = {"texts": "built-in texts", "agreement": {"hidden_cosine": 0.998}, "scores": ()}
        >>> report = QuantizationReport("int8", "model", "none", **sizes, **measured, **losses)
        >>> report.worst.name
        'layer 3'
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
        """The part with the largest loss."""
        return self.parts[0]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a dictionary."""
        return asdict(self)

    def to_json(self) -> str:
        """Return the text of ``report.json``, which leaves out ``folder`` and ``source``."""
        content = self.to_dict()
        del content["folder"], content["source"]
        return json.dumps(content, indent=2) + "\n"
