"""Names imported from transformers' modules rather than from its top, and what scripts use beside models."""

import os

import torch
from transformers import CONFIG_NAME, AutoConfig, AutoTokenizer, DataCollatorWithPadding, logging, set_seed
from transformers.activations import ACT2FN, gelu, get_activation
from transformers.configuration_utils import PretrainedConfig
from transformers.modeling_outputs import BaseModelOutput, ModelOutput, SequenceClassifierOutput
from transformers.modeling_utils import PreTrainedModel
from transformers.models.auto import AutoModelForSequenceClassification
from transformers.models.auto.modeling_auto import AutoModel
from transformers.models.bert.modeling_bert import BertLayer, BertModel
from transformers.models.distilbert import DistilBertConfig, DistilBertTokenizerFast
from transformers.models.distilbert.modeling_distilbert import DistilBertModel, TransformerBlock
from transformers.models.mobilebert.configuration_mobilebert import MobileBertConfig
from transformers.models.mobilebert.modeling_mobilebert import MobileBertForPreTrainingOutput, MobileBertLayer
from transformers.models.mobilebert.tokenization_mobilebert_fast import MobileBertTokenizerFast
from transformers.optimization import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)
from transformers.pipelines import AggregationStrategy, PipelineException, TextClassificationPipeline, pipeline
from transformers.pipelines.base import Pipeline
from transformers.pipelines.pt_utils import KeyDataset
from transformers.pipelines.text_classification import ClassificationFunction
from transformers.tokenization_utils import PreTrainedTokenizer
from transformers.tokenization_utils_base import BatchEncoding, PreTrainedTokenizerBase, TruncationStrategy
from transformers.trainer_utils import set_seed as set_seed_of_trainer
from transformers.utils import WEIGHTS_NAME, PaddingStrategy, is_torch_available
from transformers.utils import logging as logging_of_utils

folder = checkpoint("DistilBert", "ForSequenceClassification", num_labels=3, scale=4)
tags = checkpoint("MobileBert", "ForTokenClassification", num_labels=4)
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder)
clf = pipeline("text-classification", folder)
TEXT = "John works in new york"
results = {
    "kinds": [
        isinstance(model, PreTrainedModel),
        isinstance(model.config, PretrainedConfig),
        isinstance(model.distilbert, DistilBertModel),
        isinstance(model.distilbert.transformer.layer[0], TransformerBlock),
        isinstance(tokenizer, (DistilBertTokenizerFast, MobileBertTokenizerFast)),
        isinstance(tokenizer, PreTrainedTokenizerBase),
        isinstance(tokenizer, PreTrainedTokenizer),
        isinstance(tokenizer(TEXT), BatchEncoding),
        isinstance(clf, TextClassificationPipeline),
        isinstance(clf, Pipeline),
        isinstance(model(torch.tensor([[5, 6]])), SequenceClassifierOutput),
        isinstance(AutoModel.from_pretrained(folder)(torch.tensor([[5, 6]])), BaseModelOutput),
        issubclass(MobileBertForPreTrainingOutput, ModelOutput),
        issubclass(PipelineException, Exception),
        logging is logging_of_utils,
        set_seed is set_seed_of_trainer,
        is_torch_available(),
        str(clf.dtype),
        clf.device == torch.device("cpu"),
    ],
    "names": [CONFIG_NAME, WEIGHTS_NAME, os.path.isfile(os.path.join(folder, CONFIG_NAME))],
    "layers": [type(BertModel), BertLayer.__name__, MobileBertLayer.__name__, type(MobileBertConfig())().model_type],
    "enumerations": [
        tokenizer([TEXT, "a"], padding=PaddingStrategy.MAX_LENGTH, max_length=9)["input_ids"],
        tokenizer(TEXT, TEXT, truncation=TruncationStrategy.ONLY_FIRST, max_length=9)["input_ids"],
        pipeline("ner", tags, aggregation_strategy=AggregationStrategy.SIMPLE)(TEXT),
        clf(TEXT, function_to_apply=ClassificationFunction.SIGMOID, top_k=None),
    ],
    "column": list(clf(KeyDataset([{"text": TEXT}, {"text": "a cat"}], "text"))),
}
results["layers"][0] = results["layers"][0].__name__

states = torch.linspace(-3, 3, 7)
results["activations"] = [gelu(states), *(ACT2FN[name](states) for name in ("gelu", "gelu_new", "relu", "silu"))]
results["activations"] += [get_activation("gelu")(states), ACT2FN["gelu"] is ACT2FN["gelu"]]

set_seed(3)
results["seed"] = torch.rand(3)

examples = [{**tokenizer(text), "label": label} for text, label in ((TEXT, 1), ("a cat", 0))]
batch = DataCollatorWithPadding(tokenizer)(examples)
results["batch"] = {name: batch[name] for name in sorted(batch)}


def rates(schedule, *arguments, **options):
    """Return the learning rates of twelve steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=2.0)
    scheduler = schedule(optimizer, *arguments, **options)
    found = []
    for _ in range(12):
        found.append(scheduler.get_last_lr())
        optimizer.step()
        scheduler.step()
    return found


results["rates"] = [
    rates(get_linear_schedule_with_warmup, num_warmup_steps=3, num_training_steps=10),
    rates(get_linear_schedule_with_warmup, 0, 12),
    rates(get_constant_schedule_with_warmup, num_warmup_steps=4),
    rates(get_cosine_schedule_with_warmup, 2, 11),
    rates(get_cosine_schedule_with_warmup, 0, 12, num_cycles=1.5),
]
before = logging.get_verbosity()
logging.set_verbosity_error()
results["verbosity"] = [logging.get_verbosity(), logging.ERROR]
logging.set_verbosity(before)


class Mine(DistilBertConfig):
    """A family of one's own."""

    model_type = "mine"


class MyTokenizer(DistilBertTokenizerFast):
    """With a tokenizer of its own."""


AutoConfig.register("mine", Mine, exist_ok=True)
AutoTokenizer.register(Mine, fast_tokenizer_class=MyTokenizer, exist_ok=True)
Mine(n_layers=1).save_pretrained(out + "/mine")
MyTokenizer.from_pretrained(folder).save_pretrained(out + "/mine")
again = AutoTokenizer.from_pretrained(out + "/mine")
results["registered"] = [type(again).__name__, again.tokenize(TEXT)]
