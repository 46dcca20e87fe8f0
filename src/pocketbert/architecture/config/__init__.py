"""What a model is: DistilBertConfig, MobileBertConfig and BertConfig, in and out of Hugging Face's ``config.json``.

Parameters, order and defaults are those of the original documentation. A configuration is checked when it is made and
again when a model is built from it. Names that older checkpoints carry and that mean nothing here are kept, so that a
file that is read and written loses nothing.
"""

from __future__ import annotations

from pocketbert.architecture.config.auto import AutoConfig
from pocketbert.architecture.config.bert import BertConfig
from pocketbert.architecture.config.distilbert import DistilBertConfig
from pocketbert.architecture.config.field_checks import ACTIVATIONS
from pocketbert.architecture.config.mobilebert import MobileBertConfig
from pocketbert.architecture.config.pretrained_config import PROBLEM_TYPES, PretrainedConfig

__all__ = [
    "PretrainedConfig",
    "DistilBertConfig",
    "MobileBertConfig",
    "BertConfig",
    "AutoConfig",
    "ACTIVATIONS",
    "PROBLEM_TYPES",
]
