"""The reference documentation's examples run as they are printed, but for the package's name.

The names of hub checkpoints in them are folders here, small and with random weights, in the current directory.
"""

from __future__ import annotations

import re
import warnings

import pytest
import torch

import pocketbert
from helpers.reference_examples import make_checkpoints, sources


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return make_checkpoints(tmp_path_factory.mktemp("hub"))


@pytest.fixture
def run(checkpoints, monkeypatch):
    """Return a function that runs an example beside the checkpoints and gives back its variables."""
    monkeypatch.chdir(checkpoints)
    # so that no example passes because something else downloaded for it
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(source):
        assert "transformers" in source
        variables = {}
        torch.manual_seed(0)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            exec(compile(source.replace("transformers", "pocketbert"), "example", "exec"), variables)
        fresh = re.search(r"(ForMultipleChoice|DistilBertFor(Sequence|Question)\w+)\.from_pretrained", source)
        expected = [UserWarning] if fresh else [FutureWarning] if "masked_lm_labels" in source else []
        assert [warning.category for warning in caught] == expected
        return variables

    return run


def finite(variables):
    outputs = [value for value in variables.values() if isinstance(value, pocketbert.ModelOutput)]
    assert outputs or "loss" in variables
    for output in outputs:
        assert all(torch.isfinite(value).all() for value in output.values())
    if "loss" in variables:
        assert variables["loss"].shape == ()
        assert variables["loss"].isfinite()


# -- one example of every class, as printed --------------------------------------------------------------------

