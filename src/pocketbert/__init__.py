"""pocketbert: DistilBERT and MobileBERT, exact and small.

Every public name is resolved when it is first used, so importing the package imports no framework.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pocketbert.paths import add_modules

__version__ = "0.1.0"

_HEADS = (
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForMultipleChoice",
    "ForTokenClassification",
    "ForQuestionAnswering",
)
_BERT_HEADS = ("ForPreTraining", "ForMaskedLM", "ForNextSentencePrediction", *_HEADS[1:])

# room -> the public names that live in it
_ROOMS: dict[str, tuple[str, ...]] = {
    "architecture.config": ("PretrainedConfig", "DistilBertConfig", "MobileBertConfig", "BertConfig", "AutoConfig"),
    "errors": (
        "PocketBertError",
        "ConfigError",
        "InputError",
        "PrecisionError",
        "CheckpointError",
        "UnsafeFileError",
        "HubError",
        "MissingExtra",
        "PipelineException",
        "TrainingError",
    ),
    "architecture.outputs": (
        "ModelOutput",
        "MobileBertForPreTrainingOutput",
        "BertForPreTrainingOutput",
        "TFMobileBertForPreTrainingOutput",
    ),
    "tokenizer": (
        "AutoTokenizer",
        "BertTokenizer",
        "BertTokenizerFast",
        "DistilBertTokenizer",
        "DistilBertTokenizerFast",
        "MobileBertTokenizer",
        "MobileBertTokenizerFast",
        "PreTrainedTokenizerBase",
        "PreTrainedTokenizer",
        "PreTrainedTokenizerFast",
        "SpecialTokensMixin",
        "BatchEncoding",
        "TensorType",
        "AddedToken",
        "BasicTokenizer",
        "WordpieceTokenizer",
    ),
    "tasks": (
        "pipeline",
        "Pipeline",
        "TextClassificationPipeline",
        "TokenClassificationPipeline",
        "QuestionAnsweringPipeline",
        "FillMaskPipeline",
        "ZeroShotClassificationPipeline",
        "FeatureExtractionPipeline",
        "MultipleChoicePipeline",
        "NextSentencePredictionPipeline",
    ),
    "constants": ("CONFIG_NAME", "TF2_WEIGHTS_NAME", "WEIGHTS_NAME"),
    "extras": ("is_tf_available", "is_torch_available"),
    "seeds": ("set_seed",),
    "quantization": ("quantize", "QuantizationReport"),
    "training.callbacks": ("Callback",),
    "training.distilbert": ("distil_distilbert",),
    "training.finetune": ("finetune",),
    "training.lora": ("load_adapters", "merge_adapters"),
    "training.mobilebert": ("distil_mobilebert",),
    "training.pretrain": ("pretrain",),
    "torch.model": ("PreTrainedModel",),
    "torch.distilbert": (
        "DistilBertPreTrainedModel",
        "DistilBertModel",
        *(f"DistilBert{head}" for head in _HEADS),
    ),
    "torch.mobilebert": (
        "MobileBertPreTrainedModel",
        "MobileBertModel",
        *(f"MobileBert{head}" for head in _BERT_HEADS),
    ),
    "torch.bert": ("BertPreTrainedModel", "BertModel", *(f"Bert{head}" for head in _BERT_HEADS)),
    "torch.training": (
        "DataCollatorWithPadding",
        "get_constant_schedule",
        "get_constant_schedule_with_warmup",
        "get_cosine_schedule_with_warmup",
        "get_linear_schedule_with_warmup",
    ),
    "torch.auto": ("AutoModel", "AutoModelWithLMHead", *(f"AutoModel{head}" for head in _BERT_HEADS)),
    "keras.auto": ("TFAutoModel", "TFAutoModelWithLMHead", *(f"TFAutoModel{head}" for head in _BERT_HEADS)),
    "keras.model": ("TFPreTrainedModel",),
    "keras.distilbert": (
        "TFDistilBertPreTrainedModel",
        "TFDistilBertModel",
        *(f"TFDistilBert{head}" for head in _HEADS),
    ),
    "keras.mobilebert": (
        "TFMobileBertPreTrainedModel",
        "TFMobileBertModel",
        *(f"TFMobileBert{head}" for head in _BERT_HEADS),
    ),
}
_WHERE = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = ["__version__", *_WHERE]


def __getattr__(name: str) -> Any:
    room = _WHERE.get(name)
    if room is None:
        raise AttributeError(f"module 'pocketbert' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"pocketbert.{room}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from pocketbert.architecture.config import *
    from pocketbert.architecture.outputs import *
    from pocketbert.constants import *
    from pocketbert.errors import *
    from pocketbert.extras import *
    from pocketbert.keras.auto import *
    from pocketbert.keras.distilbert import *
    from pocketbert.keras.mobilebert import *
    from pocketbert.keras.model import *
    from pocketbert.quantization import *
    from pocketbert.seeds import *
    from pocketbert.tasks import *
    from pocketbert.tokenizer import *
    from pocketbert.torch.auto import *
    from pocketbert.torch.bert import *
    from pocketbert.torch.distilbert import *
    from pocketbert.torch.mobilebert import *
    from pocketbert.torch.model import *
    from pocketbert.torch.training import *
    from pocketbert.training.callbacks import *
    from pocketbert.training.distilbert import distil_distilbert as distil_distilbert
    from pocketbert.training.finetune import *
    from pocketbert.training.lora import *
    from pocketbert.training.mobilebert import distil_mobilebert as distil_mobilebert
    from pocketbert.training.pretrain import pretrain as pretrain

add_modules()
