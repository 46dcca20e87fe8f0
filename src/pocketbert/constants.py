"""Constants that scripts import: names of files, and the values of some arguments as enumerations."""

from __future__ import annotations

from enum import Enum

__all__ = ["CONFIG_NAME", "SAFE_WEIGHTS_NAME", "TF2_WEIGHTS_NAME", "WEIGHTS_NAME"]
__all__ += ["AggregationStrategy", "ClassificationFunction", "PaddingStrategy", "TruncationStrategy"]

CONFIG_NAME = "config.json"
SAFE_WEIGHTS_NAME = "model.safetensors"
TF2_WEIGHTS_NAME = "tf_model.h5"
WEIGHTS_NAME = "pytorch_model.bin"


class AggregationStrategy(str, Enum):  # noqa: UP042  # as in transformers, here and below: str() gives the name
    """Values of ``aggregation_strategy`` in token classification."""

    NONE = "none"
    SIMPLE = "simple"
    FIRST = "first"
    AVERAGE = "average"
    MAX = "max"


class ClassificationFunction(str, Enum):  # noqa: UP042
    """Values of ``function_to_apply`` in text classification."""

    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"
    NONE = "none"


class PaddingStrategy(str, Enum):  # noqa: UP042
    """Values of ``padding`` in calls of tokenizers."""

    LONGEST = "longest"
    MAX_LENGTH = "max_length"
    DO_NOT_PAD = "do_not_pad"


class TruncationStrategy(str, Enum):  # noqa: UP042
    """Values of ``truncation`` in calls of tokenizers."""

    ONLY_FIRST = "only_first"
    ONLY_SECOND = "only_second"
    LONGEST_FIRST = "longest_first"
    DO_NOT_TRUNCATE = "do_not_truncate"