EXAMPLES = {
    "MobileBertModel": """
>>> from transformers import MobileBertTokenizer, MobileBertModel
>>> import torch

>>> tokenizer = MobileBertTokenizer.from_pretrained("google/mobilebert-uncased")
>>> model = MobileBertModel.from_pretrained("google/mobilebert-uncased")

>>> inputs = tokenizer("Hello, my dog is cute", return_tensors="pt")
>>> outputs = model(**inputs)

>>> last_hidden_states = outputs.last_hidden_state
""",
    "MobileBertForPreTraining": """
>>> from transformers import MobileBertTokenizer, MobileBertForPreTraining
>>> import torch

>>> tokenizer = MobileBertTokenizer.from_pretrained("google/mobilebert-uncased")
>>> model = MobileBertForPreTraining.from_pretrained("google/mobilebert-uncased")

>>> input_ids = torch.tensor(tokenizer.encode("Hello, my dog is cute", add_special_tokens=True)).unsqueeze(0)
>>> # Batch size 1
>>> outputs = model(input_ids)

>>> prediction_logits = outputs.prediction_logits
>>> seq_relationship_logits = outputs.seq_relationship_logits
""",
    "MobileBertForMaskedLM": """
>>> from transformers import MobileBertTokenizer, MobileBertForMaskedLM
>>> import torch

>>> tokenizer = MobileBertTokenizer.from_pretrained("google/mobilebert-uncased")
>>> model = MobileBertForMaskedLM.from_pretrained("google/mobilebert-uncased")

>>> inputs = tokenizer("The capital of France is [MASK].", return_tensors="pt")

>>> with torch.no_grad():
...     logits = model(**inputs).logits

>>> # retrieve index of [MASK]
>>> mask_token_index = (inputs.input_ids == tokenizer.mask_token_id)[0].nonzero(as_tuple=True)[0]

>>> predicted_token_id = logits[0, mask_token_index].argmax(axis=-1)
>>> tokenizer.decode(predicted_token_id)
'paris'
>>> labels = tokenizer("The capital of France is Paris.", return_tensors="pt")["input_ids"]
>>> # mask labels of non-[MASK] tokens
>>> labels = torch.where(inputs.input_ids == tokenizer.mask_token_id, labels, -100)

>>> outputs = model(**inputs, labels=labels)
>>> round(outputs.loss.item(), 2)
0.57
""",
    "MobileBertForNextSentencePrediction": """
>>> from transformers import MobileBertTokenizer, MobileBertForNextSentencePrediction
>>> import torch

>>> tokenizer = MobileBertTokenizer.from_pretrained("google/mobilebert-uncased")
>>> model = MobileBertForNextSentencePrediction.from_pretrained("google/mobilebert-uncased")

>>> prompt = "In Italy, pizza served in formal settings, such as at a restaurant, is presented unsliced."
>>> next_sentence = "The sky is blue due to the shorter wavelength of blue light."
>>> encoding = tokenizer(prompt, next_sentence, return_tensors="pt")

>>> outputs = model(**encoding, labels=torch.LongTensor([1]))
>>> loss = outputs.loss
>>> logits = outputs.logits
""",
    "MobileBertForSequenceClassification": """
>>> import torch
>>> from transformers import MobileBertTokenizer, MobileBertForSequenceClassification

>>> tokenizer = MobileBertTokenizer.from_pretrained("lordtt13/emo-mobilebert")
>>> model = MobileBertForSequenceClassification.from_pretrained("lordtt13/emo-mobilebert")

>>> inputs = tokenizer("Hello, my dog is cute", return_tensors="pt")

>>> with torch.no_grad():
...     logits = model(**inputs).logits

>>> predicted_class_id = logits.argmax().item()
>>> model.config.id2label[predicted_class_id]
'others'
>>> # To train a model on `num_labels` classes, you can pass `num_labels=num_labels` to `.from_pretrained(...)`
>>> num_labels = len(model.config.id2label)
>>> model = MobileBertForSequenceClassification.from_pretrained("lordtt13/emo-mobilebert", num_labels=num_labels)

>>> labels = torch.tensor(1)
>>> loss = model(**inputs, labels=labels).loss
>>> round(loss.item(), 2)
4.72
""",
    "MobileBertForSequenceClassification, several labels": """
>>> import torch
>>> from transformers import MobileBertTokenizer, MobileBertForSequenceClassification

>>> tokenizer = MobileBertTokenizer.from_pretrained("lordtt13/emo-mobilebert")
>>> model = MobileBertForSequenceClassification.from_pretrained("lordtt13/emo-mobilebert", problem_type="multi_label_classification")

>>> inputs = tokenizer("Hello, my dog is cute", return_tensors="pt")

>>> with torch.no_grad():
...     logits = model(**inputs).logits

>>> predicted_class_id = logits.argmax().item()
>>> model.config.id2label[predicted_class_id]
'others'
>>> # To train a model on `num_labels` classes, you can pass `num_labels=num_labels` to `.from_pretrained(...)`
>>> num_labels = len(model.config.id2label)
>>> model = MobileBertForSequenceClassification.from_pretrained(
...     "lordtt13/emo-mobilebert", num_labels=num_labels, problem_type="multi_label_classification"
... )

>>> labels = torch.nn.functional.one_hot(torch.tensor([predicted_class_id]), num_classes=num_labels).to(
...     torch.float
... )
>>> loss = model(**inputs, labels=labels).loss
>>> loss.backward()
""",  # noqa: E501  # as printed
    "MobileBertForMultipleChoice": """
>>> from transformers import MobileBertTokenizer, MobileBertForMultipleChoice
>>> import torch

>>> tokenizer = MobileBertTokenizer.from_pretrained("google/mobilebert-uncased")
>>> model = MobileBertForMultipleChoice.from_pretrained("google/mobilebert-uncased")

>>> prompt = "In Italy, pizza served in formal settings, such as at a restaurant, is presented unsliced."
>>> choice0 = "It is eaten with a fork and a knife."
>>> choice1 = "It is eaten while held in the hand."
>>> labels = torch.tensor(0).unsqueeze(0)  # choice0 is correct (according to Wikipedia ;)), batch size 1

>>> encoding = tokenizer([prompt, prompt], [choice0, choice1], return_tensors="pt", padding=True)
>>> outputs = model(**{k: v.unsqueeze(0) for k, v in encoding.items()}, labels=labels)  # batch size is 1

>>> # the linear classifier still needs to be trained
>>> loss = outputs.loss
>>> logits = outputs.logits
""",
    "MobileBertForTokenClassification": """
>>> from transformers import MobileBertTokenizer, MobileBertForTokenClassification
>>> import torch

>>> tokenizer = MobileBertTokenizer.from_pretrained("mrm8488/mobilebert-finetuned-ner")
>>> model = MobileBertForTokenClassification.from_pretrained("mrm8488/mobilebert-finetuned-ner")

>>> inputs = tokenizer(
...     "HuggingFace is a company based in Paris and New York", add_special_tokens=False, return_tensors="pt"
... )

>>> with torch.no_grad():
...     logits = model(**inputs).logits

>>> predicted_token_class_ids = logits.argmax(-1)

>>> # Note that tokens are classified rather then input words which means that
>>> # there might be more predicted token classes than words.
>>> # Multiple token classes might account for the same word
>>> predicted_tokens_classes = [model.config.id2label[t.item()] for t in predicted_token_class_ids[0]]
>>> predicted_tokens_classes
['I-ORG', 'I-ORG', 'O', 'O', 'O', 'O', 'O', 'I-LOC', 'O', 'I-LOC', 'I-LOC']
>>> labels = predicted_token_class_ids
>>> loss = model(**inputs, labels=labels).loss
>>> round(loss.item(), 2)
0.03
""",
    "MobileBertForQuestionAnswering": """
>>> from transformers import MobileBertTokenizer, MobileBertForQuestionAnswering
>>> import torch

>>> tokenizer = MobileBertTokenizer.from_pretrained("csarron/mobilebert-uncased-squad-v2")
>>> model = MobileBertForQuestionAnswering.from_pretrained("csarron/mobilebert-uncased-squad-v2")

>>> question, text = "Who was Jim Henson?", "Jim Henson was a nice puppet"

>>> inputs = tokenizer(question, text, return_tensors="pt")
>>> with torch.no_grad():
...     outputs = model(**inputs)

>>> answer_start_index = outputs.start_logits.argmax()
>>> answer_end_index = outputs.end_logits.argmax()

>>> predict_answer_tokens = inputs.input_ids[0, answer_start_index : answer_end_index + 1]
>>> tokenizer.decode(predict_answer_tokens)
'a nice puppet'
>>> # target is "nice puppet"
>>> target_start_index = torch.tensor([12])
>>> target_end_index = torch.tensor([13])

>>> outputs = model(**inputs, start_positions=target_start_index, end_positions=target_end_index)
>>> loss = outputs.loss
>>> round(loss.item(), 2)
3.98
""",
}

