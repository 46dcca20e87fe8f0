"""Tokenizers: calls of every form, ids in place of texts, padding, batches and what they answer, decoding."""

import pickle

import numpy as np
import torch
from transformers import BatchEncoding, BertTokenizer, BertTokenizerFast, DistilBertTokenizerFast, TensorType

words = "[PAD] [UNK] [CLS] [SEP] [MASK] the cat sat un ##aff ##able . , ' t don".split()  # noqa: SIM905
with open(out + "/vocab.txt", "w", encoding="utf-8") as file:
    file.write("\n".join(words) + "\n")
first, second = "The cat, unaffable.", "don't sat"
results = {}

for cls in (BertTokenizer, BertTokenizerFast):
    tokenizer = cls(out + "/vocab.txt", model_max_length=12)
    fast = tokenizer.is_fast

    def keep(name, value, cls=cls):
        batches = name == "calls"  # the order of the columns aside
        results[cls.__name__, name] = [dict(sorted(batch.items())) for batch in value] if batches else value

    keep(
        "calls",
        [
            tokenizer(first),
            tokenizer([first, second], [second, first], padding=True, truncation="only_first", max_length=12),
            tokenizer([(first, second)], return_tensors=TensorType.PYTORCH, return_length=True),
            tokenizer(first.split(), is_split_into_words=True, return_special_tokens_mask=True),
            tokenizer([first], text_target=[second], return_tensors="np", padding="max_length", max_length=12),
            tokenizer(first, return_token_type_ids=False, return_attention_mask=False, add_special_tokens=False),
            tokenizer(first, second, max_length=9, truncation=True, padding_side="left", pad_to_multiple_of=3),
            tokenizer.batch_encode_plus([first, second], padding="longest", return_tensors="pt"),
            tokenizer.encode_plus(first, second, return_special_tokens_mask=True),
        ],
    )
    keep(
        "ids",
        [
            tokenizer.encode(first),
            tokenizer.encode(first, second, add_special_tokens=False),
            tokenizer.encode(first, return_tensors="pt"),
            tokenizer.encode(["the", "cat"], is_split_into_words=True),
            tokenizer.encode(("the", "cat")) if fast else tokenizer.encode(["the", "cat", "##able"]),
            [] if fast else [tokenizer.encode([5, 6]), tokenizer.encode([5, 6], [7]), tokenizer.encode("the", [7])],
            {} if fast else tokenizer.encode_plus([5, 6, 7], return_tensors="pt", padding="max_length", max_length=8),
            tokenizer.tokenize(first),
            tokenizer.convert_tokens_to_ids(tokenizer.tokenize(first)),
            tokenizer.build_inputs_with_special_tokens([5, 6], [7]),
            tokenizer.create_token_type_ids_from_sequences([5, 6], [7]),
            tokenizer.get_special_tokens_mask([2, 5, 3], already_has_special_tokens=True),
            [tokenizer.num_special_tokens_to_add(), tokenizer.num_special_tokens_to_add(pair=True)],
        ],
    )
    rows = []
    for side in ("right", "left"):
        tokenizer.truncation_side = side
        for ids, pair, options in (
            ([5, 6, 7, 8], None, {"max_length": 4, "truncation": True}),
            ([5, 6, 7, 8], None, {"max_length": 5, "truncation": "longest_first", "stride": 2}),
            ([5, 6, 7, 8], [9], {"max_length": 6, "truncation": "only_first", "padding": "max_length"}),
            ([5], [6, 7, 8, 9], {"max_length": 7, "truncation": "only_second", "return_special_tokens_mask": not fast}),
            ([5, 6], [7, 8], {"max_length": 12, "padding": "max_length", "return_length": True}),
            ([5, 6], None, {"return_tensors": "pt", "prepend_batch_axis": True}),
            ([5, 6], [7], {"add_special_tokens": False, "return_attention_mask": False}),
        ):
            overflow = "truncation" in options
            rows.append(tokenizer.prepare_for_model(ids, pair, return_overflowing_tokens=overflow, **options))
        for sizes in ((6, 2), (2, 6), (4, 4), (5, 0)):
            for removed in range(-1, sum(sizes)):
                lists = list(range(sizes[0])), list(range(10, 10 + sizes[1]))
                rows.append(list(tokenizer.truncate_sequences(*lists, num_tokens_to_remove=removed)))
                for strategy in ("only_first", "only_second", "do_not_truncate"):
                    rows.append(list(tokenizer.truncate_sequences(*lists, removed, strategy, stride=1)))
    tokenizer.truncation_side = "right"
    keep("prepared", rows)
    keep(
        "pad",
        [
            tokenizer.pad({"input_ids": [[2, 5, 3], [2, 3]]}),
            tokenizer.pad(
                [tokenizer(first), tokenizer(second)], padding="max_length", max_length=14, return_tensors="np"
            ),
            tokenizer.pad([{"input_ids": torch.tensor([2, 5, 3])}, {"input_ids": torch.tensor([2, 3])}]),
            tokenizer.pad({"input_ids": [2, 5, 3], "labels": [1]}, padding="max_length", max_length=5),
            tokenizer.pad({"input_ids": torch.tensor([[2, 3]])}, pad_to_multiple_of=4),
            tokenizer.pad({"input_ids": [[2, 3]]}, padding=False),
        ],
    )
    keep(
        "decoded",
        [
            tokenizer.decode(tokenizer.encode(first, second)),
            tokenizer.decode(tokenizer.encode(second), skip_special_tokens=True, clean_up_tokenization_spaces=False),
            tokenizer.decode(torch.tensor([2, 5, 6, 3])),
            tokenizer.decode(np.array([2, 5, 6, 3]), skip_special_tokens=True),
            tokenizer.decode(6),
            tokenizer.batch_decode(torch.tensor([[2, 5, 3], [2, 6, 3]]), skip_special_tokens=True),
            tokenizer.batch_decode([5, 6]),
            tokenizer.convert_ids_to_tokens([2, 5, 9], skip_special_tokens=True),
            tokenizer.convert_tokens_to_string(["un", "##aff", "##able", "the"]),
            tokenizer.clean_up_tokenization("do n't , he 's ."),
        ],
    )
    errors = []
    for call, argument, options in (
        (tokenizer, 5, {}),
        (tokenizer.pad, {"labels": [1]}, {}),
        (tokenizer, first, {"padding": "most"}),
        (tokenizer.apply_chat_template, [{"role": "user", "content": "x"}], {}),
        (tokenizer.get_chat_template, None, {}),
        (tokenizer, [first, second], {"return_tensors": "pt"}),
    ):
        try:
            call(argument, **options)
            errors.append(None)
        except ValueError:
            errors.append(ValueError)
    keep("errors", errors)
    with tokenizer.as_target_tokenizer():
        keep("target", tokenizer(second))

