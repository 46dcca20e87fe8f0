"""Outputs of a model by name, by index, as a tuple and as a dict."""

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

folder = checkpoint("DistilBert", "ForSequenceClassification", num_labels=3)
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
batch = tokenizer(["The cat sat.", "Paris"], padding=True, return_tensors="pt")
with torch.no_grad():
    output = model(**batch, labels=torch.tensor([0, 2]), output_hidden_states=True)
    plain = model(**batch, return_dict=False)

results = {
    "batch": batch,
    "output": output,
    "tuple": output.to_tuple(),
    "loss": output[0],
    "logits": output["logits"],
    "slice": output[:2],
    "plain": plain,
    "label": model.config.id2label[output.logits[0].argmax().item()],
}
