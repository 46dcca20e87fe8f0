"""Checkpoints in int8: measured before they are written, and refused where they lose too much."""

from __future__ import annotations

from pocketbert.quantization.checkpoint import quantize
from pocketbert.quantization.report import QuantizationReport

__all__ = ["QuantizationReport", "quantize"]