# The older documents are printed on one line.
ONE_LINERS = {
    "DistilBertModel": """from transformers import DistilBertTokenizer, DistilBertModel import torch tokenizer = DistilBertTokenizer.from_pretrained('distilbert-base-cased') model = DistilBertModel.from_pretrained('distilbert-base-cased') input_ids = torch.tensor(tokenizer.encode("Hello, my dog is cute", add_special_tokens=True)).unsqueeze(0) # Batch size 1 outputs = model(input_ids) last_hidden_states = outputs[0] # The last hidden-state is the first element of the output tuple""",  # noqa: E501
    "DistilBertForMaskedLM": """from transformers import DistilBertTokenizer, DistilBertForMaskedLM import torch tokenizer = DistilBertTokenizer.from_pretrained('distilbert-base-cased') model = DistilBertForMaskedLM.from_pretrained('distilbert-base-cased') input_ids = torch.tensor(tokenizer.encode("Hello, my dog is cute", add_special_tokens=True)).unsqueeze(0) # Batch size 1 outputs = model(input_ids, masked_lm_labels=input_ids) loss, prediction_scores = outputs[:2]""",  # noqa: E501
    "DistilBertForSequenceClassification": """from transformers import DistilBertTokenizer, DistilBertForSequenceClassification import torch tokenizer = DistilBertTokenizer.from_pretrained('distilbert-base-cased') model = DistilBertForSequenceClassification.from_pretrained('distilbert-base-cased') input_ids = torch.tensor(tokenizer.encode("Hello, my dog is cute", add_special_tokens=True)).unsqueeze(0) # Batch size 1 labels = torch.tensor([1]).unsqueeze(0) # Batch size 1 outputs = model(input_ids, labels=labels) loss, logits = outputs[:2]""",  # noqa: E501
    "DistilBertForQuestionAnswering": """from transformers import DistilBertTokenizer, DistilBertForQuestionAnswering import torch tokenizer = DistilBertTokenizer.from_pretrained('distilbert-base-cased') model = DistilBertForQuestionAnswering.from_pretrained('distilbert-base-cased') input_ids = torch.tensor(tokenizer.encode("Hello, my dog is cute", add_special_tokens=True)).unsqueeze(0) # Batch size 1 start_positions = torch.tensor([1]) end_positions = torch.tensor([3]) outputs = model(input_ids, start_positions=start_positions, end_positions=end_positions) loss, start_scores, end_scores = outputs[:3]""",  # noqa: E501
}

