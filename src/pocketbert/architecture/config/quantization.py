"""How ``config.json`` says that a checkpoint is in int8, under the name that Hugging Face gives it."""

from __future__ import annotations

from pocketbert.architecture.config.base import PretrainedConfig

__all__ = ["QUANTIZATION", "is_quantized"]

_METHOD = "pocketbert"
# plan.int8.arithmetic defines the rounding
QUANTIZATION = {
    "quant_method": _METHOD,
    "bits": 8,
    "weights": "int8, symmetric, one scale per output channel (per word of the word table)",
    "activations": "int8, symmetric, one scale per row, found as it is run",
}


def is_quantized(config: PretrainedConfig) -> bool:
    """Whether a configuration is that of a checkpoint which ``pocketbert quantize`` wrote."""
    found = getattr(config, "quantization_config", None)
    return isinstance(found, dict) and found.get("quant_method") == _METHOD
