"""Dtypes in which a model overflows."""

from __future__ import annotations

from pocketbert.architecture.config import PretrainedConfig
from pocketbert.errors import PrecisionError

__all__ = ["check_precision"]


def check_precision(config: PretrainedConfig, dtype: str, *, allow_float16: bool) -> None:
    """Refuse a dtype in which this architecture overflows.

    Raises:
        PrecisionError: float16 with ``normalization_type="no_norm"``, unless it is allowed.
    """
    if dtype == "float16" and getattr(config, "normalization_type", "") == "no_norm" and not allow_float16:
        raise PrecisionError(
            "a no_norm MobileBERT overflows in float16: its activations reach 1e7 and more, float16 ends at 65504, "
            "and the outputs become NaN; use bfloat16 (or pass allow_float16=True to from_pretrained)"
        )
