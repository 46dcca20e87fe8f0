"""int8 checkpoints: their loss is measured, and they are written only if it is small enough."""

from __future__ import annotations

from pocketbert.quantization.checkpoint import quantize
from pocketbert.quantization.quantization_report import QuantizationReport

__all__ = ["QuantizationReport", "quantize"]