tokenizer = BertTokenizerFast(out + "/vocab.txt", model_max_length=12)
batch = tokenizer([first, second], [second, first], padding=True, return_offsets_mapping=True, return_tensors="pt")
again = pickle.loads(pickle.dumps(batch))  # noqa: S301
for name, one in (("batch", batch), ("pickled", again)):
    results[name] = {
        "data": dict(one.data),
        "keys": [list(one), len(one), "input_ids" in one, one.is_fast],
        "tokens": [one.tokens(1), one.word_ids(1), one.words(0), one.sequence_ids(1)],
        "of token": [
            [one.token_to_word(0, i), one.token_to_sequence(0, i), tuple(one.token_to_chars(0, i) or ())]
            for i in range(8)
        ],
        "of char": [[one.char_to_token(1, i), one.char_to_word(1, i, 1), one.char_to_token(i)] for i in range(9)],
        "of word": [[tuple(one.word_to_tokens(1, i, 1)), tuple(one.word_to_chars(i))] for i in range(3)],
        "row": [one[0].ids, one[1].tokens, one[0].attention_mask, one[0].type_ids, one[1].special_tokens_mask],
    }
results["sequences"] = batch.n_sequences
results["moved"] = batch.to("cpu")["input_ids"]
made = BatchEncoding({"input_ids": [[1, 2]], "n": [3]}, tensor_type="pt")
results["made"] = [made, made[:1], BatchEncoding({"a": [1]}, tensor_type="np", prepend_batch_axis=True)]
results["converted"] = BatchEncoding({"a": [[1.5]], "b": [[True]]}).convert_to_tensors("pt")
results["windows"] = tokenizer(
    [first * 3, second], max_length=8, stride=2, truncation=True, return_overflowing_tokens=True, padding=True
)
results["one with windows"] = tokenizer(first * 3, max_length=8, truncation=True, return_overflowing_tokens=True)
own = DistilBertTokenizerFast(out + "/vocab.txt", model_input_names=["ids", "attention_mask"])
results["other names"] = own.pad({"ids": [[1, 2], [3]]})
