"""Building pipelines: arguments, attributes, classes, saving."""

import torch
from transformers import (
    AutoConfig,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    FillMaskPipeline,
    Pipeline,
    QuestionAnsweringPipeline,
    TextClassificationPipeline,
    TokenClassificationPipeline,
    pipeline,
)

folder = checkpoint("DistilBert", "ForSequenceClassification", num_labels=3, scale=4)
model = AutoModelForSequenceClassification.from_pretrained(folder)
tokenizer = AutoTokenizer.from_pretrained(folder)
config = AutoConfig.from_pretrained(folder)
TEXT = "John works in new york"
tags = checkpoint("MobileBert", "ForTokenClassification", num_labels=4)
squad = checkpoint("DistilBert", "ForQuestionAnswering")

built = {
    "plain": pipeline("text-classification", folder),
    "positional": pipeline("sentiment-analysis", folder, config, tokenizer),
    "minus one": pipeline("sentiment-analysis", folder, device=-1),
    "torch device": pipeline("sentiment-analysis", folder, device=torch.device("cpu")),
    "named": pipeline(
        "sentiment-analysis", model=folder, tokenizer=folder, device="cpu", framework="pt", use_fast=True
    ),
    "spread": pipeline("sentiment-analysis", folder, batch_size=8, num_workers=0, trust_remote_code=False, token=None),
    "dtype": pipeline("sentiment-analysis", folder, torch_dtype=torch.float32, revision="main"),
    "old": pipeline("sentiment-analysis", folder, return_all_scores=True),
    "all": pipeline("sentiment-analysis", folder, top_k=None),
    "two": pipeline("sentiment-analysis", folder, top_k=2, function_to_apply="sigmoid"),
    "cut": pipeline("sentiment-analysis", folder, truncation=True, max_length=6, padding=True),
    "model": pipeline("sentiment-analysis", model=model, tokenizer=tokenizer, device="cpu"),
    "slow": pipeline("sentiment-analysis", model=model, tokenizer=(folder, {"use_fast": False}), device=-1),
    "kwargs": pipeline(
        "sentiment-analysis", folder, model_kwargs={"low_cpu_mem_usage": True, "attn_implementation": "eager"}
    ),
    "class": TextClassificationPipeline(model=model, tokenizer=tokenizer, device=-1),
    "class, all": TextClassificationPipeline(model=model, tokenizer=tokenizer, return_all_scores=True, framework="pt"),
}
built["plain"].save_pretrained(out + "/saved")
built["saved"] = pipeline("text-classification", model=out + "/saved")
results = {name: [pipe(TEXT), pipe([TEXT, TEXT]), pipe(TEXT, top_k=2)] for name, pipe in built.items()}
for name, pipe in built.items():
    results[name, "about"] = [
        type(pipe).__name__,
        isinstance(pipe, Pipeline),
        pipe.framework,
        pipe.tokenizer.is_fast,
        pipe.model.config.id2label,
        pipe.model.config.num_labels,
        str(pipe.device),
        pipe.device.type,
        str(pipe.model.device),
        pipe.model.eval() is pipe.model,
        str(pipe.dtype).rpartition(".")[-1],
    ]
results["task"] = [built["plain"].task, built["minus one"].task]
results["predict"] = [built["plain"].predict([TEXT]), built["plain"].transform([TEXT])]
built["plain"].model.config.id2label = {0: "x", 1: "y", 2: "z"}
results["renamed"] = built["plain"]([TEXT])

ner = TokenClassificationPipeline(
    model=AutoModelForTokenClassification.from_pretrained(tags),
    tokenizer=AutoTokenizer.from_pretrained(tags),
    aggregation_strategy="first",
    ignore_labels=[],
)
results["ner"] = [ner(TEXT), ner(TEXT, aggregation_strategy="none"), ner(TEXT.split(), is_split_into_words=True)]
qa = QuestionAnsweringPipeline(
    AutoModelForQuestionAnswering.from_pretrained(squad), AutoTokenizer.from_pretrained(squad)
)
results["qa"] = qa(question="who works", context=TEXT)
results["errors"] = []
for wrong in (
    lambda: pipeline("sentiment-analysis", folder, framework="jax"),
    lambda: ner([]),
    lambda: qa(question="", context=TEXT),
    lambda: qa(question="who", context=""),
    lambda: qa(question=["a", "b"], context=["a"]),
    lambda: built["plain"](["a", ["b", "c"]]),
):
    try:
        wrong()
    except Exception:
        results["errors"].append("refused")
    else:
        results["errors"].append("done")
fill = pipeline("fill-mask", checkpoint("DistilBert", "ForMaskedLM"))
results["fill class"] = isinstance(fill, FillMaskPipeline)
try:
    fill("no mask")
except Exception as error:
    results["mask"] = [type(error).__name__, error.task, error.model]
