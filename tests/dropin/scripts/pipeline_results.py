"""What the pipelines of six tasks return, for one text, lists, generators, data sets, empty and long texts."""

import torch
from transformers import pipeline

TEXTS = ["The cat sat on the mat.", "Who works at Acme-Corp? John Smith, in New York!", "Paris"]
EXTRA = [*TEXTS, "wolfgang hugged the dog's face; it was great", "Café in 日本 😀 costs $20", ""]
CONTEXT = "My name is Wolfgang Smith and I live in Berlin. John works at Acme Corp in New York. "
SIZES = {"DistilBert": 2, "MobileBert": 1}  # there a MobileBERT text of a batch sees the padding beside it
LONG = " ".join(TEXTS) * 9


class Data(torch.utils.data.Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


results = {}


def forms(name, pipe, items, **options):
    """Ask for one, two, one in a list, none, a generator and a data set of them."""
    results[name, "one"] = [pipe(item, **options) for item in items]
    results[name, "list"] = pipe(list(items), **options)
    results[name, "list of one"] = pipe([items[0]], **options)
    results[name, "generator"] = list(
        pipe((item for item in items), batch_size=SIZES[name[0]], num_workers=0, **options)
    )
    results[name, "data set"] = list(pipe(Data(items), **options)), len(pipe(Data(items), **options))


for family in ("DistilBert", "MobileBert"):
    tags = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC", 4: "I-LOC"}
    clf = pipeline("sentiment-analysis", model=checkpoint(family, "ForSequenceClassification", num_labels=3, scale=4))
    pair = {"text": TEXTS[0], "text_pair": TEXTS[1]}
    for number, options in enumerate(({}, {"top_k": 1}, {"top_k": 2}, {"top_k": None}, {"return_all_scores": True})):
        forms((family, "text", number), clf, EXTRA, **options)
        results[family, "pair", number] = [clf(pair, **options), clf([pair], **options), clf([pair, pair], **options)]
    results[family, "old pair"] = clf([[["a cat", "a dog"]]])
    results[family, "none"] = clf([])
    for function in ("sigmoid", "softmax", "none"):
        results[family, function] = clf(TEXTS, function_to_apply=function, top_k=None)
    for cut in ({"truncation": True}, {"truncation": True, "max_length": 9}, {"max_length": 12}):
        results[family, "long", str(cut)] = clf([LONG, {"text": LONG, "text_pair": TEXTS[0]}], **cut, top_k=None)
    results[family, "bare"] = clf(TEXTS, add_special_tokens=False)

    ner = pipeline("ner", model=checkpoint(family, "ForTokenClassification", id2label=tags, scale=4))
    for strategy in ("none", "simple", "first", "average", "max"):
        forms((family, "ner", strategy), ner, EXTRA, aggregation_strategy=strategy)
    for old in ({"grouped_entities": True}, {"grouped_entities": True, "ignore_subwords": True}):
        results[family, "ner", str(old)] = ner(TEXTS, **old)
    results[family, "ner", "all"] = ner(TEXTS[1], ignore_labels=[])

    qa = pipeline("question-answering", model=checkpoint(family, "ForQuestionAnswering", scale=3))
    asked = [{"question": question, "context": CONTEXT} for question in ("Who works?", "Where do I live?")]
    for number, options in enumerate(({}, {"top_k": 1}, {"top_k": 3}, {"topk": 2}, {"handle_impossible_answer": True})):
        forms((family, "qa", number), qa, asked, **options)
        results[family, "qa", number, "named"] = [
            qa(**asked[0], **options),
            qa(question=["Who works?"], context=CONTEXT, **options),
            qa(question=["Who works?", "Who lives?"], context=CONTEXT, **options),
            qa(question=["Who works?"], context=[CONTEXT], **options),
            qa("Who works?", CONTEXT, **options),
            qa(*asked, **options),
        ]
    options = {"max_seq_len": 40, "doc_stride": 6, "max_answer_len": 3, "max_question_len": 9, "padding": "max_length"}
    results[family, "qa", "windows"] = qa(question="Who?", context=" ".join(["the cat sat in paris"] * 12), **options)
    results[family, "qa", "parts"] = qa(**asked[0], align_to_words=False, top_k=4)

    fill = pipeline("fill-mask", model=checkpoint(family, "ForMaskedLM", scale=3))
    masked = ["the [MASK] sat.", "[MASK] works in new [MASK]"]
    for number, options in enumerate(({}, {"top_k": 1}, {"targets": ["cat", "dog", "Paris"]}, {"targets": "cat"})):
        forms((family, "fill", number), fill, masked[: 1 if "targets" in options else 2], **options)
    results[family, "fill", "none"] = fill([])
    results[family, "fill", "long"] = fill("[MASK] " + LONG, tokenizer_kwargs={"truncation": True})
    results[family, "fill", "pieces"] = fill(masked[0], targets=["wolfgangs", "cat"])

    nli = {0: "contradiction", 1: "neutral", 2: "entailment"}
    zero = pipeline("zero-shot-classification", model=checkpoint(family, "ForSequenceClassification", id2label=nli))
    labels = ["sports", "music", "politics"]
    for number, options in enumerate(
        ({}, {"multi_label": True}, {"hypothesis_template": "it is {}"}, {"multi_class": True})
    ):
        forms((family, "zero", number), zero, EXTRA[:-1], candidate_labels=labels, **options)
    results[family, "zero", "string"] = zero(sequences=TEXTS[0], candidate_labels="sports, music")
    results[family, "zero", "one"] = zero(TEXTS[0], "sports")
    for empty in ("", [""]):
        try:
            zero(empty, labels)
        except ValueError:
            results[family, "zero", "empty", str(empty)] = "refused"

    extract = pipeline("feature-extraction", model=checkpoint(family, "Model"))
    results[family, "features", "none"] = extract([])
    states = [extract(text) for text in TEXTS] + extract(TEXTS) + list(extract(text for text in TEXTS))
    states.append(extract(LONG, truncation=True))
    states.append(extract(LONG, tokenize_kwargs={"truncation": True, "max_length": 7}))
    results[family, "features"] = [
        [len(state), len(state[0]), len(state[0][0]), torch.tensor(state), float(state[-1][0][:2][1])]
        for state in states
    ]
    results[family, "tensors"] = [extract(TEXTS[0], return_tensors=True), *extract(TEXTS, return_tensors=True)]
