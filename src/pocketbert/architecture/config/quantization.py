"""The entry of ``config.json`` that marks an int8 checkpoint, under Hugging Face's name for it."""

from __future__ import annotations

from pocketbert.architecture.config.pretrained_config import PretrainedConfig

__all__ = ["QUANTIZATION", "is_quantized"]

_METHOD = "pocketbert"
# plan.arithmetic defines the rounding
QUANTIZATION = {
    "quant_method": _METHOD,
    "bits": 8,
    "weights": "int8, symmetric, one scale per output channel (per word of the word table)",
    "activations": "int8, symmetric, one scale per row, computed at run time",
}


def is_quantized(config: PretrainedConfig) -> bool:
    """Whether a configuration is that of a checkpoint which ``pocketbert quantize`` wrote."""
    found = getattr(config, "quantization_config", None)
    return isinstance(found, dict) and found.get("quant_method") == _METHOD