CONFIGURATIONS = [
    "from transformers import DistilBertModel, DistilBertConfig\n"
    "configuration = DistilBertConfig()\n"
    "model = DistilBertModel(configuration)\n"
    "configuration = model.config\n",
    "from transformers import MobileBertModel, MobileBertConfig\n"
    "configuration = MobileBertConfig()\n"
    "model = MobileBertModel(configuration)\n"
    "configuration = model.config\n",
]


def statements(line):
    """Break an example that is printed on one line before each of its statements and comments."""
    starts = (
        "import torch|tokenizer =|model =|configuration =|input_ids =|labels =|start_positions =|end_positions =|"
        "outputs =|loss, |last_hidden_states =|#"
    )
    return re.sub(rf" (?={starts})", "\n", line)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_mobilebert_examples(name, run):
    finite(run(sources(EXAMPLES[name])))


@pytest.mark.parametrize("name", ONE_LINERS)
def test_the_distilbert_examples(name, run):
    variables = run(statements(ONE_LINERS[name]))
    finite(variables)
    assert variables["input_ids"].shape == (1, 8)


@pytest.mark.slow
@pytest.mark.parametrize("source", CONFIGURATIONS)
def test_the_configuration_examples(source, run):
    variables = run(source)
    assert variables["configuration"].vocab_size == 30522


# -- all of them, from the documents ---------------------------------------------------------------------------


def test_every_mobilebert_example_of_the_document(shared, run):
    text = (
        (shared / "reference-mobilebert-api.txt")
        .read_text("utf-8")
        .split("\nclass transformers.TFMobileBertModel\n")[0]
    )
    blocks = [
        code
        for part in re.split(r"\nExamples?\b[^\n]*:\n", text)[1:]
        if (code := sources(part.split("\n\nMobileBert")[0]))
    ]
    assert len(blocks) == len(EXAMPLES) + 1
    for block in blocks:
        if "configuration = MobileBertConfig()" not in block:  # of full size: see above
            finite(run(block))
    assert {sources(example) for example in EXAMPLES.values()} <= set(blocks)


def test_every_distilbert_example_of_the_document(shared, run):
    text = (shared / "reference-distilbert-api.txt").read_text("utf-8")
    lines = [line for line in text.splitlines() if line.startswith("from transformers import") and "TF" not in line]
    lines = [line for line in lines if "DistilBertConfig" not in line]  # of full size: see above
    assert sorted(lines) == sorted(ONE_LINERS.values())
    for line in lines:
        finite(run(statements(line)))
